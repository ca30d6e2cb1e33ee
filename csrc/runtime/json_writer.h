// Writes JSON.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

namespace affectrt {

// JSON text written as it goes. A tree of nlohmann's would need memory to be destroyed, and end the
// process where there is none.
class JsonWriter {
 public:
  // Separates from what stands before, where something does.
  JsonWriter& key(std::string_view name) {
    item();
    scalar(nlohmann::json(std::string(name)));
    text_ += ':';
    first_ = true;
    return *this;
  }
  JsonWriter& begin(char bracket) {
    item();
    text_ += bracket;
    first_ = true;
    return *this;
  }
  void end(char bracket) {
    text_ += bracket;
    first_ = false;
  }
  // A path may be no UTF-8.
  void string(std::string_view value) { value_of(nlohmann::json(std::string(value))); }
  void number(double value) { value_of(nlohmann::json(value)); }
  void integer(int64_t value) { value_of(nlohmann::json(value)); }
  void boolean(bool value) { value_of(nlohmann::json(value)); }
  void raw(std::string_view json) {
    item();
    text_ += json;
  }
  std::string take() { return std::move(text_); }

 private:
  void item() {
    if (!first_) text_ += ',';
    first_ = false;
  }
  void scalar(const nlohmann::json& value) {
    text_ += value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }
  void value_of(const nlohmann::json& value) {
    item();
    scalar(value);
  }

  std::string text_;
  bool first_ = true;
};

}  // namespace affectrt

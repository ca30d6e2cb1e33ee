// A part of a tokenizer.json while it is read: every complaint names the file and the part.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace affectrt {

// Refers to the document and the origin; both must outlive it.
class Component {
 public:
  Component(const nlohmann::json& value, const std::string& origin, std::string path)
      : value_(&value), origin_(&origin), path_(std::move(path)) {}

  const nlohmann::json& value() const { return *value_; }
  bool is_null() const { return value_->is_null(); }

  // Throws Error(kTokenizer): "ORIGIN: PATH: WHAT".
  [[noreturn]] void fail(const std::string& what) const;

  // Members of an object. Where no default is given they must be there, and must not be null.
  std::string type() const;         // "type", for messages and dispatch
  bool has(const char* key) const;  // there and not null
  Component at(const char* key) const;
  bool boolean(const char* key, std::optional<bool> otherwise = std::nullopt) const;
  std::string text(const char* key, std::optional<std::string> otherwise = std::nullopt) const;
  uint32_t integer(const char* key, std::optional<uint32_t> otherwise = std::nullopt) const;
  std::vector<Component> items(const char* key) const;

  // The value itself.
  const std::string& as_text() const;
  uint32_t as_integer() const;
  std::vector<Component> as_items() const;

 private:
  const nlohmann::json* value_;
  const std::string* origin_;
  std::string path_;
};

}  // namespace affectrt

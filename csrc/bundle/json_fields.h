// Typed access to JSON that nobody vouches for: each failure names the file and the JSON path.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace affectrt {

// A value and where it stands. Refers to the document and the origin; both must outlive it.
class JsonField {
 public:
  JsonField(const nlohmann::json& value, const std::string& origin, std::string path = "")
      : value_(&value), origin_(&origin), path_(std::move(path)) {}

  // "FILE: heads[0].labels: WHAT"
  [[noreturn]] void fail(const std::string& what, ErrorKind kind = ErrorKind::kModelFile) const;
  // "... is VALUE; it must be EXPECTED"
  [[noreturn]] void fail_value(const std::string& expected,
                               ErrorKind kind = ErrorKind::kModelFile) const;

  const nlohmann::json& value() const { return *value_; }
  bool is_null() const { return value_->is_null(); }
  // Whether it is this string. nlohmann's == would end the process where memory lacks.
  bool is(std::string_view text) const {
    const auto* own = value_->get_ptr<const std::string*>();
    return own != nullptr && *own == text;
  }

  const JsonField& object() const;                            // checks the type
  std::optional<JsonField> find(std::string_view key) const;  // of an object
  JsonField at(std::string_view key) const;                   // of an object; must be there
  std::vector<JsonField> items(size_t least, size_t most, const char* of_what) const;

  bool boolean() const;
  double number(double least, double most) const;
  // 12 and 12.0 are integers, as in JSON Schema.
  int64_t integer(int64_t least, int64_t most) const;
  // Lengths in code points.
  const std::string& text(size_t least, size_t most) const;
  // text() without control characters.
  const std::string& line(size_t least, size_t most) const;
  // Begins with [a-z0-9] (or, where `upper`, a letter or digit of any case) and goes on with
  // those, '.', '_' and '-'; at most 64 in all.
  const std::string& identifier(bool upper) const;

 private:
  const nlohmann::json* value_;
  const std::string* origin_;
  std::string path_;
};

}  // namespace affectrt

#include "bundle/json_fields.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/utf8.h"

namespace affectrt {
namespace {

constexpr size_t kMaxIdentifier = 64;

std::string shown(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.10g", value);
  return text;
}

std::string shown(const nlohmann::json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "an array of " + std::to_string(value.size()) + " items";
  return printable(value.dump(), 80);
}

bool is_lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }

}  // namespace

void JsonField::fail(const std::string& what, ErrorKind kind) const {
  throw Error(kind, printable(*origin_, 1024) + ": " + (path_.empty() ? "" : path_ + ": ") + what);
}

void JsonField::fail_value(const std::string& expected, ErrorKind kind) const {
  fail("is " + shown(*value_) + "; it must be " + expected, kind);
}

const JsonField& JsonField::object() const {
  if (!value_->is_object()) fail_value("an object");
  return *this;
}

std::optional<JsonField> JsonField::find(std::string_view key) const {
  object();
  const auto found = value_->find(std::string(key));
  if (found == value_->end()) return std::nullopt;
  return JsonField(*found, *origin_,
                   path_.empty() ? std::string(key) : path_ + "." + printable(key));
}

JsonField JsonField::at(std::string_view key) const {
  auto field = find(key);
  if (!field) fail("the key '" + std::string(key) + "' is missing");
  return *std::move(field);
}

std::vector<JsonField> JsonField::items(size_t least, size_t most, const char* of_what) const {
  const std::string expected =
      "an array of " + std::to_string(least) + " to " + std::to_string(most) + " " + of_what;
  if (!value_->is_array() || value_->size() < least || value_->size() > most) fail_value(expected);
  std::vector<JsonField> out;
  out.reserve(value_->size());
  for (const auto& item : *value_) {
    out.emplace_back(item, *origin_, path_ + "[" + std::to_string(out.size()) + "]");
  }
  return out;
}

bool JsonField::boolean() const {
  if (!value_->is_boolean()) fail_value("true or false");
  return value_->get<bool>();
}

double JsonField::number(double least, double most) const {
  if (value_->is_number()) {
    const auto number = value_->get<double>();
    if (number >= least && number <= most) return number;
  }
  fail_value("a number from " + shown(least) + " to " + shown(most));
}

int64_t JsonField::integer(int64_t least, int64_t most) const {
  std::optional<int64_t> number;
  if (value_->is_number_unsigned()) {
    const auto wide = value_->get<uint64_t>();
    if (wide <= static_cast<uint64_t>(INT64_MAX)) number = static_cast<int64_t>(wide);
  } else if (value_->is_number_integer()) {
    number = value_->get<int64_t>();
  } else if (value_->is_number_float()) {
    const auto real = value_->get<double>();
    // 2^63 is the first double that int64 cannot hold.
    if (std::trunc(real) == real && std::fabs(real) < 9223372036854775808.0) {
      number = static_cast<int64_t>(real);
    }
  }
  if (number && *number >= least && *number <= most) return *number;
  fail_value("an integer from " + std::to_string(least) + " to " + std::to_string(most));
}

const std::string& JsonField::text(size_t least, size_t most) const {
  const auto* text = value_->get_ptr<const std::string*>();
  if (text != nullptr) {
    const size_t length = utf8_length(*text);
    if (length >= least && length <= most) return *text;
  }
  fail_value("a string of " + std::to_string(least) + " to " + std::to_string(most) +
             " characters");
}

const std::string& JsonField::line(size_t least, size_t most) const {
  const std::string& line = text(least, most);
  for (const char c : line) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      fail_value("a string without control characters");
    }
  }
  return line;
}

const std::string& JsonField::identifier(bool upper) const {
  const auto* name = value_->get_ptr<const std::string*>();
  const auto good = [upper](char c) { return is_lower_or_digit(c) || (upper && is_upper(c)); };
  if (name == nullptr || name->empty() || name->size() > kMaxIdentifier || !good(name->front()) ||
      !std::all_of(name->begin(), name->end(),
                   [&](char c) { return good(c) || c == '.' || c == '_' || c == '-'; })) {
    fail_value(std::string("1 to 64 characters of ") + (upper ? "[A-Za-z0-9._-]" : "[a-z0-9._-]") +
               " that begin with a letter or digit");
  }
  return *name;
}

}  // namespace affectrt

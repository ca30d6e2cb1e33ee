// Reads JSON that nobody vouches for.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/error.h"

namespace affectrt {

struct JsonLimits {
  size_t max_bytes = size_t{256} << 20U;
  // A value costs 16 bytes and more; the largest tokenizer.json known has about a million.
  size_t max_values = 8'000'000;
  size_t max_depth = 64;
};

// The members of one large object in a string of bytes instead of a map: a vocabulary of 30,000
// tokens is read three times as fast. A document holds it as a binary value, which JSON text has no
// other way to produce.
constexpr const char* kNothingPacked[2] = {nullptr, nullptr};
// Calls `each` with name and value in the order of the text. `packed` is a value for which
// is_binary() is true.
void for_each_packed(const nlohmann::json& packed,
                     const std::function<void(std::string_view, uint32_t)>& each);

// A parsed value that takes itself apart without memory. nlohmann's own destructor needs some, and
// ends the process where there is none.
class JsonDocument {
 public:
  explicit JsonDocument(nlohmann::json&& root);
  JsonDocument(JsonDocument&&) noexcept;
  JsonDocument& operator=(JsonDocument&&) = delete;
  ~JsonDocument();
  const nlohmann::json& root() const { return *root_; }

 private:
  std::unique_ptr<nlohmann::json> root_;
};

// Stricter than the common parsers: invalid UTF-8, a byte-order mark, duplicate keys, deep nesting
// and numbers beyond a double are errors. Every failure is Error(kind) that names `origin` and the
// byte; nothing of nlohmann's escapes. The object at packed[0], packed[1], as in "model", "vocab",
// is packed where all its values are integers from 0 to 2^32 - 1.
JsonDocument parse_json(std::string_view text, const std::string& origin,
                        ErrorKind kind = ErrorKind::kModelFile, const JsonLimits& limits = {},
                        const char* const packed[2] = kNothingPacked);

}  // namespace affectrt

// Reads JSON that nobody vouches for.
#pragma once

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

// Stricter than the common parsers: invalid UTF-8, a byte-order mark, duplicate keys, deep nesting
// and numbers beyond a double are errors. Every failure is Error(kind) that names `origin` and the
// byte; nothing of nlohmann's escapes.
nlohmann::json parse_json(std::string_view text, const std::string& origin,
                          ErrorKind kind = ErrorKind::kModelFile, const JsonLimits& limits = {});

}  // namespace affectrt

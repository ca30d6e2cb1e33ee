// UTF-8 as the Unicode Standard defines it (table 3-7): no surrogates, no overlong forms, at most
// U+10FFFF.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace affectrt {

// Position of the first byte of the first ill-formed sequence; empty when all is well.
std::optional<size_t> find_invalid_utf8(std::string_view text);

// Code points of valid UTF-8.
size_t utf8_length(std::string_view valid);

// The part of valid UTF-8 that its code points begin:end are.
std::string_view characters(std::string_view valid, size_t begin, size_t end);

// `text` in a form that can stand in an error message: control characters, invisible formatting
// characters and bytes that are no UTF-8 become \xNN, and what is longer than `max_bytes` ends in
// "...". Always valid UTF-8.
std::string printable(std::string_view text, size_t max_bytes = 120);

}  // namespace affectrt

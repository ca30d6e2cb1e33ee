#include "base/utf8.h"

#include <cstdint>
#include <cstring>

namespace affectrt {
namespace {

// Bytes of the well-formed sequence that begins at `p`, or 0. `left` is at least 1.
size_t sequence_bytes(const uint8_t* p, size_t left) {
  const uint8_t lead = p[0];
  if (lead < 0x80) return 1;
  size_t bytes = 0;
  uint8_t second_low = 0x80;
  uint8_t second_high = 0xBF;
  if (lead >= 0xC2 && lead <= 0xDF) {
    bytes = 2;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    bytes = 3;
    if (lead == 0xE0) second_low = 0xA0;   // overlong
    if (lead == 0xED) second_high = 0x9F;  // surrogates
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    bytes = 4;
    if (lead == 0xF0) second_low = 0x90;   // overlong
    if (lead == 0xF4) second_high = 0x8F;  // beyond U+10FFFF
  } else {
    return 0;
  }
  if (left < bytes || p[1] < second_low || p[1] > second_high) return 0;
  for (size_t i = 2; i < bytes; ++i) {
    if ((p[i] & 0xC0U) != 0x80U) return 0;
  }
  return bytes;
}

// C1 controls, and the marks that are not seen but change what is (Unicode's bidirectional and
// invisible formatting characters): a terminal must not act on what a file name smuggles in.
bool acts_unseen(const uint8_t* p, size_t bytes) {
  if (bytes == 1) return p[0] < 0x20 || p[0] == 0x7F;
  if (bytes == 2) return p[0] == 0xC2 && p[1] < 0xA0;
  if (bytes != 3) return false;
  const unsigned code = ((p[0] & 0x0FU) << 12U) | ((p[1] & 0x3FU) << 6U) | (p[2] & 0x3FU);
  return (code >= 0x200B && code <= 0x200F) || (code >= 0x2028 && code <= 0x202E) ||
         (code >= 0x2060 && code <= 0x206F) || code == 0xFEFF;
}

}  // namespace

std::optional<size_t> find_invalid_utf8(std::string_view text) {
  const auto* p = reinterpret_cast<const uint8_t*>(text.data());
  size_t i = 0;
  while (i < text.size()) {
    if (p[i] < 0x80) {
      // Runs of ASCII go eight bytes at a time.
      constexpr uint64_t kHighBits = 0x8080808080808080U;
      uint64_t word = 0;
      while (text.size() - i >= sizeof(word)) {
        std::memcpy(&word, p + i, sizeof(word));
        if ((word & kHighBits) != 0) break;
        i += sizeof(word);
      }
      while (i < text.size() && p[i] < 0x80) ++i;
      continue;
    }
    const size_t bytes = sequence_bytes(p + i, text.size() - i);
    if (bytes == 0) return i;
    i += bytes;
  }
  return std::nullopt;
}

size_t utf8_length(std::string_view valid) {
  size_t count = 0;
  for (const char c : valid) count += (static_cast<uint8_t>(c) & 0xC0U) != 0x80U ? 1 : 0;
  return count;
}

std::string_view characters(std::string_view valid, size_t begin, size_t end) {
  size_t at = 0;
  const auto skip = [&](size_t count) {
    for (; count > 0 && at < valid.size(); --count) {
      ++at;
      while (at < valid.size() && (static_cast<unsigned char>(valid[at]) & 0xC0U) == 0x80U) ++at;
    }
    return at;
  };
  const size_t from = skip(begin);
  return valid.substr(from, skip(end - begin) - from);
}

std::string printable(std::string_view text, size_t max_bytes) {
  static constexpr char kHex[] = "0123456789abcdef";
  const auto* p = reinterpret_cast<const uint8_t*>(text.data());
  std::string out;
  size_t i = 0;
  while (i < text.size()) {
    if (out.size() >= max_bytes) return out + "...";
    const size_t bytes = sequence_bytes(p + i, text.size() - i);
    if (bytes > 0 && !acts_unseen(p + i, bytes)) {
      out.append(text.substr(i, bytes));
      i += bytes;
      continue;
    }
    for (const size_t end = i + (bytes > 0 ? bytes : 1); i < end; ++i) {
      out += "\\x";
      out += kHex[p[i] >> 4U];
      out += kHex[p[i] & 15U];
    }
  }
  return out;
}

}  // namespace affectrt

#include "text/precompiled_charsmap.h"

#include <algorithm>
#include <array>

#include "base/error.h"

namespace affectrt {
namespace {

[[noreturn]] void fail(const std::string& what) {
  throw Error(ErrorKind::kTokenizer, "precompiled_charsmap " + what);
}

// RFC 4648, padded and canonical, as the base64 crate's STANDARD engine insists.
std::string decode_base64(std::string_view text) {
  static constexpr auto kValues = [] {
    std::array<uint8_t, 256> values{};
    for (auto& value : values) value = 64;
    constexpr std::string_view kAlphabet =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < kAlphabet.size(); ++i) {
      values[static_cast<uint8_t>(kAlphabet[i])] = static_cast<uint8_t>(i);
    }
    return values;
  }();
  if (text.size() % 4 != 0) fail("is not base64: its length is no multiple of 4");
  size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  std::string out;
  out.reserve(text.size() / 4 * 3);
  for (size_t i = 0; i < text.size(); i += 4) {
    const size_t digits = i + 4 == text.size() ? 4 - padding : 4;
    uint32_t bits = 0;
    for (size_t j = 0; j < 4; ++j) {
      const uint8_t value = j < digits ? kValues[static_cast<uint8_t>(text[i + j])] : 0;
      if (value == 64) fail("is not base64: bad character at " + std::to_string(i + j));
      bits = bits << 6 | value;
    }
    const size_t bytes = digits - 1;
    if ((bits & ((1u << (8 * (3 - bytes))) - 1)) != 0) fail("is not base64: stray bits at its end");
    for (size_t j = 0; j < bytes; ++j)
      out.push_back(static_cast<char>(bits >> (16 - 8 * j) & 0xff));
  }
  return out;
}

// The byte at which `text` stops being UTF-8 (no surrogates, no overlong forms), or npos.
size_t find_invalid_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto byte = [&](size_t k) { return static_cast<uint8_t>(text[i + k]); };
    const uint8_t lead = byte(0);
    if (lead < 0x80) {
      ++i;
      continue;
    }
    const size_t size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || text.size() - i < size) return i;
    const uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    const uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (byte(1) < low || byte(1) > high) return i;
    for (size_t k = 2; k < size; ++k) {
      if ((byte(k) & 0xC0) != 0x80) return i;
    }
    i += size;
  }
  return text.npos;
}

// The units of Darts-clone, as SentencePiece writes them.
bool has_leaf(uint32_t unit) { return (unit >> 8 & 1) != 0; }
uint32_t value(uint32_t unit) { return unit & 0x7fffffffu; }
uint32_t label(uint32_t unit) { return unit & (1u << 31 | 0xffu); }
size_t offset(uint32_t unit) { return size_t{unit >> 10} << ((unit & 1u << 9) >> 6); }

}  // namespace

PrecompiledCharsmap::PrecompiledCharsmap(std::string_view base64) {
  const std::string blob = decode_base64(base64);
  const auto word = [&](size_t at) {
    uint32_t bits = 0;
    for (size_t i = 0; i < 4; ++i) {
      bits |= static_cast<uint32_t>(static_cast<uint8_t>(blob[at + i])) << (8 * i);
    }
    return bits;
  };
  if (blob.size() < 4) fail("has " + std::to_string(blob.size()) + " bytes; at least 4 are needed");
  const size_t units = word(0) / 4;
  if (units > (blob.size() - 4) / 4) {
    fail("says that its trie has " + std::to_string(word(0)) + " bytes; only " +
         std::to_string(blob.size() - 4) + " are there");
  }
  if (units == 0) fail("has an empty trie");
  trie_.reserve(units);
  for (size_t i = 0; i < units; ++i) trie_.push_back(word(4 + 4 * i));
  replacements_ = blob.substr(4 + 4 * units);
  const size_t invalid = find_invalid_utf8(replacements_);
  if (invalid != replacements_.npos) {
    fail("has replacements that are not UTF-8 at byte " + std::to_string(invalid));
  }
}

// The first of the common prefixes, that is the shortest key that `chunk` starts with, replaces the
// whole chunk: that is what the crate does, whatever it looks like.
std::optional<std::string_view> PrecompiledCharsmap::transform(std::string_view chunk) const {
  const auto unit_at = [this](size_t node) {
    if (node >= trie_.size()) fail("is damaged: its trie points outside itself");
    return trie_[node];
  };
  size_t node = offset(unit_at(0));
  for (char c : chunk) {
    const uint8_t byte = static_cast<uint8_t>(c);
    if (byte == 0) break;
    node ^= byte;
    const uint32_t unit = unit_at(node);
    if (label(unit) != byte) return std::nullopt;
    node ^= offset(unit);
    if (!has_leaf(unit)) continue;
    const size_t begin = value(unit_at(node));
    if (begin > replacements_.size() ||
        (begin < replacements_.size() && (replacements_[begin] & 0xC0) == 0x80)) {
      fail("is damaged: a replacement starts at byte " + std::to_string(begin) +
           ", which is no character of them");
    }
    const size_t end = std::min(replacements_.find('\0', begin), replacements_.size());
    return std::string_view(replacements_).substr(begin, end - begin);
  }
  return std::nullopt;
}

}  // namespace affectrt

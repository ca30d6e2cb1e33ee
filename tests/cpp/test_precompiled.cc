// SentencePiece's normalisation map, on maps built here and on damaged ones.
#include <doctest/doctest.h>

#include <random>
#include <string>

#include "base/error.h"
#include "text/precompiled_charsmap.h"

using affectrt::Error;
using affectrt::PrecompiledCharsmap;

namespace {

std::string base64(const std::string& bytes) {
  const char* digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t left = bytes.size() - i;
    uint32_t bits = 0;
    for (size_t j = 0; j < 3; ++j) {
      bits = bits << 8 | (j < left ? static_cast<uint8_t>(bytes[i + j]) : 0u);
    }
    for (size_t j = 0; j < 4; ++j) {
      out.push_back(j <= left ? digits[bits >> (18 - 6 * j) & 63] : '=');
    }
  }
  return out;
}

std::string word(uint32_t value) {
  std::string out;
  for (int i = 0; i < 4; ++i) out.push_back(static_cast<char>(value >> (8 * i) & 0xff));
  return out;
}

// The trie of the keys "a" and "ab" in Darts' layout: label in the low byte, bit 8 where a value
// hangs below, offset to the children from bit 10 on.
std::string image(uint32_t value_of_a = 0, uint32_t value_of_ab = 2,
                  const std::string& replacements = std::string("A\0\0", 3)) {
  std::vector<uint32_t> units(512, 0);
  const auto offset_bits = [](uint32_t offset) { return offset << 10; };
  units[0] = offset_bits(256);  // children of the root at 256 ^ label
  const uint32_t a = 256 ^ 'a';
  units[a] = 'a' | 1u << 8 | offset_bits(a ^ 4);  // its children at 4 ^ label
  units[4] = 1u << 31 | value_of_a;
  const uint32_t ab = 4 ^ 'b';
  units[ab] = 'b' | 1u << 8 | offset_bits(ab ^ 7);
  units[7] = 1u << 31 | value_of_ab;
  std::string bytes = word(static_cast<uint32_t>(4 * units.size()));
  for (uint32_t unit : units) bytes += word(unit);
  return bytes + replacements;
}

}  // namespace

TEST_CASE("the shortest key that a chunk starts with replaces all of it") {
  const PrecompiledCharsmap map(base64(image()));
  CHECK(map.transform("a") == "A");
  CHECK(map.transform("ab") == "A");
  CHECK(map.transform("axyz") == "A");
  CHECK_FALSE(map.transform("b").has_value());
  CHECK_FALSE(map.transform("").has_value());
  CHECK_FALSE(map.transform(std::string_view("\0a", 2)).has_value());
}

TEST_CASE("replacements end at a zero or at the end, and may be empty") {
  const PrecompiledCharsmap empty(base64(image(2)));
  CHECK(empty.transform("a") == "");
  const PrecompiledCharsmap open(base64(image(0, 0, "xyz")));
  CHECK(open.transform("a") == "xyz");
  const PrecompiledCharsmap at_end(base64(image(3)));
  CHECK(at_end.transform("a") == "");
}

TEST_CASE("base64 must be padded and canonical") {
  CHECK_THROWS_AS(PrecompiledCharsmap(""), Error);
  CHECK_THROWS_AS(PrecompiledCharsmap("AAA"), Error);
  CHECK_THROWS_AS(PrecompiledCharsmap("A==="), Error);
  CHECK_THROWS_AS(PrecompiledCharsmap("AA=A"), Error);
  CHECK_THROWS_AS(PrecompiledCharsmap("AB=="), Error);
  CHECK_THROWS_AS(PrecompiledCharsmap("AA\nA"), Error);
  CHECK_THROWS_AS(PrecompiledCharsmap("AAAA"), Error);      // three bytes
  CHECK_THROWS_AS(PrecompiledCharsmap("AAAAAA=="), Error);  // an empty trie
}

TEST_CASE("damage is an error, at the latest when it is met") {
  CHECK_THROWS_WITH_AS(PrecompiledCharsmap(base64(word(UINT32_MAX) + "abcd")),
                       doctest::Contains("4294967295"), Error);
  CHECK_THROWS_WITH_AS(PrecompiledCharsmap(base64(image(0, 0, "\xc3"))), doctest::Contains("UTF-8"),
                       Error);
  CHECK_THROWS_WITH_AS(PrecompiledCharsmap(base64(image(0, 0, "\xed\xa0\x80"))),
                       doctest::Contains("UTF-8"), Error);
  const PrecompiledCharsmap beyond(base64(image(1000)));
  CHECK_THROWS_AS(beyond.transform("a"), Error);
  const PrecompiledCharsmap inside(base64(image(1, 0, "é")));
  CHECK_THROWS_AS(inside.transform("a"), Error);
  const PrecompiledCharsmap outside(base64(word(4) + word(0xfffffe00u)));
  CHECK_THROWS_AS(outside.transform("a"), Error);
}

TEST_CASE("random blobs never leave the array") {
  std::mt19937 random(5);
  size_t refused = 0;
  size_t answered = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = round % 2 == 0 ? image() : word(4 * (random() % 64));
    if (round % 2 == 1) {
      for (size_t i = 0; i < 4 * 64 + random() % 8; ++i)
        bytes.push_back(static_cast<char>(random()));
    }
    for (int i = 0; i < 5; ++i) bytes[random() % bytes.size()] = static_cast<char>(random());
    try {
      const PrecompiledCharsmap map(base64(bytes));
      for (int c = 0; c < 256; ++c) {
        const char chunk[] = {static_cast<char>(c), 'b', 'c'};
        const auto found = map.transform(std::string_view(chunk, 3));
        answered += found ? found->size() <= bytes.size() : 1;
      }
    } catch (const Error& error) {
      CHECK(error.kind() == affectrt::ErrorKind::kTokenizer);
      ++refused;
    }
  }
  CHECK(refused > 0);
  CHECK(answered > 0);
}

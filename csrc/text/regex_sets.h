// Sets of code points, the named ones of Oniguruma, and its case folding.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace affectrt {

// Disjoint, sorted, half-open ranges of code points below kEnd.
class CodeSet {
 public:
  static constexpr uint32_t kEnd = 0x110000;
  using Range = std::pair<uint32_t, uint32_t>;

  CodeSet() = default;
  static CodeSet all() { return CodeSet::range(0, kEnd); }
  static CodeSet range(uint32_t begin, uint32_t end);  // half-open
  static CodeSet one(uint32_t c) { return range(c, c + 1); }

  bool empty() const { return ranges_.empty(); }
  bool contains(uint32_t c) const;
  bool intersects(const CodeSet& other) const;
  const std::vector<Range>& ranges() const { return ranges_; }
  // The only member, if there is one only.
  std::optional<uint32_t> single() const;

  void add(uint32_t begin, uint32_t end);
  void add(const CodeSet& other);
  void intersect(const CodeSet& other);
  void invert();
  // Adds all that stands for a member, alone, under (?i).
  void close_over_case();

  bool operator==(const CodeSet& other) const { return ranges_ == other.ranges_; }

 private:
  std::vector<Range> ranges_;
};

// Membership by two table look-ups, and one for ASCII.
class SetTable {
 public:
  explicit SetTable(const CodeSet& set);

  bool ascii(uint8_t c) const { return ascii_[c]; }
  bool contains(uint32_t c) const {
    return (pages_[index_[c >> kPageBits]][(c >> 6) & 3] >> (c & 63) & 1) != 0;
  }

 private:
  static constexpr uint32_t kPageBits = 8;

  std::array<bool, 128> ascii_{};
  std::vector<uint16_t> index_;
  std::vector<std::array<uint64_t, 4>> pages_;
};

// The first bytes of the UTF-8 forms of the members.
std::bitset<256> lead_bytes(const CodeSet& set);

// A property by name; case, spaces, hyphens and underscores do not count. Word (\w) is not the same
// inside brackets: Oniguruma looks up Latin-1 in a table of its own outside, which has the numbers
// ²³¹¼½¾.
std::optional<CodeSet> named_set(std::string_view name, bool in_class);
// A POSIX bracket; its punct has the symbols, unlike the property.
std::optional<CodeSet> posix_set(std::string_view name);

// `c` and all that stands for it, alone, under (?i).
CodeSet case_orbit(uint32_t c);

// Code points that stand for a sequence; zeros after the last.
using Folding = std::array<uint32_t, 3>;

// A code point whose full case folding is longer than one.
struct MultipleFolding {
  uint32_t from;
  Folding to;
};
// All of them, sorted by `from`.
const std::vector<MultipleFolding>& multiple_foldings();

}  // namespace affectrt

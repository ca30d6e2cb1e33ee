#include "text/regex_sets.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <string>

namespace affectrt {
namespace {

#include "text/regex_tables.inc"

CodeSet decode_set(uint32_t index) {
  const uint8_t* p = kSetBytes + kSetOffsets[index];
  const uint8_t* end = kSetBytes + kSetOffsets[index + 1];
  const auto read = [&] {
    uint32_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
      value |= static_cast<uint32_t>(*p & 0x7F) << shift;
      if ((*p++ & 0x80) == 0) return value;
    }
  };
  CodeSet set;
  uint32_t last = 0;
  while (p < end) {
    const uint32_t begin = last + read();
    last = begin + read();
    set.add(begin, last);
  }
  return set;
}

std::string_view name_of(const SetName& entry) {
  return {kSetNameText + entry.begin, entry.length};
}

constexpr size_t kOrbitEntries = std::size(kNextInOrbit) / 2;

// The next member of the orbit of `c`; `c` itself where it is alone.
uint32_t next_in_orbit(uint32_t c) {
  size_t low = 0;
  size_t high = kOrbitEntries;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if (kNextInOrbit[2 * middle] < c) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low < kOrbitEntries && kNextInOrbit[2 * low] == c ? kNextInOrbit[2 * low + 1] : c;
}

}  // namespace

CodeSet CodeSet::range(uint32_t begin, uint32_t end) {
  CodeSet set;
  set.add(begin, end);
  return set;
}

bool CodeSet::contains(uint32_t c) const {
  const auto after = std::upper_bound(ranges_.begin(), ranges_.end(), c,
                                      [](uint32_t x, const Range& r) { return x < r.first; });
  return after != ranges_.begin() && c < std::prev(after)->second;
}

bool CodeSet::intersects(const CodeSet& other) const {
  auto a = ranges_.begin();
  auto b = other.ranges_.begin();
  while (a != ranges_.end() && b != other.ranges_.end()) {
    if (std::max(a->first, b->first) < std::min(a->second, b->second)) return true;
    a->second < b->second ? ++a : ++b;
  }
  return false;
}

std::optional<uint32_t> CodeSet::single() const {
  if (ranges_.size() != 1 || ranges_[0].second - ranges_[0].first != 1) return std::nullopt;
  return ranges_[0].first;
}

void CodeSet::add(uint32_t begin, uint32_t end) {
  if (begin >= end) return;
  // The ranges that touch the new one become one with it.
  const auto first = std::lower_bound(ranges_.begin(), ranges_.end(), begin,
                                      [](const Range& r, uint32_t x) { return r.second < x; });
  auto last = first;
  for (; last != ranges_.end() && last->first <= end; ++last) {
    begin = std::min(begin, last->first);
    end = std::max(end, last->second);
  }
  if (first == last) {
    ranges_.insert(first, {begin, end});
  } else {
    *first = {begin, end};
    ranges_.erase(first + 1, last);
  }
}

void CodeSet::add(const CodeSet& other) {
  std::vector<Range> merged;
  merged.reserve(ranges_.size() + other.ranges_.size());
  std::merge(ranges_.begin(), ranges_.end(), other.ranges_.begin(), other.ranges_.end(),
             std::back_inserter(merged));
  ranges_.clear();
  for (const Range& range : merged) {
    if (!ranges_.empty() && range.first <= ranges_.back().second) {
      ranges_.back().second = std::max(ranges_.back().second, range.second);
    } else {
      ranges_.push_back(range);
    }
  }
}

void CodeSet::intersect(const CodeSet& other) {
  std::vector<Range> common;
  auto a = ranges_.begin();
  auto b = other.ranges_.begin();
  while (a != ranges_.end() && b != other.ranges_.end()) {
    const uint32_t begin = std::max(a->first, b->first);
    const uint32_t end = std::min(a->second, b->second);
    if (begin < end) common.emplace_back(begin, end);
    a->second < b->second ? ++a : ++b;
  }
  ranges_ = std::move(common);
}

void CodeSet::invert() {
  std::vector<Range> rest;
  uint32_t begin = 0;
  for (const Range& range : ranges_) {
    if (begin < range.first) rest.emplace_back(begin, range.first);
    begin = range.second;
  }
  if (begin < kEnd) rest.emplace_back(begin, kEnd);
  ranges_ = std::move(rest);
}

void CodeSet::close_over_case() {
  CodeSet more;
  for (size_t i = 0; i < kOrbitEntries; ++i) {
    const uint32_t c = kNextInOrbit[2 * i];
    if (!contains(c)) continue;
    for (uint32_t other = kNextInOrbit[2 * i + 1]; other != c; other = next_in_orbit(other)) {
      more.add(other, other + 1);
    }
  }
  add(more);
}

SetTable::SetTable(const CodeSet& set) {
  for (uint32_t c = 0; c < 128; ++c) ascii_[c] = set.contains(c);
  std::map<std::array<uint64_t, 4>, uint16_t> known;
  const auto page_index = [&](const std::array<uint64_t, 4>& page) {
    const auto [found, is_new] = known.emplace(page, static_cast<uint16_t>(pages_.size()));
    if (is_new) pages_.push_back(page);
    return found->second;
  };
  constexpr uint32_t kPage = 1u << kPageBits;
  auto range = set.ranges().begin();
  for (uint32_t begin = 0; begin < CodeSet::kEnd; begin += kPage) {
    std::array<uint64_t, 4> page{};
    for (auto r = range; r != set.ranges().end() && r->first < begin + kPage; ++r) {
      if (r->first <= begin && r->second >= begin + kPage) {
        page.fill(~uint64_t{0});
        break;
      }
      const uint32_t end = std::min(r->second, begin + kPage) - begin;
      for (uint32_t c = std::max(r->first, begin) - begin; c < end; ++c) {
        page[c >> 6] |= uint64_t{1} << (c & 63);
      }
    }
    while (range != set.ranges().end() && range->second <= begin + kPage) ++range;
    index_.push_back(page_index(page));
  }
}

std::bitset<256> lead_bytes(const CodeSet& set) {
  std::bitset<256> bytes;
  const auto lead = [](uint32_t c) -> uint32_t {
    return c < 0x80 ? c : c < 0x800 ? 0xC0 | c >> 6 : c < 0x10000 ? 0xE0 | c >> 12 : 0xF0 | c >> 18;
  };
  // Lead bytes grow with the code point.
  for (const auto& [begin, end] : set.ranges()) {
    for (uint32_t byte = lead(begin); byte <= lead(end - 1); ++byte) bytes.set(byte);
  }
  return bytes;
}

std::optional<CodeSet> named_set(std::string_view name, bool in_class) {
  std::string plain;
  for (char c : name) {
    if (c == ' ' || c == '-' || c == '_') continue;
    plain.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c);
  }
  const auto* found =
      std::lower_bound(std::begin(kSetNames), std::end(kSetNames), plain,
                       [](const SetName& a, const std::string& b) { return name_of(a) < b; });
  if (found == std::end(kSetNames) || name_of(*found) != plain) return std::nullopt;
  CodeSet set = decode_set(found->set);
  if (in_class && plain == "word") {
    CodeSet numbers = CodeSet::range(0xB2, 0xB4);
    numbers.add(0xB9, 0xBA);
    numbers.add(0xBC, 0xBF);
    numbers.invert();
    set.intersect(numbers);
  }
  return set;
}

std::optional<CodeSet> posix_set(std::string_view name) {
  static constexpr std::string_view kNames[] = {"alnum", "alpha",  "blank", "cntrl", "digit",
                                                "graph", "lower",  "print", "punct", "space",
                                                "upper", "xdigit", "ascii", "word"};
  if (std::find(std::begin(kNames), std::end(kNames), name) == std::end(kNames)) {
    return std::nullopt;
  }
  std::optional<CodeSet> set = named_set(name, true);
  if (name == "punct") set->add(named_set("symbol", true).value_or(CodeSet()));
  return set;
}

CodeSet case_orbit(uint32_t c) {
  CodeSet set = CodeSet::one(c);
  for (uint32_t other = next_in_orbit(c); other != c; other = next_in_orbit(other)) {
    set.add(other, other + 1);
  }
  return set;
}

const std::vector<MultipleFolding>& multiple_foldings() {
  static const std::vector<MultipleFolding> all = [] {
    std::vector<MultipleFolding> foldings;
    for (const MultipleFold& fold : kMultipleFolds) {
      foldings.push_back({fold.from, {fold.to[0], fold.to[1], fold.to[2]}});
    }
    return foldings;
  }();
  return all;
}

}  // namespace affectrt

#include "text/unicode.h"

#include <algorithm>
#include <iterator>

namespace affectrt {
namespace {

struct Record {
  uint32_t flags;
  uint8_t category;
  uint8_t combining_class;
  uint8_t script;
  uint8_t script_class;
  uint8_t grapheme;
};
struct Decomposition {
  uint32_t code_point;
  uint16_t begin;  // in kDecomposed
  uint8_t length;
};
struct Composition {
  uint32_t first, second, composed;
};
struct Lowercase {
  uint32_t code_point, first, second;
};
struct ScriptName {
  std::string_view name, code;
};

#include "text/unicode_tables.inc"

constexpr Record kBeyond = {0, static_cast<uint8_t>(GeneralCategory::Cn), 0, 0, 0, 0};

const Record& record(char32_t c) {
  if (c > 0x10FFFF) return kBeyond;
  constexpr uint32_t kMask = (1u << kBlockBits) - 1;
  const uint32_t block = kStageOne[c >> kBlockBits];
  return kRecords[kStageTwo[(block << kBlockBits) + (c & kMask)]];
}

bool has(char32_t c, uint32_t flag) { return (record(c).flags & flag) != 0; }

// Hangul syllables compose and decompose by arithmetic (Unicode core specification, 3.12).
constexpr uint32_t kSBase = 0xAC00, kLBase = 0x1100, kVBase = 0x1161, kTBase = 0x11A7;
constexpr uint32_t kLCount = 19, kVCount = 21, kTCount = 28, kSCount = kLCount * kVCount * kTCount;

bool is_hangul_syllable(char32_t c) { return c >= kSBase && c < kSBase + kSCount; }

template <typename Row, size_t n>
const Row* find_row(const Row (&rows)[n], char32_t c) {
  const Row* row = std::lower_bound(std::begin(rows), std::end(rows), c,
                                    [](const Row& r, char32_t v) { return r.code_point < v; });
  return row != std::end(rows) && row->code_point == c ? row : nullptr;
}

// The order of GRAPHEMES in the generator.
enum Grapheme : uint8_t {
  kOther,
  kCr,
  kLf,
  kControl,
  kExtend,
  kZwj,
  kRegionalIndicator,
  kPrepend,
  kSpacingMark,
  kL,
  kV,
  kT,
  kLv,
  kLvt,
  kExtendedPictographic,
  kConsonant,
};

// What a boundary between two code points can depend on beyond the two (GB9c, GB11, GB12, GB13).
struct ClusterState {
  bool odd_regional = false;      // an odd number of regional indicators ends here
  bool pictographic = false;      // Extended_Pictographic Extend* ends here
  bool pictographic_zwj = false;  // and then one ZWJ
  bool consonant = false;         // an Indic consonant, then linkers and extenders
  bool consonant_linker = false;  // at least one linker among them

  void advance(const Record& r) {
    odd_regional = r.grapheme == kRegionalIndicator && !odd_regional;
    pictographic_zwj = pictographic && r.grapheme == kZwj;
    pictographic = r.grapheme == kExtendedPictographic || (pictographic && r.grapheme == kExtend);
    if (r.grapheme == kConsonant) {
      consonant = true;
      consonant_linker = false;
    } else if ((r.flags & kIncbLinker) != 0) {
      consonant_linker = consonant;
    } else if ((r.flags & kIncbExtend) == 0) {
      consonant = consonant_linker = false;
    }
  }
};

bool breaks(const Record& before, const Record& after, const ClusterState& state) {
  const uint8_t b = before.grapheme, a = after.grapheme;
  if (b == kCr && a == kLf) return false;
  if (b == kControl || b == kCr || b == kLf || a == kControl || a == kCr || a == kLf) return true;
  if (b == kL && (a == kL || a == kV || a == kLv || a == kLvt)) return false;
  if ((b == kLv || b == kV) && (a == kV || a == kT)) return false;
  if ((b == kLvt || b == kT) && a == kT) return false;
  if (a == kExtend || a == kZwj || a == kSpacingMark || b == kPrepend) return false;
  if (a == kConsonant) return !state.consonant_linker;
  if (b == kZwj && a == kExtendedPictographic) return !state.pictographic_zwj;
  if (b == kRegionalIndicator && a == kRegionalIndicator) return !state.odd_regional;
  return true;
}

}  // namespace

GeneralCategory general_category(char32_t c) {
  return static_cast<GeneralCategory>(record(c).category);
}
bool is_white_space(char32_t c) { return has(c, kWhiteSpace); }
bool is_alphabetic(char32_t c) { return has(c, kAlphabetic); }
bool is_word(char32_t c) { return has(c, kWord); }
uint32_t script(char32_t c) { return record(c).script; }
uint32_t script_count() { return static_cast<uint32_t>(std::size(kScripts)); }
std::string_view script_name(uint32_t script) {
  return script < std::size(kScripts) ? kScripts[script].name : std::string_view();
}
std::string_view script_code(uint32_t script) {
  return script < std::size(kScripts) ? kScripts[script].code : std::string_view();
}

bool is_numeric(char32_t c) { return has(c, kNumeric); }
bool is_regex_word(char32_t c) { return has(c, kRegexWord); }
bool is_bert_punctuation(char32_t c) { return has(c, kBertPunctuation); }
bool is_bert_control(char32_t c) { return has(c, kBertControl); }
bool is_bert_cjk(char32_t c) { return has(c, kCjk); }
bool is_nonspacing_mark(char32_t c) { return has(c, kNonspacingMark); }
bool is_combining_mark(char32_t c) { return has(c, kCombiningMark); }
uint32_t script_class(char32_t c) { return record(c).script_class; }

std::pair<char32_t, char32_t> to_lowercase(char32_t c) {
  if (c < 0x80) return {c >= 'A' && c <= 'Z' ? c + 0x20 : c, 0};
  if (!has(c, kLowercases)) return {c, 0};
  const Lowercase* row = find_row(kLowercase, c);
  return {row->first, row->second};
}

uint8_t combining_class(char32_t c) { return record(c).combining_class; }

bool has_decomposition(char32_t c, bool compatible) {
  return has(c, compatible ? kCanonical | kCompatible : kCanonical) || is_hangul_syllable(c);
}

size_t decompose(char32_t c, bool compatible, char32_t* out) {
  if (is_hangul_syllable(c)) {
    const uint32_t s = c - kSBase;
    out[0] = kLBase + s / (kVCount * kTCount);
    out[1] = kVBase + s % (kVCount * kTCount) / kTCount;
    if (s % kTCount == 0) return 2;
    out[2] = kTBase + s % kTCount;
    return 3;
  }
  const uint32_t flags = record(c).flags;
  const Decomposition* row = nullptr;
  if (compatible && (flags & kCompatible) != 0) {
    row = find_row(kCompatibleRows, c);
  } else if ((flags & kCanonical) != 0) {
    row = find_row(kCanonicalRows, c);
  }
  if (row == nullptr) {
    out[0] = c;
    return 1;
  }
  std::copy_n(kDecomposed + row->begin, row->length, out);
  return row->length;
}

std::optional<char32_t> compose(char32_t first, char32_t second) {
  if (!has(second, kComposesSecond)) return std::nullopt;
  if (first >= kLBase && first < kLBase + kLCount && second >= kVBase &&
      second < kVBase + kVCount) {
    return kSBase + ((first - kLBase) * kVCount + (second - kVBase)) * kTCount;
  }
  if (is_hangul_syllable(first) && (first - kSBase) % kTCount == 0 && second > kTBase &&
      second < kTBase + kTCount) {
    return first + (second - kTBase);
  }
  const Composition* pair = std::lower_bound(
      std::begin(kCompositions), std::end(kCompositions), std::make_pair(first, second),
      [](const Composition& p, const std::pair<char32_t, char32_t>& v) {
        return p.first != v.first ? p.first < v.first : p.second < v.second;
      });
  if (pair == std::end(kCompositions) || pair->first != first || pair->second != second) {
    return std::nullopt;
  }
  return pair->composed;
}

size_t grapheme_end(std::string_view text, size_t begin) {
  size_t pos = begin;
  if (pos >= text.size()) return text.size();
  const Record* before = &record(next_code_point(text, &pos));
  ClusterState state;
  while (pos < text.size()) {
    size_t next = pos;
    const Record& after = record(next_code_point(text, &next));
    state.advance(*before);
    if (breaks(*before, after, state)) break;
    before = &after;
    pos = next;
  }
  return pos;
}

char32_t next_code_point(std::string_view text, size_t* pos) {
  const auto* p = reinterpret_cast<const unsigned char*>(text.data()) + *pos;
  if (p[0] < 0x80) {
    *pos += 1;
    return p[0];
  }
  if (p[0] < 0xE0) {
    *pos += 2;
    return static_cast<char32_t>((p[0] & 0x1F) << 6 | (p[1] & 0x3F));
  }
  if (p[0] < 0xF0) {
    *pos += 3;
    return static_cast<char32_t>((p[0] & 0x0F) << 12 | (p[1] & 0x3F) << 6 | (p[2] & 0x3F));
  }
  *pos += 4;
  return static_cast<char32_t>((p[0] & 0x07) << 18 | (p[1] & 0x3F) << 12 | (p[2] & 0x3F) << 6 |
                               (p[3] & 0x3F));
}

void append_utf8(char32_t c, std::string* out) {
  if (c < 0x80) {
    out->push_back(static_cast<char>(c));
  } else if (c < 0x800) {
    const char bytes[] = {static_cast<char>(0xC0 | c >> 6), static_cast<char>(0x80 | (c & 0x3F))};
    out->append(bytes, 2);
  } else if (c < 0x10000) {
    const char bytes[] = {static_cast<char>(0xE0 | c >> 12),
                          static_cast<char>(0x80 | (c >> 6 & 0x3F)),
                          static_cast<char>(0x80 | (c & 0x3F))};
    out->append(bytes, 3);
  } else {
    const char bytes[] = {
        static_cast<char>(0xF0 | c >> 18), static_cast<char>(0x80 | (c >> 12 & 0x3F)),
        static_cast<char>(0x80 | (c >> 6 & 0x3F)), static_cast<char>(0x80 | (c & 0x3F))};
    out->append(bytes, 4);
  }
}

size_t utf8_size(char32_t c) { return c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4; }

}  // namespace affectrt

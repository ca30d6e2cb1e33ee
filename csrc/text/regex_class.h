// Bracketed character classes and escapes, as regex_parse.cc reads them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "text/regex_sets.h"

namespace affectrt::regex {

// A position in a pattern. Throws through `error` for what it cannot read.
class Cursor {
 public:
  explicit Cursor(std::string_view pattern) : pattern_(pattern) {}

  bool done() const { return at_ >= pattern_.size(); }
  size_t at() const { return at_; }
  void seek(size_t at) { at_ = at; }
  // The next code point, without and with taking it. Only when not done.
  uint32_t peek() const;
  uint32_t next();
  bool peek_is(char c) const { return !done() && pattern_[at_] == c; }
  bool starts_with(std::string_view text) const {
    return pattern_.substr(at_, text.size()) == text;
  }
  bool take(std::string_view text);
  std::string_view pattern() const { return pattern_; }
  [[noreturn]] void error(const std::string& what) const { error_at(at_, what); }
  [[noreturn]] void error_at(size_t at, const std::string& what) const;

  // Digits of `base`, at most `most`; nothing where there are none. The value saturates.
  std::optional<uint32_t> number(uint32_t base, size_t most);

 private:
  std::string_view pattern_;
  size_t at_ = 0;
};

// What an escape outside or inside brackets stands for.
struct Escape {
  enum Kind { kCodePoint, kSet, kOther } kind;
  uint32_t code_point;  // for kOther the character after the backslash, not handled here
  CodeSet set;
};

// After the backslash. Handles characters by number and name, \w \d \s \h and their negations,
// \p{..}.
Escape read_escape(Cursor* cursor, bool in_class);

// A byte by its octal number of up to three digits, and from 0x80 on the UTF-8 sequence of such
// bytes that it starts. At the first digit.
uint32_t read_octal(Cursor* cursor);

// After '['; up to and with ']'. `ignore_case` is left to the caller, and so is the outermost
// negation: *negated says whether the class began with '^'.
CodeSet read_class(Cursor* cursor, bool* negated, int depth);

}  // namespace affectrt::regex

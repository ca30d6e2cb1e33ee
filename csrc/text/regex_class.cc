#include "text/regex_class.h"

#include <algorithm>

#include "text/regex_parse.h"

namespace affectrt::regex {
namespace {

bool is_hex(uint32_t c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

size_t sequence_size(uint32_t lead) {
  return lead < 0x80   ? 1
         : lead < 0xC2 ? 0
         : lead < 0xE0 ? 2
         : lead < 0xF0 ? 3
         : lead < 0xF5 ? 4
                       : 0;
}

void check_code_point(const Cursor& cursor, size_t at, uint32_t c) {
  if (c >= CodeSet::kEnd || (c >= 0xD800 && c < 0xE000)) {
    cursor.error_at(at, "invalid code point");
  }
}

// A byte by number; from 0x80 on it starts a UTF-8 sequence of such bytes.
uint32_t read_bytes(Cursor* cursor, uint32_t first, uint32_t base) {
  if (first < 0x80) return first;
  const size_t begin = cursor->at();
  const size_t size = sequence_size(first);
  if (size == 0) cursor->error("invalid UTF-8 sequence of escaped bytes");
  uint32_t c = first & (0x7Fu >> size);
  for (size_t i = 1; i < size; ++i) {
    std::optional<uint32_t> byte;
    if (base == 16 ? cursor->take("\\x") : cursor->take("\\")) {
      byte = cursor->number(base, base == 16 ? 2 : 3);
    }
    if (!byte || (*byte & 0xC0) != 0x80 || *byte > 0xFF) {
      cursor->error("invalid UTF-8 sequence of escaped bytes");
    }
    c = c << 6 | (*byte & 0x3F);
  }
  const bool overlong = (size == 3 && c < 0x800) || (size == 4 && c < 0x10000);
  if (overlong) cursor->error_at(begin, "invalid UTF-8 sequence of escaped bytes");
  check_code_point(*cursor, begin, c);
  return c;
}

uint32_t read_braced(Cursor* cursor, uint32_t base, size_t most) {
  const size_t begin = cursor->at();
  const std::optional<uint32_t> c = cursor->number(base, most);
  if (!c) cursor->error("a code point in braces is missing");
  if (!cursor->take("}")) {
    if (cursor->peek_is(' ') || cursor->peek_is('\n')) {
      cursor->error("a sequence of code points in braces is not supported");
    }
    cursor->error("invalid code point");
  }
  check_code_point(*cursor, begin, *c);
  return *c;
}

CodeSet read_property(Cursor* cursor, bool negative, bool in_class) {
  const size_t begin = cursor->at();
  std::string_view name;
  if (cursor->take("{")) {
    if (cursor->take("^")) negative = !negative;
    const size_t name_begin = cursor->at();
    const size_t end = cursor->pattern().find('}', name_begin);
    if (end == std::string_view::npos) cursor->error_at(begin, "a property without closing brace");
    name = cursor->pattern().substr(name_begin, end - name_begin);
    cursor->seek(end + 1);
  } else {
    if (cursor->done()) cursor->error("a property name is missing");
    cursor->next();
    name = cursor->pattern().substr(begin, cursor->at() - begin);
  }
  std::optional<CodeSet> set = named_set(name, in_class);
  if (!set) {
    cursor->error_at(begin, "unknown or unsupported property '" + std::string(name) + "'");
  }
  if (negative) set->invert();
  return *std::move(set);
}

uint32_t read_control(Cursor* cursor);

// \cx, \C-x, \M-x and the named control characters.
uint32_t read_named(Cursor* cursor, uint32_t c) {
  switch (c) {
    case 'n':
      return '\n';
    case 't':
      return '\t';
    case 'r':
      return '\r';
    case 'f':
      return '\f';
    case 'a':
      return '\a';
    case 'e':
      return 0x1B;
    case 'v':
      return '\v';
    case 'c':
      return read_control(cursor);
    case 'C':
      if (!cursor->take("-")) cursor->error("invalid control character; expected \\C-x");
      return read_control(cursor);
    case 'M':
      cursor->error("a meta character \\M-x is not supported");
    default:
      return c;
  }
}

uint32_t read_control(Cursor* cursor) {
  if (cursor->done()) cursor->error("a control character is missing");
  uint32_t c = cursor->next();
  if (c == '?') return 0x7F;
  if (c == '\\') cursor->error("an escape inside a control character is not supported");
  return c & 0x9F;
}

}  // namespace

uint32_t Cursor::peek() const {
  Cursor copy = *this;
  return copy.next();
}

uint32_t Cursor::next() {
  const uint8_t lead = static_cast<uint8_t>(pattern_[at_++]);
  if (lead < 0x80) return lead;
  const size_t size = sequence_size(lead);
  if (size == 0 || pattern_.size() - at_ + 1 < size) error_at(at_ - 1, "the pattern is not UTF-8");
  uint32_t c = lead & (0x7Fu >> size);
  for (size_t i = 1; i < size; ++i) {
    const uint8_t byte = static_cast<uint8_t>(pattern_[at_++]);
    if ((byte & 0xC0) != 0x80) error_at(at_ - 1, "the pattern is not UTF-8");
    c = c << 6 | (byte & 0x3F);
  }
  check_code_point(*this, at_ - size, c);
  return c;
}

bool Cursor::take(std::string_view text) {
  if (!starts_with(text)) return false;
  at_ += text.size();
  return true;
}

void Cursor::error_at(size_t at, const std::string& what) const { fail(pattern_, at, what); }

std::optional<uint32_t> Cursor::number(uint32_t base, size_t most) {
  uint64_t value = 0;
  size_t digits = 0;
  for (; digits < most && !done(); ++digits) {
    const uint32_t c = static_cast<uint8_t>(pattern_[at_]);
    uint32_t digit = 0;
    if (c >= '0' && c < '0' + std::min(base, 10u)) {
      digit = c - '0';
    } else if (base == 16 && is_hex(c)) {
      digit = (c | 0x20) - 'a' + 10;
    } else {
      break;
    }
    value = std::min<uint64_t>(value * base + digit, UINT32_MAX);
    ++at_;
  }
  if (digits == 0) return std::nullopt;
  return static_cast<uint32_t>(value);
}

Escape read_escape(Cursor* cursor, bool in_class) {
  if (cursor->done()) cursor->error("the pattern ends with a backslash");
  const size_t begin = cursor->at();
  const uint32_t c = cursor->next();
  const auto code_point = [](uint32_t value) { return Escape{Escape::kCodePoint, value, {}}; };
  const auto named = [in_class](std::string_view name, bool negative) {
    CodeSet set = named_set(name, in_class).value_or(CodeSet());
    if (negative) set.invert();
    return Escape{Escape::kSet, 0, std::move(set)};
  };
  switch (c) {
    case 'w':
    case 'W':
      return named("word", c == 'W');
    case 'd':
    case 'D':
      return named("digit", c == 'D');
    case 's':
    case 'S':
      return named("space", c == 'S');
    case 'h':
    case 'H':
      return named("xdigit", c == 'H');
    case 'p':
    case 'P':
      return {Escape::kSet, 0, read_property(cursor, c == 'P', in_class)};
    case 'x':
      if (cursor->take("{")) return code_point(read_braced(cursor, 16, 8));
      return code_point(read_bytes(cursor, cursor->number(16, 2).value_or(0), 16));
    case 'o':
      if (cursor->take("{")) return code_point(read_braced(cursor, 8, 11));
      return code_point('o');
    case 'u': {
      const std::optional<uint32_t> value = cursor->number(16, 4);
      if (!value || cursor->at() != begin + 5) cursor->error("\\u needs four hexadecimal digits");
      check_code_point(*cursor, begin, *value);
      return code_point(*value);
    }
    case 'n':
    case 't':
    case 'r':
    case 'f':
    case 'a':
    case 'e':
    case 'v':
    case 'c':
    case 'C':
    case 'M':
      return code_point(read_named(cursor, c));
    case '0': {
      const std::optional<uint32_t> value = cursor->number(8, 2);
      return code_point(value.value_or(0));
    }
    default:
      return {Escape::kOther, c, {}};
  }
}

namespace {

// One class between brackets, with the bookkeeping of what a '-' may join.
class ClassReader {
 public:
  ClassReader(Cursor* cursor, int depth) : cursor_(*cursor), depth_(depth) {}

  CodeSet read(bool* negated) {
    if (depth_ > kMaxHeight / 2) cursor_.error("classes are nested too deeply");
    const size_t begin = cursor_.at();
    *negated = cursor_.take("^");
    // A bracket right at the start is a member, if the class is closed by a later one.
    if (cursor_.peek_is(']')) {
      if (!has_later_bracket()) cursor_.error_at(begin, "an empty character class");
      cursor_.next();
      add_character(']');
    }
    while (true) {
      if (cursor_.done()) cursor_.error_at(begin, "a character class without closing bracket");
      if (cursor_.take("]")) break;
      if (cursor_.take("&&")) {
        flush();
        state_ = State::kStart;
        finish_operand();
        continue;
      }
      read_member();
    }
    flush();
    finish_operand();
    return std::move(result_);
  }

 private:
  enum class State { kStart, kValue, kRange, kComplete };

  bool has_later_bracket() const {
    const std::string_view pattern = cursor_.pattern();
    for (size_t i = cursor_.at() + 1; i < pattern.size(); ++i) {
      if (pattern[i] == ']') return true;
      if (pattern[i] == '\\') ++i;
    }
    return false;
  }

  void read_member() {
    if (cursor_.peek_is('[')) {
      if (read_posix_bracket()) return;
      if (state_ == State::kRange) cursor_.error("a class at the end of a range");
      cursor_.next();
      flush();
      state_ = State::kComplete;
      bool negated = false;
      CodeSet inner = ClassReader(&cursor_, depth_ + 1).read(&negated);
      if (negated) inner.invert();
      set_.add(inner);
      return;
    }
    if (cursor_.take("-")) {
      read_hyphen();
      return;
    }
    if (!cursor_.take("\\")) {
      add_character(cursor_.next());
      return;
    }
    const size_t begin = cursor_.at();
    Escape escape = read_escape(&cursor_, true);
    switch (escape.kind) {
      case Escape::kSet:
        add_set(escape.set);
        break;
      case Escape::kCodePoint:
        add_character(escape.code_point);
        break;
      case Escape::kOther:
        if (escape.code_point >= '1' && escape.code_point <= '7') {
          cursor_.seek(begin);
          add_character(read_octal(&cursor_));
        } else {
          add_character(escape.code_point == 'b' ? '\b' : escape.code_point);
        }
        break;
    }
  }

  void read_hyphen() {
    const bool last = cursor_.peek_is(']') || cursor_.starts_with("&&");
    if (state_ == State::kValue && !last) {
      if (pending_is_set_) cursor_.error("a range that starts with a set of characters");
      state_ = State::kRange;
      return;
    }
    add_character('-');
  }

  // "[:name:]" or "[:^name:]"; false where it is none and a nested class begins.
  bool read_posix_bracket() {
    const std::string_view rest = cursor_.pattern().substr(cursor_.at());
    if (rest.substr(0, 2) != "[:") return false;
    const size_t end = rest.find(":]", 2);
    if (end == rest.npos) return false;
    std::string_view name = rest.substr(2, end - 2);
    const bool negated = !name.empty() && name[0] == '^';
    if (negated) name.remove_prefix(1);
    const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
    if (name.empty() || !std::all_of(name.begin(), name.end(), is_letter)) return false;
    std::optional<CodeSet> set = posix_set(name);
    if (!set) cursor_.error("unknown POSIX bracket '" + std::string(name) + "'");
    if (negated) set->invert();
    cursor_.seek(cursor_.at() + end + 2);
    add_set(*set);
    return true;
  }

  void add_character(uint32_t c) {
    if (state_ == State::kRange) {
      if (pending_ > c) cursor_.error("an empty range");
      set_.add(pending_, c + 1);
      state_ = State::kComplete;
      return;
    }
    flush();
    state_ = State::kValue;
    pending_ = c;
    pending_is_set_ = false;
  }

  void add_set(const CodeSet& set) {
    if (state_ == State::kRange) cursor_.error("a set of characters at the end of a range");
    flush();
    set_.add(set);
    state_ = State::kValue;
    pending_is_set_ = true;
  }

  // A character waits until it is known not to start a range.
  void flush() {
    if (state_ == State::kValue && !pending_is_set_) set_.add(pending_, pending_ + 1);
    if (state_ == State::kValue) state_ = State::kComplete;
  }

  void finish_operand() {
    result_.intersect(set_);
    set_ = CodeSet();
  }

  Cursor& cursor_;
  int depth_;
  State state_ = State::kStart;
  uint32_t pending_ = 0;
  bool pending_is_set_ = false;
  CodeSet set_;                      // the operand of && that is being read
  CodeSet result_ = CodeSet::all();  // of the operands before it
};

}  // namespace

uint32_t read_octal(Cursor* cursor) {
  const size_t begin = cursor->at();
  const uint32_t byte = cursor->number(8, 3).value_or(0);
  if (byte > 0xFF) cursor->error_at(begin, "an octal byte is too large");
  return read_bytes(cursor, byte, 8);
}

CodeSet read_class(Cursor* cursor, bool* negated, int depth) {
  return ClassReader(cursor, depth).read(negated);
}

}  // namespace affectrt::regex

#include "text/regex_parse.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "text/regex_class.h"

namespace affectrt::regex {
namespace {

constexpr uint32_t kMaxRepeat = 100000;  // ONIG_MAX_REPEAT_NUM

struct Options {
  bool ignore_case = false;
  bool dot_all = false;   // (?m) in this syntax
  bool extended = false;  // (?x)
};

bool is_anchor(const Node& node) { return node.kind == Kind::kAnchor || node.kind == Kind::kLook; }

// Repeated by a greedy ?, * or +, this is one repetition still, as in (?:a+)?: of the two, the
// lower minimum and the higher maximum. That spares exponential backtracking.
bool joins(const Node& node) {
  return node.kind == Kind::kRepeat && node.greedy && node.min <= 1 &&
         (node.max == 1 || node.max == kUnbounded) && node.max > node.min;
}

// Oniguruma refuses to repeat these.
bool cannot_repeat(const Node& node) {
  if (node.kind == Kind::kAlternate) {
    for (const NodePtr& child : node.children) {
      if (cannot_repeat(*child)) return true;
    }
  }
  return is_anchor(node);
}

class Parser {
 public:
  explicit Parser(std::string_view pattern) : cursor_(pattern) {}

  NodePtr parse() {
    NodePtr root = parse_alternatives(0);
    if (!cursor_.done()) cursor_.error("a closing parenthesis without an opening one");
    return root;
  }

 private:
  // Up to, but not with, a closing parenthesis or the end. Options set inside end with it.
  NodePtr parse_alternatives(int depth) {
    if (depth > kMaxHeight / 2) cursor_.error("groups are nested too deeply");
    const Options saved = options_;
    std::vector<NodePtr> branches;
    do {
      branches.push_back(parse_branch(depth));
    } while (cursor_.take("|"));
    options_ = saved;
    return make_list(Kind::kAlternate, std::move(branches));
  }

  NodePtr parse_branch(int depth) {
    std::vector<NodePtr> items;
    while (true) {
      skip_ignored();
      if (cursor_.done() || cursor_.peek_is('|') || cursor_.peek_is(')')) break;
      NodePtr item = parse_item(depth);
      item = parse_quantifiers(std::move(item));
      // As in Oniguruma, strings join with those of a group without effect.
      if (item->kind == Kind::kConcat) {
        for (NodePtr& child : item->children) items.push_back(std::move(child));
      } else {
        items.push_back(std::move(item));
      }
    }
    return make_list(Kind::kConcat, std::move(items));
  }

  // Comments, and with (?x) white space.
  void skip_ignored() {
    while (!cursor_.done()) {
      if (cursor_.starts_with("(?#")) {
        const size_t begin = cursor_.at();
        for (cursor_.take("(?#"); !cursor_.take(")");) {
          cursor_.take("\\");
          if (cursor_.done()) cursor_.error_at(begin, "a comment without closing parenthesis");
          cursor_.next();
        }
      } else if (options_.extended && cursor_.peek_is('#')) {
        while (!cursor_.done() && cursor_.next() != '\n') {
        }
      } else if (options_.extended && is_ignored_space(cursor_.peek())) {
        cursor_.next();
      } else {
        return;
      }
    }
  }

  static bool is_ignored_space(uint32_t c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r';
  }

  NodePtr parse_item(int depth) {
    const size_t begin = cursor_.at();
    const uint32_t c = cursor_.next();
    switch (c) {
      case '(':
        return parse_group(begin, depth);
      case '[':
        return parse_class(depth);
      case '.':
        return make_set(dot(options_.dot_all));
      case '^':
        return make_anchor(Anchor::kBeginLine);
      case '$':
        return make_anchor(Anchor::kEndLine);
      case '\\':
        return parse_escape(begin);
      case '*':
      case '+':
      case '?':
        cursor_.error_at(begin, "a quantifier without anything to repeat");
      case '{':
        cursor_.seek(begin);
        if (parse_interval()) cursor_.error_at(begin, "a quantifier without anything to repeat");
        cursor_.next();
        return make_literal(c, options_.ignore_case);
      default:
        return make_literal(c, options_.ignore_case);
    }
  }

  static CodeSet dot(bool with_newline) {
    CodeSet set = CodeSet::one('\n');
    if (with_newline) return CodeSet::all();
    set.invert();
    return set;
  }

  static NodePtr make_anchor(Anchor anchor) {
    auto node = std::make_unique<Node>(Kind::kAnchor);
    node->anchor = anchor;
    return node;
  }

  NodePtr parse_escape(size_t begin) {
    Escape escape = read_escape(&cursor_, false);
    if (escape.kind == Escape::kSet) return make_set(std::move(escape.set));
    if (escape.kind == Escape::kCodePoint) {
      return make_literal(escape.code_point, options_.ignore_case);
    }
    switch (escape.code_point) {
      case 'b':
        return make_anchor(Anchor::kWordBoundary);
      case 'B':
        return make_anchor(Anchor::kNoWordBoundary);
      case 'A':
        return make_anchor(Anchor::kBeginText);
      case 'Z':
        return make_anchor(Anchor::kEndTextOrLastLine);
      case 'z':
        return make_anchor(Anchor::kEndText);
      case 'G':
        return make_anchor(Anchor::kSearchStart);
      case 'N':
        return make_set(dot(false));
      case 'O':
        return make_set(CodeSet::all());
      case 'R':
        // Oniguruma's own answer there defies its definition.
        if (look_behind_ != 0) cursor_.error_at(begin, "unsupported: \\R in look-behind");
        return general_newline();
      case 'K':
        cursor_.error_at(begin, "unsupported: keep (\\K)");
      case 'X':
        cursor_.error_at(begin, "unsupported: text segment (\\X)");
      case 'y':
      case 'Y':
        cursor_.error_at(begin, "unsupported: text segment boundary (\\y, \\Y)");
      case 'k':
        if (cursor_.peek_is('<') || cursor_.peek_is('\'')) {
          cursor_.error_at(begin, "unsupported: backreference (\\k)");
        }
        break;
      case 'g':
        if (cursor_.peek_is('<') || cursor_.peek_is('\'')) {
          cursor_.error_at(begin, "unsupported: subexpression call (\\g)");
        }
        break;
      default:
        if (escape.code_point >= '1' && escape.code_point <= '9') {
          return parse_number(begin + 1);
        }
    }
    return make_literal(escape.code_point, options_.ignore_case);
  }

  // A backslash and digits: a reference to a group, if there are so many or fewer than ten; else a
  // byte in octal or a digit.
  NodePtr parse_number(size_t begin) {
    cursor_.seek(begin);
    const uint32_t value = cursor_.number(10, SIZE_MAX).value_or(0);
    if (value <= 9 || value <= captures_) {
      cursor_.error_at(begin - 1, "unsupported: backreference");
    }
    cursor_.seek(begin);
    const uint32_t c = cursor_.peek() >= '8' ? cursor_.next() : read_octal(&cursor_);
    return make_literal(c, options_.ignore_case);
  }

  // \r\n as one, or a newline of any kind; never the \r of \r\n alone.
  static NodePtr general_newline() {
    std::vector<NodePtr> pair;
    pair.push_back(make_literal('\r', false));
    pair.push_back(make_literal('\n', false));
    CodeSet one = CodeSet::range('\n', '\r' + 1);
    one.add(0x85, 0x86);
    one.add(0x2028, 0x202A);
    std::vector<NodePtr> branches;
    branches.push_back(make_list(Kind::kConcat, std::move(pair)));
    branches.push_back(make_set(std::move(one)));
    auto atomic = std::make_unique<Node>(Kind::kAtomic);
    atomic->children.push_back(make_list(Kind::kAlternate, std::move(branches)));
    atomic->height = 3;
    return atomic;
  }

  NodePtr parse_class(int depth) {
    bool negated = false;
    CodeSet set = read_class(&cursor_, &negated, depth);
    std::vector<NodePtr> branches;
    if (options_.ignore_case) {
      set.close_over_case();
      // A member whose folding is a sequence brings that along, unless the class is negated.
      for (const MultipleFolding& folding : multiple_foldings()) {
        if (negated || !set.contains(folding.from)) continue;
        std::vector<NodePtr> sequence;
        for (uint32_t c : folding.to) {
          if (c != 0) sequence.push_back(make_set(case_orbit(c)));
        }
        branches.push_back(make_list(Kind::kConcat, std::move(sequence)));
      }
    }
    if (negated) set.invert();
    branches.insert(branches.begin(), make_set(std::move(set)));
    return make_list(Kind::kAlternate, std::move(branches));
  }

  NodePtr parse_group(size_t begin, int depth) {
    if (cursor_.peek_is('*')) cursor_.error_at(begin, "unsupported: callout");
    if (!cursor_.take("?")) {
      return wrap(Kind::kGroup, begin, depth);
    }
    if (cursor_.take(":")) return parse_body(begin, depth);
    if (cursor_.take(">")) return wrap(Kind::kAtomic, begin, depth);
    if (cursor_.take("=")) return look(begin, depth, false, false);
    if (cursor_.take("!")) return look(begin, depth, false, true);
    if (cursor_.take("<=")) return look(begin, depth, true, false);
    if (cursor_.take("<!")) return look(begin, depth, true, true);
    if (cursor_.take("<")) return named_group(begin, depth, '>');
    if (cursor_.take("'")) return named_group(begin, depth, '\'');
    if (cursor_.peek_is('(')) cursor_.error_at(begin, "unsupported: conditional");
    if (cursor_.peek_is('~')) cursor_.error_at(begin, "unsupported: absent function");
    if (cursor_.peek_is('{')) cursor_.error_at(begin, "unsupported: callout");
    return parse_options(begin, depth);
  }

  NodePtr parse_body(size_t begin, int depth) {
    NodePtr body = parse_alternatives(depth + 1);
    if (!cursor_.take(")")) cursor_.error_at(begin, "a group without closing parenthesis");
    return body;
  }

  NodePtr wrap(Kind kind, size_t begin, int depth) {
    captures_ += kind == Kind::kGroup ? 1 : 0;
    return adopt(std::make_unique<Node>(kind), parse_body(begin, depth), begin);
  }

  NodePtr adopt(NodePtr parent, NodePtr child, size_t begin) {
    parent->at = begin;
    parent->height = child->height + 1;
    if (parent->height > kMaxHeight) cursor_.error_at(begin, "nested too deeply");
    parent->children.push_back(std::move(child));
    return parent;
  }

  NodePtr look(size_t begin, int depth, bool behind, bool negative) {
    look_behind_ += behind ? 1 : 0;
    NodePtr node = wrap(Kind::kLook, begin, depth);
    look_behind_ -= behind ? 1 : 0;
    node->behind = behind;
    node->negative = negative;
    return node;
  }

  NodePtr named_group(size_t begin, int depth, char close) {
    static const CodeSet word = named_set("word", false).value_or(CodeSet());
    const size_t name_begin = cursor_.at();
    while (!cursor_.done() && !cursor_.peek_is(close)) {
      const uint32_t c = cursor_.next();
      const bool digit_first = cursor_.at() == name_begin + 1 && c >= '0' && c <= '9';
      if (!word.contains(c) || digit_first) cursor_.error_at(begin, "an invalid group name");
    }
    if (cursor_.at() == name_begin || cursor_.done()) {
      cursor_.error_at(begin, "an invalid group name");
    }
    cursor_.next();
    return wrap(Kind::kGroup, begin, depth);
  }

  // (?imx-imx) up to the end of the enclosing group, or (?imx-imx:...).
  NodePtr parse_options(size_t begin, int depth) {
    Options options = options_;
    for (bool on = true;;) {
      if (cursor_.done()) cursor_.error_at(begin, "a group without closing parenthesis");
      const size_t at = cursor_.at();
      const uint32_t c = cursor_.next();
      if (c == ')' || c == ':') {
        const Options saved = std::exchange(options_, options);
        NodePtr body = c == ':' ? parse_body(begin, depth) : parse_alternatives(depth + 1);
        options_ = saved;
        return adopt(std::make_unique<Node>(Kind::kGroup), std::move(body), begin);
      }
      switch (c) {
        case '-':
          on = false;
          break;
        case 'i':
          options.ignore_case = on;
          break;
        case 'm':
          options.dot_all = on;
          break;
        case 'x':
          options.extended = on;
          break;
        default:
          cursor_.error_at(at, "an unknown or unsupported group option");
      }
    }
  }

  struct Interval {
    uint32_t min, max;
    bool fixed, possessive;
  };

  // "{n,m}" and its kin; nothing where the brace is an ordinary character.
  std::optional<Interval> parse_interval() {
    const size_t begin = cursor_.at();
    if (!cursor_.take("{")) return std::nullopt;
    const auto limited = [&](std::optional<uint32_t> n) {
      if (n && *n > kMaxRepeat) cursor_.error_at(begin, "a repeat count beyond 100000");
      return n;
    };
    const std::optional<uint32_t> low = limited(cursor_.number(10, SIZE_MAX));
    std::optional<uint32_t> high = low;
    bool fixed = true;
    if (cursor_.take(",")) {
      fixed = false;
      high = limited(cursor_.number(10, SIZE_MAX));
      if (!high && low) high = kUnbounded;
    }
    if (!high || !cursor_.take("}")) {
      cursor_.seek(begin);
      return std::nullopt;
    }
    Interval interval{low.value_or(0), *high, fixed, false};
    if (interval.min > interval.max) {  // {n,m} with n > m is possessive in this syntax
      std::swap(interval.min, interval.max);
      interval.possessive = true;
    }
    return interval;
  }

  NodePtr parse_quantifiers(NodePtr item) {
    while (true) {
      skip_ignored();
      if (cursor_.done()) return item;
      const size_t begin = cursor_.at();
      Interval repeat{0, 0, false, false};
      bool is_interval = false;
      if (cursor_.take("*")) {
        repeat = {0, kUnbounded, false, false};
      } else if (cursor_.take("+")) {
        repeat = {1, kUnbounded, false, false};
      } else if (cursor_.take("?")) {
        repeat = {0, 1, false, false};
      } else if (const std::optional<Interval> interval = parse_interval()) {
        repeat = *interval;
        is_interval = true;
      } else {
        return item;
      }
      if (cannot_repeat(*item)) cursor_.error_at(begin, "a quantifier after an anchor");
      // {n}? and {n,m}+ are two quantifiers in this syntax.
      const bool greedy = repeat.fixed || repeat.possessive || !cursor_.take("?");
      if (greedy && !is_interval && cursor_.take("+")) repeat.possessive = true;
      if (greedy && !repeat.possessive && !is_interval && joins(*item)) {
        item->min = std::min(item->min, repeat.min);
        item->max = std::max(item->max, repeat.max);
        continue;
      }
      if (repeat.min == 1 && repeat.max == 1) continue;  // strings still join across it
      auto node = std::make_unique<Node>(Kind::kRepeat);
      node->greedy = greedy;
      node->min = repeat.min;
      node->max = repeat.max;
      item = adopt(std::move(node), std::move(item), begin);
      if (repeat.possessive) {
        item = adopt(std::make_unique<Node>(Kind::kAtomic), std::move(item), begin);
      }
    }
  }

  Cursor cursor_;
  Options options_;
  uint32_t captures_ = 0;
  int look_behind_ = 0;  // how many of them we are in
};

}  // namespace

NodePtr make_set(CodeSet set) {
  auto node = std::make_unique<Node>(Kind::kSet);
  node->set = std::move(set);
  return node;
}

NodePtr make_literal(uint32_t code_point, bool ignore_case) {
  auto node = std::make_unique<Node>(Kind::kLiteral);
  node->code_point = code_point;
  node->ignore_case = ignore_case;
  return node;
}

NodePtr make_list(Kind kind, std::vector<NodePtr> nodes) {
  if (nodes.empty()) return std::make_unique<Node>(Kind::kEmpty);
  if (nodes.size() == 1) return std::move(nodes[0]);
  auto node = std::make_unique<Node>(kind);
  for (const NodePtr& child : nodes) node->height = std::max(node->height, child->height + 1);
  node->children = std::move(nodes);
  return node;
}

NodePtr parse(std::string_view pattern) { return Parser(pattern).parse(); }

std::string shown(std::string_view pattern) {
  constexpr size_t kShown = 200;
  if (pattern.size() <= kShown) return std::string(pattern);
  size_t end = kShown;
  while (end > 0 && (pattern[end] & 0xC0) == 0x80) --end;
  return std::string(pattern.substr(0, end)) + "...";
}

void fail(std::string_view pattern, size_t at, const std::string& what) {
  throw Error(ErrorKind::kTokenizer, "regular expression /" + shown(pattern) + "/: " + what +
                                         ", at byte " + std::to_string(at));
}

}  // namespace affectrt::regex

#include <algorithm>
#include <map>

#include "text/regex_analysis.h"
#include "text/regex_program.h"

namespace affectrt::regex {
namespace {

// What a hostile pattern may cost: tens of megabytes. Real ones take some hundred instructions.
constexpr size_t kMaxInstructions = 50000;
constexpr size_t kMaxVisits = 200000;  // of nodes, where repetitions of nothing write nothing
constexpr size_t kMaxBranches = 8192;
constexpr size_t kMaxSets = 2048;
constexpr uint32_t kMaxLookBehind = 65535;  // code points; LOOK_BEHIND_MAX_CHAR_LEN of Oniguruma
constexpr size_t kBranchTargets = 64;

void append_utf8_bytes(uint32_t c, std::string* out) {
  const auto put = [out](uint32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (c < 0x80) {
    put(c);
    return;
  }
  if (c < 0x800) {
    put(0xC0 | c >> 6);
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12);
  } else {
    put(0xF0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3F));
  }
  if (c >= 0x800) put(0x80 | (c >> 6 & 0x3F));
  put(0x80 | (c & 0x3F));
}

class Compiler {
 public:
  explicit Compiler(std::string_view pattern) { program_.pattern = pattern; }

  Program compile(const Node& root) {
    if (const Node* dots = dots_after_assertion(root)) {
      fail(program_.pattern, dots->at,
           "unsupported: .* at the beginning of the pattern after an assertion");
    }
    const First first = first_of(root);
    program_.can_be_empty = first.nullable;
    if (!first.nullable) program_.first_bytes = lead_bytes(first.set);
    emit(root, accepting());
    add({Op::kMatch});
    return std::move(program_);
  }

 private:
  static Follow accepting() { return {First{}, true}; }
  static Follow unknown() { return {First{}, false}; }

  uint32_t here() const { return static_cast<uint32_t>(program_.code.size()); }

  uint32_t add(Instruction instruction) {
    if (program_.code.size() >= kMaxInstructions) too_large();
    program_.code.push_back(instruction);
    return here() - 1;
  }

  [[noreturn]] void too_large() const {
    fail(program_.pattern, 0, "too large once its repetitions are written out");
  }

  void emit(const Node& node, const Follow& follow) {
    if (++visits_ > kMaxVisits) too_large();
    switch (node.kind) {
      case Kind::kEmpty:
        break;
      case Kind::kLiteral: {
        const size_t begin = program_.literals.size();
        append_utf8_bytes(node.code_point, &program_.literals);
        add_literal(begin);
        break;
      }
      case Kind::kSet:
        add({Op::kSet, Loop::kGreedy, set_index(node.set)});
        break;
      case Kind::kConcat:
        emit_concat(node, follow);
        break;
      case Kind::kAlternate:
        emit_alternate(node, follow);
        break;
      case Kind::kRepeat:
        emit_repeat(node, follow);
        break;
      case Kind::kGroup:
        emit(*node.children[0], follow);
        break;
      case Kind::kAtomic:
        emit_atomic(node);
        break;
      case Kind::kLook:
        emit_look(node);
        break;
      case Kind::kAnchor:
        add({Op::kAnchor, Loop::kGreedy, static_cast<uint32_t>(node.anchor)});
        if (node.anchor == Anchor::kWordBoundary || node.anchor == Anchor::kNoWordBoundary) {
          program_.code.back().b = set_index(named_set("word", false).value_or(CodeSet()));
        }
        break;
    }
  }

  // The bytes from `begin` on.
  void add_literal(size_t begin) {
    const uint32_t size = static_cast<uint32_t>(program_.literals.size() - begin);
    add({Op::kLiteral, Loop::kGreedy, static_cast<uint32_t>(begin), size});
  }

  void emit_concat(const Node& node, const Follow& follow) {
    const size_t count = node.children.size();
    // What follows each child, from the right.
    std::vector<Follow> follows(count);
    follows[count - 1] = follow;
    for (size_t i = count - 1; i > 0; --i) {
      follows[i - 1].first = then(first_of(*node.children[i]), follows[i]);
      follows[i - 1].accepts = false;
    }
    for (size_t i = 0; i < count;) {
      if (node.children[i]->kind != Kind::kLiteral) {
        emit(*node.children[i], follows[i]);
        ++i;
        continue;
      }
      const size_t begin = program_.literals.size();
      for (; i < count && node.children[i]->kind == Kind::kLiteral; ++i) {
        append_utf8_bytes(node.children[i]->code_point, &program_.literals);
      }
      add_literal(begin);
    }
  }

  // Alternatives, each followed by a jump to the end.
  void emit_alternate(const Node& node, const Follow& follow) {
    std::vector<uint32_t> jumps;
    const size_t count = node.children.size();
    for (size_t begin = 0; begin < count;) {
      // More than fit one branch: the last place leads to the next branch.
      const size_t here_count =
          count - begin <= kBranchTargets ? count - begin : kBranchTargets - 1;
      const bool more = begin + here_count < count;
      const uint32_t branch = add_branch();
      std::vector<First> firsts;
      for (size_t i = begin; i < begin + here_count; ++i) {
        firsts.push_back(then(first_of(*node.children[i]), follow));
        program_.branches[branch].targets.push_back(here());
        emit(*node.children[i], follow);
        jumps.push_back(add({Op::kJump}));
      }
      if (more) {
        firsts.emplace_back();
        program_.branches[branch].targets.push_back(here());
      }
      finish_branch(branch, firsts);
      begin += here_count;
    }
    for (uint32_t jump : jumps) program_.code[jump].a = here();
  }

  uint32_t add_branch() {
    const uint32_t branch = static_cast<uint32_t>(program_.branches.size());
    if (program_.branches.size() >= kMaxBranches) too_large();
    program_.branches.emplace_back();
    add({Op::kBranch, Loop::kGreedy, branch});
    return branch;
  }

  void finish_branch(uint32_t branch, const std::vector<First>& firsts) {
    auto& viable = program_.branches[branch].viable;
    viable.fill(0);
    for (size_t i = 0; i < firsts.size(); ++i) {
      const uint64_t bit = uint64_t{1} << i;
      const std::bitset<256> bytes = lead_bytes(firsts[i].set);
      for (size_t byte = 0; byte < 256; ++byte) {
        if (firsts[i].nullable || bytes[byte]) viable[byte] |= bit;
      }
      if (firsts[i].nullable) viable[256] |= bit;
    }
  }

  void emit_repeat(const Node& node, const Follow& follow) {
    if (node.max == 0) return;
    const Node& body = *node.children[0];
    CodeSet storage;
    if (const CodeSet* set = as_set(body, &storage)) {
      Loop loop = node.greedy ? Loop::kGreedy : Loop::kLazy;
      // Giving back is in vain where nothing after can fail, or where it must start with a code
      // point that the loop does not take.
      if (node.greedy &&
          (follow.accepts || (!follow.first.nullable && !set->intersects(follow.first.set)))) {
        loop = Loop::kPossessive;
      }
      add({Op::kLoop, loop, set_index(*set), node.min, node.max});
      return;
    }
    const First first = first_of(body);
    if (first.nullable && (node.min > 1 || (node.max > 1 && node.max != kUnbounded))) {
      // Oniguruma ends such a repetition early or not, depending on how it compiled it.
      fail(program_.pattern, node.at, "unsupported: a counted repetition of what may be empty");
    }
    for (uint32_t i = 0; i < node.min; ++i) emit(body, unknown());
    First after = follow.accepts ? First{} : follow.first;
    if (node.max == kUnbounded) {
      const uint32_t loop = here();
      const uint32_t branch = add_branch();
      const uint32_t start = here();
      if (first.nullable) {
        const uint32_t mark = program_.registers++;
        add({Op::kMark, Loop::kGreedy, mark});
        emit(body, unknown());
        add({Op::kLeaveIfEmpty, Loop::kGreedy, mark, here() + 2});
      } else {
        emit(body, unknown());
      }
      add({Op::kJump, Loop::kGreedy, loop});
      choose(branch, node.greedy, start, then(first, unknown()), here(), after);
      return;
    }
    std::vector<std::pair<uint32_t, uint32_t>> optional;  // branch, start of the body
    for (uint32_t i = node.min; i < node.max; ++i) {
      const uint32_t branch = add_branch();
      optional.emplace_back(branch, here());
      emit(body, i + 1 == node.max ? follow : unknown());
    }
    for (const auto& [branch, start] : optional) {
      choose(branch, node.greedy, start, then(first, unknown()), here(), after);
    }
  }

  // One more turn of a repetition or its end, in the order that greed says.
  void choose(uint32_t branch, bool greedy, uint32_t start, First first, uint32_t end,
              First after) {
    if (greedy) {
      program_.branches[branch].targets = {start, end};
      finish_branch(branch, {std::move(first), std::move(after)});
    } else {
      program_.branches[branch].targets = {end, start};
      finish_branch(branch, {std::move(after), std::move(first)});
    }
  }

  uint32_t add_entry() {
    const uint32_t entry = program_.registers;
    program_.registers += 3;
    add({Op::kEnter, Loop::kGreedy, entry});
    return entry;
  }

  void emit_atomic(const Node& node) {
    const Node& body = *node.children[0];
    CodeSet storage;
    if (body.kind == Kind::kRepeat && body.greedy && body.max != 0) {
      if (const CodeSet* set = as_set(*body.children[0], &storage)) {
        add({Op::kLoop, Loop::kPossessive, set_index(*set), body.min, body.max});
        return;
      }
    }
    const uint32_t entry = add_entry();
    emit(body, accepting());
    add({Op::kCut, Loop::kGreedy, entry});
  }

  void emit_look(const Node& node) {
    const uint32_t entry = add_entry();
    const uint32_t choice = node.negative ? add({Op::kChoice}) : 0;
    if (node.behind) {
      emit_behind(*node.children[0], entry);
    } else {
      emit(*node.children[0], accepting());
    }
    if (node.negative) {
      add({Op::kCutAndFail, Loop::kGreedy, entry});
      program_.code[choice].a = here();
    } else {
      add({Op::kCutAndReturn, Loop::kGreedy, entry});
    }
  }

  // Back by the width of the body, then forward through it to where look-behind began. As in
  // Oniguruma, a body of several widths cannot look beyond that place, and alternatives of one
  // width each are looked for one by one.
  void emit_behind(const Node& body, uint32_t entry) {
    const auto is_fixed = [](const NodePtr& node) {
      const Width width = width_of(*node);
      return width.min == width.max;
    };
    if (body.kind != Kind::kAlternate ||
        !std::all_of(body.children.begin(), body.children.end(), is_fixed)) {
      emit_behind_one(body, entry);
      return;
    }
    std::vector<uint32_t> jumps;
    for (const NodePtr& branch : body.children) {
      const bool last = branch == body.children.back();
      const uint32_t choice = last ? 0 : add({Op::kChoice});
      emit_behind_one(*branch, entry);
      if (last) break;
      jumps.push_back(add({Op::kJump}));
      program_.code[choice].a = here();
    }
    for (uint32_t jump : jumps) program_.code[jump].a = here();
  }

  void emit_behind_one(const Node& body, uint32_t entry) {
    const Width width = width_of(body);
    if (width.min > kMaxLookBehind || (width.max > kMaxLookBehind && width.max < kUnbounded)) {
      fail(program_.pattern, 0, "look-behind over too many characters");
    }
    const bool fixed = width.min == width.max;
    if (!fixed) add({Op::kLimit, Loop::kGreedy, entry});
    const uint32_t more =
        width.max >= kUnbounded ? kUnbounded : static_cast<uint32_t>(width.max - width.min);
    add({Op::kStepBack, Loop::kGreedy, static_cast<uint32_t>(width.min), more});
    emit(body, unknown());
    add({Op::kAtEntry, Loop::kGreedy, entry});
    if (!fixed) add({Op::kUnlimit, Loop::kGreedy, entry});
  }

  uint32_t set_index(const CodeSet& set) {
    const auto [found, is_new] =
        set_indices_.emplace(set.ranges(), static_cast<uint32_t>(program_.sets.size()));
    if (is_new) {
      if (program_.sets.size() >= kMaxSets) too_large();
      program_.sets.emplace_back(set);
    }
    return found->second;
  }

  Program program_;
  size_t visits_ = 0;
  std::map<std::vector<CodeSet::Range>, uint32_t> set_indices_;
};

}  // namespace

Program compile(std::string_view pattern, const Node& root) {
  return Compiler(pattern).compile(root);
}

}  // namespace affectrt::regex

#include "text/regex.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "base/error.h"
#include "text/regex_program.h"

namespace affectrt {
namespace regex {
namespace {

// Beyond this much, the backtracking stack is given back after a search.
constexpr size_t kKeptFrames = size_t{1} << 14;
// 96 MiB of stack: more than any text of some megabytes needs under a sane pattern.
constexpr size_t kMaxFrames = size_t{1} << 22;

bool is_continuation(char c) { return (c & 0xC0) == 0x80; }

// What to do when the attempt at hand has failed.
struct Frame {
  enum Kind : uint32_t {
    kResume,    // at `pc` with position a
    kBranch,    // the alternatives left in b, of the branch at `pc`, from position a
    kGiveBack,  // a greedy loop that ended at position a and may shrink to position b
    kTakeMore,  // a lazy loop at `pc` that ended at position a after b code points
    kStepBack,  // one code point back from position a and to `pc`, b times
    kRestore,   // registers[pc] = a, and fail on
    kUnlimit,   // the end of the text is a, and fail on
  };
  Kind kind;
  uint32_t pc;
  uint64_t a;
  uint64_t b;
};

struct Scratch {
  std::vector<Frame> stack;
  std::vector<uint64_t> registers;
};

class Machine {
 public:
  Machine(const Program& program, std::string_view text, size_t from, Scratch* scratch,
          uint64_t* steps)
      : program_(program),
        text_(text.data()),
        size_(text.size()),
        from_(from),
        stack_(scratch->stack),
        registers_(scratch->registers),
        steps_(*steps) {
    registers_.assign(program.registers, 0);
  }

  // The end of the match that starts at `start`.
  std::optional<size_t> match(size_t start) {
    stack_.clear();
    limit_ = size_;
    uint32_t pc = 0;
    size_t at = start;
    while (true) {
      const Instruction& now = program_.code[pc];
      bool ok = true;
      switch (now.op) {
        case Op::kMatch:
          return at;
        case Op::kFail:
          ok = false;
          break;
        case Op::kLiteral:
          ok = limit_ - at >= now.b &&
               std::memcmp(text_ + at, program_.literals.data() + now.a, now.b) == 0;
          if (ok) at += now.b;
          ++pc;
          break;
        case Op::kSet:
          ok = take_one(program_.sets[now.a], &at);
          ++pc;
          break;
        case Op::kLoop:
          ok = loop(now, pc, &at);
          ++pc;
          break;
        case Op::kJump:
          pc = now.a;
          break;
        case Op::kBranch: {
          const Branches& branches = program_.branches[now.a];
          ok = branch(branches, branches.viable[at < limit_ ? byte(at) : 256], at, &pc);
          break;
        }
        case Op::kMark:
          push({Frame::kRestore, now.a, registers_[now.a], 0});
          registers_[now.a] = at;
          ++pc;
          break;
        case Op::kLeaveIfEmpty:
          pc = registers_[now.a] == at ? now.b : pc + 1;
          break;
        case Op::kAnchor:
          ok = holds(now, at);
          ++pc;
          break;
        case Op::kEnter:
          registers_[now.a] = stack_.size();
          registers_[now.a + 1] = at;
          ++pc;
          break;
        case Op::kCut:
          stack_.resize(registers_[now.a]);
          ++pc;
          break;
        case Op::kCutAndReturn:
          stack_.resize(registers_[now.a]);
          at = registers_[now.a + 1];
          ++pc;
          break;
        case Op::kCutAndFail:
          stack_.resize(registers_[now.a]);
          ok = false;
          break;
        case Op::kChoice:
          push({Frame::kResume, now.a, at, 0});
          ++pc;
          break;
        case Op::kStepBack:
          for (uint32_t i = 0; ok && i < now.a; ++i) ok = step_back(&at);
          ++pc;
          if (ok && now.b != 0) push({Frame::kStepBack, pc, at, now.b});
          break;
        case Op::kLimit:
          registers_[now.a + 2] = limit_;
          push({Frame::kUnlimit, 0, limit_, 0});
          limit_ = at;
          ++pc;
          break;
        case Op::kUnlimit:
          limit_ = registers_[now.a + 2];
          ++pc;
          break;
        case Op::kAtEntry:
          ok = registers_[now.a + 1] == at;
          ++pc;
          break;
      }
      spend(1);
      if (!ok && !backtrack(&pc, &at)) return std::nullopt;
    }
  }

 private:
  uint8_t byte(size_t at) const { return static_cast<uint8_t>(text_[at]); }

  void spend(uint64_t steps) {
    if (steps_ < steps) {
      steps_ = 0;
      throw Error(ErrorKind::kTokenizer, "regular expression /" + shown(program_.pattern) +
                                             "/ takes too many steps on this text of " +
                                             std::to_string(size_) + " bytes");
    }
    steps_ -= steps;
  }

  void push(const Frame& frame) {
    if (stack_.size() >= kMaxFrames) {
      throw Error(ErrorKind::kTokenizer, "regular expression /" + shown(program_.pattern) +
                                             "/ needs too much memory on this text of " +
                                             std::to_string(size_) + " bytes");
    }
    stack_.push_back(frame);
  }

  // Decodes the code point at `at`, not past the end whatever the bytes are.
  char32_t decode(size_t at, size_t* next) const {
    const uint32_t lead = byte(at);
    const size_t size = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (size_ - at < size) {
      *next = size_;
      return 0xFFFD;
    }
    *next = at + size;
    const auto low = [&](size_t i) { return uint32_t{byte(at + i)} & 0x3F; };
    if (size == 2) return (lead & 0x1F) << 6 | low(1);
    if (size == 3) return (lead & 0x0F) << 12 | low(1) << 6 | low(2);
    return std::min((lead & 0x07) << 18 | low(1) << 12 | low(2) << 6 | low(3), CodeSet::kEnd - 1);
  }

  bool take_one(const SetTable& set, size_t* at) const {
    if (*at >= limit_) return false;
    const uint8_t lead = byte(*at);
    if (lead < 0x80) {
      if (!set.ascii(lead)) return false;
      ++*at;
      return true;
    }
    size_t next = 0;
    if (!set.contains(decode(*at, &next))) return false;
    *at = next;
    return true;
  }

  bool step_back(size_t* at) const {
    if (*at == 0) return false;
    do {
      --*at;
    } while (*at > 0 && is_continuation(text_[*at]));
    return true;
  }

  bool loop(const Instruction& now, uint32_t pc, size_t* at) {
    const SetTable& set = program_.sets[now.a];
    const size_t begin = *at;
    const uint32_t most = now.loop == Loop::kLazy ? now.b : now.c;
    uint32_t count = 0;
    size_t shortest = begin;  // the end after the least number of code points
    while (count < most && take_one(set, at)) {
      if (++count == now.b) shortest = *at;
    }
    spend(*at - begin);
    if (count < now.b) return false;
    if (now.loop == Loop::kGreedy && *at > shortest) {
      push({Frame::kGiveBack, pc + 1, *at, shortest});
    } else if (now.loop == Loop::kLazy && count < now.c) {
      push({Frame::kTakeMore, pc, *at, count});
    }
    return true;
  }

  // To the first of the alternatives in `viable`; the others wait on the stack.
  bool branch(const Branches& branches, uint64_t viable, size_t at, uint32_t* pc) {
    if (viable == 0) return false;
    uint32_t first = 0;
    while ((viable >> first & 1) == 0) ++first;
    const uint64_t rest = viable & (viable - 1);
    if (rest != 0) push({Frame::kBranch, *pc, at, rest});
    *pc = branches.targets[first];
    return true;
  }

  // Back to the youngest choice that is left; false where there is none.
  bool backtrack(uint32_t* pc, size_t* at) {
    while (!stack_.empty()) {
      spend(1);
      Frame& frame = stack_.back();
      switch (frame.kind) {
        case Frame::kResume:
          *pc = frame.pc;
          *at = frame.a;
          stack_.pop_back();
          return true;
        case Frame::kBranch: {
          const Frame taken = frame;
          stack_.pop_back();
          *pc = taken.pc;
          *at = taken.a;
          return branch(program_.branches[program_.code[taken.pc].a], taken.b, taken.a, pc);
        }
        case Frame::kGiveBack:
          *at = frame.a;
          step_back(at);
          *pc = frame.pc;
          if (*at > frame.b) {
            frame.a = *at;
          } else {
            stack_.pop_back();
          }
          return true;
        case Frame::kTakeMore: {
          const Instruction& now = program_.code[frame.pc];
          size_t end = frame.a;
          if (!take_one(program_.sets[now.a], &end)) {
            stack_.pop_back();
            break;
          }
          *at = end;
          *pc = frame.pc + 1;
          frame.a = end;
          if (++frame.b >= now.c) stack_.pop_back();
          return true;
        }
        case Frame::kStepBack:
          *at = frame.a;
          if (frame.b == 0 || !step_back(at)) {
            stack_.pop_back();
            break;
          }
          frame.a = *at;
          *pc = frame.pc;
          if (frame.b != kUnbounded) --frame.b;
          return true;
        case Frame::kUnlimit:
          limit_ = frame.a;
          stack_.pop_back();
          break;
        case Frame::kRestore:
          registers_[frame.pc] = frame.a;
          stack_.pop_back();
          break;
      }
    }
    return false;
  }

  bool is_word(const SetTable& word, size_t at) const {
    if (at >= size_) return false;
    size_t end = at;
    return byte(at) < 0x80 ? word.ascii(byte(at)) : word.contains(decode(at, &end));
  }

  bool holds(const Instruction& now, size_t at) const {
    switch (static_cast<Anchor>(now.a)) {
      // No line begins at the very end, even after a newline.
      case Anchor::kBeginLine:
        return at == 0 || (at < size_ && text_[at - 1] == '\n');
      case Anchor::kEndLine:
        return at == size_ || text_[at] == '\n';
      case Anchor::kBeginText:
        return at == 0;
      case Anchor::kEndText:
        return at == size_;
      case Anchor::kEndTextOrLastLine:
        return at == size_ || (at + 1 == size_ && text_[at] == '\n');
      case Anchor::kSearchStart:
        return at == from_;
      case Anchor::kWordBoundary:
      case Anchor::kNoWordBoundary: {
        const SetTable& word = program_.sets[now.b];
        size_t previous = at;
        const bool before = step_back(&previous) && is_word(word, previous);
        const bool after = is_word(word, at);
        return (before != after) == (static_cast<Anchor>(now.a) == Anchor::kWordBoundary);
      }
    }
    return false;
  }

  const Program& program_;
  const char* text_;
  size_t size_;
  size_t from_;
  size_t limit_ = 0;  // where the text ends for what takes code points
  std::vector<Frame>& stack_;
  std::vector<uint64_t>& registers_;
  uint64_t& steps_;
};

}  // namespace
}  // namespace regex

Regex::Regex(std::string_view pattern)
    : program_(std::make_unique<regex::Program>(
          regex::compile(pattern, *regex::expand_case(regex::parse(pattern), false)))) {}

Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;

uint64_t Regex::step_budget(size_t text_bytes) {
  return uint64_t{20'000'000} + uint64_t{500} * text_bytes;
}

std::optional<std::pair<size_t, size_t>> Regex::find(std::string_view text, size_t from) const {
  uint64_t steps = step_budget(text.size());
  return find(text, from, &steps);
}

std::optional<std::pair<size_t, size_t>> Regex::find(std::string_view text, size_t from,
                                                     uint64_t* steps) const {
  thread_local regex::Scratch scratch;
  if (scratch.stack.capacity() > regex::kKeptFrames) {
    std::vector<regex::Frame>().swap(scratch.stack);
  }
  regex::Machine machine(*program_, text, from, &scratch, steps);
  const regex::Program& program = *program_;
  for (size_t start = from; start <= text.size(); ++start) {
    if (start < text.size() && regex::is_continuation(text[start])) continue;
    if (!program.can_be_empty) {
      if (start == text.size()) break;
      if (!program.first_bytes[static_cast<uint8_t>(text[start])]) continue;
    }
    if (const std::optional<size_t> end = machine.match(start)) return std::pair(start, *end);
  }
  return std::nullopt;
}

std::optional<std::pair<size_t, size_t>> RegexMatches::next() {
  while (from_ <= text_.size()) {
    const auto found = regex_.find(text_, from_, &steps_);
    if (!found) break;
    if (found->first == found->second && last_end_ == found->second) {
      // Not again where the last match ended: one character on.
      do {
        ++from_;
      } while (from_ < text_.size() && regex::is_continuation(text_[from_]));
      continue;
    }
    from_ = found->second;
    last_end_ = found->second;
    return found;
  }
  from_ = text_.size() + 1;
  return std::nullopt;
}

}  // namespace affectrt

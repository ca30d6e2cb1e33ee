// The program that a pattern compiles to, and that regex.cc runs.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/regex_parse.h"
#include "text/regex_sets.h"

namespace affectrt::regex {

enum class Op : uint8_t {
  kMatch,
  kFail,
  kLiteral,       // the bytes literals[a, a + b)
  kSet,           // one code point of sets[a]
  kLoop,          // b to c code points of sets[a], how they are given back in `loop`
  kJump,          // to a
  kBranch,        // to one of branches[a] after another
  kMark,          // registers[a] = position; undone by backtracking
  kLeaveIfEmpty,  // to b where registers[a] is the position: an empty iteration ends its loop
  kAnchor,        // a is an Anchor
  kEnter,  // registers[a] = height of the stack, registers[a + 1] = position; a + 2 is for kLimit
  kCut,    // the stack back to registers[a]: what was entered has matched for good
  kCutAndReturn,  // kCut, and position = registers[a + 1]
  kCutAndFail,    // kCut, and fail: what must not match has
  kChoice,        // where what follows fails, go on at a
  kStepBack,      // a code points back, and where what follows fails up to b more
  kLimit,         // the text ends here, until kUnlimit; registers[a + 2] = its end before
  kUnlimit,       // the end of the text from registers[a + 2]
  kAtEntry,       // position == registers[a + 1], or fail
};

enum class Loop : uint8_t { kGreedy, kLazy, kPossessive };

struct Instruction {
  Op op;
  Loop loop = Loop::kGreedy;
  uint32_t a = 0;
  uint32_t b = 0;
  uint32_t c = 0;
};

// Alternatives in order, at most 64, and which of them can match by the next byte; 256 stands for
// the end of the text.
struct Branches {
  std::vector<uint32_t> targets;
  std::array<uint64_t, 257> viable;
};

struct Program {
  std::string pattern;
  std::vector<Instruction> code;
  std::string literals;
  std::vector<SetTable> sets;
  std::vector<Branches> branches;
  uint32_t registers = 0;
  bool can_be_empty = false;     // then first_bytes says nothing
  std::bitset<256> first_bytes;  // of every match
};

// Throws Error(kTokenizer) for a program that would be too large.
Program compile(std::string_view pattern, const Node& root);

}  // namespace affectrt::regex

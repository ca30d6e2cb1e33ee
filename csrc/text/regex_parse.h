// Oniguruma's syntax to a tree.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/regex_sets.h"

namespace affectrt::regex {

enum class Kind {
  kEmpty,
  kLiteral,    // code_point; with ignore_case its folding is still to be expanded
  kSet,        // set
  kConcat,     // children
  kAlternate,  // children, the first one preferred
  kRepeat,     // children[0], min to max times
  kGroup,      // children[0]: a capture or options; strings do not join across it
  kAtomic,     // children[0]
  kLook,       // children[0], behind or ahead, negative or not
  kAnchor,     // anchor
};

enum class Anchor {
  kBeginLine,
  kEndLine,
  kBeginText,
  kEndText,
  kEndTextOrLastLine,
  kSearchStart,
  kWordBoundary,
  kNoWordBoundary,
};

struct Node;
using NodePtr = std::unique_ptr<Node>;

constexpr uint32_t kUnbounded = UINT32_MAX;

struct Node {
  explicit Node(Kind k) : kind(k) {}

  Kind kind;
  uint32_t code_point = 0;
  bool ignore_case = false;
  CodeSet set;
  uint32_t min = 0;
  uint32_t max = 0;
  bool greedy = true;
  bool behind = false;
  bool negative = false;
  Anchor anchor = Anchor::kBeginLine;
  std::vector<NodePtr> children;
  int height = 0;  // of the tree below
  size_t at = 0;   // in the pattern; of nodes that wrap others
};

NodePtr make_set(CodeSet set);
NodePtr make_literal(uint32_t code_point, bool ignore_case);
// Of no nodes an empty one, of one node that node.
NodePtr make_list(Kind kind, std::vector<NodePtr> nodes);

// Trees are no higher than this, so that recursion over them is safe.
constexpr int kMaxHeight = 250;

// Throws Error(kTokenizer) that names what is wrong or not supported, and the byte in the pattern.
NodePtr parse(std::string_view pattern);

// Replaces literals that ignore case by what they stand for, and joins nested lists.
NodePtr expand_case(NodePtr node, bool in_look_behind);

// Its beginning, cut between characters.
std::string shown(std::string_view pattern);
[[noreturn]] void fail(std::string_view pattern, size_t at, const std::string& what);

}  // namespace affectrt::regex

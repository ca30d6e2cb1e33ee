#include "text/regex_analysis.h"

#include <algorithm>

namespace affectrt::regex {
namespace {

// Walks along what can be the head of a match. Returns whether what comes after the node can, too.
bool walk_head(const Node& node, bool* asserted, const Node** found) {
  switch (node.kind) {
    case Kind::kEmpty:
      return true;
    case Kind::kLiteral:
    case Kind::kSet:
      return false;
    case Kind::kAnchor:
      *asserted =
          *asserted || (node.anchor != Anchor::kBeginLine && node.anchor != Anchor::kBeginText &&
                        node.anchor != Anchor::kSearchStart);
      return true;
    case Kind::kLook:
      *asserted = true;
      return true;
    case Kind::kConcat:
      for (const NodePtr& child : node.children) {
        if (!walk_head(*child, asserted, found)) return false;
      }
      return true;
    case Kind::kAlternate: {
      bool goes_on = false;
      const bool before = *asserted;
      for (const NodePtr& child : node.children) {
        bool in_branch = before;
        goes_on = walk_head(*child, &in_branch, found) || goes_on;
        *asserted = *asserted || in_branch;
      }
      return goes_on;
    }
    case Kind::kRepeat: {
      const Node& body = *node.children[0];
      CodeSet rest = body.set;  // of a dot nothing is left out, or a newline
      rest.invert();
      const bool dots = body.kind == Kind::kSet && (rest.empty() || rest.single() == '\n');
      if (*asserted && node.greedy && node.max == kUnbounded && dots) *found = &node;
      return walk_head(body, asserted, found) || node.min == 0;
    }
    case Kind::kGroup:
    case Kind::kAtomic:
      break;
  }
  return walk_head(*node.children[0], asserted, found);
}

}  // namespace

First first_of(const Node& node) {
  switch (node.kind) {
    case Kind::kLiteral:
      return {CodeSet::one(node.code_point), false};
    case Kind::kSet:
      return {node.set, false};
    case Kind::kConcat: {
      First first;
      for (const NodePtr& child : node.children) {
        First next = first_of(*child);
        first.set.add(next.set);
        first.nullable = next.nullable;
        if (!next.nullable) break;
      }
      return first;
    }
    case Kind::kAlternate: {
      First first{{}, false};
      for (const NodePtr& child : node.children) {
        First next = first_of(*child);
        first.set.add(next.set);
        first.nullable = first.nullable || next.nullable;
      }
      return first;
    }
    case Kind::kRepeat: {
      if (node.max == 0) return {};
      First first = first_of(*node.children[0]);
      first.nullable = first.nullable || node.min == 0;
      return first;
    }
    case Kind::kGroup:
    case Kind::kAtomic:
      return first_of(*node.children[0]);
    case Kind::kEmpty:
    case Kind::kLook:
    case Kind::kAnchor:
      break;
  }
  return {};
}

First then(First first, const Follow& follow) {
  if (!first.nullable) return first;
  first.set.add(follow.first.set);
  first.nullable = follow.first.nullable;
  return first;
}

Width width_of(const Node& node) {
  Width width;
  switch (node.kind) {
    case Kind::kLiteral:
    case Kind::kSet:
      return {1, 1};
    case Kind::kConcat:
      for (const NodePtr& child : node.children) {
        const Width next = width_of(*child);
        width.min = std::min<uint64_t>(width.min + next.min, kUnbounded);
        width.max = std::min<uint64_t>(width.max + next.max, kUnbounded);
      }
      return width;
    case Kind::kAlternate:
      width.min = kUnbounded;
      for (const NodePtr& child : node.children) {
        const Width next = width_of(*child);
        width.min = std::min(width.min, next.min);
        width.max = std::max(width.max, next.max);
      }
      return width;
    case Kind::kRepeat:
      width = width_of(*node.children[0]);
      width.min = std::min<uint64_t>(width.min * node.min, kUnbounded);
      width.max = std::min<uint64_t>(width.max * node.max, kUnbounded);
      return width;
    case Kind::kGroup:
    case Kind::kAtomic:
      return width_of(*node.children[0]);
    case Kind::kEmpty:
    case Kind::kLook:
    case Kind::kAnchor:
      break;
  }
  return width;
}

const CodeSet* as_set(const Node& node, CodeSet* storage) {
  if (node.kind == Kind::kSet) return &node.set;
  if (node.kind == Kind::kGroup) return as_set(*node.children[0], storage);
  if (node.kind != Kind::kLiteral) return nullptr;
  *storage = CodeSet::one(node.code_point);
  return storage;
}

const Node* dots_after_assertion(const Node& root) {
  bool asserted = false;
  const Node* found = nullptr;
  walk_head(root, &asserted, &found);
  return found;
}

}  // namespace affectrt::regex

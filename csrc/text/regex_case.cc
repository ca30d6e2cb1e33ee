#include <utility>

#include "text/regex_parse.h"

namespace affectrt::regex {
namespace {

// The two or three literals from `begin` on that are the folding of other code points, if any.
const MultipleFolding* find_sequence(const std::vector<NodePtr>& nodes, size_t begin, size_t size) {
  for (const MultipleFolding& folding : multiple_foldings()) {
    if ((folding.to[2] == 0 ? 2u : 3u) != size) continue;
    bool same = true;
    for (size_t i = 0; i < size && same; ++i) {
      same = case_orbit(nodes[begin + i]->code_point).contains(folding.to[i]);
    }
    if (same) return &folding;
  }
  return nullptr;
}

const MultipleFolding* find_folding(uint32_t c) {
  for (const MultipleFolding& folding : multiple_foldings()) {
    if (folding.from == c) return &folding;
  }
  return nullptr;
}

// A code point of `folding`, or its sequence.
NodePtr expand_folding(const MultipleFolding& folding) {
  std::vector<NodePtr> branches;
  branches.push_back(make_set(case_orbit(folding.from)));
  std::vector<NodePtr> sequence;
  for (uint32_t c : folding.to) {
    if (c != 0) sequence.push_back(make_set(case_orbit(c)));
  }
  branches.push_back(make_list(Kind::kConcat, std::move(sequence)));
  return make_list(Kind::kAlternate, std::move(branches));
}

// Oniguruma's way through a string: from the left, the longest sequence first. Look-behind knows
// single code points only.
std::vector<NodePtr> expand_string(std::vector<NodePtr> string, bool in_look_behind) {
  std::vector<NodePtr> out;
  for (size_t i = 0; i < string.size();) {
    const MultipleFolding* folding = nullptr;
    size_t size = 1;
    if (!in_look_behind) {
      for (size_t n = 3; n >= 2 && folding == nullptr; --n) {
        if (string.size() - i < n) continue;
        folding = find_sequence(string, i, n);
        if (folding != nullptr) size = n;
      }
      if (folding == nullptr) folding = find_folding(string[i]->code_point);
    }
    if (folding != nullptr) {
      out.push_back(expand_folding(*folding));
    } else {
      CodeSet orbit = case_orbit(string[i]->code_point);
      out.push_back(orbit.single() ? make_literal(*orbit.single(), false)
                                   : make_set(std::move(orbit)));
    }
    i += size;
  }
  return out;
}

bool ignores_case(const Node& node) { return node.kind == Kind::kLiteral && node.ignore_case; }

}  // namespace

NodePtr expand_case(NodePtr node, bool in_look_behind) {
  if (ignores_case(*node)) {
    std::vector<NodePtr> string;
    string.push_back(std::move(node));
    return make_list(Kind::kConcat, expand_string(std::move(string), in_look_behind));
  }
  in_look_behind = in_look_behind || (node->kind == Kind::kLook && node->behind);
  if (node->kind != Kind::kConcat) {
    for (NodePtr& child : node->children) child = expand_case(std::move(child), in_look_behind);
    return node;
  }
  std::vector<NodePtr> out;
  std::vector<NodePtr> string;
  const auto flush = [&] {
    for (NodePtr& item : expand_string(std::move(string), in_look_behind)) {
      out.push_back(std::move(item));
    }
    string.clear();
  };
  for (NodePtr& child : node->children) {
    if (ignores_case(*child)) {
      string.push_back(std::move(child));
      continue;
    }
    flush();
    out.push_back(expand_case(std::move(child), in_look_behind));
  }
  flush();
  return make_list(Kind::kConcat, std::move(out));
}

}  // namespace affectrt::regex

// What the tree of a pattern says about its matches.
#pragma once

#include <cstdint>

#include "text/regex_parse.h"
#include "text/regex_sets.h"

namespace affectrt::regex {

// What a match must start with.
struct First {
  CodeSet set;
  bool nullable = true;  // it may match without taking a code point, so `set` says nothing
};
First first_of(const Node& node);

// What comes after a node.
struct Follow {
  First first;
  bool accepts = false;  // nothing can fail any more
};
// `first`, or what follows where it may be empty.
First then(First first, const Follow& follow);

// The numbers of code points that a node can take; kUnbounded and more is unbounded.
struct Width {
  uint64_t min = 0;
  uint64_t max = 0;
};
Width width_of(const Node& node);

// The set of a node that takes exactly one code point and does nothing else. Null for others;
// `storage` may hold the result.
const CodeSet* as_set(const Node& node, CodeSet* storage);

// Oniguruma takes a pattern that begins with .* to match at the beginning of a line or nowhere,
// even where an assertion before it makes that wrong. Such a .*, or null.
const Node* dots_after_assertion(const Node& root);

}  // namespace affectrt::regex

// What becomes of the matches of a pattern when a text is split at them.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "text/component.h"
#include "text/normalized.h"

namespace affectrt {

enum class SplitBehavior {
  kRemoved,
  kIsolated,
  kMergedWithPrevious,
  kMergedWithNext,
  kContiguous,
};

// From the member "behavior".
SplitBehavior split_behavior(const Component& json, std::optional<SplitBehavior> otherwise);

// The spans that `matches` (ascending, disjoint byte ranges) cut a text of `size` bytes into.
void spans_of_matches(const std::vector<std::pair<size_t, size_t>>& matches, size_t size,
                      bool invert, std::vector<Span>* spans);

// Appends the pieces that `spans` of `piece` become. Empty ones vanish.
void split_piece(const Pieces& pieces, const Piece& piece, std::vector<Span>* spans,
                 SplitBehavior behavior, std::vector<Piece>* out);

}  // namespace affectrt

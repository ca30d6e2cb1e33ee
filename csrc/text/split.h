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

// A stretch of a piece: either a match of the pattern or what lies between two.
struct Span {
  uint32_t begin;
  uint32_t end;
  bool is_match;
};

// The spans that `matches` (ascending, disjoint byte ranges) cut a text of `size` bytes into.
void spans_of_matches(const std::vector<std::pair<size_t, size_t>>& matches, size_t size,
                      bool invert, std::vector<Span>* spans);

// Appends the pieces that `spans` of `piece` become. Empty ones vanish.
void split_piece(const Pieces& pieces, const Piece& piece, std::vector<Span>* spans,
                 SplitBehavior behavior, std::vector<Piece>* out);

// Replaces each piece that is no added token by those that `split(piece, view, out)` appends.
template <typename Split>
void split_pieces(Pieces* pieces, Split split) {
  std::vector<Piece> out;
  out.reserve(pieces->pieces.size());
  for (const Piece& piece : pieces->pieces) {
    if (piece.token != kNoToken) {
      out.push_back(piece);
    } else if (piece.begin != piece.end) {
      split(piece, pieces->view(piece), &out);
    }
  }
  pieces->pieces = std::move(out);
}

}  // namespace affectrt

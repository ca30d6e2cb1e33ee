// Templates of normalized.h.
#pragma once

#include "text/normalized.h"
#include "text/unicode.h"

namespace affectrt {

template <typename Keep>
size_t filter_changes(std::string_view text, Keep keep, std::vector<Change>* changes) {
  changes->clear();
  size_t removed_first = 0;
  int32_t removed = 0;
  for (size_t pos = 0; pos < text.size();) {
    const char32_t c = next_code_point(text, &pos);
    if (!keep(c)) {
      ++removed;
      continue;
    }
    if (changes->empty()) {
      removed_first = static_cast<size_t>(removed);
    } else {
      changes->back().change = -removed;
    }
    removed = 0;
    changes->push_back({c, 0});
  }
  if (!changes->empty()) changes->back().change = -removed;
  return removed_first;
}

template <typename Transform>
void transform_pieces(Pieces* pieces, TextScratch* memory, Transform transform) {
  AlignedText* const scratch = &memory->text;
  scratch->clear();
  const auto move_to_scratch = [&](Piece* piece) {
    const PieceView view = pieces->view(*piece);
    piece->begin = static_cast<uint32_t>(scratch->text.size());
    scratch->text.append(view.text);
    scratch->alignments.insert(scratch->alignments.end(), view.alignments,
                               view.alignments + view.text.size());
    piece->end = checked_size(scratch->text.size());
  };
  // Nothing is copied as long as nothing changes. Pieces may lie in any order in the content.
  size_t first_changed = pieces->pieces.size();
  for (size_t i = 0; i < pieces->pieces.size(); ++i) {
    Piece& piece = pieces->pieces[i];
    const auto begin = static_cast<uint32_t>(scratch->text.size());
    if (piece.token == kNoToken && transform(pieces->view(piece), scratch)) {
      piece.begin = begin;
      piece.end = checked_size(scratch->text.size());
      if (first_changed > i) first_changed = i;
    } else if (first_changed < i) {
      move_to_scratch(&piece);
    }
  }
  if (first_changed == pieces->pieces.size()) return;
  for (size_t i = 0; i < first_changed; ++i) move_to_scratch(&pieces->pieces[i]);
  std::swap(pieces->content, *scratch);
}

template <typename Split>
void split_pieces(Pieces* pieces, TextScratch* scratch, Split split) {
  std::vector<Piece>& out = scratch->pieces;
  out.clear();
  for (const Piece& piece : pieces->pieces) {
    if (piece.token != kNoToken) {
      out.push_back(piece);
    } else if (piece.begin != piece.end) {
      split(piece, pieces->view(piece), &out);
    }
  }
  std::swap(pieces->pieces, out);
}

}  // namespace affectrt

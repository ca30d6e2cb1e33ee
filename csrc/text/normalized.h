// A text while it is normalised and split: its bytes, where each came from, and its pieces.
//
// The meaning of every operation follows HF tokenizers' NormalizedString, including what it does
// with insertions and removals, because the offsets of a token depend on it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace affectrt {

// The bytes of the original text that a byte of the normalised one stands for.
struct Alignment {
  uint32_t begin;
  uint32_t end;
};

// `size` as an offset; throws Error(kInput) beyond 4 GiB.
uint32_t checked_size(size_t size);

// One alignment a byte.
struct AlignedText {
  std::string text;
  std::vector<Alignment> alignments;

  void clear();
  // Whole characters with the same alignment.
  void append(std::string_view bytes, Alignment alignment);
  void append(char32_t c, Alignment alignment);
};

// A part of an AlignedText, with the part of the original text that it stands for.
struct PieceView {
  std::string_view text;
  const Alignment* alignments;
  uint32_t original_begin;
  uint32_t original_end;
};

constexpr int64_t kNoToken = -1;

struct Piece {
  uint32_t begin;  // bytes of Pieces::content.text
  uint32_t end;
  uint32_t original_begin;
  uint32_t original_end;
  int64_t token = kNoToken;  // the added token that this piece is; such pieces never change
};

struct Pieces {
  AlignedText content;
  std::vector<Piece> pieces;

  // One piece with all of `text`; at most 4 GiB.
  void assign(std::string_view text);
  PieceView view(const Piece& piece) const;
  // The piece for bytes [begin, end) of the content, end > begin.
  Piece slice(uint32_t begin, uint32_t end) const;
};

// A character of a piece's new text. As in HF tokenizers `change` is 1 for an insertion, 0 where
// the character replaces the next one, and -n where it also swallows the n after that.
struct Change {
  char32_t c;
  int32_t change;
};

// Appends `piece` rewritten by `changes` to `out`; the first `removed` characters go.
// Throws Error(kInput) where HF tokenizers would fail too: when the changes use more characters
// than there are.
void rewrite(const PieceView& piece, const std::vector<Change>& changes, size_t removed,
             AlignedText* out);

// Appends `piece` to `out` with each range of `matches` (ascending byte ranges) replaced.
void replace(const PieceView& piece, const std::vector<std::pair<size_t, size_t>>& matches,
             std::string_view content, AlignedText* out);

// Appends `piece` to `out` with `prefix` before it; an empty piece stays empty.
void prepend(const PieceView& piece, std::string_view prefix, AlignedText* out);

// The changes that keep the characters of `text` that `keep` holds for, and how many go before the
// first of them.
template <typename Keep>
size_t filter_changes(std::string_view text, Keep keep, std::vector<Change>* changes);

// A stretch of a piece: either a match of a pattern or what lies between two.
struct Span {
  uint32_t begin;
  uint32_t end;
  bool is_match;
};

// Memory that the steps of one call share; what is in it means nothing between them.
struct TextScratch {
  AlignedText text;
  std::vector<Change> changes;
  std::vector<std::pair<size_t, size_t>> matches;
  std::vector<Span> spans;
  std::vector<Piece> pieces;
};

// Rewrites every piece that is no added token: `transform(view, out)` appends the new text to
// `out`, or leaves `out` alone and returns false when nothing changes.
template <typename Transform>
void transform_pieces(Pieces* pieces, TextScratch* scratch, Transform transform);

// Replaces each piece that is no added token by those that `split(piece, view, out)` appends. Empty
// pieces vanish.
template <typename Split>
void split_pieces(Pieces* pieces, TextScratch* scratch, Split split);

}  // namespace affectrt

#include "text/normalized_inl.h"

#include "text/normalized.h"

#include <algorithm>

#include "base/error.h"

namespace affectrt {
namespace {

[[noreturn]] void fail_rewrite() {
  throw Error(ErrorKind::kInput,
              "the tokenizer's normaliser replaces characters that the text does not have; HF "
              "tokenizers fails on this text too");
}

// The bytes of the piece that a transformation of the whole piece replaces: all of them, save that
// HF tokenizers finds the range through the original text and so misses leading characters that
// were inserted before it.
std::pair<size_t, size_t> rewritten_range(const PieceView& piece) {
  const size_t size = piece.text.size();
  if (piece.original_begin == piece.original_end) return {0, 0};
  size_t begin = 0;
  while (begin < size && piece.alignments[begin].begin == piece.alignments[begin].end) ++begin;
  return {begin, size};
}

}  // namespace

uint32_t checked_size(size_t size) {
  if (size >= UINT32_MAX) {
    throw Error(ErrorKind::kInput, "a text grows to " + std::to_string(size) +
                                       " bytes in the tokenizer; the most is 4 GiB");
  }
  return static_cast<uint32_t>(size);
}

void AlignedText::clear() {
  text.clear();
  alignments.clear();
}

void AlignedText::append(std::string_view bytes, Alignment alignment) {
  text.append(bytes);
  alignments.insert(alignments.end(), bytes.size(), alignment);
}

void AlignedText::append(char32_t c, Alignment alignment) {
  if (c < 0x80) {
    text.push_back(static_cast<char>(c));
    alignments.push_back(alignment);
    return;
  }
  append_utf8(c, &text);
  alignments.insert(alignments.end(), utf8_size(c), alignment);
}

void Pieces::assign(std::string_view text) {
  const uint32_t size = checked_size(text.size());
  content.text.assign(text);
  content.alignments.resize(size);
  for (size_t pos = 0; pos < text.size();) {
    const auto begin = static_cast<uint32_t>(pos);
    next_code_point(text, &pos);
    for (size_t i = begin; i < pos; ++i) {
      content.alignments[i] = {begin, static_cast<uint32_t>(pos)};
    }
  }
  pieces.clear();
  if (size > 0) pieces.push_back({0, size, 0, size});
}

PieceView Pieces::view(const Piece& piece) const {
  return {std::string_view(content.text).substr(piece.begin, piece.end - piece.begin),
          content.alignments.data() + piece.begin, piece.original_begin, piece.original_end};
}

Piece Pieces::slice(uint32_t begin, uint32_t end) const {
  return {begin, end, content.alignments[begin].begin, content.alignments[end - 1].end};
}

void rewrite(const PieceView& piece, const std::vector<Change>& changes, size_t removed,
             AlignedText* out) {
  const std::pair<size_t, size_t> range = rewritten_range(piece);
  const size_t begin = range.first, end = range.second;
  if (piece.text.empty()) return;
  // `read` walks over the characters that are replaced, `offset` over their alignments; the two
  // part only where characters are counted that do not exist.
  size_t read = begin, offset = begin;
  const auto take = [&]() {
    if (read >= end) return;
    const size_t before = read;
    next_code_point(piece.text, &read);
    offset += read - before;
  };
  out->text.append(piece.text.substr(0, begin));
  out->alignments.insert(out->alignments.end(), piece.alignments, piece.alignments + begin);
  for (size_t i = 0; i < removed; ++i) take();
  for (const Change& change : changes) {
    Alignment alignment;
    if (change.change > 0) {
      alignment = offset > 0 ? piece.alignments[offset - 1]
                             : Alignment{piece.original_begin, piece.original_begin};
    } else {
      if (offset >= piece.text.size()) fail_rewrite();
      alignment = piece.alignments[offset];
      take();
      for (int32_t n = change.change; n < 0 && read < end; ++n) take();
    }
    out->append(change.c, alignment);
  }
  out->text.append(piece.text.substr(end));
  out->alignments.insert(out->alignments.end(), piece.alignments + end,
                         piece.alignments + piece.text.size());
}

void replace(const PieceView& piece, const std::vector<std::pair<size_t, size_t>>& matches,
             std::string_view content, AlignedText* out) {
  size_t done = 0;
  const auto copy_until = [&](size_t end) {
    out->text.append(piece.text.substr(done, end - done));
    out->alignments.insert(out->alignments.end(), piece.alignments + done, piece.alignments + end);
  };
  for (const auto& [begin, end] : matches) {
    copy_until(begin);
    out->append(content, end > 0 ? piece.alignments[end - 1]
                                 : Alignment{piece.original_begin, piece.original_begin});
    done = end;
  }
  copy_until(piece.text.size());
}

void prepend(const PieceView& piece, std::string_view prefix, AlignedText* out) {
  if (piece.text.empty()) return;
  // As HF tokenizers does it: the prefix replaces the first character, which is then inserted
  // after it. Without a prefix the inserted character has nothing to its left.
  size_t first_end = 0;
  next_code_point(piece.text, &first_end);
  const Alignment first = piece.alignments[0];
  out->append(prefix, first);
  out->append(piece.text.substr(0, first_end),
              prefix.empty() ? Alignment{piece.original_begin, piece.original_begin} : first);
  out->text.append(piece.text.substr(first_end));
  out->alignments.insert(out->alignments.end(), piece.alignments + first_end,
                         piece.alignments + piece.text.size());
}

}  // namespace affectrt

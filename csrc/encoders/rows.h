// Rows of tokens, or of frames, one behind the other and without padding.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace affectrt {

struct RowSpans {
  const int32_t* row_begin = nullptr;  // [rows + 1], ascending; the first need not be 0
  size_t rows = 0;

  size_t tokens() const { return static_cast<size_t>(row_begin[rows] - row_begin[0]); }
  size_t length(size_t row) const {
    return static_cast<size_t>(row_begin[row + 1] - row_begin[row]);
  }
  // Tokens before this row.
  size_t first(size_t row) const { return static_cast<size_t>(row_begin[row] - row_begin[0]); }
  size_t longest() const {
    size_t most = 0;
    for (size_t row = 0; row < rows; ++row) most = std::max(most, length(row));
    return most;
  }
};

struct TokenRows {
  const int32_t* ids = nullptr;        // [row_begin[rows]]
  const int32_t* type_ids = nullptr;   // the same shape
  const int32_t* row_begin = nullptr;  // as in RowSpans
  size_t rows = 0;
  // How many of its first tokens each row keeps: of the others only what attention needs is
  // computed in the last layer. As in RowSpans; null: all.
  const int32_t* kept_begin = nullptr;

  RowSpans spans() const { return {row_begin, rows}; }
  RowSpans kept() const { return {kept_begin != nullptr ? kept_begin : row_begin, rows}; }
  bool keeps_all() const { return kept().tokens() == tokens(); }
  size_t tokens() const { return spans().tokens(); }
  size_t length(size_t row) const { return spans().length(row); }
};

}  // namespace affectrt

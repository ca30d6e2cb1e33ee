// Tables of embeddings, read where they lie in a model file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/half.h"
#include "bundle/safetensors.h"
#include "kernels/kernels.h"

namespace affectrt {

// Rows that are looked up and added: float32, F16 or BF16, or int8 codes with one scale a row.
// Immutable; the bytes behind `weights` and `others` must outlive it.
//
// NAME.rows, where it is there, is I32 [n], ascending: NAME has these n of the table's rows alone,
// and `others`, a file of the same kind, may have those that NAME.rows there lists.
class Table {
 public:
  Table() = default;
  // Throws Error(kModelFile) for what is missing, has another shape or values that are no numbers.
  Table(const SafeTensors& weights, const std::string& name, size_t rows, size_t width,
        const SafeTensors* others = nullptr);

  size_t rows() const { return rows_; }
  bool has(size_t row) const { return places_.empty() || places_[row] != kAbsent; }
  size_t absent_rows() const { return absent_; }
  // x[i] += row[i], i < width. The row is there.
  void add_row(const Kernels& kernels, size_t row, float* x) const;

 private:
  // Rows of one file, one behind the other; one of the pointers is set, `scales` with `codes`.
  struct Part {
    const float* values = nullptr;
    const uint16_t* halves = nullptr;
    HalfKind kind = HalfKind::kF16;
    const int8_t* codes = nullptr;
    const float* scales = nullptr;
  };
  static constexpr int32_t kAbsent = -1;

  static Part read_part(const SafeTensors& weights, const std::string& name, size_t rows,
                        size_t width);
  // The part with the rows that NAME.rows says, whose places begin at `first`.
  Part read_listed(const SafeTensors& weights, const std::string& name, size_t first,
                   size_t* count);

  size_t rows_ = 0;
  size_t width_ = 0;
  size_t absent_ = 0;
  Part own_;
  Part others_;
  size_t own_rows_ = 0;
  std::vector<int32_t> places_;  // [rows], in own_ and behind that in others_; empty: as they are
};

}  // namespace affectrt

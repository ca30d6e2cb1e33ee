// Weight matrices [outputs, inputs] into the panels that the GEMM kernels read.
//
// The model file keeps the checkpoint's own row-major layout: one file serves every instruction set
// and every other reader, and load has to pass over the codes anyway, to check their range and to
// add up the column sums that the zero-point correction needs.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"

namespace affectrt {

inline size_t round_up(size_t n, size_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}
inline size_t panel_count(size_t outputs) { return (outputs + kPanelColumns - 1) / kPanelColumns; }

// Sixteen rows of codes, each `inputs` long, to one panel [inputs / 4][16][4] (zero-padded to whole
// steps). A null row is a column of zeros. Returns false when a code is outside of +-max_code.
// `sums` [16] gets the sum of each row's codes.
bool pack_panel_u8s8(const int8_t* const rows[kPanelColumns], size_t inputs, int32_t max_code,
                     int8_t* panel, float* sums);
// The same for the 16-bit mode: [inputs / 2][16][2 values of s16].
bool pack_panel_s16(const int8_t* const rows[kPanelColumns], size_t inputs, int32_t max_code,
                    int8_t* panel, float* sums);
// [inputs][16]. Returns false when a value is NaN or infinite.
bool pack_panel_f32(const float* const rows[kPanelColumns], size_t inputs, float* panel);

// The largest code of queries and keys for which a score, a sum of `depth` products, stays within
// 2^30: the difference of two still fits int32.
int32_t max_score_code(size_t depth);
// The largest activation code for which a sum of `inputs` products with 8-bit weight codes stays
// within int32.
int32_t max_activation_code_s16(size_t inputs);

}  // namespace affectrt

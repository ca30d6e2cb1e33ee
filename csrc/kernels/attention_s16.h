// Attention in 16-bit integers, for models whose layers multiply integers: sums are exact in int32,
// so that their order does not matter, and one instruction multiplies twice the numbers of float32.
//
// Scores: queries have a scale a row, the keys of a text one scale for all of a head, within
// max_score_code(depth), so that a score and a difference of two fit. Weights: e^(score - highest)
// as codes up to kMostWeight; where those of a row add up to more than kMostWeightSum, they are
// scaled down, so that values within kMostValueCode, a scale for each column, cannot overflow a sum
// however many keys there are. Dividing by the codes' own sum makes the weights add up to 1.
#pragma once

#include <cstddef>
#include <cstdint>

namespace affectrt {

struct RowQuant;

constexpr int32_t kMostWeight = 32767;
constexpr int32_t kMostValueCode = 4095;
// Beyond it the sum of codes before scaling, n * kMostWeight, would not fit.
constexpr size_t kMostKeysS16 = size_t{1} << 16U;
// Rounding of scaled codes adds at most n / 2 to their sum.
constexpr int32_t kMostWeightSum = (1 << 19) - static_cast<int32_t>(kMostKeysS16 / 2);
static_assert(int64_t{kMostKeysS16} * kMostWeight < INT64_C(1) << 31);
static_assert((int64_t{kMostWeightSum} + int64_t{kMostKeysS16 / 2}) * kMostValueCode < INT64_C(1)
                                                                                           << 31);
// Largest values below it are taken for zeros' scale: its inverse is still far from infinite.
constexpr float kLeastRange = 1e-30F;

// a [rows, steps pairs of s16] times b [panels][steps][16 columns][2 values of s16].
struct ProductS16 {
  const uint8_t* a;
  size_t a_stride;  // bytes between rows, at least steps * 4
  const int8_t* b;
  size_t b_panel_stride;  // bytes
  size_t rows;
  size_t panels;
  size_t steps;
};

struct AttentionS16 {
  // Keys [tokens, stride] of one head, `width` a multiple of 16, to codes within +-max_code in
  // panels [ceil(tokens / 16)][ceil(width / 32) * 16 steps][16 tokens][2], zeros behind the last
  // token and column. Returns their scale; NaN where a value is NaN or Inf.
  float (*pack_keys)(const float* keys, size_t stride, size_t tokens, size_t width,
                     int32_t max_code, int8_t* panels);
  // Values [tokens, stride] of one head to panels [width / 16][ceil(tokens / 2) steps][16 columns]
  // [2 tokens] and scales [width]; NaN where the column has NaN or Inf.
  void (*pack_values)(const float* values, size_t stride, size_t tokens, size_t width,
                      int8_t* panels, float* scales);
  // sums [rows, sum_stride], panels * 16 columns of them.
  void (*scores)(const ProductS16& product, int32_t* sums, size_t sum_stride);
  // Weights of row r: e^(sums * quant[r].scale * scale + bias), less the highest of the first n
  // columns, to codes [rows, code_stride bytes], zeros from n to ceil(n / 16) * 16. `quant` becomes
  // that of the codes: they times their scale add up to 1. `bias` as for Kernels::softmax.
  void (*softmax)(const int32_t* sums, size_t sum_stride, size_t rows, size_t n, float scale,
                  const float* bias, ptrdiff_t bias_stride, uint8_t* codes, size_t code_stride,
                  RowQuant* quant);
  // c [rows, c_stride] = sums * quant[row].scale * scales[column].
  void (*values)(const ProductS16& product, const RowQuant* quant, const float* scales, float* c,
                 size_t c_stride);
};

// Bytes of a panel of 16 packed keys.
constexpr size_t key_panel_bytes(size_t width) { return (width + 31) / 32 * 16 * 64; }

}  // namespace affectrt

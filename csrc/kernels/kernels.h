// Arithmetic on raw pointers: one table of functions per instruction set. No allocation, no throw.
//
// Layout rules that every function relies on and keeps:
// - Rows of floats start at multiples of `stride` floats, where stride is a multiple of 16; the
//   columns between the logical width and the stride are readable, writable and stay zero.
// - Weights are panels of 16 output columns (pack.h), so a matrix of N outputs has ceil(N / 16)
//   panels, and everything "per column" (scales, sums, bias) is padded with zeros to panels * 16.
// - The arithmetic of one row depends on that row alone: neither on the number of rows of the call,
//   nor on the row's position in it, nor on which columns the call computes. That is what makes an
//   answer independent of batch neighbours and threads. SIMD bodies also share one order of
//   operations (16 partial sums, combined as a tree), so that they agree with each other to the
//   bit, but for WebAssembly's, which has no fused multiply-add; the scalar body is an independent
//   reference.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/attention_s16.h"

namespace affectrt {

constexpr size_t kPanelColumns = 16;
// Weight codes of the 8-bit x 7-bit mode: 2 * 255 * 63 < 2^15, so that a pair of products cannot
// saturate the 16-bit sums of vpmaddubsw.
constexpr int32_t kMaxCode7 = 63;
constexpr int32_t kMaxCode8 = 127;

struct SignalKernels;

enum class Activation : int32_t { kNone, kGelu, kGeluTanh, kRelu, kTanh };

// What happens to a finished sum before it is stored.
enum class Epilogue : int32_t {
  kBias,          // c = sum + bias
  kBiasGelu,      // c = gelu(sum + bias), the erf form; of 8-bit codes within 2.8e-4
  kBiasResidual,  // c = sum + bias + residual
};

// How a quantised row maps back: x = (code - zero) * scale. Signed 16-bit rows have zero = 0.
struct RowQuant {
  float scale;
  float zero;
};

// c[rows, panels * 16] = dequantise(a[rows, k] * b[k, panels * 16]), sums exact in int32.
struct GemmInt {
  const uint8_t* a;       // codes; 4 bytes are one step: 4 values of 8 bits or 2 of 16
  size_t a_stride;        // bytes between rows, at least steps * 4
  const RowQuant* quant;  // [rows]
  const int8_t* b;        // [panels][steps][16 columns][4 bytes], 64-byte aligned
  const float* b_scale;   // [panels * 16]
  const float* b_sum;     // [panels * 16] sum of a column's codes; exact, as |sum| < 2^24
  const float* bias;      // [panels * 16]
  size_t rows;
  size_t panels;
  size_t steps;
  float* c;
  size_t c_stride;        // floats
  const float* residual;  // kBiasResidual: [rows, c_stride]; may be c itself
  Epilogue epilogue;
};

// c[rows, panels * 16] = a[rows, k] * b[k, panels * 16] + bias, one fused multiply-add per k, in
// order.
struct GemmF32 {
  const float* a;
  size_t a_stride;  // floats between rows
  const float* b;   // column j of row k: b[(j / 16) * b_panel_stride + k * b_row_stride + j % 16]
  size_t b_row_stride;
  size_t b_panel_stride;
  const float* bias;  // [panels * 16] or null
  size_t rows;
  size_t panels;
  size_t k;
  float* c;
  size_t c_stride;
  const float* residual;
  Epilogue epilogue;
};

struct Kernels {
  const char* isa;

  void (*gemm_u8s8)(const GemmInt& g);    // b: 7-bit codes
  void (*gemm_s16s16)(const GemmInt& g);  // b: 8-bit codes widened to s16
  void (*gemm_f32)(const GemmF32& g);

  // Rows of x [rows, stride] to asymmetric 8-bit codes (range widened to hold 0) at codes [rows,
  // code_stride bytes]; writes ceil(n / 16) * 16 codes a row. A row with NaN or Inf gets scale =
  // NaN, so that it cannot turn into plausible numbers. The codes are for gemm_u8s8 of the same
  // table alone: u8, or s8 (all less 128, and the zero point too) where that multiplies faster.
  void (*quantize_u8)(const float* x, size_t stride, size_t rows, size_t n, uint8_t* codes,
                      size_t code_stride, RowQuant* quant);
  // The same to symmetric s16 within +-max_code.
  void (*quantize_s16)(const float* x, size_t stride, size_t rows, size_t n, int32_t max_code,
                       uint8_t* codes, size_t code_stride, RowQuant* quant);

  // In place: x = (x - mean) / sqrt(var + eps) * gamma + beta over the first n columns.
  void (*layer_norm)(float* x, size_t stride, size_t rows, size_t n, float eps, const float* gamma,
                     const float* beta);

  // In place, over the first n columns of each row: softmax(x * scale + bias). `bias` is null or
  // row r's bias begins at bias + r * bias_stride (which may be negative) with round_up(n, 16)
  // readable values.
  void (*softmax)(float* x, size_t stride, size_t rows, size_t n, float scale, const float* bias,
                  ptrdiff_t bias_stride);

  // In place on `n` values, n a multiple of 16.
  void (*activate)(Activation kind, float* x, size_t n);

  // x[i] += codes[i] * scale, i < n.
  void (*add_scaled_s8)(const int8_t* codes, float scale, float* x, size_t n);
  // y[i] += x[i], i < n.
  void (*add)(const float* x, float* y, size_t n);
  // y[i] *= x[i], i < n.
  void (*multiply)(const float* x, float* y, size_t n);
  // In place on `heads` rows of 2 * half floats one behind the other, half a multiple of 16: (a, b)
  // to (a cos - b sin, b cos + a sin), for a = x[i] and b = x[half + i], i < half.
  void (*rotate)(float* x, size_t heads, size_t half, const float* cosines, const float* sines);

  // Keys [tokens, stride] of one head, `width` a multiple of 16, into gemm_f32 panels
  // [ceil(tokens / 16)][width][16], zeros behind the last token.
  void (*pack_keys)(const float* keys, size_t stride, size_t tokens, size_t width, float* panels);

  AttentionS16 attention_s16;

  const SignalKernels& (*signal)();  // sound features: signal.h
};

}  // namespace affectrt

// AArch64 with the int8 matrix extension: usmmla multiplies two rows of 8 u8 values by two columns
// of 8 s8 values, twice the products of a dot instruction.
#include "kernels/rows_body.h"
#include "kernels/simd_neon.h"
#include "kernels/tables.h"
#include "kernels/tile_neon.h"

namespace affectrt {
namespace neon_i8mm {

struct Dot {
  static constexpr float kCodeOffset = 0.0F;
  static int32x4_t u8s8(int32x4_t sum, int32x4_t a, int32x4_t b) {
    return vusdotq_s32(sum, vreinterpretq_u8_s32(a), vreinterpretq_s8_s32(b));
  }
};

using Simd = neon::Simd<Dot>;

// Of 32 registers, 4 x 4 sums of 2 x 2 + 4 column pairs + 4 row pairs, for half a panel at a time.
struct Shape {
  static constexpr int kMaxPanels = 1;
  template <int kPanels>
  static constexpr int max_rows_f32() {
    return 6;
  }
  template <int kPanels>
  static constexpr int max_rows_int() {
    return 8;
  }
};

}  // namespace neon_i8mm

template <int kRows>
struct TileInt<neon_i8mm::Simd, DotU8S8<neon_i8mm::Simd>, kRows, 1> {
  static constexpr int kRowPairs = (kRows + 1) / 2;

  __attribute__((noinline)) static void run(const uint8_t* a, size_t a_stride, const int8_t* b,
                                            size_t /*b_panel_stride*/, size_t steps,
                                            uintptr_t ahead, size_t ahead_step, int32_t* out,
                                            size_t out_stride) {
    for (size_t half = 0; half < 2; ++half) {
      int32x4_t sum[kRowPairs][4];  // row 0 x column 0, row 0 x column 1, row 1 x ...
#pragma GCC unroll 4
      for (int r = 0; r < kRowPairs; ++r) {
#pragma GCC unroll 4
        for (int c = 0; c < 4; ++c) sum[r][c] = vdupq_n_s32(0);
      }
      const int8_t* column = b + half * 32;
      size_t step = 0;
      for (; step + 2 <= steps; step += 2) {
        multiply(a + step * 4, a_stride, column, column + 64, sum);
        for (size_t line = 0; line < ahead_step; line += 64) Simd::prefetch(ahead + line);
        ahead += ahead_step;
        column += 128;
      }
      if (step < steps) multiply_last(a + step * 4, a_stride, column, sum);
#pragma GCC unroll 4
      for (int r = 0; r < kRowPairs; ++r) {
#pragma GCC unroll 2
        for (int c = 0; c < 4; c += 2) {
          int32_t* at =
              out + static_cast<size_t>(2 * r) * out_stride + half * 8 + static_cast<size_t>(c * 2);
          vst1q_s32(at, vcombine_s32(vget_low_s32(sum[r][c]), vget_low_s32(sum[r][c + 1])));
          if (2 * r + 1 < kRows) {
            vst1q_s32(at + out_stride,
                      vcombine_s32(vget_high_s32(sum[r][c]), vget_high_s32(sum[r][c + 1])));
          }
        }
      }
    }
  }

 private:
  using Simd = neon_i8mm::Simd;

  // The second row of the last pair is the first again where the number of rows is odd.
  static size_t second(int pair) {
    return static_cast<size_t>(2 * pair + 1 < kRows ? 2 * pair + 1 : 2 * pair);
  }

  static void accumulate(const uint8x16_t (&rows)[kRowPairs], int32x4_t b0, int32x4_t b1,
                         int32x4_t next0, int32x4_t next1, int32x4_t (&sum)[kRowPairs][4]) {
    // [4 columns][4 values] of two steps to column pairs of 8 values.
    const int8x16_t columns[4] = {
        vreinterpretq_s8_s32(vzip1q_s32(b0, next0)), vreinterpretq_s8_s32(vzip2q_s32(b0, next0)),
        vreinterpretq_s8_s32(vzip1q_s32(b1, next1)), vreinterpretq_s8_s32(vzip2q_s32(b1, next1))};
#pragma GCC unroll 4
    for (int r = 0; r < kRowPairs; ++r) {
#pragma GCC unroll 4
      for (int c = 0; c < 4; ++c) sum[r][c] = vusmmlaq_s32(sum[r][c], rows[r], columns[c]);
    }
  }

  static void multiply(const uint8_t* a, size_t a_stride, const int8_t* b, const int8_t* next,
                       int32x4_t (&sum)[kRowPairs][4]) {
    uint8x16_t rows[kRowPairs];
#pragma GCC unroll 4
    for (int r = 0; r < kRowPairs; ++r) {
      rows[r] = vcombine_u8(vld1_u8(a + static_cast<size_t>(2 * r) * a_stride),
                            vld1_u8(a + second(r) * a_stride));
    }
    accumulate(rows, Simd::tile_load_i(b), Simd::tile_load_i(b + 16), Simd::tile_load_i(next),
               Simd::tile_load_i(next + 16), sum);
  }

  // One step alone: the other four values are zero.
  static void multiply_last(const uint8_t* a, size_t a_stride, const int8_t* b,
                            int32x4_t (&sum)[kRowPairs][4]) {
    uint8x16_t rows[kRowPairs];
#pragma GCC unroll 4
    for (int r = 0; r < kRowPairs; ++r) {
      uint32_t words[2];
      __builtin_memcpy(&words[0], a + static_cast<size_t>(2 * r) * a_stride, 4);
      __builtin_memcpy(&words[1], a + second(r) * a_stride, 4);
      rows[r] = vreinterpretq_u8_u64(vcombine_u64(vcreate_u64(words[0]), vcreate_u64(words[1])));
    }
    const int32x4_t none = vdupq_n_s32(0);
    accumulate(rows, Simd::tile_load_i(b), Simd::tile_load_i(b + 16), none, none, sum);
  }
};

const Kernels& neon_i8mm_kernels() {
  static constexpr Kernels kKernels =
      make_kernels<neon_i8mm::Simd, neon_i8mm::Shape>("neon-i8mm", neon_signal_kernels);
  return kKernels;
}

}  // namespace affectrt

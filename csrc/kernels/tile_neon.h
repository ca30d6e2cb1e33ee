// The tile of 16-bit integers on AArch64: smlal multiplies four columns by one value, where pairs
// would have to be multiplied, added and accumulated one after the other. Included by the NEON
// translation units, behind gemm_body.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/gemm_body.h"
#include "kernels/simd_neon.h"

namespace affectrt {

template <class Dot, int kRows>
struct TileInt<neon::Simd<Dot>, DotS16S16<neon::Simd<Dot>>, kRows, 1> {
  // Half a panel at a time: 8 x 2 sums + 4 columns + 1 row fit 32 registers.
  __attribute__((noinline)) static void run(const uint8_t* a, size_t a_stride, const int8_t* b,
                                            size_t /*b_panel_stride*/, size_t steps,
                                            uintptr_t ahead, size_t ahead_step, int32_t* out,
                                            size_t out_stride) {
    for (size_t half = 0; half < 2; ++half) {
      int32x4_t sum[kRows][2];
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) sum[r][0] = sum[r][1] = vdupq_n_s32(0);
      const int8_t* column = b + half * 32;
      size_t step = 0;
      for (; step + 2 <= steps; step += 2) {
        const int16x8x2_t first = columns(column);
        const int16x8x2_t second = columns(column + 64);
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          const int16x4_t x =
              vreinterpret_s16_u8(vld1_u8(a + static_cast<size_t>(r) * a_stride + step * 4));
          multiply<0>(x, first, sum[r]);
          multiply<2>(x, second, sum[r]);
        }
        for (size_t line = 0; line < ahead_step; line += 64)
          neon::Simd<Dot>::prefetch(ahead + line);
        ahead += ahead_step;
        column += 128;
      }
      if (step < steps) {
        const int16x8x2_t last = columns(column);
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          int32_t pair;
          __builtin_memcpy(&pair, a + static_cast<size_t>(r) * a_stride + step * 4, sizeof pair);
          multiply<0>(vreinterpret_s16_s32(vdup_n_s32(pair)), last, sum[r]);
        }
      }
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        int32_t* at = out + static_cast<size_t>(r) * out_stride + half * 8;
        vst1q_s32(at, sum[r][0]);
        vst1q_s32(at + 4, sum[r][1]);
      }
    }
  }

 private:
  // The first and the second values of the pairs of eight columns.
  static int16x8x2_t columns(const int8_t* pairs) {
    return vuzpq_s16(vreinterpretq_s16_s8(vld1q_s8(pairs)),
                     vreinterpretq_s16_s8(vld1q_s8(pairs + 16)));
  }
  template <int kLane>
  static void multiply(int16x4_t x, const int16x8x2_t& of, int32x4_t (&sum)[2]) {
    sum[0] = vmlal_lane_s16(sum[0], vget_low_s16(of.val[0]), x, kLane);
    sum[1] = vmlal_high_lane_s16(sum[1], of.val[0], x, kLane);
    sum[0] = vmlal_lane_s16(sum[0], vget_low_s16(of.val[1]), x, kLane + 1);
    sum[1] = vmlal_high_lane_s16(sum[1], of.val[1], x, kLane + 1);
  }
};

}  // namespace affectrt

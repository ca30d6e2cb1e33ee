// Sixteen float or int32 lanes on AArch64, as four registers. Included by the NEON translation
// units only; `Dot` keeps their template instances apart.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

namespace affectrt::neon {

struct F {
  float32x4_t a, b, c, d;
};
struct I {
  int32x4_t a, b, c, d;
};

template <class Dot>
struct Simd {
  using F = neon::F;
  using I = neon::I;
  using TileF = float32x4_t;
  using TileI = int32x4_t;
  static constexpr int kLanes = 4;

  static F zero() { return set1(0.0F); }
  static F set1(float x) {
    const float32x4_t v = vdupq_n_f32(x);
    return {v, v, v, v};
  }
  static F load(const float* p) {
    return {vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)};
  }
  static void store(float* p, F x) {
    vst1q_f32(p, x.a);
    vst1q_f32(p + 4, x.b);
    vst1q_f32(p + 8, x.c);
    vst1q_f32(p + 12, x.d);
  }
  static F add(F x, F y) {
    return {vaddq_f32(x.a, y.a), vaddq_f32(x.b, y.b), vaddq_f32(x.c, y.c), vaddq_f32(x.d, y.d)};
  }
  static F sub(F x, F y) {
    return {vsubq_f32(x.a, y.a), vsubq_f32(x.b, y.b), vsubq_f32(x.c, y.c), vsubq_f32(x.d, y.d)};
  }
  static F mul(F x, F y) {
    return {vmulq_f32(x.a, y.a), vmulq_f32(x.b, y.b), vmulq_f32(x.c, y.c), vmulq_f32(x.d, y.d)};
  }
  static F div(F x, F y) {
    return {vdivq_f32(x.a, y.a), vdivq_f32(x.b, y.b), vdivq_f32(x.c, y.c), vdivq_f32(x.d, y.d)};
  }
  static F sqrt(F x) {
    return {vsqrtq_f32(x.a), vsqrtq_f32(x.b), vsqrtq_f32(x.c), vsqrtq_f32(x.d)};
  }
  static F fma(F x, F y, F z) {
    return {vfmaq_f32(z.a, x.a, y.a), vfmaq_f32(z.b, x.b, y.b), vfmaq_f32(z.c, x.c, y.c),
            vfmaq_f32(z.d, x.d, y.d)};
  }
  static F fnma(F x, F y, F z) {  // z - x * y
    return {vfmsq_f32(z.a, x.a, y.a), vfmsq_f32(z.b, x.b, y.b), vfmsq_f32(z.c, x.c, y.c),
            vfmsq_f32(z.d, x.d, y.d)};
  }
  // NaN where either is NaN.
  static F max(F x, F y) {
    return {vmaxq_f32(x.a, y.a), vmaxq_f32(x.b, y.b), vmaxq_f32(x.c, y.c), vmaxq_f32(x.d, y.d)};
  }
  static F min(F x, F y) {
    return {vminq_f32(x.a, y.a), vminq_f32(x.b, y.b), vminq_f32(x.c, y.c), vminq_f32(x.d, y.d)};
  }
  static F keep_first(size_t n, F x, F fill) {
    constexpr uint32_t kIndex[4] = {0, 1, 2, 3};
    const uint32x4_t index = vld1q_u32(kIndex);
    const auto count = static_cast<uint32_t>(n);
    const auto below = [&](uint32_t offset) {
      return vcltq_u32(vaddq_u32(index, vdupq_n_u32(offset)), vdupq_n_u32(count));
    };
    return {vbslq_f32(below(0), x.a, fill.a), vbslq_f32(below(4), x.b, fill.b),
            vbslq_f32(below(8), x.c, fill.c), vbslq_f32(below(12), x.d, fill.d)};
  }

  // Lane i with i + 8, then + 4, + 2, + 1.
  static float reduce_add(F x) {
    const float32x4_t q = vaddq_f32(vaddq_f32(x.a, x.c), vaddq_f32(x.b, x.d));
    const float32x2_t h = vadd_f32(vget_low_f32(q), vget_high_f32(q));
    return vget_lane_f32(h, 0) + vget_lane_f32(h, 1);
  }
  static float reduce_max(F x) {
    return vmaxvq_f32(vmaxq_f32(vmaxq_f32(x.a, x.c), vmaxq_f32(x.b, x.d)));
  }
  static float reduce_min(F x) {
    return vminvq_f32(vminq_f32(vminq_f32(x.a, x.c), vminq_f32(x.b, x.d)));
  }

  static float round_scalar(float x) { return vrndns_f32(x); }  // nearest even
  static I load_i(const int32_t* p) {
    return {vld1q_s32(p), vld1q_s32(p + 4), vld1q_s32(p + 8), vld1q_s32(p + 12)};
  }
  static F to_float(I x) {
    return {vcvtq_f32_s32(x.a), vcvtq_f32_s32(x.b), vcvtq_f32_s32(x.c), vcvtq_f32_s32(x.d)};
  }
  static I zero_i() { return set1_i(0); }
  static I set1_i(int32_t x) {
    const int32x4_t v = vdupq_n_s32(x);
    return {v, v, v, v};
  }
  static I add_i(I x, I y) {
    return {vaddq_s32(x.a, y.a), vaddq_s32(x.b, y.b), vaddq_s32(x.c, y.c), vaddq_s32(x.d, y.d)};
  }
  static I sub_i(I x, I y) {
    return {vsubq_s32(x.a, y.a), vsubq_s32(x.b, y.b), vsubq_s32(x.c, y.c), vsubq_s32(x.d, y.d)};
  }
  static I max_i(I x, I y) {
    return {vmaxq_s32(x.a, y.a), vmaxq_s32(x.b, y.b), vmaxq_s32(x.c, y.c), vmaxq_s32(x.d, y.d)};
  }
  static int32_t reduce_add_i(I x) {
    return vaddvq_s32(vaddq_s32(vaddq_s32(x.a, x.b), vaddq_s32(x.c, x.d)));
  }
  static int32_t reduce_max_i(I x) {
    return vmaxvq_s32(vmaxq_s32(vmaxq_s32(x.a, x.b), vmaxq_s32(x.c, x.d)));
  }
  static void store_i(int8_t* p, I x) {
    vst1q_s8(p, vreinterpretq_s8_s32(x.a));
    vst1q_s8(p + 16, vreinterpretq_s8_s32(x.b));
    vst1q_s8(p + 32, vreinterpretq_s8_s32(x.c));
    vst1q_s8(p + 48, vreinterpretq_s8_s32(x.d));
  }
  static I bits(F x) {
    return {vreinterpretq_s32_f32(x.a), vreinterpretq_s32_f32(x.b), vreinterpretq_s32_f32(x.c),
            vreinterpretq_s32_f32(x.d)};
  }
  static F from_bits(I x) {
    return {vreinterpretq_f32_s32(x.a), vreinterpretq_f32_s32(x.b), vreinterpretq_f32_s32(x.c),
            vreinterpretq_f32_s32(x.d)};
  }
  // The bits of |x|, which grow with it; NaN and Inf are above all others.
  static I magnitude(F x) {
    return bits({vabsq_f32(x.a), vabsq_f32(x.b), vabsq_f32(x.c), vabsq_f32(x.d)});
  }
  // x in the lower half of each lane, y in the upper one.
  static I pair_s16(I x, I y) {
    return {vsliq_n_s32(x.a, y.a, 16), vsliq_n_s32(x.b, y.b, 16), vsliq_n_s32(x.c, y.c, 16),
            vsliq_n_s32(x.d, y.d, 16)};
  }
  // Sixteens of codes >= 0, in place: (code * factor + 2^14) / 2^15. Returns their sum.
  static int32_t scale_s16(uint8_t* codes, size_t sixteens, int16_t factor) {
    const int16x8_t by = vdupq_n_s16(factor);
    int32x4_t sum = vdupq_n_s32(0);
    for (size_t i = 0; i < 2 * sixteens; ++i, codes += 16) {
      const int16x8_t x = vqrdmulhq_s16(vreinterpretq_s16_u8(vld1q_u8(codes)), by);
      vst1q_u8(codes, vreinterpretq_u8_s16(x));
      sum = vpadalq_s16(sum, x);
    }
    return vaddvq_s32(sum);
  }
  static I round_to_int(F x) {  // nearest even
    return {vcvtnq_s32_f32(x.a), vcvtnq_s32_f32(x.b), vcvtnq_s32_f32(x.c), vcvtnq_s32_f32(x.d)};
  }
  // x * 2^n by the exponent field; the result has to be a normal number.
  static F scale_pow2(F x, I n) {
    const auto scale = [](float32x4_t v, int32x4_t e) {
      return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(v), vshlq_n_s32(e, 23)));
    };
    return {scale(x.a, n.a), scale(x.b, n.b), scale(x.c, n.c), scale(x.d, n.d)};
  }
  static F load_s8(const int8_t* p) {
    const int8x16_t codes = vld1q_s8(p);
    const int16x8_t low = vmovl_s8(vget_low_s8(codes));
    const int16x8_t high = vmovl_high_s8(codes);
    return {vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), vcvtq_f32_s32(vmovl_high_s16(low)),
            vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), vcvtq_f32_s32(vmovl_high_s16(high))};
  }
  // What is taken off codes of 0..255 where they are stored.
  static constexpr float kCodeOffset = Dot::kCodeOffset;
  static void store_u8(uint8_t* p, I x) {  // saturates to 0..255
    const uint16x8_t low = vcombine_u16(vqmovun_s32(x.a), vqmovun_s32(x.b));
    const uint16x8_t high = vcombine_u16(vqmovun_s32(x.c), vqmovun_s32(x.d));
    const uint8x16_t codes = vcombine_u8(vqmovn_u16(low), vqmovn_u16(high));
    // Taking 128 off a byte turns its highest bit.
    vst1q_u8(p, kCodeOffset == 0.0F ? codes : veorq_u8(codes, vdupq_n_u8(0x80)));
  }
  static void store_s16(uint8_t* p, I x) {  // saturates
    const int16x8_t low = vcombine_s16(vqmovn_s32(x.a), vqmovn_s32(x.b));
    const int16x8_t high = vcombine_s16(vqmovn_s32(x.c), vqmovn_s32(x.d));
    vst1q_u8(p, vreinterpretq_u8_s16(low));
    vst1q_u8(p + 16, vreinterpretq_u8_s16(high));
  }

  // The 16 x 16 block whose row r begins at p + r * stride, transposed, to out + r * 16.
  static void transpose16(const float* p, size_t stride, float* out) {
    for (size_t row = 0; row < 16; row += 4) {
      for (size_t column = 0; column < 16; column += 4) {
        const float* q = p + row * stride + column;
        const float32x4_t a = vld1q_f32(q);
        const float32x4_t b = vld1q_f32(q + stride);
        const float32x4_t c = vld1q_f32(q + 2 * stride);
        const float32x4_t d = vld1q_f32(q + 3 * stride);
        const float32x4_t ac_lo = vzip1q_f32(a, c);
        const float32x4_t ac_hi = vzip2q_f32(a, c);
        const float32x4_t bd_lo = vzip1q_f32(b, d);
        const float32x4_t bd_hi = vzip2q_f32(b, d);
        float* o = out + column * 16 + row;
        vst1q_f32(o, vzip1q_f32(ac_lo, bd_lo));
        vst1q_f32(o + 16, vzip2q_f32(ac_lo, bd_lo));
        vst1q_f32(o + 32, vzip1q_f32(ac_hi, bd_hi));
        vst1q_f32(o + 48, vzip2q_f32(ac_hi, bd_hi));
      }
    }
  }

  // Towards the second-level cache; any address will do.
  static void prefetch(uintptr_t p) { __builtin_prefetch(reinterpret_cast<const void*>(p), 0, 2); }

  // GEMM tiles.
  static TileF tile_zero_f() { return vdupq_n_f32(0.0F); }
  static TileF tile_load_f(const float* p) { return vld1q_f32(p); }
  static void tile_store_f(float* p, TileF x) { vst1q_f32(p, x); }
  static TileF tile_set1_f(const float* p) { return vld1q_dup_f32(p); }
  static TileF tile_fma(TileF x, TileF y, TileF z) { return vfmaq_f32(z, x, y); }
  static TileI tile_zero_i() { return vdupq_n_s32(0); }
  static TileI tile_load_i(const int8_t* p) { return vreinterpretq_s32_s8(vld1q_s8(p)); }
  static void tile_store_i(int32_t* p, TileI x) { vst1q_s32(p, x); }
  static TileI tile_broadcast4(const uint8_t* p) {
    int32_t word;
    __builtin_memcpy(&word, p, sizeof word);
    return vdupq_n_s32(word);
  }
  static TileI dot_u8s8(TileI sum, TileI x, TileI y) { return Dot::u8s8(sum, x, y); }
};

// 32 registers: 6 x 4 sums + 4 columns + 1 value.
struct Shape {
  static constexpr int kMaxPanels = 1;
  template <int kPanels>
  static constexpr int max_rows_f32() {
    return 6;
  }
  template <int kPanels>
  static constexpr int max_rows_int() {
    return 6;
  }
};

}  // namespace affectrt::neon

// Sixteen float or int32 lanes in WebAssembly, as four registers of its fixed-width SIMD. There is
// no fused multiply-add: fma() rounds twice, so that answers agree with other instruction sets
// within rounding and not to the bit.
#pragma once

#include <wasm_simd128.h>

#include <cstddef>
#include <cstdint>

namespace affectrt::wasm {

struct F {
  v128_t a, b, c, d;
};
struct I {
  v128_t a, b, c, d;
};

struct Simd {
  using F = wasm::F;
  using I = wasm::I;
  using TileF = v128_t;
  using TileI = v128_t;
  static constexpr int kLanes = 4;

  static F zero() { return set1(0.0F); }
  static F set1(float x) {
    const v128_t v = wasm_f32x4_splat(x);
    return {v, v, v, v};
  }
  static F load(const float* p) {
    return {wasm_v128_load(p), wasm_v128_load(p + 4), wasm_v128_load(p + 8),
            wasm_v128_load(p + 12)};
  }
  static void store(float* p, F x) {
    wasm_v128_store(p, x.a);
    wasm_v128_store(p + 4, x.b);
    wasm_v128_store(p + 8, x.c);
    wasm_v128_store(p + 12, x.d);
  }
  static F add(F x, F y) {
    return {wasm_f32x4_add(x.a, y.a), wasm_f32x4_add(x.b, y.b), wasm_f32x4_add(x.c, y.c),
            wasm_f32x4_add(x.d, y.d)};
  }
  static F sub(F x, F y) {
    return {wasm_f32x4_sub(x.a, y.a), wasm_f32x4_sub(x.b, y.b), wasm_f32x4_sub(x.c, y.c),
            wasm_f32x4_sub(x.d, y.d)};
  }
  static F mul(F x, F y) {
    return {wasm_f32x4_mul(x.a, y.a), wasm_f32x4_mul(x.b, y.b), wasm_f32x4_mul(x.c, y.c),
            wasm_f32x4_mul(x.d, y.d)};
  }
  static F div(F x, F y) {
    return {wasm_f32x4_div(x.a, y.a), wasm_f32x4_div(x.b, y.b), wasm_f32x4_div(x.c, y.c),
            wasm_f32x4_div(x.d, y.d)};
  }
  static F sqrt(F x) {
    return {wasm_f32x4_sqrt(x.a), wasm_f32x4_sqrt(x.b), wasm_f32x4_sqrt(x.c), wasm_f32x4_sqrt(x.d)};
  }
  static F fma(F x, F y, F z) { return add(mul(x, y), z); }
  static F fnma(F x, F y, F z) { return sub(z, mul(x, y)); }  // z - x * y
  // y where either is NaN.
  static F max(F x, F y) {
    return {wasm_f32x4_pmax(y.a, x.a), wasm_f32x4_pmax(y.b, x.b), wasm_f32x4_pmax(y.c, x.c),
            wasm_f32x4_pmax(y.d, x.d)};
  }
  static F min(F x, F y) {
    return {wasm_f32x4_pmin(y.a, x.a), wasm_f32x4_pmin(y.b, x.b), wasm_f32x4_pmin(y.c, x.c),
            wasm_f32x4_pmin(y.d, x.d)};
  }
  static F keep_first(size_t n, F x, F fill) {
    const v128_t count = wasm_i32x4_splat(static_cast<int32_t>(n));
    const auto keep = [&](v128_t index, v128_t kept, v128_t other) {
      return wasm_v128_bitselect(kept, other, wasm_i32x4_lt(index, count));
    };
    return {keep(wasm_i32x4_make(0, 1, 2, 3), x.a, fill.a),
            keep(wasm_i32x4_make(4, 5, 6, 7), x.b, fill.b),
            keep(wasm_i32x4_make(8, 9, 10, 11), x.c, fill.c),
            keep(wasm_i32x4_make(12, 13, 14, 15), x.d, fill.d)};
  }

  // Lane i with i + 8, then + 4, + 2, + 1.
  static float reduce_add(F x) {
    v128_t q = wasm_f32x4_add(wasm_f32x4_add(x.a, x.c), wasm_f32x4_add(x.b, x.d));
    q = wasm_f32x4_add(q, wasm_i32x4_shuffle(q, q, 2, 3, 0, 1));
    return wasm_f32x4_extract_lane(q, 0) + wasm_f32x4_extract_lane(q, 1);
  }
  static float reduce_max(F x) {
    v128_t q = wasm_f32x4_pmax(wasm_f32x4_pmax(x.a, x.c), wasm_f32x4_pmax(x.b, x.d));
    q = wasm_f32x4_pmax(q, wasm_i32x4_shuffle(q, q, 2, 3, 0, 1));
    q = wasm_f32x4_pmax(q, wasm_i32x4_shuffle(q, q, 1, 0, 3, 2));
    return wasm_f32x4_extract_lane(q, 0);
  }
  static float reduce_min(F x) {
    v128_t q = wasm_f32x4_pmin(wasm_f32x4_pmin(x.a, x.c), wasm_f32x4_pmin(x.b, x.d));
    q = wasm_f32x4_pmin(q, wasm_i32x4_shuffle(q, q, 2, 3, 0, 1));
    q = wasm_f32x4_pmin(q, wasm_i32x4_shuffle(q, q, 1, 0, 3, 2));
    return wasm_f32x4_extract_lane(q, 0);
  }

  static float round_scalar(float x) { return __builtin_nearbyintf(x); }  // nearest even
  static I load_i(const int32_t* p) {
    return {wasm_v128_load(p), wasm_v128_load(p + 4), wasm_v128_load(p + 8),
            wasm_v128_load(p + 12)};
  }
  static F to_float(I x) {
    return {wasm_f32x4_convert_i32x4(x.a), wasm_f32x4_convert_i32x4(x.b),
            wasm_f32x4_convert_i32x4(x.c), wasm_f32x4_convert_i32x4(x.d)};
  }
  static I zero_i() { return set1_i(0); }
  static I set1_i(int32_t x) {
    const v128_t v = wasm_i32x4_splat(x);
    return {v, v, v, v};
  }
  static I add_i(I x, I y) {
    return {wasm_i32x4_add(x.a, y.a), wasm_i32x4_add(x.b, y.b), wasm_i32x4_add(x.c, y.c),
            wasm_i32x4_add(x.d, y.d)};
  }
  static I sub_i(I x, I y) {
    return {wasm_i32x4_sub(x.a, y.a), wasm_i32x4_sub(x.b, y.b), wasm_i32x4_sub(x.c, y.c),
            wasm_i32x4_sub(x.d, y.d)};
  }
  static I max_i(I x, I y) {
    return {wasm_i32x4_max(x.a, y.a), wasm_i32x4_max(x.b, y.b), wasm_i32x4_max(x.c, y.c),
            wasm_i32x4_max(x.d, y.d)};
  }
  static int32_t add_lanes(v128_t q) {
    q = wasm_i32x4_add(q, wasm_i32x4_shuffle(q, q, 2, 3, 0, 1));
    return wasm_i32x4_extract_lane(q, 0) + wasm_i32x4_extract_lane(q, 1);
  }
  static int32_t reduce_add_i(I x) {
    return add_lanes(wasm_i32x4_add(wasm_i32x4_add(x.a, x.b), wasm_i32x4_add(x.c, x.d)));
  }
  static int32_t reduce_max_i(I x) {
    v128_t q = wasm_i32x4_max(wasm_i32x4_max(x.a, x.b), wasm_i32x4_max(x.c, x.d));
    q = wasm_i32x4_max(q, wasm_i32x4_shuffle(q, q, 2, 3, 0, 1));
    q = wasm_i32x4_max(q, wasm_i32x4_shuffle(q, q, 1, 0, 3, 2));
    return wasm_i32x4_extract_lane(q, 0);
  }
  static void store_i(int8_t* p, I x) {
    wasm_v128_store(p, x.a);
    wasm_v128_store(p + 16, x.b);
    wasm_v128_store(p + 32, x.c);
    wasm_v128_store(p + 48, x.d);
  }
  static I bits(F x) { return {x.a, x.b, x.c, x.d}; }
  static F from_bits(I x) { return {x.a, x.b, x.c, x.d}; }
  // The bits of |x|, which grow with it; NaN and Inf are above all others.
  static I magnitude(F x) {
    return {wasm_f32x4_abs(x.a), wasm_f32x4_abs(x.b), wasm_f32x4_abs(x.c), wasm_f32x4_abs(x.d)};
  }
  // x in the lower half of each lane, y in the upper one.
  static I pair_s16(I x, I y) {
    const auto pair = [](v128_t low, v128_t high) {
      return wasm_v128_bitselect(low, wasm_i32x4_shl(high, 16), wasm_i32x4_splat(0xFFFF));
    };
    return {pair(x.a, y.a), pair(x.b, y.b), pair(x.c, y.c), pair(x.d, y.d)};
  }
  // Sixteens of codes >= 0, in place: (code * factor + 2^14) / 2^15. Returns their sum.
  static int32_t scale_s16(uint8_t* codes, size_t sixteens, int16_t factor) {
    const v128_t by = wasm_i16x8_splat(factor);
    v128_t sum = wasm_i32x4_splat(0);
    for (size_t i = 0; i < 2 * sixteens; ++i, codes += 16) {
      const v128_t x = wasm_i16x8_q15mulr_sat(wasm_v128_load(codes), by);
      wasm_v128_store(codes, x);
      sum = wasm_i32x4_add(sum, wasm_i32x4_extadd_pairwise_i16x8(x));
    }
    return add_lanes(sum);
  }
  static I round_to_int(F x) {  // nearest even
    const auto round = [](v128_t v) { return wasm_i32x4_trunc_sat_f32x4(wasm_f32x4_nearest(v)); };
    return {round(x.a), round(x.b), round(x.c), round(x.d)};
  }
  // x * 2^n by the exponent field; the result has to be a normal number.
  static F scale_pow2(F x, I n) {
    const auto scale = [](v128_t v, v128_t e) { return wasm_i32x4_add(v, wasm_i32x4_shl(e, 23)); };
    return {scale(x.a, n.a), scale(x.b, n.b), scale(x.c, n.c), scale(x.d, n.d)};
  }
  static F load_s8(const int8_t* p) {
    const v128_t codes = wasm_v128_load(p);
    const v128_t low = wasm_i16x8_extend_low_i8x16(codes);
    const v128_t high = wasm_i16x8_extend_high_i8x16(codes);
    return to_float({wasm_i32x4_extend_low_i16x8(low), wasm_i32x4_extend_high_i16x8(low),
                     wasm_i32x4_extend_low_i16x8(high), wasm_i32x4_extend_high_i16x8(high)});
  }
  // What is taken off codes of 0..255 where they are stored.
  static constexpr float kCodeOffset = 0.0F;
  static void store_u8(uint8_t* p, I x) {  // saturates to 0..255
    wasm_v128_store(p, wasm_u8x16_narrow_i16x8(wasm_i16x8_narrow_i32x4(x.a, x.b),
                                               wasm_i16x8_narrow_i32x4(x.c, x.d)));
  }
  static void store_s16(uint8_t* p, I x) {  // saturates
    wasm_v128_store(p, wasm_i16x8_narrow_i32x4(x.a, x.b));
    wasm_v128_store(p + 16, wasm_i16x8_narrow_i32x4(x.c, x.d));
  }

  // The 16 x 16 block whose row r begins at p + r * stride, transposed, to out + r * 16.
  static void transpose16(const float* p, size_t stride, float* out) {
    for (size_t row = 0; row < 16; row += 4) {
      for (size_t column = 0; column < 16; column += 4) {
        const float* q = p + row * stride + column;
        const v128_t a = wasm_v128_load(q);
        const v128_t b = wasm_v128_load(q + stride);
        const v128_t c = wasm_v128_load(q + 2 * stride);
        const v128_t d = wasm_v128_load(q + 3 * stride);
        const v128_t ab_low = wasm_i32x4_shuffle(a, b, 0, 4, 1, 5);
        const v128_t ab_high = wasm_i32x4_shuffle(a, b, 2, 6, 3, 7);
        const v128_t cd_low = wasm_i32x4_shuffle(c, d, 0, 4, 1, 5);
        const v128_t cd_high = wasm_i32x4_shuffle(c, d, 2, 6, 3, 7);
        float* o = out + column * 16 + row;
        wasm_v128_store(o, wasm_i64x2_shuffle(ab_low, cd_low, 0, 2));
        wasm_v128_store(o + 16, wasm_i64x2_shuffle(ab_low, cd_low, 1, 3));
        wasm_v128_store(o + 32, wasm_i64x2_shuffle(ab_high, cd_high, 0, 2));
        wasm_v128_store(o + 48, wasm_i64x2_shuffle(ab_high, cd_high, 1, 3));
      }
    }
  }

  static void prefetch(uintptr_t /*p*/) {}  // WebAssembly has none

  // GEMM tiles.
  static TileF tile_zero_f() { return wasm_f32x4_splat(0.0F); }
  static TileF tile_load_f(const float* p) { return wasm_v128_load(p); }
  static void tile_store_f(float* p, TileF x) { wasm_v128_store(p, x); }
  static TileF tile_set1_f(const float* p) { return wasm_v128_load32_splat(p); }
  static TileF tile_fma(TileF x, TileF y, TileF z) {
    return wasm_f32x4_add(wasm_f32x4_mul(x, y), z);
  }
  static TileI tile_zero_i() { return wasm_i32x4_splat(0); }
  static TileI tile_load_i(const int8_t* p) { return wasm_v128_load(p); }
  static void tile_store_i(int32_t* p, TileI x) { wasm_v128_store(p, x); }
  static TileI tile_broadcast4(const uint8_t* p) { return wasm_v128_load32_splat(p); }
  // Four products of each of four columns: as 16-bit values, added in pairs, and the pairs added.
  // `x` is one value of four bytes again and again, so that one half of it serves both halves of y.
  static TileI dot_u8s8(TileI sum, TileI x, TileI y) {
    const v128_t codes = wasm_u16x8_extend_low_u8x16(x);
    const v128_t low = wasm_i32x4_dot_i16x8(codes, wasm_i16x8_extend_low_i8x16(y));
    const v128_t high = wasm_i32x4_dot_i16x8(codes, wasm_i16x8_extend_high_i8x16(y));
    const v128_t first = wasm_i32x4_shuffle(low, high, 0, 2, 4, 6);
    const v128_t second = wasm_i32x4_shuffle(low, high, 1, 3, 5, 7);
    return wasm_i32x4_add(sum, wasm_i32x4_add(first, second));
  }
  static TileI dot_s16s16(TileI sum, TileI x, TileI y) {
    return wasm_i32x4_add(sum, wasm_i32x4_dot_i16x8(x, y));
  }
};

// Machines below have 16 registers or more: 2 x 4 sums + 4 columns + 1 value.
struct Shape {
  static constexpr int kMaxPanels = 1;
  template <int kPanels>
  static constexpr int max_rows_f32() {
    return 2;
  }
  template <int kPanels>
  static constexpr int max_rows_int() {
    return 2;
  }
};

}  // namespace affectrt::wasm

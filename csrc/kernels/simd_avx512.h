// Sixteen float or int32 lanes on AVX-512. Included by the AVX-512 translation units only.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace affectrt::avx512 {

struct Simd {
  using F = __m512;
  using I = __m512i;

  // Native vectors of a GEMM tile, and the tile shapes that fill 32 registers.
  using TileF = __m512;
  using TileI = __m512i;
  static constexpr int kLanes = 16;

  static F zero() { return _mm512_setzero_ps(); }
  static F set1(float x) { return _mm512_set1_ps(x); }
  static F load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, F x) { _mm512_storeu_ps(p, x); }
  static F add(F a, F b) { return _mm512_add_ps(a, b); }
  static F sub(F a, F b) { return _mm512_sub_ps(a, b); }
  static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F div(F a, F b) { return _mm512_div_ps(a, b); }
  static F sqrt(F a) { return _mm512_sqrt_ps(a); }
  static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static F fnma(F a, F b, F c) { return _mm512_fnmadd_ps(a, b, c); }  // c - a * b
  // b where either is NaN.
  static F max(F a, F b) { return _mm512_max_ps(a, b); }
  static F min(F a, F b) { return _mm512_min_ps(a, b); }
  static F keep_first(size_t n, F x, F fill) {
    return _mm512_mask_mov_ps(fill, static_cast<__mmask16>((1U << n) - 1U), x);
  }

  static __m256 upper(F x) {  // AVX512F alone; extractf32x8 would need DQ
    return _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(x), 1));
  }
  // Lane i with i + 8, then + 4, + 2, + 1.
  static float reduce_add(F x) {
    __m256 s = _mm256_add_ps(_mm512_castps512_ps256(x), upper(x));
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
  }
  static float reduce_max(F x) {
    __m256 s = _mm256_max_ps(_mm512_castps512_ps256(x), upper(x));
    __m128 q = _mm_max_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(q, _mm_movehdup_ps(q)));
  }
  static float reduce_min(F x) {
    __m256 s = _mm256_min_ps(_mm512_castps512_ps256(x), upper(x));
    __m128 q = _mm_min_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
    q = _mm_min_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_min_ss(q, _mm_movehdup_ps(q)));
  }

  static float round_scalar(float x) {  // nearest even
    const __m128 v = _mm_set_ss(x);
    return _mm_cvtss_f32(_mm_round_ss(v, v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  static I load_i(const int32_t* p) { return _mm512_loadu_si512(p); }
  static F to_float(I x) { return _mm512_cvtepi32_ps(x); }
  static I zero_i() { return _mm512_setzero_si512(); }
  static I set1_i(int32_t x) { return _mm512_set1_epi32(x); }
  static I add_i(I a, I b) { return _mm512_add_epi32(a, b); }
  static I sub_i(I a, I b) { return _mm512_sub_epi32(a, b); }
  static I max_i(I a, I b) { return _mm512_max_epi32(a, b); }
  static int32_t reduce_add_i(I x) { return _mm512_reduce_add_epi32(x); }
  static int32_t reduce_max_i(I x) { return _mm512_reduce_max_epi32(x); }
  static void store_i(int8_t* p, I x) { _mm512_storeu_si512(p, x); }
  static I bits(F x) { return _mm512_castps_si512(x); }
  static F from_bits(I x) { return _mm512_castsi512_ps(x); }
  // The bits of |x|, which grow with it; NaN and Inf are above all others.
  static I magnitude(F x) { return _mm512_and_si512(bits(x), set1_i(0x7FFFFFFF)); }
  // a in the lower half of each lane, b in the upper one.
  static I pair_s16(I a, I b) {
    return _mm512_or_si512(_mm512_and_si512(a, set1_i(0xFFFF)), _mm512_slli_epi32(b, 16));
  }
  // Sixteens of codes >= 0, in place: (code * factor + 2^14) / 2^15. Returns their sum.
  static int32_t scale_s16(uint8_t* codes, size_t sixteens, int16_t factor) {
    const __m512i by = _mm512_set1_epi16(factor);
    __m512i sum = _mm512_setzero_si512();
    for (size_t i = 0; i < sixteens; i += 2, codes += 64) {
      const __mmask32 some = i + 1 < sixteens ? 0xFFFFFFFFU : 0xFFFFU;
      const __m512i x = _mm512_mulhrs_epi16(_mm512_maskz_loadu_epi16(some, codes), by);
      _mm512_mask_storeu_epi16(codes, some, x);
      sum = _mm512_add_epi32(sum, _mm512_madd_epi16(x, _mm512_set1_epi16(1)));
    }
    return reduce_add_i(sum);
  }
  static I round_to_int(F x) { return _mm512_cvtps_epi32(x); }  // nearest even
  // x * 2^n by the exponent field; the result has to be a normal number.
  static F scale_pow2(F x, I n) {
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(x), _mm512_slli_epi32(n, 23)));
  }
  static F load_s8(const int8_t* p) {
    return _mm512_cvtepi32_ps(
        _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }
  // What is taken off codes of 0..255 where they are stored.
  static constexpr float kCodeOffset = 0.0F;
  static void store_u8(uint8_t* p, I x) {  // saturates to 0..255
    const __m512i positive = _mm512_max_epi32(x, _mm512_setzero_si512());
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtusepi32_epi8(positive));
  }
  static void store_s16(uint8_t* p, I x) {  // saturates
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtsepi32_epi16(x));
  }

  // The 16 x 16 block whose row r begins at p + r * stride, transposed, to out + r * 16.
  static void transpose16(const float* p, size_t stride, float* out) {
    __m512 r[16];
    __m512 t[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) {
      // Rows i, i + 4, i + 8, i + 12 of a 4-column block, one to each 128-bit lane.
      const float* q = p + static_cast<size_t>(i % 4) * stride + static_cast<size_t>(i / 4) * 4;
      __m512 x = _mm512_castps128_ps512(_mm_loadu_ps(q));
      x = _mm512_insertf32x4(x, _mm_loadu_ps(q + 4 * stride), 1);
      x = _mm512_insertf32x4(x, _mm_loadu_ps(q + 8 * stride), 2);
      r[i] = _mm512_insertf32x4(x, _mm_loadu_ps(q + 12 * stride), 3);
    }
#pragma GCC unroll 4
    for (int b = 0; b < 16; b += 4) {  // 4 x 4 transposes within the lanes
      t[b] = _mm512_unpacklo_ps(r[b], r[b + 1]);
      t[b + 1] = _mm512_unpackhi_ps(r[b], r[b + 1]);
      t[b + 2] = _mm512_unpacklo_ps(r[b + 2], r[b + 3]);
      t[b + 3] = _mm512_unpackhi_ps(r[b + 2], r[b + 3]);
      float* o = out + b * 16;
      store(o, _mm512_shuffle_ps(t[b], t[b + 2], 0x44));
      store(o + 16, _mm512_shuffle_ps(t[b], t[b + 2], 0xEE));
      store(o + 32, _mm512_shuffle_ps(t[b + 1], t[b + 3], 0x44));
      store(o + 48, _mm512_shuffle_ps(t[b + 1], t[b + 3], 0xEE));
    }
  }

  // Towards the second-level cache; any address will do.
  static void prefetch(uintptr_t p) { _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T1); }

  // GEMM tiles.
  static TileF tile_zero_f() { return _mm512_setzero_ps(); }
  static TileF tile_load_f(const float* p) { return _mm512_loadu_ps(p); }
  static void tile_store_f(float* p, TileF x) { _mm512_storeu_ps(p, x); }
  static TileF tile_set1_f(const float* p) { return _mm512_set1_ps(*p); }
  static TileF tile_fma(TileF a, TileF b, TileF c) { return _mm512_fmadd_ps(a, b, c); }
  static TileI tile_zero_i() { return _mm512_setzero_si512(); }
  static TileI tile_load_i(const int8_t* p) { return _mm512_loadu_si512(p); }
  static void tile_store_i(int32_t* p, TileI x) { _mm512_storeu_si512(p, x); }
  static TileI tile_broadcast4(const uint8_t* p) {
    int32_t word;
    __builtin_memcpy(&word, p, sizeof word);
    return _mm512_set1_epi32(word);
  }
  static TileI dot_u8s8(TileI sum, TileI a, TileI b) { return _mm512_dpbusd_epi32(sum, a, b); }
  static TileI dot_s16s16(TileI sum, TileI a, TileI b) { return _mm512_dpwssd_epi32(sum, a, b); }
};

}  // namespace affectrt::avx512

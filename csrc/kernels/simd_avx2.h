// Sixteen float or int32 lanes on AVX2 and FMA, as two registers. Included by the AVX2 and AVX-VNNI
// translation units only; `Tag` keeps their template instances apart.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace affectrt::avx2 {

struct F {
  __m256 lo, hi;
};
struct I {
  __m256i lo, hi;
};

template <class Dot>
struct Simd {
  using F = avx2::F;
  using I = avx2::I;
  using TileF = __m256;
  using TileI = __m256i;
  static constexpr int kLanes = 8;

  static F zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  static F set1(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
  static F load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  static void store(float* p, F x) {
    _mm256_storeu_ps(p, x.lo);
    _mm256_storeu_ps(p + 8, x.hi);
  }
  static F add(F a, F b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
  static F sub(F a, F b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
  static F mul(F a, F b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
  static F div(F a, F b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
  static F sqrt(F a) { return {_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)}; }
  static F fma(F a, F b, F c) {
    return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
  }
  static F fnma(F a, F b, F c) {  // c - a * b
    return {_mm256_fnmadd_ps(a.lo, b.lo, c.lo), _mm256_fnmadd_ps(a.hi, b.hi, c.hi)};
  }
  // b where either is NaN.
  static F max(F a, F b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
  static F min(F a, F b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
  static F keep_first(size_t n, F x, F fill) {
    const __m256i count = _mm256_set1_epi32(static_cast<int32_t>(n));
    const __m256i low = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i high = _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15);
    return {_mm256_blendv_ps(fill.lo, x.lo, _mm256_castsi256_ps(_mm256_cmpgt_epi32(count, low))),
            _mm256_blendv_ps(fill.hi, x.hi, _mm256_castsi256_ps(_mm256_cmpgt_epi32(count, high)))};
  }

  // Lane i with i + 8, then + 4, + 2, + 1.
  static float reduce_add(F x) {
    const __m256 s = _mm256_add_ps(x.lo, x.hi);
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
  }
  static float reduce_max(F x) {
    const __m256 s = _mm256_max_ps(x.lo, x.hi);
    __m128 q = _mm_max_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(q, _mm_movehdup_ps(q)));
  }
  static float reduce_min(F x) {
    const __m256 s = _mm256_min_ps(x.lo, x.hi);
    __m128 q = _mm_min_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps(s, 1));
    q = _mm_min_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_min_ss(q, _mm_movehdup_ps(q)));
  }

  static float round_scalar(float x) {  // nearest even
    const __m128 v = _mm_set_ss(x);
    return _mm_cvtss_f32(_mm_round_ss(v, v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  static I load_i(const int32_t* p) {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
            _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 8))};
  }
  static F to_float(I x) { return {_mm256_cvtepi32_ps(x.lo), _mm256_cvtepi32_ps(x.hi)}; }
  static I zero_i() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
  static I set1_i(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
  static I add_i(I a, I b) { return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)}; }
  static I sub_i(I a, I b) { return {_mm256_sub_epi32(a.lo, b.lo), _mm256_sub_epi32(a.hi, b.hi)}; }
  static I max_i(I a, I b) { return {_mm256_max_epi32(a.lo, b.lo), _mm256_max_epi32(a.hi, b.hi)}; }
  static int32_t add_lanes(__m256i x) {
    __m128i q = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    q = _mm_add_epi32(q, _mm_shuffle_epi32(q, 0x4E));
    return _mm_cvtsi128_si32(_mm_add_epi32(q, _mm_shuffle_epi32(q, 0xB1)));
  }
  static int32_t reduce_add_i(I x) { return add_lanes(_mm256_add_epi32(x.lo, x.hi)); }
  static int32_t reduce_max_i(I x) {
    const __m256i s = _mm256_max_epi32(x.lo, x.hi);
    __m128i q = _mm_max_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
    q = _mm_max_epi32(q, _mm_shuffle_epi32(q, 0x4E));
    return _mm_cvtsi128_si32(_mm_max_epi32(q, _mm_shuffle_epi32(q, 0xB1)));
  }
  static void store_i(int8_t* p, I x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x.lo);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 32), x.hi);
  }
  static I bits(F x) { return {_mm256_castps_si256(x.lo), _mm256_castps_si256(x.hi)}; }
  static F from_bits(I x) { return {_mm256_castsi256_ps(x.lo), _mm256_castsi256_ps(x.hi)}; }
  // The bits of |x|, which grow with it; NaN and Inf are above all others.
  static I magnitude(F x) {
    const __m256i mask = _mm256_set1_epi32(0x7FFFFFFF);
    return {_mm256_and_si256(_mm256_castps_si256(x.lo), mask),
            _mm256_and_si256(_mm256_castps_si256(x.hi), mask)};
  }
  // a in the lower half of each lane, b in the upper one.
  static I pair_s16(I a, I b) {
    const auto pair = [](__m256i low, __m256i high) {
      return _mm256_blend_epi16(low, _mm256_slli_epi32(high, 16), 0xAA);
    };
    return {pair(a.lo, b.lo), pair(a.hi, b.hi)};
  }
  // Sixteens of codes >= 0, in place: (code * factor + 2^14) / 2^15. Returns their sum.
  static int32_t scale_s16(uint8_t* codes, size_t sixteens, int16_t factor) {
    const __m256i by = _mm256_set1_epi16(factor);
    __m256i sum = _mm256_setzero_si256();
    for (size_t i = 0; i < sixteens; ++i, codes += 32) {
      auto* at = reinterpret_cast<__m256i*>(codes);
      const __m256i x = _mm256_mulhrs_epi16(_mm256_loadu_si256(at), by);
      _mm256_storeu_si256(at, x);
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(x, _mm256_set1_epi16(1)));
    }
    return add_lanes(sum);
  }
  static I round_to_int(F x) {  // nearest even
    return {_mm256_cvtps_epi32(x.lo), _mm256_cvtps_epi32(x.hi)};
  }
  // x * 2^n by the exponent field; the result has to be a normal number.
  static F scale_pow2(F x, I n) {
    return {_mm256_castsi256_ps(
                _mm256_add_epi32(_mm256_castps_si256(x.lo), _mm256_slli_epi32(n.lo, 23))),
            _mm256_castsi256_ps(
                _mm256_add_epi32(_mm256_castps_si256(x.hi), _mm256_slli_epi32(n.hi, 23)))};
  }
  static F load_s8(const int8_t* p) {
    const __m128i codes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(codes)),
            _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(codes, 8)))};
  }
  static __m256i pack_s16(I x) {  // saturates; the packs of two 128-bit lanes put in order
    return _mm256_permute4x64_epi64(_mm256_packs_epi32(x.lo, x.hi), 0xD8);
  }
  // What is taken off codes of 0..255 where they are stored.
  static constexpr float kCodeOffset = 0.0F;
  static void store_u8(uint8_t* p, I x) {  // saturates to 0..255
    const __m256i words = pack_s16(x);
    const __m128i bytes =
        _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
  }
  static void store_s16(uint8_t* p, I x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), pack_s16(x));
  }

  // The 16 x 16 block whose row r begins at p + r * stride, transposed, to out + r * 16.
  static void transpose16(const float* p, size_t stride, float* out) {
    for (size_t row = 0; row < 16; row += 4) {
      for (size_t column = 0; column < 16; column += 4) {
        const float* q = p + row * stride + column;
        const __m128 a = _mm_loadu_ps(q);
        const __m128 b = _mm_loadu_ps(q + stride);
        const __m128 c = _mm_loadu_ps(q + 2 * stride);
        const __m128 d = _mm_loadu_ps(q + 3 * stride);
        const __m128 ab_lo = _mm_unpacklo_ps(a, b);
        const __m128 ab_hi = _mm_unpackhi_ps(a, b);
        const __m128 cd_lo = _mm_unpacklo_ps(c, d);
        const __m128 cd_hi = _mm_unpackhi_ps(c, d);
        float* o = out + column * 16 + row;
        _mm_storeu_ps(o, _mm_movelh_ps(ab_lo, cd_lo));
        _mm_storeu_ps(o + 16, _mm_movehl_ps(cd_lo, ab_lo));
        _mm_storeu_ps(o + 32, _mm_movelh_ps(ab_hi, cd_hi));
        _mm_storeu_ps(o + 48, _mm_movehl_ps(cd_hi, ab_hi));
      }
    }
  }

  // Towards the second-level cache; any address will do.
  static void prefetch(uintptr_t p) { _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T1); }

  // GEMM tiles.
  static TileF tile_zero_f() { return _mm256_setzero_ps(); }
  static TileF tile_load_f(const float* p) { return _mm256_loadu_ps(p); }
  static void tile_store_f(float* p, TileF x) { _mm256_storeu_ps(p, x); }
  static TileF tile_set1_f(const float* p) { return _mm256_broadcast_ss(p); }
  static TileF tile_fma(TileF a, TileF b, TileF c) { return _mm256_fmadd_ps(a, b, c); }
  static TileI tile_zero_i() { return _mm256_setzero_si256(); }
  static TileI tile_load_i(const int8_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  static void tile_store_i(int32_t* p, TileI x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x);
  }
  static TileI tile_broadcast4(const uint8_t* p) {
    int32_t word;
    __builtin_memcpy(&word, p, sizeof word);
    return _mm256_set1_epi32(word);
  }
  static TileI dot_u8s8(TileI sum, TileI a, TileI b) { return Dot::u8s8(sum, a, b); }
  static TileI dot_s16s16(TileI sum, TileI a, TileI b) { return Dot::s16s16(sum, a, b); }
};

// 16 registers: 6 x 2 sums + 2 columns + 1 value.
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

}  // namespace affectrt::avx2

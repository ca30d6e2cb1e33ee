#include "peak.h"

#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace affectrt::bench {
namespace {

// `STEP` makes the next sum of `sum`, `a` and `b`. The empty assembly says that a changes, so that
// no product is computed once and for all, and that the sums are needed.
#define AFFECTRT_PEAK_LOOP(NAME, TARGET, VECTOR, REGISTER, SUMS, FILL, STEP) \
  __attribute__((target(TARGET), noinline)) void NAME(size_t passes) {       \
    VECTOR sums[SUMS];                                                       \
    VECTOR a = FILL;                                                         \
    VECTOR b = FILL;                                                         \
    _Pragma("GCC unroll 32") for (int i = 0; i < SUMS; ++i) sums[i] = FILL;  \
    for (size_t pass = 0; pass < passes; ++pass) {                           \
      _Pragma("GCC unroll 32") for (int i = 0; i < SUMS; ++i) {              \
        asm volatile("" : "+" REGISTER(a));                                  \
        const VECTOR sum = sums[i];                                          \
        sums[i] = STEP;                                                      \
      }                                                                      \
    }                                                                        \
    asm volatile("" : "+" REGISTER(b));                                      \
    _Pragma("GCC unroll 32") for (int i = 0; i < SUMS; ++i) {                \
      asm volatile("" : "+" REGISTER(sums[i]));                              \
    }                                                                        \
  }

#if defined(__x86_64__)

// Two instructions of 4 or 5 cycles start in one cycle: ten sums at least. Where a product is no
// sum yet (vpmaddubsw, vpmaddwd), only the addition waits for the one before.
AFFECTRT_PEAK_LOOP(avx2_u8s8, "avx2", __m256i, "x", 10, _mm256_set1_epi8(3),
                   _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b),
                                                           _mm256_set1_epi16(1))))
AFFECTRT_PEAK_LOOP(avx2_s16s16, "avx2", __m256i, "x", 12, _mm256_set1_epi8(3),
                   _mm256_add_epi32(sum, _mm256_madd_epi16(a, b)))
AFFECTRT_PEAK_LOOP(avx2_f32, "avx2,fma", __m256, "x", 12, _mm256_set1_ps(0.75F),
                   _mm256_fmadd_ps(a, b, sum))
AFFECTRT_PEAK_LOOP(avx_vnni_u8s8, "avx2,avxvnni", __m256i, "x", 12, _mm256_set1_epi8(3),
                   _mm256_dpbusd_avx_epi32(sum, a, b))
AFFECTRT_PEAK_LOOP(avx_vnni_s16s16, "avx2,avxvnni", __m256i, "x", 12, _mm256_set1_epi8(3),
                   _mm256_dpwssd_avx_epi32(sum, a, b))
AFFECTRT_PEAK_LOOP(avx512_u8s8, "avx512f,avx512bw,avx512vnni", __m512i, "v", 24,
                   _mm512_set1_epi32(0x03030303), _mm512_dpbusd_epi32(sum, a, b))
AFFECTRT_PEAK_LOOP(avx512_s16s16, "avx512f,avx512bw,avx512vnni", __m512i, "v", 24,
                   _mm512_set1_epi32(0x03030303), _mm512_dpwssd_epi32(sum, a, b))
AFFECTRT_PEAK_LOOP(avx512_f32, "avx512f", __m512, "v", 24, _mm512_set1_ps(0.75F),
                   _mm512_fmadd_ps(a, b, sum))

constexpr PeakLoops kAvx2 = {{"vpmaddubsw, vpmaddwd, vpaddd, 256 bits", 10 * 32, avx2_u8s8},
                             {"vpmaddwd, vpaddd, 256 bits", 12 * 16, avx2_s16s16},
                             {"vfmadd, 256 bits", 12 * 8, avx2_f32}};
constexpr PeakLoops kAvxVnni = {{"vpdpbusd, 256 bits", 12 * 32, avx_vnni_u8s8},
                                {"vpdpwssd, 256 bits", 12 * 16, avx_vnni_s16s16},
                                {"vfmadd, 256 bits", 12 * 8, avx2_f32}};
constexpr PeakLoops kAvx512Vnni = {{"vpdpbusd, 512 bits", 24 * 64, avx512_u8s8},
                                   {"vpdpwssd, 512 bits", 24 * 32, avx512_s16s16},
                                   {"vfmadd, 512 bits", 24 * 16, avx512_f32}};

#elif defined(__aarch64__)

#define AFFECTRT_DOTPROD "arch=armv8.2-a+dotprod"
#define AFFECTRT_I8MM "arch=armv8.2-a+dotprod+i8mm"
AFFECTRT_PEAK_LOOP(neon_dot, AFFECTRT_DOTPROD, int8x16_t, "w", 24, vdupq_n_s8(3),
                   vreinterpretq_s8_s32(vdotq_s32(vreinterpretq_s32_s8(sum), a, b)))
AFFECTRT_PEAK_LOOP(neon_mmla, AFFECTRT_I8MM, int8x16_t, "w", 24, vdupq_n_s8(3),
                   vreinterpretq_s8_s32(vusmmlaq_s32(vreinterpretq_s32_s8(sum),
                                                     vreinterpretq_u8_s8(a), b)))
AFFECTRT_PEAK_LOOP(neon_s16s16, AFFECTRT_DOTPROD, int16x8_t, "w", 24, vdupq_n_s16(3),
                   vreinterpretq_s16_s32(vmlal_high_s16(vmlal_s16(vreinterpretq_s32_s16(sum),
                                                                  vget_low_s16(a), vget_low_s16(b)),
                                                        a, b)))
AFFECTRT_PEAK_LOOP(neon_f32, AFFECTRT_DOTPROD, float32x4_t, "w", 24, vdupq_n_f32(0.75F),
                   vfmaq_f32(sum, a, b))

constexpr PeakLoops kNeonDotprod = {{"sdot, 128 bits", 24 * 16, neon_dot},
                                    {"smlal, smlal2, 128 bits", 24 * 8, neon_s16s16},
                                    {"fmla, 128 bits", 24 * 4, neon_f32}};
constexpr PeakLoops kNeonI8mm = {{"usmmla, 128 bits", 24 * 32, neon_mmla},
                                 {"smlal, smlal2, 128 bits", 24 * 8, neon_s16s16},
                                 {"fmla, 128 bits", 24 * 4, neon_f32}};

#endif

}  // namespace

const PeakLoops* peak_loops([[maybe_unused]] const std::string& isa) {
#if defined(__x86_64__)
  if (isa == "avx2") return &kAvx2;
  if (isa == "avx-vnni") return &kAvxVnni;
  if (isa == "avx512-vnni") return &kAvx512Vnni;
#elif defined(__aarch64__)
  if (isa == "neon-dotprod") return &kNeonDotprod;
  if (isa == "neon-i8mm") return &kNeonI8mm;
#endif
  return nullptr;
}

}  // namespace affectrt::bench

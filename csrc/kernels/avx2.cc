// AVX2 and FMA: u8 x s8 by vpmaddubsw, whose 16-bit sums cannot saturate with 7-bit weight codes.
#include "kernels/rows_body.h"
#include "kernels/simd_avx2.h"
#include "kernels/tables.h"

namespace affectrt {
namespace avx2 {

struct Dot {
  static __m256i u8s8(__m256i sum, __m256i a, __m256i b) {
    const __m256i pairs = _mm256_maddubs_epi16(a, b);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
  static __m256i s16s16(__m256i sum, __m256i a, __m256i b) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
  }
};

}  // namespace avx2

const Kernels& avx2_kernels() {
  static constexpr Kernels kKernels =
      make_kernels<avx2::Simd<avx2::Dot>, avx2::Shape>("avx2", avx2_signal_kernels);
  return kKernels;
}

}  // namespace affectrt

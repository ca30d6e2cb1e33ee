// AVX2, FMA and AVX-VNNI: the VEX-encoded vpdpbusd of CPUs without AVX-512.
#include "kernels/rows_body.h"
#include "kernels/simd_avx2.h"
#include "kernels/tables.h"

namespace affectrt {
namespace avx_vnni {

struct Dot {
  static __m256i u8s8(__m256i sum, __m256i a, __m256i b) {
    return _mm256_dpbusd_avx_epi32(sum, a, b);
  }
  static __m256i s16s16(__m256i sum, __m256i a, __m256i b) {
    return _mm256_dpwssd_avx_epi32(sum, a, b);
  }
};

}  // namespace avx_vnni

const Kernels& avx_vnni_kernels() {
  static constexpr Kernels kKernels =
      make_kernels<avx2::Simd<avx_vnni::Dot>, avx2::Shape>("avx-vnni", avx2_signal_kernels);
  return kKernels;
}

}  // namespace affectrt

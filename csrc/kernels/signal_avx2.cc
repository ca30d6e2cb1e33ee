// Sound features on AVX2 and FMA.
#include "kernels/signal_body.h"
#include "kernels/simd_avx2.h"
#include "kernels/tables.h"

namespace affectrt {

const SignalKernels& avx2_signal_kernels() {
  static constexpr SignalKernels kKernels = make_signal_kernels<avx2::Simd<void>>();
  return kKernels;
}

}  // namespace affectrt

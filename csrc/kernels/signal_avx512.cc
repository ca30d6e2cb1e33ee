// Sound features on AVX-512 F and BW.
#include "kernels/signal_body.h"
#include "kernels/simd_avx512.h"
#include "kernels/tables.h"

namespace affectrt {

const SignalKernels& avx512_signal_kernels() {
  static constexpr SignalKernels kKernels = make_signal_kernels<avx512::Simd>();
  return kKernels;
}

}  // namespace affectrt

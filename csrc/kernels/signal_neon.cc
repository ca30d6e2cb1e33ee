// Sound features on AArch64.
#include "kernels/signal_body.h"
#include "kernels/simd_neon.h"
#include "kernels/tables.h"

namespace affectrt {

const SignalKernels& neon_signal_kernels() {
  static constexpr SignalKernels kKernels = make_signal_kernels<neon::Simd<void>>();
  return kKernels;
}

}  // namespace affectrt

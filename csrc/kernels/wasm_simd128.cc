// WebAssembly with fixed-width SIMD, which a module has or cannot be compiled: nothing to detect.
#include "kernels/rows_body.h"
#include "kernels/simd_wasm.h"
#include "kernels/tables.h"

namespace affectrt {

const Kernels& wasm_simd128_kernels() {
  static constexpr Kernels kKernels =
      make_kernels<wasm::Simd, wasm::Shape>("wasm-simd128", scalar_signal_kernels);
  return kKernels;
}

}  // namespace affectrt

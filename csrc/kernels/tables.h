// The function tables that a build can have; dispatch.cc knows which are compiled in.
#pragma once

#include "kernels/kernels.h"
#include "kernels/signal.h"

namespace affectrt {

const Kernels& scalar_kernels();
const Kernels& avx2_kernels();
const Kernels& avx_vnni_kernels();
const Kernels& avx512_vnni_kernels();
const Kernels& neon_dotprod_kernels();
const Kernels& neon_i8mm_kernels();
const Kernels& wasm_simd128_kernels();

AttentionS16 scalar_attention_s16();

const SignalKernels& scalar_signal_kernels();
const SignalKernels& avx2_signal_kernels();
const SignalKernels& avx512_signal_kernels();
const SignalKernels& neon_signal_kernels();

}  // namespace affectrt

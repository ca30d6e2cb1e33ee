#include "kernels/dispatch.h"

#include <cstdlib>
#include <string>

#include "base/cpu.h"
#include "base/error.h"
#include "kernels/tables.h"

namespace affectrt {
namespace {

std::vector<const Kernels*> detect() {
  std::vector<const Kernels*> found;
  [[maybe_unused]] const CpuFeatures& cpu = cpu_features();
#if defined(AFFECTRT_KERNELS_X86)
  const bool avx2 = cpu.avx2 && cpu.fma;
  if (avx2 && cpu.avx512f && cpu.avx512bw && cpu.avx512_vnni) {
    found.push_back(&avx512_vnni_kernels());
  }
  if (avx2 && cpu.avx_vnni) found.push_back(&avx_vnni_kernels());
  if (avx2) found.push_back(&avx2_kernels());
#elif defined(AFFECTRT_KERNELS_ARM)
  if (cpu.dotprod && cpu.i8mm) found.push_back(&neon_i8mm_kernels());
  if (cpu.dotprod) found.push_back(&neon_dotprod_kernels());
#elif defined(AFFECTRT_KERNELS_WASM)
  found.push_back(&wasm_simd128_kernels());
#endif
  found.push_back(&scalar_kernels());
  return found;
}

}  // namespace

const std::vector<const Kernels*>& available_kernels() {
  // Never destroyed: a thread may still be computing while the process exits.
  static const auto* const kFound = new std::vector<const Kernels*>(detect());
  return *kFound;
}

const Kernels& select_kernels(const std::string& isa) {
  const char* in_environment = isa.empty() ? std::getenv("AFFECTRT_ISA") : nullptr;
  const std::string wanted = in_environment != nullptr ? in_environment : isa;
  if (wanted.empty()) return *available_kernels().front();
  std::string names;
  for (const Kernels* kernels : available_kernels()) {
    if (wanted == kernels->isa) return *kernels;
    names += (names.empty() ? "" : ", ") + std::string(kernels->isa);
  }
  throw Error(ErrorKind::kUnsupported, (isa.empty() ? "AFFECTRT_ISA='" : "isa '") + wanted +
                                           "' names no instruction set that this build and CPU "
                                           "have; possible here: " +
                                           names);
}

}  // namespace affectrt

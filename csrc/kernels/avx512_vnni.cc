// AVX-512 F, BW and VNNI: 64 products of u8 x s8 an instruction.
#include "kernels/rows_body.h"
#include "kernels/simd_avx512.h"
#include "kernels/tables.h"

namespace affectrt {
namespace avx512 {

// 32 registers: 6 x 4 sums + 4 columns + 1 value, or 12 x 2 + 2 + 1.
struct Shape {
  static constexpr int kMaxPanels = 4;
  template <int kPanels>
  static constexpr int max_rows() {
    return kPanels == 4 ? 6 : 12;
  }
};

}  // namespace avx512

const Kernels& avx512_vnni_kernels() {
  static constexpr Kernels kKernels = make_kernels<avx512::Simd, avx512::Shape>("avx512-vnni");
  return kKernels;
}

}  // namespace affectrt

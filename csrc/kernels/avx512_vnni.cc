// AVX-512 F, BW and VNNI: 64 products of u8 x s8 an instruction.
#include "kernels/rows_body.h"
#include "kernels/simd_avx512.h"
#include "kernels/tables.h"

namespace affectrt {
namespace avx512 {

// Of 32 registers, 6 x 4 sums + 4 columns + 1 value or 12 x 2 + 2 + 1; 8 sums of one panel hide the
// latency of the additions.
struct Shape {
  static constexpr int kMaxPanels = 4;
  template <int kPanels>
  static constexpr int max_rows_f32() {
    return kPanels == 2 ? 12 : 8;
  }
  template <int kPanels>
  static constexpr int max_rows_int() {
    return kPanels == 4 ? 6 : kPanels == 2 ? 12 : 8;
  }
};

}  // namespace avx512

const Kernels& avx512_vnni_kernels() {
  static constexpr Kernels kKernels =
      make_kernels<avx512::Simd, avx512::Shape>("avx512-vnni", avx512_signal_kernels);
  return kKernels;
}

}  // namespace affectrt

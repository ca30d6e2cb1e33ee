// AArch64 with the dot product extension. sdot multiplies s8 by s8, so activation codes are kept
// less 128, and their zero point with them.
#include "kernels/rows_body.h"
#include "kernels/simd_neon.h"
#include "kernels/tables.h"
#include "kernels/tile_neon.h"

namespace affectrt {
namespace neon_dotprod {

struct Dot {
  static constexpr float kCodeOffset = 128.0F;
  static int32x4_t u8s8(int32x4_t sum, int32x4_t a, int32x4_t b) {
    return vdotq_s32(sum, vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b));
  }
};

}  // namespace neon_dotprod

const Kernels& neon_dotprod_kernels() {
  static constexpr Kernels kKernels =
      make_kernels<neon::Simd<neon_dotprod::Dot>, neon::Shape>("neon-dotprod", neon_signal_kernels);
  return kKernels;
}

}  // namespace affectrt

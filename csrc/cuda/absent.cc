// What a build without nvcc says.
#include "base/error.h"
#include "cuda/device_frames.h"

namespace affectrt {
namespace {

[[noreturn]] void refuse() {
  throw Error(ErrorKind::kUnsupported,
              "samples on a GPU need a build with CUDA: pip install affectrt --no-binary affectrt "
              "-C cmake.define.AFFECTRT_CUDA=ON, with nvcc; or copy them to the CPU first");
}

}  // namespace

struct CudaFrameFeatures::Tables {};

bool CudaFrameFeatures::built() { return false; }
CudaFrameFeatures::CudaFrameFeatures(const FrameFeatures&, int device) : device_(device) {
  refuse();
}
CudaFrameFeatures::~CudaFrameFeatures() = default;
void CudaFrameFeatures::compute(const float*, int64_t, int64_t, int64_t, int64_t,
                                FrameFeatures::Layout, bool, float*) const {
  refuse();
}

CudaBuffer::CudaBuffer(int device, size_t) : device_(device) { refuse(); }
CudaBuffer::~CudaBuffer() = default;

void cuda_copy(void*, const void*, size_t, int) { refuse(); }
void cuda_synchronize(int) { refuse(); }

}  // namespace affectrt

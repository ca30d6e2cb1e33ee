#include <cuda_runtime_api.h>

#include <algorithm>
#include <string>

#include "base/error.h"
#include "cuda/device_frames.h"

namespace affectrt {
namespace {

constexpr unsigned kThreads = 64;          // of a frame
constexpr unsigned kMostFrames = 4;        // of a block
constexpr size_t kSharedBytes = 48 << 10;  // what every GPU gives a block unasked
constexpr int64_t kMostClips = 65535;      // of a grid's second dimension

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // what is reported is not reported again
  throw Error(ErrorKind::kBackend,
              std::string("CUDA: ") + what + ": " + cudaGetErrorString(status));
}

// Makes a device the current one, and after it the one that was.
class OnDevice {
 public:
  explicit OnDevice(int device) {
    check(cudaGetDevice(&before_), "the current device");
    check(cudaSetDevice(device), "choosing the device");
  }
  ~OnDevice() { cudaSetDevice(before_); }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

 private:
  int before_ = 0;
};

struct BlockGroup {
  __device__ size_t threads() const { return kThreads; }
  template <class Work>
  __device__ void each(const Work& work) const {
    work(static_cast<size_t>(threadIdx.x));
    __syncthreads();
  }
};

// The order of floats as that of integers, for atomicMax.
__device__ int32_t ordered(float x) {
  const int32_t bits = __float_as_int(x);
  return bits >= 0 ? bits : bits ^ 0x7FFFFFFF;
}
__device__ float from_ordered(int32_t bits) {
  return __int_as_float(bits >= 0 ? bits : bits ^ 0x7FFFFFFF);
}

__global__ void frames_kernel(DeviceFrames plan, const float* clips, int64_t samples, int64_t total,
                              int64_t frames, bool frame_major, float* out, int32_t* tops) {
  extern __shared__ float shared[];
  const int64_t asked = static_cast<int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  const int64_t frame = asked < frames ? asked : frames - 1;  // all threads reach every barrier
  const DeviceClip clip{clips + blockIdx.y * samples, samples < total ? samples : total, total};
  float* memory = shared + threadIdx.y * (plan.memory_floats() + 1);
  float* top = memory + plan.memory_floats();
  const float* features = frame_features(plan, clip, frame, memory, top, BlockGroup());
  if (asked >= frames) return;
  const auto columns = static_cast<int64_t>(plan.columns());
  float* place = out + blockIdx.y * frames * columns;
  for (int64_t c = threadIdx.x; c < columns; c += kThreads) {
    place[frame_major ? frame * columns + c : c * frames + frame] = features[c];
  }
  if (threadIdx.x == 0 && tops != nullptr) atomicMax(tops + blockIdx.y, ordered(*top));
}

__global__ void normalise_kernel(float* values, int64_t count, const int32_t* tops) {
  const float low = from_ordered(tops[blockIdx.y]) - 8.0F;
  float* of_clip = values + blockIdx.y * count;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
       i += stride) {
    const float x = of_clip[i];
    of_clip[i] = ((x > low ? x : low) + 4.0F) * 0.25F;
  }
}

}  // namespace

CudaBuffer::CudaBuffer(int device, size_t bytes) : device_(device) {
  const OnDevice on(device);
  check(cudaMalloc(&data_, std::max<size_t>(bytes, 1)), "memory for features");
}

CudaBuffer::~CudaBuffer() {
  // cudaFree waits for what uses the memory. It fails where the process is ending: nothing is lost.
  int before = 0;
  if (cudaGetDevice(&before) != cudaSuccess || cudaSetDevice(device_) != cudaSuccess) return;
  cudaFree(data_);
  cudaSetDevice(before);
}

void cuda_copy(void* to, const void* from, size_t bytes, int device) {
  const OnDevice on(device);
  check(cudaMemcpy(to, from, bytes, cudaMemcpyDefault), "copying");
}

void cuda_synchronize(int device) {
  const OnDevice on(device);
  check(cudaStreamSynchronize(nullptr), "computing features");
}

struct CudaFrameFeatures::Tables {
  template <class T>
  const T* copy(const T* from, size_t count, int device) {
    if (count == 0) return nullptr;
    memory.push_back(std::make_unique<CudaBuffer>(device, count * sizeof(T)));
    void* to = memory.back()->data();
    check(cudaMemcpy(to, from, count * sizeof(T), cudaMemcpyHostToDevice), "copying tables");
    return static_cast<const T*>(to);
  }
  DeviceSums copy(const DeviceSums& sums, int device) {
    const RowSums& rows = sums.sums;
    size_t weights = 0;
    for (size_t i = 0; i < rows.outputs; ++i) weights += rows.count[i];
    return {{rows.outputs, copy(rows.first, rows.outputs, device),
             copy(rows.count, rows.outputs, device), copy(rows.weights, weights, device)},
            copy(sums.starts, rows.outputs, device)};
  }

  DeviceFrames frames{};
  std::vector<std::unique_ptr<CudaBuffer>> memory;
};

bool CudaFrameFeatures::built() { return true; }

CudaFrameFeatures::CudaFrameFeatures(const FrameFeatures& features, int device)
    : tables_(std::make_unique<Tables>()), device_(device) {
  const FrameTables host(features.settings());
  DeviceFrames frames = host.frames();
  const OnDevice on(device);
  const size_t frame_bytes = (frames.memory_floats() + 1) * sizeof(float);
  if (frame_bytes > kSharedBytes) {
    int most = 0;
    check(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
          "a block's memory");
    if (frame_bytes > static_cast<size_t>(most)) {
      throw Error(ErrorKind::kUnsupported, "frames of " + std::to_string(frames.shape.length) +
                                               " samples need " + std::to_string(frame_bytes) +
                                               " bytes of a GPU block's memory, and this one has " +
                                               std::to_string(most));
    }
    check(cudaFuncSetAttribute(frames_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, most),
          "asking for a block's memory");
  }
  size_t twiddles = 0;
  size_t block = frames.fft.size / 2;
  for (size_t s = 0; s < frames.fft.stages; ++s) {
    block /= frames.fft.radices[s];
    twiddles += (block - 1) * 2 * (frames.fft.radices[s] - 1);
  }
  if (frames.shape.window != nullptr) {
    frames.shape.window = tables_->copy(frames.shape.window, frames.shape.length, device);
  }
  frames.fft.twiddles = tables_->copy(frames.fft.twiddles, twiddles, device);
  frames.fft.order = tables_->copy(frames.fft.order, frames.fft.size / 2, device);
  frames.fft.untangle = tables_->copy(frames.fft.untangle, 2 * (frames.fft.size / 4 + 1), device);
  frames.bands = tables_->copy(frames.bands, device);
  frames.transform = tables_->copy(frames.transform, device);
  tables_->frames = frames;
}

CudaFrameFeatures::~CudaFrameFeatures() = default;

void CudaFrameFeatures::compute(const float* clips, int64_t clip_count, int64_t samples,
                                int64_t total, int64_t frames, FrameFeatures::Layout layout,
                                bool normalise, float* out) const {
  if (clip_count <= 0 || frames <= 0) return;
  const OnDevice on(device_);
  const DeviceFrames& plan = tables_->frames;
  const size_t frame_bytes = (plan.memory_floats() + 1) * sizeof(float);
  const auto together =
      static_cast<unsigned>(std::clamp<size_t>(kSharedBytes / frame_bytes, 1, kMostFrames));
  const auto columns = static_cast<int64_t>(plan.columns());
  const auto blocks = static_cast<unsigned>((frames + together - 1) / together);
  for (int64_t begin = 0; begin < clip_count; begin += kMostClips) {
    const auto count = static_cast<unsigned>(std::min(kMostClips, clip_count - begin));
    float* place = out + begin * frames * columns;
    std::unique_ptr<CudaBuffer> tops;
    if (normalise) {
      tops = std::make_unique<CudaBuffer>(device_, count * sizeof(int32_t));
      // Every byte 0x80: as `ordered` far below any logarithm.
      check(cudaMemsetAsync(tops->data(), 0x80, count * sizeof(int32_t)), "clearing");
    }
    auto* top = tops ? static_cast<int32_t*>(tops->data()) : nullptr;
    frames_kernel<<<dim3(blocks, count), dim3(kThreads, together), together * frame_bytes>>>(
        plan, clips + begin * samples, samples, total, frames,
        layout == FrameFeatures::Layout::kFrameMajor, place, top);
    check(cudaGetLastError(), "computing features");
    if (normalise) {
      const int64_t values = frames * columns;
      const auto wide = static_cast<unsigned>(std::min<int64_t>((values + 255) / 256, 1024));
      normalise_kernel<<<dim3(wide, count), 256>>>(place, values, top);
      check(cudaGetLastError(), "normalising");
    }
  }
}

}  // namespace affectrt

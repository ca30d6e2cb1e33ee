// Features of a frame each on a GPU, from samples that lie there to features that stay there; equal
// to FrameFeatures' to the bit where the CPU's kernels are SIMD bodies.
#pragma once

#include <cstdint>
#include <memory>

#include "audio/frame_features.h"
#include "cuda/frame_math.h"

namespace affectrt {

// The settings with tables in host memory, for frame_features() on the CPU and as a device's
// source.
class FrameTables {
 public:
  explicit FrameTables(const FrameSettings& settings);
  FrameTables(const FrameTables&) = delete;
  FrameTables& operator=(const FrameTables&) = delete;

  const DeviceFrames& frames() const { return frames_; }

 private:
  const FrameSettings settings_;
  const Fft fft_;
  std::vector<uint32_t> band_starts_;
  std::vector<uint32_t> transform_starts_;
  DeviceFrames frames_{};
};

// The GPU side of one FrameFeatures. Concurrent calls are safe; all work is put on the device's
// default stream, in order, and compute() does not wait for it.
class CudaFrameFeatures {
 public:
  // Whether this build has kernels for GPUs.
  static bool built();

  // Throws Error(kUnsupported) where built() is false or a frame does not fit in the shared memory
  // that a block of this device can have, Error(kBackend) for what the driver reports.
  CudaFrameFeatures(const FrameFeatures& features, int device);
  ~CudaFrameFeatures();
  CudaFrameFeatures(const CudaFrameFeatures&) = delete;
  CudaFrameFeatures& operator=(const CudaFrameFeatures&) = delete;

  // clips [clips, samples] to out [clips, frames, columns] or [clips, columns, frames], both in the
  // device's memory; each clip is cut or filled with zeros to `total` samples. With `normalise` as
  // normalise_log_mel. `frames` is FrameFeatures::frame_count(total).
  void compute(const float* clips, int64_t clip_count, int64_t samples, int64_t total,
               int64_t frames, FrameFeatures::Layout layout, bool normalise, float* out) const;

 private:
  struct Tables;
  std::unique_ptr<Tables> tables_;
  [[maybe_unused]] const int device_;
};

// Memory of a device.
class CudaBuffer {
 public:
  CudaBuffer(int device, size_t bytes);
  ~CudaBuffer();
  CudaBuffer(const CudaBuffer&) = delete;
  CudaBuffer& operator=(const CudaBuffer&) = delete;
  void* data() const { return data_; }

 private:
  void* data_ = nullptr;
  [[maybe_unused]] const int device_;
};

// Copies between the host's memory and a device's, whichever way, after what was asked before.
void cuda_copy(void* to, const void* from, size_t bytes, int device);

// Waits until everything that was asked of the device's default stream is done.
void cuda_synchronize(int device);

}  // namespace affectrt

// What a speech model reads, made of a clip's samples.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "audio/frame_features.h"
#include "base/thread_pool.h"
#include "bundle/manifest.h"

namespace affectrt {

// Immutable: concurrent calls are safe.
class ClipFeatures {
 public:
  explicit ClipFeatures(const AudioInput& input);

  // Values of a frame: mel bands, or 1 of a waveform, whose frames are samples.
  size_t width() const { return frames_ ? frames_->columns() : 1; }

  // Frames [result, width()] of a clip of finite samples at the model's rate, at least one of
  // each. Those of a clip that is shorter than a frame, or Whisper's filled up, asks for are of the
  // clip with silence behind it. The same to the bit with any `pool`, which may be null.
  int32_t compute(const float* samples, size_t count, ThreadPool* pool,
                  std::vector<float>* features) const;

 private:
  AudioInput input_;
  size_t least_samples_;                 // of a waveform: 0.1 s
  std::optional<FrameFeatures> frames_;  // none of a waveform
};

}  // namespace affectrt

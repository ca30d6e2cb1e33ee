// Sixteen whole frames of a clip at a time, for load_frames().
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "base/aligned_buffer.h"
#include "kernels/signal.h"

namespace affectrt {

// Frame i begins at offset + i * shift. Reads the caller's samples.
class FrameReader {
 public:
  FrameReader(const float* samples, int64_t count, size_t length, size_t shift, int64_t offset)
      : samples_(samples),
        count_(count),
        shift_(static_cast<int64_t>(shift)),
        offset_(offset),
        edge_((kFrameLanes - 1) * shift + (length + 15) / 16 * 16) {
    const int64_t room = count - offset - static_cast<int64_t>(length);
    frames_ = room < 0 ? 0 : room / shift_ + 1;
  }

  int64_t frames() const { return frames_; }
  // The samples from frame `first` on; zeros behind the clip. Valid until the next call.
  const float* tile(int64_t first) {
    const int64_t start = offset_ + first * shift_;
    const auto whole = static_cast<int64_t>(edge_.size());
    if (start + whole <= count_) return samples_ + start;
    const int64_t there = std::max<int64_t>(0, count_ - start);
    std::copy(samples_ + start, samples_ + start + there, edge_.data());
    std::fill(edge_.data() + there, edge_.data() + whole, 0.0F);
    return edge_.data();
  }

 private:
  const float* samples_;
  int64_t count_;
  int64_t shift_;
  int64_t offset_;
  int64_t frames_ = 0;
  AlignedBuffer<float> edge_;
};

}  // namespace affectrt

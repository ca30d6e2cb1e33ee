// Voice activity: how likely somebody speaks, 100 times a second.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "audio/frame_features.h"

namespace affectrt {

constexpr int64_t kVadRate = 16000;    // Hz
constexpr int64_t kVadShift = 160;     // samples between frames: 10 ms
constexpr int64_t kVadLookahead = 16;  // frames that an answer waits for
constexpr double kVadFrameMs = 10.0;
// From a sample to the answer for its frame: the lookahead and half a window.
constexpr double kVadLatencyMs = kVadLookahead * kVadFrameMs + 12.5;

// Answer t is for the samples from t * kVadShift on.
struct VadFrame {
  float speech = 0.0F;  // probability in [0, 1]
  float level = 0.0F;   // mean log10 power of the mel bands; places to cut are compared by it
};

// A small network on sixteen log-mel bands (Whisper's framing), each above its own noise floor,
// which follows the sound: see `affectrt.export.recipes.vad`, which trains it and writes
// vad_weights.inc. What a frame is said to be depends on the frames from 400 ms before to 160 ms
// after it and on the noise floor before it, not on how samples come: any chunking gives the same
// bits. One caller at a time.
class VadStream {
 public:
  VadStream();

  // Samples at kVadRate, of any level; appends the new answers to `out`.
  void feed(const float* samples, size_t count, std::vector<VadFrame>* out);
  // The rest, so that there is one answer for each whole kVadShift samples. As new after it.
  void finish(std::vector<VadFrame>* out);

  static constexpr size_t kBands = 16;
  static constexpr size_t kHidden = 16;
  // Frames, beside its own, whose hidden values an answer reads.
  static constexpr std::array<int, 11> kOffsets = {-40, -28, -18, -11, -6, -3, 0, 3, 6, 11, 16};

 private:
  // Holds the frames from -40 to +16 about the one that is answered.
  static constexpr size_t kRing = 64;
  struct Hidden {
    std::array<float, kHidden> values;
    float level;
  };

  void take(std::vector<VadFrame>* out);
  void push(const Hidden& hidden, std::vector<VadFrame>* out);
  VadFrame answer(int64_t frame) const;
  const Hidden& at(int64_t frame) const {
    return ring_[static_cast<size_t>(frame < 0 ? 0 : frame) % kRing];
  }
  void reset();

  FrameStream frames_;
  std::vector<float> features_;  // those that have just come
  std::array<float, kBands> floor_ = {};
  std::array<Hidden, kRing> ring_ = {};
  Hidden first_ = {};
  int64_t pushed_ = 0;
};

}  // namespace affectrt

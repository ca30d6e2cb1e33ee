#include "audio/vad.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace affectrt {
namespace {

constexpr size_t kBands = VadStream::kBands;
constexpr size_t kHidden = VadStream::kHidden;
constexpr size_t kOffsetCount = VadStream::kOffsets.size();
constexpr size_t kInner = 24;

// As the recipe has them, in log10 of power.
constexpr float kQuietest = -8.5F;  // bands below are as loud: digital silence is nothing special
constexpr float kFall = 0.3F;       // part of the way to a lower level that the floor goes
constexpr float kRise = 0.003F;     // the most that it rises in a frame: 3 dB a second
constexpr float kMostAbove = 4.0F;  // 40 dB above the floor is as good as more

// Rows of weights with a bias behind them, in 8 bits, and one scale a row.
template <size_t kRows, size_t kColumns>
struct Layer {
  int8_t weights[kRows][kColumns];
  float scales[kRows];
  float biases[kRows];

  void run(const float* x, float* y) const {
    for (size_t r = 0; r < kRows; ++r) {
      float sum = 0.0F;
      for (size_t c = 0; c < kColumns; ++c) sum += static_cast<float>(weights[r][c]) * x[c];
      y[r] = sum * scales[r] + biases[r];
    }
  }
};

struct Net {
  Layer<kHidden, 2 * kBands> bands;
  Layer<kInner, kOffsetCount * kHidden> context;
  Layer<1, kInner> speech;
};

constexpr Net kNet =
#include "audio/vad_weights.inc"
    ;

float positive(float x) { return x > 0.0F ? x : 0.0F; }

std::shared_ptr<const FrameFeatures> vad_features() {
  static const auto features = std::make_shared<const FrameFeatures>(whisper_settings(kBands));
  return features;
}

}  // namespace

VadStream::VadStream() : frames_(vad_features()) {}

void VadStream::reset() { pushed_ = 0; }

// What an answer reads lies at most 56 frames apart, so a ring of 64 has it all. Before the first
// frame and behind the last one, those go on.
VadFrame VadStream::answer(int64_t frame) const {
  float context[kOffsetCount * kHidden];
  for (size_t i = 0; i < kOffsetCount; ++i) {
    const int64_t place = frame + kOffsets[i];
    const Hidden& hidden = place < 0 ? first_ : at(place);
    std::memcpy(context + i * kHidden, hidden.values.data(), sizeof hidden.values);
  }
  float inner[kInner];
  kNet.context.run(context, inner);
  for (float& x : inner) x = positive(x);
  float logit;
  kNet.speech.run(inner, &logit);
  return {1.0F / (1.0F + std::exp(-logit)), at(frame).level};
}

void VadStream::push(const Hidden& hidden, std::vector<VadFrame>* out) {
  if (pushed_ == 0) first_ = hidden;
  ring_[static_cast<size_t>(pushed_) % kRing] = hidden;
  ++pushed_;
  if (pushed_ > kVadLookahead) out->push_back(answer(pushed_ - 1 - kVadLookahead));
}

void VadStream::take(std::vector<VadFrame>* out) {
  for (size_t row = 0; row < features_.size(); row += kBands) {
    float inputs[2 * kBands];
    float level = 0.0F;
    for (size_t b = 0; b < kBands; ++b) {
      const float x = std::max(features_[row + b], kQuietest);
      float& floor = floor_[b];
      if (pushed_ == 0) {
        floor = x;
      } else {
        floor += x < floor ? kFall * (x - floor) : std::min(kRise, x - floor);
      }
      inputs[b] = std::min(x - floor, kMostAbove);
      inputs[kBands + b] = x;
      level += x;
    }
    level *= 1.0F / kBands;
    for (size_t b = 0; b < kBands; ++b) inputs[kBands + b] -= level;
    Hidden hidden;
    kNet.bands.run(inputs, hidden.values.data());
    for (float& x : hidden.values) x = positive(x);
    hidden.level = level;
    push(hidden, out);
  }
  features_.clear();
}

void VadStream::feed(const float* samples, size_t count, std::vector<VadFrame>* out) {
  frames_.feed(samples, count, &features_);
  take(out);
}

void VadStream::finish(std::vector<VadFrame>* out) {
  frames_.finish(&features_);
  take(out);
  const int64_t frames = pushed_;
  if (frames > 0) {
    const Hidden last = at(frames - 1);
    const int64_t left = std::min(kVadLookahead, frames);
    // A clip shorter than the lookahead has had no answer yet.
    for (int64_t i = frames; i < kVadLookahead; ++i) push(last, out);
    for (int64_t i = 0; i < left; ++i) push(last, out);
  }
  reset();
}

}  // namespace affectrt

// Features of a frame each: samples, window, spectrum, mel bands, logarithm in one pass over
// sixteen frames at a time, nothing between but what the first-level cache holds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "audio/fft.h"
#include "audio/mel.h"
#include "base/thread_pool.h"
#include "kernels/kernels.h"

namespace affectrt {

// Where frames lie in a clip.
enum class Framing {
  kWhole,         // frame i begins at i * shift; only frames that fit
  kCentred,       // its middle at i * shift, the clip reflected about its first and last sample
  kKaldiCentred,  // its middle at (i + 1/2) * shift, the clip reflected about its two borders
};

struct FrameSettings {
  size_t length = 400;  // samples
  size_t shift = 160;   // samples
  size_t fft_size = 512;
  Framing framing = Framing::kWhole;
  bool remove_mean = false;
  float preemphasis = 0.0F;
  std::vector<float> window;  // [length]
  RowWeights bands;           // over the bins of the power spectrum
  float floor = 1e-10F;       // of a band, before the logarithm
  float log_scale = 1.0F;     // times the natural logarithm
  RowWeights transform;       // of the logarithms; none: they are the features
  // The first feature is the logarithm of the frame's energy times energy_scale instead.
  bool energy_first = false;
  float energy_scale = 1.0F;
};

// The sample at which frame 0 begins.
int64_t first_frame_begin(const FrameSettings& settings);

// The samples of a clip that are at hand.
struct ClipView {
  const float* samples;  // those from `begin` to `end`
  int64_t begin;
  int64_t end;
  int64_t total;  // with the zeros that follow `end`
};

// Whisper's: 25 ms every 10 ms at 16 kHz, periodic Hann window, Slaney's bank, log10 of at least
// 1e-10. The last frame is dropped, as Whisper does. Throws Error(kInput) for num_mels out of
// 1..256.
FrameSettings whisper_settings(size_t num_mels);
// whisper_settings' log-mels as Whisper normalises them: at least `top` - 8, plus 4, a quarter.
void normalise_log_mel(float* values, size_t count, float top);

// Kaldi's options of the same names; times in ms, frequencies in Hz (high_hz <= 0: so much below
// half the sample rate), samples are multiplied by `scale` first.
struct KaldiOptions {
  int64_t sample_rate = 16000;
  size_t num_mels = 80;
  double frame_length_ms = 25.0;
  double frame_shift_ms = 10.0;
  double low_hz = 20.0;
  double high_hz = 0.0;
  double preemphasis = 0.97;
  bool remove_mean = true;
  bool snip_edges = true;
  bool round_to_power_of_two = true;
  std::string window = "povey";  // hamming, hanning, povey, rectangular, blackman, sine
  double scale = 1.0;
  size_t num_ceps = 0;     // 0: log-mel bands (fbank); else MFCCs
  bool use_energy = true;  // MFCC: the first coefficient is the log-energy
  double lifter = 22.0;
};
// Throws Error(kInput) for what makes no sense.
FrameSettings kaldi_settings(const KaldiOptions& options);

// Immutable; concurrent calls are safe.
class FrameFeatures {
 public:
  enum class Layout { kFrameMajor, kFeatureMajor };  // [frames, columns] or [columns, frames]

  explicit FrameFeatures(FrameSettings settings);

  size_t columns() const { return columns_; }
  const FrameSettings& settings() const { return settings_; }

  // Frames of a clip of that many samples.
  int64_t frame_count(int64_t samples) const;
  // Frames all of whose samples are among the first `samples`.
  int64_t ready_frames(int64_t samples) const;
  // The first sample that frame `frame` and all later ones read, also where the clip ends.
  int64_t first_sample(int64_t frame) const;

  // Frames [begin, end) of the clip to `out`, which holds these alone. Returns the largest value,
  // or log(floor) where that is larger. `pool` may be null.
  float compute(const ClipView& clip, int64_t begin, int64_t end, Layout layout, float* out,
                ThreadPool* pool) const;

 private:
  struct Scratch;
  float compute_tiles(const ClipView& clip, int64_t begin, int64_t end, int64_t row, Layout layout,
                      float* out, size_t stride, Scratch* scratch) const;
  const float* samples_of(const ClipView& clip, int64_t start, size_t frames,
                          Scratch* scratch) const;
  int64_t start_of(int64_t frame) const {
    return offset_ + frame * static_cast<int64_t>(settings_.shift);
  }

  const FrameSettings settings_;
  const Fft fft_;
  const SignalKernels& kernels_;
  int64_t offset_ = 0;  // where frame 0 begins
  size_t columns_ = 0;
};

// The same features chunk by chunk, bit-equal to those of the whole clip: a frame is computed as
// soon as its last sample has come. One caller at a time.
class FrameStream {
 public:
  explicit FrameStream(std::shared_ptr<const FrameFeatures> features)
      : features_(std::move(features)) {}

  // Appends the new frames, [frames, columns], to `out`; returns how many.
  int64_t feed(const float* samples, size_t count, std::vector<float>* out);
  // The frames that only the end of the clip completes. The stream is as new after it.
  int64_t finish(std::vector<float>* out);

  const FrameFeatures& features() const { return *features_; }
  int64_t samples() const { return total_; }

 private:
  int64_t compute_until(int64_t end, std::vector<float>* out);

  std::shared_ptr<const FrameFeatures> features_;
  std::vector<float> held_;  // samples from held_begin_ on
  int64_t held_begin_ = 0;
  int64_t total_ = 0;
  int64_t next_frame_ = 0;
};

}  // namespace affectrt

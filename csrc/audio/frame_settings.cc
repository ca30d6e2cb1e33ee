// Which features are Whisper's and which are Kaldi's.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "audio/frame_features.h"
#include "audio/samples.h"
#include "base/error.h"

namespace affectrt {
namespace {

constexpr double kPi = 3.141592653589793;

void check(bool good, const std::string& message) {
  if (!good) throw Error(ErrorKind::kInput, message);
}

void check_mels(size_t mels, size_t most) {
  check(mels >= 1 && mels <= most, "num_mels is " + std::to_string(mels) + "; 1 to " +
                                       std::to_string(most) + " mel bands are done");
}

double window_value(const std::string& name, double phase) {  // phase: 2 pi i / (length - 1)
  if (name == "hamming") return 0.54 - 0.46 * std::cos(phase);
  if (name == "hanning") return 0.5 - 0.5 * std::cos(phase);
  if (name == "povey") return std::pow(0.5 - 0.5 * std::cos(phase), 0.85);
  if (name == "rectangular") return 1.0;
  if (name == "blackman") return 0.42 - 0.5 * std::cos(phase) + 0.08 * std::cos(2 * phase);
  if (name == "sine") return std::sin(phase / 2);
  throw Error(ErrorKind::kInput, "window '" + name +
                                     "' is not known; povey, hamming, hanning, rectangular, "
                                     "blackman and sine are");
}

}  // namespace

FrameSettings whisper_settings(size_t num_mels) {
  check_mels(num_mels, 256);
  FrameSettings s;
  s.length = s.fft_size = 400;
  s.shift = 160;
  s.framing = Framing::kCentred;
  for (size_t i = 0; i < s.length; ++i) {
    s.window.push_back(static_cast<float>(
        0.5 - 0.5 * std::cos(2 * kPi * static_cast<double>(i) / static_cast<double>(s.length))));
  }
  s.bands = slaney_bank(num_mels, 16000.0, s.fft_size);
  s.log_scale = static_cast<float>(1.0 / std::log(10.0));
  return s;
}

void normalise_log_mel(float* values, size_t count, float top) {
  const float low = top - 8.0F;
  for (size_t i = 0; i < count; ++i) values[i] = (std::max(values[i], low) + 4.0F) * 0.25F;
}

FrameSettings kaldi_settings(const KaldiOptions& options) {
  check_sample_rate(options.sample_rate);
  check_mels(options.num_mels, 1024);
  const auto rate = static_cast<double>(options.sample_rate);
  check(options.frame_length_ms >= 1.0 && options.frame_length_ms <= 200.0,
        "a frame has to be 1 to 200 ms long");
  check(options.frame_shift_ms >= 1.0 && options.frame_shift_ms <= 1000.0,
        "frames have to begin 1 to 1000 ms apart");
  check(options.preemphasis >= 0.0 && options.preemphasis <= 1.0, "preemphasis has to be 0 to 1");
  check(std::isfinite(options.scale) && options.scale > 0.0, "scale has to be above 0");
  const double high = options.high_hz > 0.0 ? options.high_hz : rate / 2 + options.high_hz;
  check(options.low_hz >= 0.0 && options.low_hz < high && high <= rate / 2,
        "mel bands need 0 <= low_hz < high_hz <= " + std::to_string(options.sample_rate / 2) +
            " Hz, half the sample rate");
  FrameSettings s;
  s.length = static_cast<size_t>(rate * 0.001 * options.frame_length_ms);
  s.shift = static_cast<size_t>(rate * 0.001 * options.frame_shift_ms);
  s.fft_size = s.length + s.length % 2;
  if (options.round_to_power_of_two) {
    s.fft_size = 4;
    while (s.fft_size < s.length) s.fft_size *= 2;
  }
  s.framing = options.snip_edges ? Framing::kWhole : Framing::kKaldiCentred;
  s.remove_mean = options.remove_mean;
  s.preemphasis = static_cast<float>(options.preemphasis);
  for (size_t i = 0; i < s.length; ++i) {
    const double phase = 2 * kPi * static_cast<double>(i) / static_cast<double>(s.length - 1);
    s.window.push_back(static_cast<float>(window_value(options.window, phase) * options.scale));
  }
  s.bands = kaldi_bank(options.num_mels, rate, s.fft_size, options.low_hz, high);
  s.floor = std::numeric_limits<float>::epsilon();
  if (options.num_ceps != 0) {
    check(options.num_ceps <= options.num_mels, "num_ceps may not be above num_mels");
    s.transform = cosine_transform(options.num_ceps, options.num_mels, options.lifter);
    s.energy_first = options.use_energy;
    s.energy_scale = static_cast<float>(options.scale * options.scale);
  }
  return s;
}

}  // namespace affectrt

#include "audio/prosody.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "audio/fft.h"
#include "audio/formants.h"
#include "audio/frame_reader.h"
#include "audio/mel.h"
#include "audio/periods.h"
#include "audio/pitch.h"
#include "base/aligned_buffer.h"
#include "kernels/dispatch.h"

namespace affectrt {
namespace {

constexpr double kPi = 3.141592653589793;
constexpr double kRate = static_cast<double>(kProsodyRate);
// Spectra of 20 ms in the middle of the 60 ms of a pitch frame, and those of the whole 60 ms.
constexpr size_t kShortLength = 320;
constexpr size_t kShortFft = 512;
constexpr size_t kLongFft = 1280;
constexpr double kShortBin = kRate / kShortFft;
constexpr double kLongBin = kRate / kLongFft;
constexpr size_t kBands = 26;
constexpr size_t kTopBin = 160;    // 5 kHz
constexpr size_t kMiddleBin = 64;  // 2 kHz
constexpr double kFormantRate = 11000.0;
constexpr size_t kFormantBins = 177;  // to 5.5 kHz
constexpr size_t kLags = kPredictionOrder + 1;
constexpr double kFullScale = 32768.0;

float decibels(double ratio) { return static_cast<float>(10.0 * std::log10(ratio)); }

// Hermansky 1990, equation 4.
double equal_loudness(double hz) {
  const double w = 4.0 * kPi * kPi * hz * hz;
  return (w + 56.8e6) * w * w / ((w + 6.3e6) * (w + 6.3e6) * (w + 0.38e9));
}

// The slope of a straight line through the rows from low_hz to high_hz, per Hz.
void add_slope(double low_hz, double high_hz, RowWeights* rows) {
  const auto first = static_cast<size_t>(std::ceil(low_hz / kShortBin));
  const auto last = static_cast<size_t>(high_hz / kShortBin);
  const double middle = static_cast<double>(first + last) / 2;
  double squares = 0.0;
  for (size_t k = first; k <= last; ++k) squares += std::pow(static_cast<double>(k) - middle, 2);
  std::vector<float> weights;
  for (size_t k = first; k <= last; ++k) {
    weights.push_back(
        static_cast<float>((static_cast<double>(k) - middle) / (squares * kShortBin)));
  }
  rows->add(first, weights);
}

void add_band(double low_hz, double high_hz, RowWeights* rows) {
  const auto first = static_cast<size_t>(std::ceil(low_hz / kShortBin));
  const auto last = static_cast<size_t>(high_hz / kShortBin);
  rows->add(first, std::vector<float>(last - first + 1, 1.0F));
}

// The autocorrelation of the pre-emphasised band up to 5.5 kHz, straight from the power spectrum:
// selective linear prediction (Makhoul 1975).
RowWeights formant_rows() {
  RowWeights rows;
  for (size_t lag = 0; lag < kLags; ++lag) {
    std::vector<float> weights(kFormantBins);
    for (size_t k = 0; k < kFormantBins; ++k) {
      const double hz = static_cast<double>(k) * kShortBin;
      const double emphasis = 1.0 + 0.97 * 0.97 - 2 * 0.97 * std::cos(2.0 * kPi * hz / kRate);
      const double cosine = std::cos(2.0 * kPi * hz / kFormantRate * static_cast<double>(lag));
      weights[k] = static_cast<float>((k == 0 ? 0.5 : 1.0) * emphasis * cosine);
    }
    rows.add(0, weights);
  }
  return rows;
}

std::vector<float> hamming(size_t length) {
  std::vector<float> window(length);
  for (size_t i = 0; i < length; ++i) {
    const double phase = 2.0 * kPi * static_cast<double>(i) / static_cast<double>(length - 1);
    window[i] = static_cast<float>(0.54 - 0.46 * std::cos(phase));
  }
  return window;
}

// Tables and scratch of one clip.
class Spectra {
 public:
  Spectra(const float* samples, int64_t count)
      : reader_(samples, count, kShortLength, kProsodyShift,
                static_cast<int64_t>(kPitchLength - kShortLength) / 2),
        bands_(kaldi_bank(kBands, kRate, kShortFft, 20.0, 8000.0)),
        ceps_(cosine_transform(5, kBands, 22.0)),
        formant_rows_(formant_rows()) {
    add_band(50.0, 1000.0, &ratio_);
    add_band(1000.0 + kShortBin / 2, 5000.0, &ratio_);
    add_slope(0.0, 500.0, &slopes_);
    add_slope(500.0, 1500.0, &slopes_);
    const double top = 1127.0 * std::log1p(8000.0 / 700.0);
    const double low = 1127.0 * std::log1p(20.0 / 700.0);
    for (size_t b = 0; b < kBands; ++b) {
      const double mel = low + (top - low) * static_cast<double>(b + 1) / (kBands + 1);
      loudness_[b] = static_cast<float>(equal_loudness(700.0 * std::expm1(mel / 1127.0)));
    }
  }

  // Frames first .. first + lanes - 1: all descriptors that need no pitch, and the formants.
  void measure(size_t first, size_t lanes, float* rows, Formant* formants) {
    const FrameShape shape{kShortLength, kProsodyShift, kShortFft, false, 0.0F, window_.data()};
    k_.load_frames(shape, reader_.tile(static_cast<int64_t>(first)), tile_.data(), nullptr);
    k_.fft_power(fft_.plan(), tile_.data(), power_.data());
    k_.sum_rows(bands_.sums(), power_.data(), band_values_);
    k_.sum_rows(ratio_.sums(), power_.data(), ratio_values_);
    k_.sum_rows(formant_rows_.sums(), power_.data(), lag_values_);
    for (size_t lane = 0; lane < lanes; ++lane) {
      float* row = rows + lane * kDescriptors;
      float sum = 0.0F;
      for (size_t b = 0; b < kBands; ++b) {
        const double power = static_cast<double>(band_values_[b * kFrameLanes + lane]);
        sum += std::cbrt(static_cast<float>(power) * loudness_[b]);
      }
      row[kLoudness] = sum;
      row[kAlphaRatio] = decibels((static_cast<double>(ratio_values_[kFrameLanes + lane]) + 1e-12) /
                                  (static_cast<double>(ratio_values_[lane]) + 1e-12));
      row[kFlux] = flux(lane);
      double lags[kLags];
      for (size_t i = 0; i < kLags; ++i) {
        lags[i] = static_cast<double>(lag_values_[i * kFrameLanes + lane]);
      }
      lags[0] *= 1.0 + 1e-6;  // a noise floor 60 dB down
      find_formants(lags, kFormantRate, formants + lane * kFormants);
    }
    cepstra(lanes, rows);
    decibel_spectrum(lanes, rows);
  }

 private:
  float flux(size_t lane) {
    double sum = 0.0;
    for (size_t k = 0; k < fft_.bins(); ++k) {
      const float magnitude = std::sqrt(power_.data()[k * kFrameLanes + lane]);
      const float d = magnitude - before_[k];
      sum += static_cast<double>(d * d);
      before_[k] = magnitude;
    }
    const bool first = !has_before_;
    has_before_ = true;
    return first ? 0.0F : static_cast<float>(std::sqrt(sum / static_cast<double>(fft_.bins())));
  }

  void cepstra(size_t lanes, float* rows) {
    alignas(64) float ceps[5 * kFrameLanes];
    // As of samples of 16-bit range, where 1 is the least band that counts.
    for (float& value : band_values_) value *= static_cast<float>(kFullScale * kFullScale);
    k_.log_rows(band_values_, kBands, 1.0F, 1.0F);
    k_.sum_rows(ceps_.sums(), band_values_, ceps);
    for (size_t lane = 0; lane < lanes; ++lane) {
      for (size_t c = 0; c < 4; ++c) {
        rows[lane * kDescriptors + kMfcc1 + c] = ceps[(c + 1) * kFrameLanes + lane];
      }
    }
  }

  void decibel_spectrum(size_t lanes, float* rows) {
    alignas(64) float slopes[2 * kFrameLanes];
    constexpr float kDecibels = 4.34294482F;
    k_.log_rows(power_.data(), kTopBin + 1, 1e-12F, kDecibels);
    k_.sum_rows(slopes_.sums(), power_.data(), slopes);
    for (size_t lane = 0; lane < lanes; ++lane) {
      float* row = rows + lane * kDescriptors;
      float low = -1e9F;
      float high = -1e9F;
      for (size_t k = 0; k <= kTopBin; ++k) {
        float& top = k < kMiddleBin ? low : high;
        top = std::max(top, power_.data()[k * kFrameLanes + lane]);
      }
      row[kHammarberg] = low - high;
      row[kSlope500] = slopes[lane];
      row[kSlope1500] = slopes[kFrameLanes + lane];
    }
  }

  const SignalKernels& k_ = select_kernels("").signal();
  const Fft fft_{kShortFft};
  const std::vector<float> window_ = hamming(kShortLength);
  FrameReader reader_;
  RowWeights bands_;
  RowWeights ceps_;
  RowWeights formant_rows_;
  RowWeights ratio_;
  RowWeights slopes_;
  float loudness_[kBands];
  AlignedBuffer<float> tile_{kShortFft * kFrameLanes};
  AlignedBuffer<float> power_{(kShortFft / 2 + 1) * kFrameLanes};
  alignas(64) float band_values_[kBands * kFrameLanes];
  alignas(64) float ratio_values_[2 * kFrameLanes];
  alignas(64) float lag_values_[kLags * kFrameLanes];
  float before_[kShortFft / 2 + 1] = {};
  bool has_before_ = false;
};

// The strongest harmonic of a voiced frame within `width` Hz of `hz`, and harmonics by number.
class Harmonics {
 public:
  Harmonics(const float* power, size_t lane, float pitch_hz)
      : power_(power), lane_(lane), pitch_(static_cast<double>(pitch_hz)) {}

  // The largest power a quarter of the pitch around the place of harmonic `number`.
  double at(double number) const {
    const double from = (number - 0.25) * pitch_ / kLongBin;
    const double to = (number + 0.25) * pitch_ / kLongBin;
    double top = 1e-15;
    for (auto k = static_cast<size_t>(std::max(0.0, std::ceil(from)));
         k <= static_cast<size_t>(to) && k <= kLongFft / 2; ++k) {
      top = std::max(top, static_cast<double>(power_[k * kFrameLanes + lane_]));
    }
    return top;
  }
  double near(double hz, double width) const {
    double top = at(std::max(1.0, std::round(hz / pitch_)));
    for (double number = std::max(1.0, std::ceil((hz - width) / pitch_));
         number <= (hz + width) / pitch_; number += 1.0) {
      top = std::max(top, at(number));
    }
    return top;
  }

 private:
  const float* power_;
  size_t lane_;
  double pitch_;
};

void add_harmonics(const Harmonics& harmonics, const Formant* formants, float* row) {
  const double first = harmonics.at(1.0);
  row[kH1H2] = decibels(first / harmonics.at(2.0));
  for (size_t f = 0; f < kFormants; ++f) {
    const auto hz = static_cast<double>(formants[f].hz);
    if (hz <= 0.0) continue;
    const float above = decibels(harmonics.near(hz, 0.2 * hz) / first);
    row[kF1Amplitude + 3 * f] = above;
    if (f == 2) row[kH1A3] = -above;
  }
}

// A moving mean over three frames; of voiced frames alone where zero means unvoiced.
void smooth(size_t frames, size_t column, bool skip_zeros, std::vector<float>* values) {
  const auto at = [&](size_t frame) -> float& { return (*values)[frame * kDescriptors + column]; };
  float before = 0.0F;
  for (size_t f = 0; f < frames; ++f) {
    const float here = at(f);
    const float after = f + 1 < frames ? at(f + 1) : 0.0F;
    float sum = here;
    float count = 1.0F;
    if (f > 0 && !(skip_zeros && before == 0.0F)) {
      sum += before;
      count += 1.0F;
    }
    if (f + 1 < frames && !(skip_zeros && after == 0.0F)) {
      sum += after;
      count += 1.0F;
    }
    if (!(skip_zeros && here == 0.0F)) at(f) = sum / count;
    before = here;
  }
}

}  // namespace

std::vector<float> descriptors(const float* samples, int64_t count) {
  const std::vector<Pitch> pitch = track_pitch(samples, count);
  std::vector<float> values(pitch.size() * kDescriptors, 0.0F);
  if (pitch.empty()) return values;
  const SignalKernels& k = select_kernels("").signal();
  const Fft fft(kLongFft);
  const std::vector<float> window = pitch_window();
  const FrameShape shape{kPitchLength, kProsodyShift, kLongFft, true, 0.0F, window.data()};
  FrameReader reader(samples, count, kPitchLength, kProsodyShift, 0);
  AlignedBuffer<float> tile(kLongFft * kFrameLanes);
  AlignedBuffer<float> power(fft.bins() * kFrameLanes);
  const auto spectra = std::make_unique<Spectra>(samples, count);
  Formant formants[kFrameLanes * kFormants];
  for (size_t first = 0; first < pitch.size(); first += kFrameLanes) {
    const size_t lanes = std::min(kFrameLanes, pitch.size() - first);
    float* rows = values.data() + first * kDescriptors;
    spectra->measure(first, lanes, rows, formants);
    bool any_voiced = false;
    for (size_t lane = 0; lane < lanes; ++lane) any_voiced |= pitch[first + lane].hz > 0.0F;
    if (any_voiced) {
      k.load_frames(shape, reader.tile(static_cast<int64_t>(first)), tile.data(), nullptr);
      k.fft_power(fft.plan(), tile.data(), power.data());
    }
    for (size_t lane = 0; lane < lanes; ++lane) {
      const Pitch& here = pitch[first + lane];
      const Formant* found = formants + lane * kFormants;
      float* row = rows + lane * kDescriptors;
      for (size_t f = 0; f < kFormants; ++f) {
        row[kF1 + 3 * f] = found[f].hz;
        row[kF1Bandwidth + 3 * f] = found[f].bandwidth_hz;
      }
      if (!(here.hz > 0.0F)) continue;
      row[kPitch] = 12.0F * std::log2(here.hz / 27.5F);
      const float r = std::max(1e-5F, here.strength);
      row[kHnr] = decibels(static_cast<double>(r / (1.0F - r)));
      const float* frame = samples + (first + lane) * kProsodyShift;
      measure_periods(k, frame, kPitchLength, static_cast<float>(kRate) / here.hz, &row[kJitter],
                      &row[kShimmer]);
      add_harmonics({power.data(), lane, here.hz}, found, row);
    }
  }
  for (size_t column = 0; column < kDescriptors; ++column) {
    smooth(pitch.size(), column, column >= kPitch, &values);
  }
  return values;
}

}  // namespace affectrt

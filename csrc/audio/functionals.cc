// Statistics over the frames of a clip.
#include <algorithm>
#include <cmath>

#include "audio/pitch.h"
#include "audio/prosody.h"

namespace affectrt {
namespace {

constexpr double kFramesPerSecond = static_cast<double>(kProsodyRate) / kProsodyShift;

struct Spread {
  double mean = 0.0;
  double deviation = 0.0;
};

Spread spread(const std::vector<double>& x) {
  Spread result;
  if (x.empty()) return result;
  for (const double v : x) result.mean += v;
  result.mean /= static_cast<double>(x.size());
  for (const double v : x) result.deviation += (v - result.mean) * (v - result.mean);
  result.deviation = std::sqrt(result.deviation / static_cast<double>(x.size()));
  return result;
}

// Linear between neighbours; `sorted` is not empty.
double percentile(const std::vector<double>& sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

class Statistics {
 public:
  Statistics(const std::vector<float>& values, double* out)
      : values_(values), frames_(values.size() / kDescriptors), out_(out) {}

  enum class Frames { kAll, kVoiced, kUnvoiced };

  void mean(size_t column, Frames which) { put(spread(column_of(column, which)).mean); }

  // Mean and coefficient of variation.
  void mean_and_variation(size_t column, Frames which) {
    const Spread s = spread(column_of(column, which));
    put(s.mean);
    put(s.mean == 0.0 ? 0.0 : s.deviation / s.mean);
  }

  // The ten of pitch and loudness.
  void contour(size_t column, Frames which) {
    mean_and_variation(column, which);
    std::vector<double> x = column_of(column, which);
    std::sort(x.begin(), x.end());
    const double p20 = x.empty() ? 0.0 : percentile(x, 0.2);
    const double p80 = x.empty() ? 0.0 : percentile(x, 0.8);
    put(p20);
    put(x.empty() ? 0.0 : percentile(x, 0.5));
    put(p80);
    put(p80 - p20);
    slopes(column, which);
  }

  void tempo() {
    put(peaks_per_second());
    std::vector<double> lengths[2];  // unvoiced, voiced
    size_t run = 0;
    for (size_t f = 0; f < frames_; ++f) {
      ++run;
      if (f + 1 < frames_ && voiced(f + 1) == voiced(f)) continue;
      lengths[voiced(f) ? 1 : 0].push_back(static_cast<double>(run) / kFramesPerSecond);
      run = 0;
    }
    const double seconds = static_cast<double>(frames_) / kFramesPerSecond;
    put(frames_ == 0 ? 0.0 : static_cast<double>(lengths[1].size()) / seconds);
    for (const size_t kind : {1U, 0U}) {
      const Spread s = spread(lengths[kind]);
      put(s.mean);
      put(s.deviation);
    }
  }

  void put(double value) { *out_++ = value; }

 private:
  double at(size_t frame, size_t column) const {
    return static_cast<double>(values_[frame * kDescriptors + column]);
  }
  bool voiced(size_t frame) const { return at(frame, kPitch) > 0.0; }

  std::vector<double> column_of(size_t column, Frames which) const {
    std::vector<double> x;
    for (size_t f = 0; f < frames_; ++f) {
      if (which != Frames::kAll && voiced(f) != (which == Frames::kVoiced)) continue;
      x.push_back(at(f, column));
    }
    return x;
  }

  // Mean and deviation, per second, of the slopes of rising parts, then of falling ones: from one
  // extreme to the next, within voiced stretches for the pitch.
  void slopes(size_t column, Frames which) {
    std::vector<double> rising;
    std::vector<double> falling;
    size_t begin = 0;  // of the part
    for (size_t f = 1; f < frames_; ++f) {
      const bool broken = which == Frames::kVoiced && !(voiced(f) && voiced(f - 1));
      if (broken) {
        begin = f;
        continue;
      }
      const double step = at(f, column) - at(f - 1, column);
      const bool ends = f + 1 == frames_ || (which == Frames::kVoiced && !voiced(f + 1)) ||
                        (at(f + 1, column) - at(f, column)) * step < 0.0;
      if (!ends) continue;
      const double slope =
          (at(f, column) - at(begin, column)) * kFramesPerSecond / static_cast<double>(f - begin);
      if (slope > 0.0) rising.push_back(slope);
      if (slope < 0.0) falling.push_back(-slope);
      begin = f;
    }
    for (const auto* part : {&rising, &falling}) {
      const Spread s = spread(*part);
      put(s.mean);
      put(s.deviation);
    }
  }

  // Maxima of the loudness that stand out of both valleys beside them by a tenth of its range.
  double peaks_per_second() const {
    if (frames_ == 0) return 0.0;
    std::vector<double> x = column_of(kLoudness, Frames::kAll);
    const auto range = std::minmax_element(x.begin(), x.end());
    const double least = 0.1 * (*range.second - *range.first);
    double low = x[0];
    double high = x[0];
    size_t peaks = 0;
    bool rising = true;
    for (const double v : x) {
      if (rising) {
        high = std::max(high, v);
        if (v < high - least) {
          if (high - low > least) ++peaks;
          rising = false;
          low = v;
        }
      } else {
        low = std::min(low, v);
        if (v > low + least) {
          rising = true;
          high = v;
        }
      }
    }
    return static_cast<double>(peaks) * kFramesPerSecond / static_cast<double>(frames_);
  }

  const std::vector<float>& values_;
  size_t frames_;
  double* out_;
};

constexpr const char* kNames[kDescriptors] = {"loudness",
                                              "alphaRatio",
                                              "hammarbergIndex",
                                              "slope0-500",
                                              "slope500-1500",
                                              "spectralFlux",
                                              "mfcc1",
                                              "mfcc2",
                                              "mfcc3",
                                              "mfcc4",
                                              "F0semitoneFrom27.5Hz",
                                              "jitterLocal",
                                              "shimmerLocaldB",
                                              "HNRdBACF",
                                              "logRelF0-H1-H2",
                                              "logRelF0-H1-A3",
                                              "F1frequency",
                                              "F1bandwidth",
                                              "F1amplitudeLogRelF0",
                                              "F2frequency",
                                              "F2bandwidth",
                                              "F2amplitudeLogRelF0",
                                              "F3frequency",
                                              "F3bandwidth",
                                              "F3amplitudeLogRelF0"};

// In the order of functionals().
constexpr const char* kFunctionalNames[kFunctionals] = {
    "F0semitoneFrom27.5Hz_sma3nz_amean",
    "F0semitoneFrom27.5Hz_sma3nz_stddevNorm",
    "F0semitoneFrom27.5Hz_sma3nz_percentile20.0",
    "F0semitoneFrom27.5Hz_sma3nz_percentile50.0",
    "F0semitoneFrom27.5Hz_sma3nz_percentile80.0",
    "F0semitoneFrom27.5Hz_sma3nz_pctlrange0-2",
    "F0semitoneFrom27.5Hz_sma3nz_meanRisingSlope",
    "F0semitoneFrom27.5Hz_sma3nz_stddevRisingSlope",
    "F0semitoneFrom27.5Hz_sma3nz_meanFallingSlope",
    "F0semitoneFrom27.5Hz_sma3nz_stddevFallingSlope",
    "loudness_sma3_amean",
    "loudness_sma3_stddevNorm",
    "loudness_sma3_percentile20.0",
    "loudness_sma3_percentile50.0",
    "loudness_sma3_percentile80.0",
    "loudness_sma3_pctlrange0-2",
    "loudness_sma3_meanRisingSlope",
    "loudness_sma3_stddevRisingSlope",
    "loudness_sma3_meanFallingSlope",
    "loudness_sma3_stddevFallingSlope",
    "spectralFlux_sma3_amean",
    "spectralFlux_sma3_stddevNorm",
    "mfcc1_sma3_amean",
    "mfcc1_sma3_stddevNorm",
    "mfcc2_sma3_amean",
    "mfcc2_sma3_stddevNorm",
    "mfcc3_sma3_amean",
    "mfcc3_sma3_stddevNorm",
    "mfcc4_sma3_amean",
    "mfcc4_sma3_stddevNorm",
    "jitterLocal_sma3nz_amean",
    "jitterLocal_sma3nz_stddevNorm",
    "shimmerLocaldB_sma3nz_amean",
    "shimmerLocaldB_sma3nz_stddevNorm",
    "HNRdBACF_sma3nz_amean",
    "HNRdBACF_sma3nz_stddevNorm",
    "logRelF0-H1-H2_sma3nz_amean",
    "logRelF0-H1-H2_sma3nz_stddevNorm",
    "logRelF0-H1-A3_sma3nz_amean",
    "logRelF0-H1-A3_sma3nz_stddevNorm",
    "F1frequency_sma3nz_amean",
    "F1frequency_sma3nz_stddevNorm",
    "F1bandwidth_sma3nz_amean",
    "F1bandwidth_sma3nz_stddevNorm",
    "F1amplitudeLogRelF0_sma3nz_amean",
    "F1amplitudeLogRelF0_sma3nz_stddevNorm",
    "F2frequency_sma3nz_amean",
    "F2frequency_sma3nz_stddevNorm",
    "F2bandwidth_sma3nz_amean",
    "F2bandwidth_sma3nz_stddevNorm",
    "F2amplitudeLogRelF0_sma3nz_amean",
    "F2amplitudeLogRelF0_sma3nz_stddevNorm",
    "F3frequency_sma3nz_amean",
    "F3frequency_sma3nz_stddevNorm",
    "F3bandwidth_sma3nz_amean",
    "F3bandwidth_sma3nz_stddevNorm",
    "F3amplitudeLogRelF0_sma3nz_amean",
    "F3amplitudeLogRelF0_sma3nz_stddevNorm",
    "alphaRatioV_sma3nz_amean",
    "alphaRatioV_sma3nz_stddevNorm",
    "hammarbergIndexV_sma3nz_amean",
    "hammarbergIndexV_sma3nz_stddevNorm",
    "slopeV0-500_sma3nz_amean",
    "slopeV0-500_sma3nz_stddevNorm",
    "slopeV500-1500_sma3nz_amean",
    "slopeV500-1500_sma3nz_stddevNorm",
    "spectralFluxV_sma3nz_amean",
    "spectralFluxV_sma3nz_stddevNorm",
    "mfcc1V_sma3nz_amean",
    "mfcc1V_sma3nz_stddevNorm",
    "mfcc2V_sma3nz_amean",
    "mfcc2V_sma3nz_stddevNorm",
    "mfcc3V_sma3nz_amean",
    "mfcc3V_sma3nz_stddevNorm",
    "mfcc4V_sma3nz_amean",
    "mfcc4V_sma3nz_stddevNorm",
    "alphaRatioUV_sma3nz_amean",
    "hammarbergIndexUV_sma3nz_amean",
    "slopeUV0-500_sma3nz_amean",
    "slopeUV500-1500_sma3nz_amean",
    "spectralFluxUV_sma3nz_amean",
    "loudnessPeaksPerSec",
    "VoicedSegmentsPerSec",
    "MeanVoicedSegmentLengthSec",
    "StddevVoicedSegmentLengthSec",
    "MeanUnvoicedSegmentLength",
    "StddevUnvoicedSegmentLength",
    "equivalentSoundLevel_dBp"};

}  // namespace

const char* const* functional_names() { return kFunctionalNames; }

const char* const* descriptor_names() { return kNames; }

double mean_square(const float* samples, int64_t count) {
  double squares = 0.0;
  for (int64_t i = 0; i < count; ++i) {
    squares += static_cast<double>(samples[i]) * static_cast<double>(samples[i]);
  }
  return squares / static_cast<double>(std::max<int64_t>(1, count));
}

void functionals(const std::vector<float>& values, double mean_square, double* out) {
  using Frames = Statistics::Frames;
  Statistics s(values, out);
  s.contour(kPitch, Frames::kVoiced);
  s.contour(kLoudness, Frames::kAll);
  for (size_t c = kFlux; c <= kMfcc4; ++c) s.mean_and_variation(c, Frames::kAll);
  for (size_t c = kJitter; c <= kF3Amplitude; ++c) s.mean_and_variation(c, Frames::kVoiced);
  for (size_t c = kAlphaRatio; c <= kMfcc4; ++c) s.mean_and_variation(c, Frames::kVoiced);
  for (size_t c = kAlphaRatio; c <= kFlux; ++c) s.mean(c, Frames::kUnvoiced);
  s.tempo();
  s.put(10.0 * std::log10(std::max(1e-12, mean_square)));
}

}  // namespace affectrt

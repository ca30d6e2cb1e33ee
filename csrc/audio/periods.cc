#include "audio/periods.h"

#include <algorithm>
#include <cmath>

namespace affectrt {
namespace {

constexpr size_t kMostPeriods = 64;

}  // namespace

void measure_periods(const SignalKernels& k, const float* frame, size_t length, float period,
                     float* jitter, float* shimmer_db) {
  const auto width = static_cast<size_t>(std::lround(period));
  const size_t compared = (width + 15) / 16 * 16;  // about one period
  const size_t reach = std::max<size_t>(2, width / 6);
  float periods[kMostPeriods];
  float amplitudes[kMostPeriods];
  size_t count = 0;
  // From the strongest sample of the first period on.
  size_t at = static_cast<size_t>(
      std::max_element(frame, frame + std::min(length, width),
                       [](float a, float b) { return std::fabs(a) < std::fabs(b); }) -
      frame);
  while (count < kMostPeriods && at + width + reach + 1 + compared <= length) {
    float similarity[2 * 64 + 3];
    const size_t from = width - std::min(width - 1, std::min<size_t>(reach, 63));
    const size_t to = width + std::min<size_t>(reach, 63);
    size_t best = from;
    for (size_t lag = from; lag <= to; ++lag) {
      const float* other = frame + at + lag;
      const float product = k.dot(frame + at, other, compared);
      const float energy = k.dot(other, other, compared);
      similarity[lag - from] = energy > 0.0F ? product / std::sqrt(energy) : 0.0F;
      if (similarity[lag - from] > similarity[best - from]) best = lag;
    }
    float shift = 0.0F;
    if (best > from && best < to) {
      const float* s = similarity + (best - from);
      const float bend = 2.0F * s[0] - s[-1] - s[1];
      if (bend > 0.0F) shift = 0.5F * (s[1] - s[-1]) / bend;
    }
    const auto range = std::minmax_element(frame + at, frame + at + best);
    periods[count] = static_cast<float>(best) + shift;
    amplitudes[count] = *range.second - *range.first;
    ++count;
    at += best;
  }
  if (count < 3) return;
  float sum = 0.0F;
  float difference = 0.0F;
  float change = 0.0F;
  for (size_t i = 0; i < count; ++i) {
    sum += periods[i];
    if (i == 0) continue;
    difference += std::fabs(periods[i] - periods[i - 1]);
    const float ratio = amplitudes[i] / std::max(1e-9F, amplitudes[i - 1]);
    change += std::fabs(20.0F * std::log10(std::max(1e-9F, ratio)));
  }
  const auto steps = static_cast<float>(count - 1);
  *jitter = difference / steps / (sum / static_cast<float>(count));
  *shimmer_db = change / steps;
}

}  // namespace affectrt

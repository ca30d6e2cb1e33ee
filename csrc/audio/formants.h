// Resonances of a linear prediction filter.
#pragma once

#include <cstddef>

namespace affectrt {

constexpr size_t kFormants = 3;
constexpr size_t kPredictionOrder = 11;

struct Formant {
  float hz = 0.0F;  // 0: none found
  float bandwidth_hz = 0.0F;
};

// The lowest three from the autocorrelation [kPredictionOrder + 1] at `rate` Hz: the poles of the
// predictor (Markel & Gray 1976) between 90 Hz and 400 Hz below rate / 2 that are narrower than
// 1000 Hz.
void find_formants(const double* autocorrelation, double rate, Formant* formants);

}  // namespace affectrt

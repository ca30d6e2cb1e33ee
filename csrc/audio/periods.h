// Successive periods of a voiced frame.
#pragma once

#include <cstddef>

#include "kernels/signal.h"

namespace affectrt {

// Matches the waveform of each period with the next (cross-correlation, lags up to a sixth off the
// period; Titze & Liang 1993). *jitter: mean difference of successive periods by the mean period;
// *shimmer_db: mean difference of successive peak-to-peak amplitudes in dB. Untouched with fewer
// than three periods. `period` in samples.
void measure_periods(const SignalKernels& k, const float* frame, size_t length, float period,
                     float* jitter, float* shimmer_db);

}  // namespace affectrt

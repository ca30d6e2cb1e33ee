// Attention at the shape of the default model, in float32 and in 16-bit integers.
#pragma once

#include <nlohmann/json.hpp>

#include "kernels/kernels.h"
#include "measure.h"
#include "peak.h"

namespace affectrt::bench {

// One entry for each arithmetic, step and number of tokens; `loops` may be null: no shares then.
nlohmann::json measure_attention(const Settings& settings, const Kernels& kernels,
                                 const PeakLoops* loops);

}  // namespace affectrt::bench

#include "engine/speech_backend.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace affectrt {

void check_features(const ClipBatch& batch, size_t width) {
  for (size_t clip = 0; clip < batch.clips; ++clip) {
    const float* features = batch.features[clip];
    const size_t count = static_cast<size_t>(std::max(batch.frames[clip], 0)) * width;
    if (std::all_of(features, features + count, [](float x) { return std::isfinite(x); })) continue;
    throw Error(ErrorKind::kInput, "the features of clip " + std::to_string(clip) +
                                       " have NaN or infinite values; finite ones are needed");
  }
}

}  // namespace affectrt

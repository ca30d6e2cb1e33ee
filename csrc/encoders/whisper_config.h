// The shape of Whisper's encoder, as its checkpoint's config.json gives it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "kernels/kernels.h"

namespace affectrt {

struct WhisperConfig {
  size_t hidden = 0;
  size_t layers = 0;
  size_t heads = 0;
  size_t intermediate = 0;
  size_t mels = 0;
  size_t positions = 0;  // the most tokens of a clip, each of two frames
  Activation activation = Activation::kGelu;
  bool statistics = false;  // pooling has deviations behind its means
};

// Throws Error(kModelFile) naming the key of what is damaged or out of bounds, and
// Error(kUnsupported) for another model_type or an activation that we do not compute.
WhisperConfig parse_whisper_config(std::string_view config_json, const std::string& origin);

}  // namespace affectrt

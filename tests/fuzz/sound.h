// Sound out of an input, for the targets that hear.
#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include "fuzz.h"

namespace affectrt::fuzz {

// A stretch of sound of one kind.
inline void extend(Input* input, std::vector<float>* sound) {
  const uint8_t kind = input->byte();
  const size_t count = size_t{input->byte()} * 64;
  const float level = std::exp(-static_cast<float>(input->byte()) / 20.0F);
  const size_t first = sound->size();
  for (size_t i = 0; i < count; ++i) {
    const auto n = static_cast<float>(first + i);
    float x = 0.0F;
    if (kind % 4 == 1) x = level * std::sin(n * 0.08F) * std::sin(n * 0.001F);
    if (kind % 4 == 2) x = level * static_cast<float>((first + i) * 2654435761U % 2001) / 1000.0F;
    if (kind % 4 == 3) x = level;
    sound->push_back(x);
  }
  if (kind == 255 && count > 0) sound->back() = std::numeric_limits<float>::infinity();
}

}  // namespace affectrt::fuzz

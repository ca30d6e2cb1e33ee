// Logits to answers: scores, decided labels, "unsure". No model state, no allocation beyond outputs.
#pragma once

#include <cstdint>
#include <vector>

#include "bundle/manifest.h"

namespace affectrt {

struct HeadScores {
  int32_t width = 0;
  std::vector<float> logits;     // [rows, width], as the backend gave them
  std::vector<float> scores;     // [rows, width], calibrated probabilities; regression: values
  std::vector<uint8_t> decided;  // [rows, width], 1 where the label is part of the answer
  std::vector<uint8_t> unsure;   // [rows]
};

HeadScores decode(const Head& head, std::vector<float> logits, int32_t rows);

}  // namespace affectrt

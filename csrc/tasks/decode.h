// Logits to answers: scores, decided labels, "unsure". No model state, no allocation beyond
// outputs.
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

// With x = logits / head.temperature:
// - single-label: scores are softmax(x); the first of the highest is decided.
// - multi-label: scores are sigmoid(x); decided is every score >= its threshold (0.5 where the head
//   has none), which may be no label at all.
// - regression: scores are the logits, untouched; a value is neither decided nor unsure.
// A row is unsure where its highest score is below head.unsure_below.
//
// `logits` is [rows, labels]. Throws Error(kBackend) for a logit that is not a finite number,
// Error(kModelFile) for a head that contradicts itself.
HeadScores decode(const Head& head, std::vector<float> logits, int32_t rows);

// The labels of one row in the order that people are shown: highest score first, ties in the
// model's order; those of a regression head stay in the model's order.
std::vector<uint32_t> ranked(const Head& head, const HeadScores& scores, size_t row);

}  // namespace affectrt

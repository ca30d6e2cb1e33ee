// What decoding of rows and of tokens have in common.
#pragma once

#include <cstddef>
#include <vector>

#include "bundle/manifest.h"
#include "tasks/decode.h"

namespace affectrt {

constexpr float kDefaultThreshold = 0.5F;

// Takes `logits` over, with zeros for what is decided. Errors as of decode().
HeadScores checked_scores(const Head& head, std::vector<float> logits, size_t rows);

// Shifted by the highest logit, no exponent can overflow and the sum is at least 1.
void softmax(const float* logits, size_t width, double temperature, float* scores);
float sigmoid(double x);
// sigmoid(logits / temperature), and 1 in `decided` where a threshold is reached.
void flag_row(const Head& head, const float* logits, float* scores, uint8_t* decided);

}  // namespace affectrt

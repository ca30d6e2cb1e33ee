// Tokens of a text or a clip to one vector, each part of its columns a mean with weights of its
// own.
#pragma once

#include <cstddef>
#include <string>

#include "bundle/safetensors.h"
#include "encoders/linear.h"
#include "kernels/kernels.h"

namespace affectrt {

// NAME.weight [heads, hidden]: head h has the scores weight[h] . token; softmax over the tokens
// makes them the weights of columns h * hidden / heads to (h + 1) * hidden / heads. With
// `statistics` the deviations under the same weights stand behind the means (Okabe et al. 2018,
// "Attentive statistics pooling"). Immutable: concurrent calls are safe.
class AttentionPooling {
 public:
  AttentionPooling() = default;
  // Throws Error(kModelFile) for a tensor that is missing, damaged or does not divide the width.
  AttentionPooling(const SafeTensors& weights, size_t hidden, const std::string& name = "pooling",
                   bool statistics = false);

  // Columns of a pooled vector: hidden, with statistics twice as many.
  size_t width() const { return (statistics_ ? 2 : 1) * heads_ * part_; }

  // Floats of scratch for that many tokens.
  size_t scratch(size_t tokens) const { return tokens * scores_.panels() * kPanelColumns; }
  // pooled [width(), filled up with zeros to a multiple of kPanelColumns] of x [tokens, stride], at
  // least one.
  void run(const Kernels& kernels, const float* x, size_t stride, size_t tokens, float* scratch,
           float* pooled) const;

 private:
  // Behind the means, of `tokens` with weights [tokens, width].
  void add_deviations(const float* x, size_t stride, size_t tokens, const float* weights,
                      size_t width, float* pooled) const;

  bool statistics_ = false;
  size_t heads_ = 0;
  size_t part_ = 0;  // columns of a head
  Linear scores_;
};

}  // namespace affectrt

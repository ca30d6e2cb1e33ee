#include "encoders/attention_pooling.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/error.h"
#include "kernels/pack.h"

namespace affectrt {
namespace {

constexpr float kVarianceFloor = 1e-5F;  // as in affectrt.export.pooling

// In place over the rows of one column.
void softmax_column(float* x, size_t stride, size_t rows) {
  float highest = x[0];
  for (size_t i = 1; i < rows; ++i) highest = std::max(highest, x[i * stride]);
  double sum = 0.0;
  for (size_t i = 0; i < rows; ++i) {
    x[i * stride] = std::exp(x[i * stride] - highest);
    sum += double{x[i * stride]};
  }
  const auto share = static_cast<float>(1.0 / sum);
  for (size_t i = 0; i < rows; ++i) x[i * stride] *= share;
}

}  // namespace

AttentionPooling::AttentionPooling(const SafeTensors& weights, size_t hidden,
                                   const std::string& name, bool statistics)
    : statistics_(statistics) {
  const std::string tensor = name + ".weight";
  const Tensor* found = weights.find(tensor);
  heads_ = found == nullptr || found->shape.empty() ? 1 : found->shape[0];
  if (heads_ == 0 || heads_ > hidden || hidden % heads_ != 0) {
    throw Error(ErrorKind::kModelFile,
                weights.origin() + ": tensor '" + tensor + "' has " + std::to_string(heads_) +
                    " rows, which do not divide the width " + std::to_string(hidden));
  }
  weights.f32(tensor, {heads_, hidden});  // run() has no room for codes
  part_ = hidden / heads_;
  scores_ = Linear(read_matrix(weights, name, heads_, hidden, false), integer_arithmetic(weights),
                   weights);
}

void AttentionPooling::run(const Kernels& kernels, const float* x, size_t stride, size_t tokens,
                           float* scratch, float* pooled) const {
  const size_t width = scores_.panels() * kPanelColumns;
  scores_.multiply(kernels, {x, stride, nullptr, nullptr}, tokens, 0, scores_.panels(), scratch,
                   width, nullptr, Epilogue::kBias);
  for (size_t head = 0; head < heads_; ++head) softmax_column(scratch + head, width, tokens);
  std::fill_n(pooled, round_up(this->width(), kPanelColumns), 0.0F);
  for (size_t token = 0; token < tokens; ++token) {
    const float* row = x + token * stride;
    for (size_t head = 0; head < heads_; ++head) {
      const float weight = scratch[token * width + head];
      for (size_t i = head * part_; i < (head + 1) * part_; ++i) pooled[i] += weight * row[i];
    }
  }
  if (statistics_) add_deviations(x, stride, tokens, scratch, width, pooled);
}

void AttentionPooling::add_deviations(const float* x, size_t stride, size_t tokens,
                                      const float* weights, size_t width, float* pooled) const {
  const size_t hidden = heads_ * part_;
  float* deviations = pooled + hidden;
  for (size_t token = 0; token < tokens; ++token, x += stride, weights += width) {
    for (size_t head = 0; head < heads_; ++head) {
      const float weight = weights[head];
      for (size_t i = head * part_; i < (head + 1) * part_; ++i) {
        const float away = x[i] - pooled[i];
        deviations[i] += weight * away * away;
      }
    }
  }
  for (size_t i = 0; i < hidden; ++i) deviations[i] = std::sqrt(deviations[i] + kVarianceFloor);
}

}  // namespace affectrt

// Hidden states to one vector a row.
#pragma once

#include <cstddef>
#include <string>

#include "bundle/manifest.h"
#include "bundle/safetensors.h"
#include "encoders/attention_pooling.h"
#include "encoders/rows.h"
#include "kernels/kernels.h"

namespace affectrt {

// Immutable: concurrent calls are safe, each with a scratch of its own.
class Pooler {
 public:
  // `name` [heads, hidden] are the weights of attention; other kinds have none. Errors as of
  // AttentionPooling.
  Pooler(Pooling kind, const SafeTensors& weights, const std::string& name, size_t hidden);

  // Throws Error(kInput) for a row without a first token of a kind that is pooled.
  void check(const TokenRows& rows) const;
  // How many of a row's first tokens its vector is made of.
  size_t tokens(const TokenRows& rows, size_t row) const;
  // Floats of scratch for a chunk.
  size_t scratch(const TokenRows& rows, size_t stride) const;
  // pooled [rows, stride] from x [spans.tokens(), stride], the states of the first tokens of each
  // row, at least tokens() of them. What a row's vector is depends on that row alone.
  void run(const Kernels& kernels, const TokenRows& rows, const RowSpans& spans, const float* x,
           size_t stride, float* scratch, float* pooled) const;

 private:
  void attend(const Kernels& kernels, const TokenRows& rows, size_t row, const float* x,
              size_t stride, float* scratch, float* pooled) const;

  Pooling kind_;
  AttentionPooling attention_;  // of kinds that have it
};

}  // namespace affectrt

// What turns pooled rows and rows of tokens into logits: the classification head of each family, or
// the linear heads of our own checkpoints.
#pragma once

#include <string>
#include <vector>

#include "base/aligned_buffer.h"
#include "bundle/manifest.h"
#include "bundle/safetensors.h"
#include "encoders/encoder_config.h"
#include "encoders/linear.h"
#include "kernels/kernels.h"

namespace affectrt {

// Immutable: concurrent calls are safe, each with a scratch of its own.
class ClassifierHeads {
 public:
  struct Scratch {
    AlignedBuffer<float> dense;
    AlignedBuffer<float> logits;
    AlignedBuffer<uint8_t> codes;
    AlignedBuffer<RowQuant> quant;
  };

  // One output for each distinct one that the manifest's heads name, in their order. Throws
  // Error(kModelFile) where tensors are missing or have other shapes than config and labels ask
  // for.
  ClassifierHeads(const EncoderConfig& config, const SafeTensors& weights,
                  const std::vector<Head>& heads);

  struct Output {
    std::string name;
    size_t width;
    bool of_tokens;  // a row of logits for each token, not for each text
  };
  const std::vector<Output>& outputs() const { return outputs_; }
  // The rows that the heads read.
  Pooling pooling() const { return pooling_; }

  // logits[i] [rows, outputs()[i].width] from x [rows, stride], which are pooled rows or tokens,
  // for every output of that kind whose logits[i] is not null.
  void run(const Kernels& kernels, const float* x, size_t stride, size_t rows, bool of_tokens,
           Scratch* scratch, float* const* logits) const;

 private:
  // activation(dense x), normalised, in scratch.
  LayerInput dense_rows(const Kernels& kernels, const LayerInput& input, size_t rows,
                        Scratch* scratch) const;

  Pooling pooling_;
  Linear dense_;  // panels() == 0: the heads read the pooled rows themselves
  Activation activation_ = Activation::kNone;
  Norm norm_;  // behind the activation; gamma empty: none
  size_t hidden_;
  float norm_eps_;
  std::vector<Linear> heads_;
  std::vector<Output> outputs_;
};

}  // namespace affectrt

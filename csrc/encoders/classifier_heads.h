// What turns hidden states into logits: the classification head of each family on the pooled rows
// of the last layer, or the linear heads of our own checkpoints, each behind the layer that it
// reads.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/aligned_buffer.h"
#include "bundle/manifest.h"
#include "bundle/safetensors.h"
#include "encoders/encoder_config.h"
#include "encoders/linear.h"
#include "encoders/pooling.h"
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
  // for, or where heads read what the encoder does not have. Layers of `config` that no head reads
  // behind are dropped from its depth.
  ClassifierHeads(EncoderConfig* config, const SafeTensors& weights,
                  const std::vector<Head>& heads);

  struct Output {
    std::string name;
    size_t width;
    size_t reading;  // index into readings()
  };
  const std::vector<Output>& outputs() const { return outputs_; }

  // What outputs are made of; one for all that read the same.
  struct Reading {
    size_t layer;
    std::string attention;           // name of the weights of its pooling; "" where it has none
    std::optional<Pooling> pooling;  // empty: every token, not one vector a row
    std::optional<Pooler> pooler;

    bool of_tokens() const { return !pooling; }
  };
  const std::vector<Reading>& readings() const { return readings_; }
  // The pooled vectors that stand for a text: the model's own pooling behind the deepest layer that
  // is read.
  size_t embedding() const { return embedding_; }

  // logits[i] [rows, outputs()[i].width] from x [rows, stride], what readings()[reading] gave, for
  // every output of it whose logits[i] is not null.
  void run(const Kernels& kernels, const float* x, size_t stride, size_t rows, size_t reading,
           Scratch* scratch, float* const* logits) const;

 private:
  size_t add_reading(const EncoderConfig& config, const SafeTensors& weights, size_t layer,
                     std::optional<Pooling> pooling, const std::string& attention);
  // activation(dense x), normalised, in scratch.
  LayerInput dense_rows(const Kernels& kernels, const LayerInput& input, size_t rows,
                        Scratch* scratch) const;

  Linear dense_;  // panels() == 0: the heads read the pooled rows themselves
  Activation activation_ = Activation::kNone;
  Norm norm_;  // behind the activation; gamma empty: none
  size_t hidden_;
  float norm_eps_;
  std::vector<Linear> heads_;
  std::vector<Output> outputs_;
  std::vector<Reading> readings_;
  size_t embedding_ = 0;
};

}  // namespace affectrt

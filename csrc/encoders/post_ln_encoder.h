// Encoders whose layers normalise after each residual sum: BERT, ELECTRA, RoBERTa, XLM-R,
// DistilBERT (Vaswani et al. 2017, Devlin et al. 2019) and MPNet, which adds a relative position
// bias to the attention scores (Song et al. 2020).
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "encoders/attention.h"
#include "encoders/linear.h"
#include "encoders/table.h"
#include "encoders/text_encoder.h"

namespace affectrt {

class PostLnEncoder final : public TextEncoder {
 public:
  // As make_text_encoder().
  PostLnEncoder(const EncoderConfig& config, const SafeTensors& weights, const Kernels& kernels,
                const SafeTensors* other_rows);

  void forward(const TokenRows& rows, Team& team, Workspace* shared, Workspace* own,
               LayerReader* reader) const override;

 private:
  struct Layer {
    Linear qkv;
    Linear out;
    Norm out_norm;
    Linear up;
    Linear down;
    Norm down_norm;
  };

  Room room(const TokenRows& rows, bool whole) const override;
  void load_embeddings(const SafeTensors& weights, const std::string& prefix,
                       const SafeTensors* other_rows);
  Layer load_layer(const SafeTensors& weights, const std::string& prefix, size_t index) const;
  void load_relative_bias(const SafeTensors& weights, const std::string& prefix);

  void embed(const TokenRows& rows, Team& team, Workspace* own, float* x) const;
  void finish_layer(const Layer& layer, float* x, const float* context, const Block& block) const;
  void normalise(const Norm& norm, float* x, size_t begin, size_t end) const;

  size_t embedding_stride_ = 0;  // of rows before ELECTRA's projection
  size_t intermediate_stride_ = 0;
  Attention attention_;

  Table positions_;
  Table types_;
  Norm embedding_norm_;
  Linear embedding_projection_;  // panels() == 0: there is none
  std::vector<Layer> layers_;
  std::vector<float> relative_bias_;  // [heads][2 * max_tokens - 1 + 16], as ScoreBias reads it
};

}  // namespace affectrt

// ModernBERT (Warner et al. 2024): no position table but rotary positions, layers that normalise
// first, gated inner products, and attention that in most layers sees near tokens alone.
#pragma once

#include <memory>
#include <string>

#include "encoders/attention.h"
#include "encoders/linear.h"
#include "encoders/pre_ln_layers.h"
#include "encoders/text_encoder.h"

namespace affectrt {

class ModernBertEncoder final : public TextEncoder {
 public:
  // As make_text_encoder().
  ModernBertEncoder(const EncoderConfig& config, const SafeTensors& weights, const Kernels& kernels,
                    const SafeTensors* other_rows);

  void forward(const TokenRows& rows, Team& team, Workspace* shared, Workspace* own,
               LayerReader* reader) const override;

 private:
  Room room(const TokenRows& rows, bool whole) const override;
  PreLnLayer load_layer(const SafeTensors& weights, const std::string& prefix, size_t index,
                        const HeadLayout& heads) const;

  Norm embedding_norm_;
  // Of the layers that see all tokens, and of those that see near ones.
  std::unique_ptr<const Rotary> global_rotary_;
  std::unique_ptr<const Rotary> local_rotary_;
  std::unique_ptr<const AttentionWindow> window_;
  PreLnLayers layers_;
};

}  // namespace affectrt

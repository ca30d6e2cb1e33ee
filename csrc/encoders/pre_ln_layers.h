// Layers that normalise before attention and before the inner product, and add to what came in:
// those of ModernBERT and of Whisper's encoder.
#pragma once

#include <cstddef>
#include <vector>

#include "encoders/attention.h"
#include "encoders/layer.h"
#include "encoders/linear.h"
#include "kernels/kernels.h"

namespace affectrt {

struct PreLnLayer {
  Norm attention_norm;  // gamma empty: none
  Linear qkv;
  Linear out;
  const AttentionWindow* window = nullptr;
  const Rotary* rotary = nullptr;
  Norm inner_norm;
  Linear up;  // where gated, what is activated and then what it is multiplied with
  Linear down;
};

struct PreLnShape {
  HeadLayout heads;
  size_t hidden = 0;
  size_t intermediate = 0;
  bool gated = false;
  Activation activation = Activation::kGelu;
  float norm_eps = 0.0F;
};

// Immutable: concurrent calls are safe. What the layers point to must outlive them.
class PreLnLayers {
 public:
  PreLnLayers() = default;
  // `last_norm` stands behind the last of `layers`; gamma empty: none.
  PreLnLayers(const PreLnShape& shape, std::vector<PreLnLayer> layers, Norm last_norm);

  // `kept`: the rows that forward() computes to the end.
  Room room(const RowSpans& rows, bool whole, const RowSpans& kept) const;
  // x [tokens, pass.stride] through all layers and the last norm or, with a reader, through as many
  // as it asks for. Returns where the result is: x, or the rows of pass.kept where these are not
  // all. Called by all members; finished by all on return.
  float* forward(const Pass& pass, float* x, LayerReader* reader = nullptr) const;

 private:
  LayerInput normalised(const Norm& norm, const float* x, size_t stride, const Block& block) const;
  void normalise(const Kernels& kernels, const Norm& norm, float* x, size_t stride,
                 size_t rows) const;
  void normalise_last(const Pass& pass, float* x) const;
  void finish_layer(const PreLnLayer& layer, float* x, const float* context, size_t stride,
                    const Block& block) const;

  PreLnShape shape_;
  size_t stride_ = 0;
  size_t inner_stride_ = 0;  // of one half where gated
  std::vector<PreLnLayer> layers_;
  Norm last_norm_;
};

// An up matrix [2 * intermediate, inputs] whose two halves begin at whole panels.
Linear make_gated(const MatrixView& up, Arithmetic integers, const SafeTensors& weights);

}  // namespace affectrt

#include "encoders/pre_ln_layers.h"

#include <algorithm>
#include <utility>

#include "kernels/pack.h"

namespace affectrt {

PreLnLayers::PreLnLayers(const PreLnShape& shape, std::vector<PreLnLayer> layers, Norm last_norm)
    : shape_(shape),
      stride_(round_up(shape.hidden, kPanelColumns)),
      inner_stride_(round_up(shape.intermediate, kPanelColumns)),
      layers_(std::move(layers)),
      last_norm_(std::move(last_norm)) {}

Room PreLnLayers::room(const RowSpans& rows, bool whole, const RowSpans& kept) const {
  Room room;
  add_attention_room(shape_.heads, rows, whole, kept, &room);
  if (whole) {
    room.hidden = rows.tokens() * stride_;
    if (kept.tokens() < rows.tokens()) room.kept_hidden = kept.tokens() * stride_;
  }
  const size_t block = std::min(kBlockRows, std::max(rows.tokens(), size_t{1}));
  const size_t widest_input = std::max({stride_, shape_.heads.row(), inner_stride_});
  room.normal = block * stride_;
  room.wide = block * inner_stride_ * (shape_.gated ? 2 : 1);
  room.codes = block * widest_input * sizeof(int16_t);
  room.quant = block;
  return room;
}

void PreLnLayers::normalise(const Kernels& kernels, const Norm& norm, float* x, size_t stride,
                            size_t rows) const {
  kernels.layer_norm(x, stride, rows, shape_.hidden, shape_.norm_eps, norm.gamma.data(),
                     norm.beta.data());
}

// This member's rows of x, normalised, in the block's own memory.
LayerInput PreLnLayers::normalised(const Norm& norm, const float* x, size_t stride,
                                   const Block& block) const {
  float* normal = block.space->normal.data();
  const size_t rows = block.end - block.begin;
  if (rows > 0) {
    std::copy_n(x + block.begin * stride, rows * stride, normal + block.begin * stride);
    normalise(block.kernels, norm, normal + block.begin * stride, stride, rows);
  }
  return block.input(normal, stride);
}

void PreLnLayers::finish_layer(const PreLnLayer& layer, float* x, const float* context,
                               size_t stride, const Block& block) const {
  block.project(layer.out, 0, layer.out.panels(), block.input(context, shape_.heads.row()), x,
                stride, x, Epilogue::kBiasResidual);
  const LayerInput normal = normalised(layer.inner_norm, x, stride, block);
  float* wide = block.space->wide.data();
  const size_t wide_stride = inner_stride_ * (shape_.gated ? 2 : 1);
  const size_t panels = inner_stride_ / kPanelColumns;
  const bool gelu = shape_.activation == Activation::kGelu;
  layer.up.quantize(block.kernels, normal, block.begin, block.end);
  block.team.barrier();
  block.multiply(layer.up, normal, 0, panels, wide, wide_stride, nullptr,
                 gelu ? Epilogue::kBiasGelu : Epilogue::kBias);
  if (shape_.gated) {
    block.multiply(layer.up, normal, panels, 2 * panels, wide + inner_stride_, wide_stride, nullptr,
                   Epilogue::kBias);
  }
  block.team.barrier();
  for (size_t row = block.begin; row < block.end; ++row) {
    float* inner = wide + row * wide_stride;
    if (!gelu) block.kernels.activate(shape_.activation, inner, inner_stride_);
    if (shape_.gated) block.kernels.multiply(inner + inner_stride_, inner, inner_stride_);
  }
  block.project(layer.down, 0, layer.down.panels(), block.input(wide, wide_stride), x, stride, x,
                Epilogue::kBiasResidual);
}

void PreLnLayers::normalise_last(const Pass& pass, float* x) const {
  if (last_norm_.gamma.empty()) return;
  size_t begin = 0;
  size_t end = 0;
  pass.team.share(pass.kept.tokens(), 1, &begin, &end);
  if (begin < end) {
    normalise(pass.kernels, last_norm_, x + begin * pass.stride, pass.stride, end - begin);
  }
  pass.team.barrier();
}

float* PreLnLayers::forward(const Pass& pass, float* x, LayerReader* reader) const {
  const size_t depth = reader != nullptr ? reader->depth() : layers_.size();
  if (layers_.empty()) normalise_last(pass, x);
  if (reader != nullptr) read_layer(pass, 0, x, reader);
  for (size_t i = 0; i < depth; ++i) {
    const PreLnLayer& layer = layers_[i];
    const Attention attention = {shape_.heads, ScoreBias(), layer.window};
    x = run_layer(
        pass, attention, layer.qkv, layer.rotary, i + 1 == depth, x,
        [&](const float* of_block, const Block& block) {
          if (layer.attention_norm.gamma.empty()) return block.input(of_block, pass.stride);
          return normalised(layer.attention_norm, of_block, pass.stride, block);
        },
        [&](float* of_block, const float* context, const Block& block) {
          finish_layer(layer, of_block, context, pass.stride, block);
        });
    if (i + 1 == layers_.size()) normalise_last(pass, x);
    if (reader != nullptr) read_layer(pass, i + 1, x, reader);
  }
  return x;
}

Linear make_gated(const MatrixView& up, Arithmetic integers, const SafeTensors& weights) {
  const size_t width = up.outputs / 2;
  const size_t stride = round_up(width, kPanelColumns);
  std::vector<Linear::Output> outputs;
  for (size_t i = 0; i < 2 * stride; ++i) {
    const bool real = i % stride < width;
    outputs.push_back({real ? &up : nullptr, real ? i / stride * width + i % stride : 0});
  }
  return Linear(outputs, integers, weights);
}

}  // namespace affectrt

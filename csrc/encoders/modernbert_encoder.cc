#include "encoders/modernbert_encoder.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "encoders/tensor_names.h"

namespace affectrt {

ModernBertEncoder::ModernBertEncoder(const EncoderConfig& config, const SafeTensors& weights,
                                     const Kernels& kernels, const SafeTensors* other_rows)
    : TextEncoder(config, kernels) {
  const ModernBertConfig& own = config.modernbert;
  const std::string prefix = encoder_prefix(weights, config.family);
  words_ = Table(weights, prefix + "embeddings.tok_embeddings.weight", config.vocabulary,
                 config.hidden, other_rows);
  embedding_norm_ = read_norm(weights, prefix + "embeddings.norm", config.hidden, own.norm_bias);
  const size_t width = config.head_width();
  global_rotary_ = std::make_unique<const Rotary>(config.positions, width, own.global_theta);
  local_rotary_ = std::make_unique<const Rotary>(config.positions, width, own.local_theta);
  window_ = std::make_unique<const AttentionWindow>(std::min(own.reach, config.positions));

  PreLnShape shape;
  shape.heads = HeadLayout(config.heads, width, true);
  shape.hidden = config.hidden;
  shape.intermediate = config.intermediate;
  shape.gated = true;
  shape.activation = config.activation;
  shape.norm_eps = config.norm_eps;
  std::vector<PreLnLayer> layers;
  for (size_t i = 0; i < config.depth; ++i) {
    layers.push_back(load_layer(weights, prefix, i, shape.heads));
  }
  // It stands behind the last layer alone.
  Norm final_norm;
  if (config.depth == config.layers) {
    final_norm = read_norm(weights, prefix + "final_norm", config.hidden, own.norm_bias);
  }
  layers_ = PreLnLayers(shape, std::move(layers), std::move(final_norm));
}

PreLnLayer ModernBertEncoder::load_layer(const SafeTensors& weights, const std::string& prefix,
                                         size_t index, const HeadLayout& heads) const {
  const ModernBertConfig& own = config_.modernbert;
  const std::string at = prefix + "layers." + std::to_string(index) + ".";
  const Arithmetic integers = integer_arithmetic(weights);
  const size_t hidden = config_.hidden;
  const size_t inner = config_.intermediate;
  PreLnLayer layer;
  // The rows of the first layer come normalised from the embeddings.
  if (index > 0) layer.attention_norm = read_norm(weights, at + "attn_norm", hidden, own.norm_bias);
  const MatrixView qkv =
      read_matrix(weights, at + "attn.Wqkv", 3 * hidden, hidden, own.attention_bias);
  layer.qkv = make_qkv(heads, {&qkv, 0}, {&qkv, hidden}, {&qkv, 2 * hidden}, integers, weights);
  layer.out = make_attention_out(
      heads, read_matrix(weights, at + "attn.Wo", hidden, hidden, own.attention_bias), integers,
      weights);
  const bool local = own.is_local[index];
  layer.window = local ? window_.get() : nullptr;
  layer.rotary = local ? local_rotary_.get() : global_rotary_.get();
  layer.inner_norm = read_norm(weights, at + "mlp_norm", hidden, own.norm_bias);
  layer.up = make_gated(read_matrix(weights, at + "mlp.Wi", 2 * inner, hidden, own.mlp_bias),
                        integers, weights);
  layer.down =
      Linear(read_matrix(weights, at + "mlp.Wo", hidden, inner, own.mlp_bias), integers, weights);
  return layer;
}

Room ModernBertEncoder::room(const TokenRows& rows, bool whole) const {
  return layers_.room(rows.spans(), whole, rows.kept());
}

void ModernBertEncoder::forward(const TokenRows& rows, Team& team, Workspace* shared,
                                Workspace* own, LayerReader* reader) const {
  float* x = shared->hidden.data();
  size_t begin = 0;
  size_t end = 0;
  team.share(rows.tokens(), 1, &begin, &end);
  if (begin < end) {
    std::fill_n(x + begin * stride_, (end - begin) * stride_, 0.0F);
    const int32_t* ids = rows.ids + rows.row_begin[0];
    for (size_t token = begin; token < end; ++token) {
      words_.add_row(kernels_, static_cast<size_t>(ids[token]), x + token * stride_);
    }
    kernels_.layer_norm(x + begin * stride_, stride_, end - begin, config_.hidden, config_.norm_eps,
                        embedding_norm_.gamma.data(), embedding_norm_.beta.data());
  }
  team.barrier();
  const Pass pass = {kernels_, rows.spans(), rows.kept(), stride_, team, shared, own};
  layers_.forward(pass, x, reader);
}

}  // namespace affectrt

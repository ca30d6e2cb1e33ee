// Loading of PostLnEncoder.
#include <cmath>

#include "encoders/post_ln_encoder.h"
#include "encoders/tensor_names.h"
#include "kernels/pack.h"

namespace affectrt {
namespace {

// MPNet's buckets of relative positions (as T5's, Raffel et al. 2020, section 2.1): half of them
// for keys behind the query; of each half, the first 8 are distances, the rest grow logarithmically
// up to distance 128.
constexpr int32_t kBuckets = 32;
constexpr int32_t kBucketsASide = kBuckets / 2;
constexpr int32_t kExactDistances = kBucketsASide / 2;
constexpr double kFarthest = 128.0;

// `distance` = query position - key position
int32_t relative_bucket(int32_t distance) {
  const int32_t side = distance < 0 ? kBucketsASide : 0;
  const int32_t size = distance < 0 ? -distance : distance;
  if (size < kExactDistances) return side + size;
  // In float, as the checkpoints were trained: the edges of the buckets depend on it.
  const float ratio = std::log(static_cast<float>(size) / static_cast<float>(kExactDistances)) /
                      static_cast<float>(std::log(kFarthest / kExactDistances));
  const auto grown =
      static_cast<int32_t>(ratio * static_cast<float>(kBucketsASide - kExactDistances));
  return side + std::min(kExactDistances + grown, kBucketsASide - 1);
}

}  // namespace

PostLnEncoder::PostLnEncoder(const EncoderConfig& config, const SafeTensors& weights,
                             const Kernels& kernels, const SafeTensors* other_rows)
    : TextEncoder(config, kernels),
      embedding_stride_(round_up(config.embedding, kPanelColumns)),
      intermediate_stride_(round_up(config.intermediate, kPanelColumns)) {
  attention_.layout = HeadLayout(config.heads, config.head_width(), false);
  const std::string prefix = encoder_prefix(weights, config.family);
  load_embeddings(weights, prefix, other_rows);
  for (size_t i = 0; i < config_.depth; ++i) layers_.push_back(load_layer(weights, prefix, i));
  if (config_.has_relative_bias) load_relative_bias(weights, prefix);
}

void PostLnEncoder::load_embeddings(const SafeTensors& weights, const std::string& prefix,
                                    const SafeTensors* other_rows) {
  const std::string embeddings = prefix + "embeddings.";
  const size_t width = config_.embedding;
  words_ =
      Table(weights, embeddings + "word_embeddings.weight", config_.vocabulary, width, other_rows);
  positions_ = Table(weights, embeddings + "position_embeddings.weight", config_.positions, width);
  if (config_.types > 0) {
    types_ = Table(weights, embeddings + "token_type_embeddings.weight", config_.types, width);
  }
  embedding_norm_ = read_norm(weights, embeddings + "LayerNorm", width);
  if (config_.embedding != config_.hidden) {
    const MatrixView projection =
        read_matrix(weights, prefix + "embeddings_project", config_.hidden, width);
    embedding_projection_ = Linear(projection, integer_arithmetic(weights), weights);
  }
}

PostLnEncoder::Layer PostLnEncoder::load_layer(const SafeTensors& weights,
                                               const std::string& prefix, size_t index) const {
  const TensorNames& names = tensor_names(config_.family);
  const std::string at = prefix + names.layers + std::to_string(index) + ".";
  const Arithmetic integers = integer_arithmetic(weights);
  const size_t hidden = config_.hidden;
  const MatrixView query = read_matrix(weights, at + names.query, hidden, hidden);
  const MatrixView key = read_matrix(weights, at + names.key, hidden, hidden);
  const MatrixView value = read_matrix(weights, at + names.value, hidden, hidden);
  Layer layer;
  layer.qkv = make_qkv(attention_.layout, {&query, 0}, {&key, 0}, {&value, 0}, integers, weights);
  layer.out = make_attention_out(
      attention_.layout, read_matrix(weights, at + names.out, hidden, hidden), integers, weights);
  layer.out_norm = read_norm(weights, at + names.out_norm, hidden);
  layer.up =
      Linear(read_matrix(weights, at + names.up, config_.intermediate, hidden), integers, weights);
  layer.down = Linear(read_matrix(weights, at + names.down, hidden, config_.intermediate), integers,
                      weights);
  layer.down_norm = read_norm(weights, at + names.down_norm, hidden);
  return layer;
}

void PostLnEncoder::load_relative_bias(const SafeTensors& weights, const std::string& prefix) {
  const Table table(weights, prefix + "encoder.relative_attention_bias.weight", kBuckets,
                    config_.heads);
  std::vector<float> buckets(kBuckets * config_.heads, 0.0F);
  for (size_t bucket = 0; bucket < static_cast<size_t>(kBuckets); ++bucket) {
    table.add_row(kernels_, bucket, buckets.data() + bucket * config_.heads);
  }
  const auto most = static_cast<int32_t>(config_.max_tokens());
  // The softmax kernel reads whole vectors of 16.
  const size_t stride = static_cast<size_t>(2 * most - 1) + kPanelColumns;
  relative_bias_.assign(config_.heads * stride, 0.0F);
  for (int32_t offset = 1 - most; offset < most; ++offset) {
    const auto bucket = static_cast<size_t>(relative_bucket(-offset));
    for (size_t head = 0; head < config_.heads; ++head) {
      relative_bias_[head * stride + static_cast<size_t>(offset + most - 1)] =
          buckets[bucket * config_.heads + head];
    }
  }
  attention_.bias = {relative_bias_.data(), stride, static_cast<size_t>(most - 1)};
}

}  // namespace affectrt

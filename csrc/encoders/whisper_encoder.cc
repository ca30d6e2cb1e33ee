#include "encoders/whisper_encoder.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "kernels/pack.h"

namespace affectrt {
namespace {

constexpr const char* kPositions = "embed_positions.weight";
constexpr size_t kTaps = 3;     // frames that a convolution reads, the middle one its own
constexpr size_t kPadding = 2;  // rows of zeros around a clip
constexpr size_t kMostComputed = 1 << 13;  // positions, where they are not in the file
constexpr float kNormEps = 1e-5F;          // fixed in the family's code

// A convolution as a product: its inputs are `kTaps` rows of `stride` floats, which lie one behind
// the other wherever rows of frames do.
Linear load_convolution(const SafeTensors& weights, const std::string& name, size_t outputs,
                        size_t channels, size_t stride) {
  const MatrixView matrix = read_convolution(weights, name, outputs, channels, kTaps);
  std::vector<Linear::Output> rows;
  for (size_t row = 0; row < outputs; ++row) rows.push_back({&matrix, row});
  std::vector<size_t> columns;
  for (size_t i = 0; i < kTaps * stride; ++i) {
    const size_t channel = i % stride;
    columns.push_back(channel < channels ? channel * kTaps + i / stride : Linear::kNoColumn);
  }
  return Linear(rows, integer_arithmetic(weights), weights, &columns);
}

// Row p has sin(p * r) and behind them cos(p * r) of hidden / 2 rates r from 1 to 1e-4, in equal
// ratios (Radford et al. 2022, section 2.2).
std::vector<float> sinusoids(const WhisperConfig& config, const SafeTensors& weights) {
  const size_t half = config.hidden / 2;
  if (half < 2 || config.hidden % 2 != 0 || config.positions > kMostComputed) {
    throw Error(ErrorKind::kModelFile,
                weights.origin() +
                    ": has no 'embed_positions.weight'; positions are computed for "
                    "an even width of at least 4 and at most " +
                    std::to_string(kMostComputed) + " positions, not a width of " +
                    std::to_string(config.hidden) + " and " + std::to_string(config.positions));
  }
  std::vector<float> table(config.positions * config.hidden);
  for (size_t i = 0; i < half; ++i) {
    const double rate = std::pow(1e-4, static_cast<double>(i) / static_cast<double>(half - 1));
    for (size_t p = 0; p < config.positions; ++p) {
      float* row = table.data() + p * config.hidden;
      row[i] = static_cast<float>(std::sin(static_cast<double>(p) * rate));
      row[half + i] = static_cast<float>(std::cos(static_cast<double>(p) * rate));
    }
  }
  return table;
}

}  // namespace

WhisperEncoder::WhisperEncoder(const WhisperConfig& config, const SafeTensors& weights,
                               const Kernels& kernels)
    : config_(config),
      kernels_(kernels),
      stride_(round_up(config.hidden, kPanelColumns)),
      mel_stride_(round_up(config.mels, kPanelColumns)),
      first_(load_convolution(weights, "conv1", config.hidden, config.mels, mel_stride_)),
      second_(load_convolution(weights, "conv2", config.hidden, config.hidden, stride_)) {
  if (weights.find(kPositions) != nullptr) {
    positions_ = Table(weights, kPositions, config.positions, config.hidden);
  } else {
    sinusoids_ = sinusoids(config, weights);
  }
  PreLnShape shape;
  shape.heads = HeadLayout(config.heads, config.hidden / config.heads, false);
  shape.hidden = config.hidden;
  shape.intermediate = config.intermediate;
  shape.activation = config.activation;
  shape.norm_eps = kNormEps;
  std::vector<PreLnLayer> layers;
  for (size_t i = 0; i < config.layers; ++i) layers.push_back(load_layer(weights, i, shape.heads));
  layers_ = PreLnLayers(shape, std::move(layers), read_norm(weights, "layer_norm", config.hidden));
}

PreLnLayer WhisperEncoder::load_layer(const SafeTensors& weights, size_t index,
                                      const HeadLayout& heads) const {
  const std::string at = "layers." + std::to_string(index) + ".";
  const std::string attention = at + "self_attn.";
  const Arithmetic integers = integer_arithmetic(weights);
  const size_t hidden = config_.hidden;
  const MatrixView query = read_matrix(weights, attention + "q_proj", hidden, hidden);
  // A bias of the keys would add the same to all scores of a query.
  const MatrixView key = read_matrix(weights, attention + "k_proj", hidden, hidden, false);
  const MatrixView value = read_matrix(weights, attention + "v_proj", hidden, hidden);
  PreLnLayer layer;
  layer.attention_norm = read_norm(weights, at + "self_attn_layer_norm", hidden);
  layer.qkv = make_qkv(heads, {&query, 0}, {&key, 0}, {&value, 0}, integers, weights);
  layer.out = make_attention_out(
      heads, read_matrix(weights, attention + "out_proj", hidden, hidden), integers, weights);
  layer.inner_norm = read_norm(weights, at + "final_layer_norm", hidden);
  layer.up =
      Linear(read_matrix(weights, at + "fc1", config_.intermediate, hidden), integers, weights);
  layer.down =
      Linear(read_matrix(weights, at + "fc2", hidden, config_.intermediate), integers, weights);
  return layer;
}

void WhisperEncoder::check(const ClipRows& clips) const {
  const size_t most = 2 * config_.positions;
  for (size_t clip = 0; clip < clips.clips; ++clip) {
    const int32_t frames = clips.frames[clip];
    if (frames < 1 || static_cast<size_t>(frames) > most) {
      throw Error(ErrorKind::kInput, "clip " + std::to_string(clip) + " has " +
                                         std::to_string(frames) + " frames; 1 to " +
                                         std::to_string(most) + " are possible");
    }
  }
}

void WhisperEncoder::prepare(const ClipRows& clips, bool whole, Workspace* workspace) const {
  Room room = layers_.room(clips.spans(), whole, clips.spans());
  size_t frames = 0;
  for (size_t clip = 0; clip < clips.clips; ++clip) {
    frames += static_cast<size_t>(clips.frames[clip]) + kPadding;
  }
  if (whole) {
    room.frames = frames * mel_stride_;
    room.convolved = frames * stride_;
  }
  const size_t block = std::min(kBlockRows, frames);
  room.codes =
      std::max(room.codes, block * kTaps * std::max(mel_stride_, stride_) * sizeof(int16_t));
  room.quant = std::max(room.quant, block);
  workspace->make(room);
}

void WhisperEncoder::add_position(size_t position, float* x) const {
  if (sinusoids_.empty()) {
    positions_.add_row(kernels_, position, x);
  } else {
    kernels_.add(sinusoids_.data() + position * config_.hidden, x, config_.hidden);
  }
}

// Both convolutions and the positions, to x [tokens, stride].
void WhisperEncoder::embed(const ClipRows& clips, Team& team, Workspace* shared, Workspace* own,
                           float* x) const {
  const RowSpans spans = clips.spans();
  float* frames = shared->frames.data();
  float* convolved = shared->convolved.data();
  for (size_t clip = 0; clip < clips.clips; ++clip) {
    const auto count = static_cast<size_t>(clips.frames[clip]);
    size_t begin = 0;
    size_t end = 0;
    team.share(count, 1, &begin, &end);
    for (size_t frame = begin; frame < end; ++frame) {
      float* row = frames + (frame + 1) * mel_stride_;
      std::copy_n(clips.features[clip] + frame * config_.mels, config_.mels, row);
      std::fill_n(row + config_.mels, mel_stride_ - config_.mels, 0.0F);
    }
    if (team.rank() == 0) {
      for (const size_t row : {size_t{0}, count + 1}) {
        std::fill_n(frames + row * mel_stride_, mel_stride_, 0.0F);
        std::fill_n(convolved + row * stride_, stride_, 0.0F);
      }
    }
    team.barrier();
    for_blocks(kernels_, count, team, shared, own, [&](size_t row, const Block& block) {
      block.project(first_, 0, first_.panels(),
                    block.input(frames + row * mel_stride_, mel_stride_),
                    convolved + (row + 1) * stride_, stride_, nullptr, Epilogue::kBiasGelu);
    });
    float* out = x + spans.first(clip) * stride_;
    for_blocks(kernels_, spans.length(clip), team, shared, own,
               [&](size_t row, const Block& block) {
                 block.project(second_, 0, second_.panels(),
                               block.input(convolved + 2 * row * stride_, 2 * stride_),
                               out + row * stride_, stride_, nullptr, Epilogue::kBiasGelu);
                 for (size_t i = row + block.begin; i < row + block.end; ++i) {
                   add_position(i, out + i * stride_);
                 }
               });
    frames += (count + kPadding) * mel_stride_;
    convolved += (count + kPadding) * stride_;
  }
  team.barrier();
}

const float* WhisperEncoder::forward(const ClipRows& clips, Team& team, Workspace* shared,
                                     Workspace* own) const {
  float* x = shared->hidden.data();
  embed(clips, team, shared, own, x);
  const Pass pass = {kernels_, clips.spans(), clips.spans(), stride_, team, shared, own};
  return layers_.forward(pass, x);
}

}  // namespace affectrt

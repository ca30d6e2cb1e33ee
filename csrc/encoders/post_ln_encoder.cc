#include "encoders/post_ln_encoder.h"

#include <algorithm>

#include "encoders/layer.h"
#include "kernels/pack.h"

namespace affectrt {

Room PostLnEncoder::room(const TokenRows& rows, bool whole) const {
  const size_t tokens = rows.tokens();
  Room room;
  add_attention_room(attention_.layout, rows.spans(), whole, rows.kept(), &room);
  if (whole) {
    room.hidden = tokens * stride_;
    if (!rows.keeps_all()) room.kept_hidden = rows.kept().tokens() * stride_;
  }
  const size_t widest = std::max(intermediate_stride_, embedding_stride_);
  const size_t widest_input = std::max({widest, stride_, attention_.layout.row()});
  const size_t block = std::min(kBlockRows, std::max(tokens, size_t{1}));
  room.wide = block * widest;
  room.codes = block * widest_input * sizeof(int16_t);
  room.quant = block;
  return room;
}

void PostLnEncoder::normalise(const Norm& norm, float* x, size_t begin, size_t end) const {
  if (begin >= end) return;
  kernels_.layer_norm(x + begin * stride_, stride_, end - begin, config_.hidden, config_.norm_eps,
                      norm.gamma.data(), norm.beta.data());
}

// Word, position and type rows, summed and normalised, to x [tokens, stride].
void PostLnEncoder::embed(const TokenRows& rows, Team& team, Workspace* own, float* x) const {
  size_t begin = 0;
  size_t end = 0;
  team.share(rows.tokens(), 1, &begin, &end);
  const bool projects = embedding_projection_.panels() > 0;
  const int32_t origin = rows.row_begin[0];
  size_t row = 0;
  size_t counted = 0;  // tokens of this row that are not padding, before `token`
  size_t row_start = 0;
  for (size_t block = begin; block < end; block += kBlockRows) {
    const size_t block_rows = std::min(kBlockRows, end - block);
    float* out = projects ? own->wide.data() : x + block * stride_;
    const size_t out_stride = projects ? embedding_stride_ : stride_;
    std::fill_n(out, block_rows * out_stride, 0.0F);
    for (size_t token = block; token < block + block_rows; ++token, out += out_stride) {
      const size_t at = static_cast<size_t>(origin) + token;
      size_t position = 0;
      while (at >= static_cast<size_t>(rows.row_begin[row + 1])) ++row;
      const auto start = static_cast<size_t>(rows.row_begin[row]);
      if (config_.padding_id) {
        if (token == begin || start != row_start) {  // count from the start of the row
          counted = 0;
          for (size_t i = start; i < at; ++i) counted += rows.ids[i] != *config_.padding_id ? 1 : 0;
          row_start = start;
        }
        position = static_cast<size_t>(*config_.padding_id);
        if (rows.ids[at] != *config_.padding_id) position += ++counted;
      } else {
        position = at - start;
      }
      words_.add_row(kernels_, static_cast<size_t>(rows.ids[at]), out);
      if (types_.rows() > 0) {
        types_.add_row(kernels_, config_.reads_types ? static_cast<size_t>(rows.type_ids[at]) : 0,
                       out);
      }
      positions_.add_row(kernels_, position, out);
    }
    float* embedded = projects ? own->wide.data() : x + block * stride_;
    kernels_.layer_norm(embedded, out_stride, block_rows, config_.embedding, config_.norm_eps,
                        embedding_norm_.gamma.data(), embedding_norm_.beta.data());
    if (projects) {
      const LayerInput input = {embedded, out_stride, own->codes.data(), own->quant.data()};
      embedding_projection_.quantize(kernels_, input, 0, block_rows);
      embedding_projection_.multiply(kernels_, input, block_rows, 0, embedding_projection_.panels(),
                                     x + block * stride_, stride_, nullptr, Epilogue::kBias);
    }
  }
}

// What follows the attention in a layer: all of it works row by row.
void PostLnEncoder::finish_layer(const Layer& layer, float* x, const float* context,
                                 const Block& block) const {
  float* wide = block.space->wide.data();
  block.project(layer.out, 0, layer.out.panels(), block.input(context, attention_.layout.row()), x,
                stride_, x, Epilogue::kBiasResidual);
  normalise(layer.out_norm, x, block.begin, block.end);
  const bool gelu = config_.activation == Activation::kGelu;
  block.project(layer.up, 0, layer.up.panels(), block.input(x, stride_), wide, intermediate_stride_,
                nullptr, gelu ? Epilogue::kBiasGelu : Epilogue::kBias);
  if (!gelu) {
    kernels_.activate(config_.activation, wide + block.begin * intermediate_stride_,
                      (block.end - block.begin) * intermediate_stride_);
  }
  block.project(layer.down, 0, layer.down.panels(), block.input(wide, intermediate_stride_), x,
                stride_, x, Epilogue::kBiasResidual);
  normalise(layer.down_norm, x, block.begin, block.end);
}

void PostLnEncoder::forward(const TokenRows& rows, Team& team, Workspace* shared, Workspace* own,
                            LayerReader* reader) const {
  const Pass pass = {kernels_, rows.spans(), rows.kept(), stride_, team, shared, own};
  float* x = shared->hidden.data();
  embed(rows, team, own, x);
  team.barrier();
  const size_t depth = reader->depth();
  read_layer(pass, 0, x, reader);
  for (size_t i = 0; i < depth; ++i) {
    const Layer& layer = layers_[i];
    x = run_layer(
        pass, attention_, layer.qkv, nullptr, i + 1 == depth, x,
        [&](const float* of_block, const Block& block) { return block.input(of_block, stride_); },
        [&](float* of_block, const float* context, const Block& block) {
          finish_layer(layer, of_block, context, block);
        });
    read_layer(pass, i + 1, x, reader);
  }
}

}  // namespace affectrt

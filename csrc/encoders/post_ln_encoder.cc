#include "encoders/post_ln_encoder.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/error.h"
#include "kernels/pack.h"

namespace affectrt {
namespace {

// Query rows that are scored together: their scores stay in the first-level cache.
constexpr size_t kScoreFloats = 6144;
constexpr size_t kLeastQueryRows = 12;

size_t query_rows(size_t tokens) {
  const size_t fitting = kScoreFloats / round_up(tokens, kPanelColumns);
  return std::max(kLeastQueryRows, fitting / kLeastQueryRows * kLeastQueryRows);
}

size_t longest_row(const TokenRows& rows) {
  size_t longest = 0;
  for (size_t row = 0; row < rows.rows; ++row) longest = std::max(longest, rows.length(row));
  return longest;
}

}  // namespace

template <class T>
T* PostLnEncoder::Workspace::grow(AlignedBuffer<T>* buffer, size_t count) {
  if (buffer->size() < count) *buffer = AlignedBuffer<T>(count);
  return buffer->data();
}

void PostLnEncoder::Workspace::prepare(const PostLnEncoder& encoder, const TokenRows& rows,
                                       bool whole) {
  const size_t tokens = rows.tokens();
  if (whole) {
    grow(&hidden_, tokens * encoder.stride_);
    grow(&qkv_, tokens * 3 * encoder.attention_width_);
    grow(&context_, tokens * encoder.attention_width_);
    if (encoder.pooling_ == Pooling::kFirstToken) {
      grow(&first_hidden_, rows.rows * encoder.stride_);
      grow(&first_queries_, rows.rows * encoder.attention_width_);
    }
  }
  const size_t widest = std::max(encoder.intermediate_stride_, encoder.embedding_stride_);
  const size_t widest_input = std::max({widest, encoder.stride_, encoder.attention_width_});
  const size_t block = std::min(kBlockRows, std::max(tokens, size_t{1}));
  grow(&wide_, block * widest);
  grow(&codes_, block * widest_input * sizeof(int16_t));
  grow(&quant_, block);
  const size_t longest = round_up(longest_row(rows), kPanelColumns);
  grow(&keys_, longest * encoder.head_stride_);
  grow(&scores_, std::min(query_rows(longest), longest) * longest);
}

void PostLnEncoder::check(const TokenRows& rows) const {
  const size_t most = config_.max_tokens();
  for (size_t row = 0; row < rows.rows; ++row) {
    const size_t length = rows.length(row);
    if (length == 0 || length > most) {
      throw Error(ErrorKind::kInput, "row " + std::to_string(row) + " has " +
                                         std::to_string(length) + " tokens; 1 to " +
                                         std::to_string(most) + " are possible");
    }
  }
  const auto begin = static_cast<size_t>(rows.row_begin[0]);
  for (size_t i = begin; i < begin + rows.tokens(); ++i) {
    if (rows.ids[i] < 0 || static_cast<size_t>(rows.ids[i]) >= config_.vocabulary) {
      throw Error(ErrorKind::kInput, "token id " + std::to_string(rows.ids[i]) +
                                         " is not one of the " +
                                         std::to_string(config_.vocabulary) +
                                         " of the model; tokenizer.json and the weights differ");
    }
    if (config_.reads_types &&
        (rows.type_ids[i] < 0 || static_cast<size_t>(rows.type_ids[i]) >= config_.types)) {
      throw Error(ErrorKind::kInput, "token type " + std::to_string(rows.type_ids[i]) +
                                         " is not one of the " + std::to_string(config_.types) +
                                         " of the model");
    }
  }
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
    float* out = projects ? own->wide_.data() : x + block * stride_;
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
    float* embedded = projects ? own->wide_.data() : x + block * stride_;
    kernels_.layer_norm(embedded, out_stride, block_rows, config_.embedding, config_.norm_eps,
                        embedding_norm_.gamma.data(), embedding_norm_.beta.data());
    if (projects) {
      const LayerInput input = {embedded, out_stride, own->codes_.data(), own->quant_.data()};
      embedding_projection_.quantize(kernels_, input, 0, block_rows);
      embedding_projection_.multiply(kernels_, input, block_rows, 0, embedding_projection_.panels(),
                                     x + block * stride_, stride_, nullptr, Epilogue::kBias);
    }
  }
}

// Attention of every row of tokens to itself, head by head, from qkv to context. `first_only`: the
// queries are first_queries [rows] and the context has one row for each.
void PostLnEncoder::attend(const TokenRows& rows, bool first_only, Team& team, Workspace* shared,
                           Workspace* own) const {
  const size_t qkv_stride = 3 * attention_width_;
  const float scale = 1.0F / std::sqrt(static_cast<float>(config_.head_width()));
  size_t begin = 0;
  size_t end = 0;
  team.share(rows.rows * config_.heads, 1, &begin, &end);
  for (size_t task = begin; task < end; ++task) {
    const size_t row = task / config_.heads;
    const size_t head = task % config_.heads;
    const size_t tokens = rows.length(row);
    const size_t first = static_cast<size_t>(rows.row_begin[row] - rows.row_begin[0]);
    const size_t column = head * head_stride_;
    const float* base = shared->qkv_.data() + first * qkv_stride + column;
    const float* keys = base + attention_width_;
    const float* values = keys + attention_width_;
    const float* queries =
        first_only ? shared->first_queries_.data() + row * attention_width_ + column : base;
    const size_t query_stride = first_only ? attention_width_ : qkv_stride;
    float* context =
        shared->context_.data() + (first_only ? row : first) * attention_width_ + column;
    const size_t query_count = first_only ? 1 : tokens;

    const size_t panels = panel_count(tokens);
    const size_t score_stride = panels * kPanelColumns;
    kernels_.pack_keys(keys, qkv_stride, tokens, head_stride_, own->keys_.data());
    const size_t block = query_rows(tokens);
    for (size_t q = 0; q < query_count; q += block) {
      const size_t count = std::min(block, query_count - q);
      kernels_.gemm_f32({queries + q * query_stride, query_stride, own->keys_.data(), kPanelColumns,
                         head_stride_ * kPanelColumns, nullptr, count, panels, config_.head_width(),
                         own->scores_.data(), score_stride, nullptr, Epilogue::kBias});
      const float* bias = nullptr;
      if (config_.has_relative_bias) {
        bias = relative_bias_.data() + head * relative_bias_stride_ + config_.max_tokens() - 1 - q;
      }
      kernels_.softmax(own->scores_.data(), score_stride, count, tokens, scale, bias, -1);
      kernels_.gemm_f32({own->scores_.data(), score_stride, values, qkv_stride, kPanelColumns,
                         nullptr, count, head_stride_ / kPanelColumns, tokens,
                         context + q * attention_width_, attention_width_, nullptr,
                         Epilogue::kBias});
    }
  }
}

// Calls body(first row, rows, team, block workspace) so that all rows are covered once: by the
// whole team on every block where there are few rows (it then shares the columns), otherwise by
// each member alone on its own rows.
template <class Body>
void PostLnEncoder::for_blocks(size_t rows, Team& team, Workspace* shared, Workspace* own,
                               Body body) const {
  if (rows <= kBlockRows) {
    body(size_t{0}, rows, team, shared);
    return;
  }
  size_t begin = 0;
  size_t end = 0;
  team.share(rows, 1, &begin, &end);
  Team alone;
  const size_t blocks = (end - begin + kBlockRows - 1) / kBlockRows;
  for (size_t i = 0; i < blocks; ++i) {
    const size_t from = begin + (end - begin) * i / blocks;
    const size_t to = begin + (end - begin) * (i + 1) / blocks;
    body(from, to - from, alone, own);
  }
  team.barrier();
}

// c = x W^T + b for panels [panel_begin, panel_end) of a layer; c is the place of the first.
void PostLnEncoder::project(const Linear& linear, size_t panel_begin, size_t panel_end,
                            const float* x, size_t rows, float* c, size_t c_stride, Team& team,
                            Workspace* block) const {
  const LayerInput input = {x, stride_, block->codes_.data(), block->quant_.data()};
  size_t begin = 0;
  size_t end = 0;
  team.share(rows, 1, &begin, &end);
  linear.quantize(kernels_, input, begin, end);
  team.barrier();
  team.share(panel_end - panel_begin, 4, &begin, &end);
  linear.multiply(kernels_, input, rows, panel_begin + begin, panel_begin + end,
                  c + begin * kPanelColumns, c_stride, nullptr, Epilogue::kBias);
  team.barrier();
}

// What follows the attention in a layer: all of it works row by row.
void PostLnEncoder::finish_layer(const Layer& layer, float* x, const float* context, size_t rows,
                                 Team& team, Workspace* block) const {
  size_t row_begin = 0;
  size_t row_end = 0;
  team.share(rows, 1, &row_begin, &row_end);
  // Panels are shared in fours, the widest strip of the GEMM kernels.
  size_t begin = 0;
  size_t end = 0;
  uint8_t* codes = block->codes_.data();
  RowQuant* quant = block->quant_.data();
  float* wide = block->wide_.data();

  const LayerInput attended = {context, attention_width_, codes, quant};
  layer.out.quantize(kernels_, attended, row_begin, row_end);
  team.barrier();
  team.share(layer.out.panels(), 4, &begin, &end);
  layer.out.multiply(kernels_, attended, rows, begin, end, x + begin * kPanelColumns, stride_,
                     x + begin * kPanelColumns, Epilogue::kBiasResidual);
  team.barrier();

  const LayerInput normal = {x, stride_, codes, quant};
  normalise(layer.out_norm, x, row_begin, row_end);
  layer.up.quantize(kernels_, normal, row_begin, row_end);
  team.barrier();
  team.share(layer.up.panels(), 4, &begin, &end);
  const bool gelu = config_.activation == Activation::kGelu;
  layer.up.multiply(kernels_, normal, rows, begin, end, wide + begin * kPanelColumns,
                    intermediate_stride_, nullptr, gelu ? Epilogue::kBiasGelu : Epilogue::kBias);
  team.barrier();

  if (!gelu) {
    kernels_.activate(config_.activation, wide + row_begin * intermediate_stride_,
                      (row_end - row_begin) * intermediate_stride_);
  }
  const LayerInput inner = {wide, intermediate_stride_, codes, quant};
  layer.down.quantize(kernels_, inner, row_begin, row_end);
  team.barrier();
  team.share(layer.down.panels(), 4, &begin, &end);
  layer.down.multiply(kernels_, inner, rows, begin, end, x + begin * kPanelColumns, stride_,
                      x + begin * kPanelColumns, Epilogue::kBiasResidual);
  team.barrier();
  normalise(layer.down_norm, x, row_begin, row_end);
}

void PostLnEncoder::forward(const TokenRows& rows, Team& team, Workspace* shared, Workspace* own,
                            float* pooled) const {
  const size_t tokens = rows.tokens();
  const size_t qkv_stride = 3 * attention_width_;
  const size_t query_panels = attention_width_ / kPanelColumns;
  float* x = shared->hidden_.data();
  float* qkv = shared->qkv_.data();
  float* context = shared->context_.data();
  embed(rows, team, own, x);
  team.barrier();
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    // Of the last layer only the rows that are read later: keys and values of all tokens, the rest
    // for the first token of each row.
    const bool first_only = i + 1 == layers_.size() && pooling_ == Pooling::kFirstToken;
    const size_t from = first_only ? query_panels : 0;
    for_blocks(tokens, team, shared, own,
               [&](size_t row, size_t count, Team& members, Workspace* block) {
                 project(layer.qkv, from, layer.qkv.panels(), x + row * stride_, count,
                         qkv + row * qkv_stride + from * kPanelColumns, qkv_stride, members, block);
               });
    float* remaining = x;
    size_t remaining_rows = tokens;
    if (first_only) {
      remaining = shared->first_hidden_.data();
      remaining_rows = rows.rows;
      if (team.rank() == 0) {
        for (size_t row = 0; row < rows.rows; ++row) {
          const auto first = static_cast<size_t>(rows.row_begin[row] - rows.row_begin[0]);
          std::copy_n(x + first * stride_, stride_, remaining + row * stride_);
        }
      }
      team.barrier();
      for_blocks(remaining_rows, team, shared, own,
                 [&](size_t row, size_t count, Team& members, Workspace* block) {
                   project(layer.qkv, 0, query_panels, remaining + row * stride_, count,
                           shared->first_queries_.data() + row * attention_width_, attention_width_,
                           members, block);
                 });
    }
    attend(rows, first_only, team, shared, own);
    team.barrier();
    for_blocks(remaining_rows, team, shared, own,
               [&](size_t row, size_t count, Team& members, Workspace* block) {
                 finish_layer(layer, remaining + row * stride_, context + row * attention_width_,
                              count, members, block);
               });
    team.barrier();
    if (first_only) x = remaining;
  }
  if (team.rank() != 0) return;
  for (size_t row = 0; row < rows.rows; ++row, pooled += stride_) {
    if (pooling_ == Pooling::kFirstToken) {
      std::copy_n(x + row * stride_, stride_, pooled);
      continue;
    }
    const size_t first = static_cast<size_t>(rows.row_begin[row] - rows.row_begin[0]);
    std::copy_n(x + first * stride_, stride_, pooled);
    for (size_t i = 1; i < rows.length(row); ++i) {
      kernels_.add(x + (first + i) * stride_, pooled, stride_);
    }
    const float count = static_cast<float>(rows.length(row));
    for (size_t i = 0; i < stride_; ++i) pooled[i] /= count;
  }
}

}  // namespace affectrt

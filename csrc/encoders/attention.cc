#include "encoders/attention.h"

#include <algorithm>
#include <cmath>

#include "kernels/pack.h"

namespace affectrt {
namespace {

// Query rows that are scored together: their scores stay in the first-level cache.
constexpr size_t kScores = 6144;
constexpr size_t kLeastQueryRows = 12;
// Added to a score that does not count: the softmax makes nothing of it, yet no infinity.
constexpr float kMasked = -1e30F;

size_t whole_query_rows(size_t tokens) {
  const size_t fitting = kScores / round_up(tokens, kPanelColumns);
  return std::max(kLeastQueryRows, fitting / kLeastQueryRows * kLeastQueryRows);
}

// The same where keys up to `reach` tokens on both sides of the rows are seen, in whole panels.
size_t local_query_rows(size_t reach) {
  size_t rows = kLeastQueryRows;
  const auto floats = [&](size_t count) { return count * (count + 2 * (reach + kPanelColumns)); };
  while (floats(rows + kLeastQueryRows) <= kScores) rows += kLeastQueryRows;
  return rows;
}

// Scores that are there at once for a row of as many tokens, whole or local: never more queries
// than keys, and kScores are passed by the fewest query rows alone.
size_t most_scores(size_t tokens) {
  const size_t padded = round_up(tokens, kPanelColumns);
  return std::min(padded * padded, std::max(kScores, kLeastQueryRows * padded));
}

// Where in Workspace::attention a head's integers lie: bytes, keys at 0. `end` grows with `tokens`.
struct S16Room {
  size_t values, value_scales, queries, quant, scores, weights, end;

  S16Room(const HeadLayout& layout, size_t tokens) {
    const size_t padded = round_up(tokens, kPanelColumns);
    const size_t query_rows = std::min(padded, kScores / kPanelColumns);
    values = padded / kPanelColumns * key_panel_bytes(layout.stride);
    value_scales = values + padded / 2 * layout.stride * 4;
    queries = value_scales + layout.stride * sizeof(float);
    quant = queries + query_rows * layout.stride * sizeof(int16_t);
    scores = quant + query_rows * sizeof(RowQuant);
    weights = scores + most_scores(tokens) * sizeof(int32_t);
    end = weights + most_scores(tokens) * sizeof(int16_t);
  }
};

}  // namespace

HeadLayout::HeadLayout(size_t head_count, size_t head_width, bool in_halves)
    : heads(head_count),
      width(head_width),
      stride(in_halves ? 2 * round_up(head_width / 2, kPanelColumns)
                       : round_up(head_width, kPanelColumns)),
      halves(in_halves) {}

Linear make_qkv(const HeadLayout& layout, const MatrixRows& query, const MatrixRows& key,
                const MatrixRows& value, Arithmetic integers, const SafeTensors& weights) {
  const size_t half = layout.width / 2;
  const size_t half_stride = layout.stride / 2;
  std::vector<Linear::Output> outputs;
  const auto add = [&](const MatrixRows& rows, bool halves) {
    for (size_t i = 0; i < layout.row(); ++i) {
      const size_t head = i / layout.stride;
      size_t column = i % layout.stride;
      bool real = column < layout.width;
      if (halves) {
        real = column % half_stride < half;
        column = column / half_stride * half + column % half_stride;
      }
      outputs.push_back({real ? rows.matrix : nullptr,
                         real ? rows.first + head * layout.width + column : size_t{0}});
    }
  };
  add(query, layout.halves);
  add(key, layout.halves);
  add(value, false);
  return Linear(outputs, integers, weights);
}

Linear make_attention_out(const HeadLayout& layout, const MatrixView& out, Arithmetic integers,
                          const SafeTensors& weights) {
  if (layout.width == layout.stride) return Linear(out, integers, weights);
  std::vector<Linear::Output> outputs;
  for (size_t row = 0; row < out.outputs; ++row) outputs.push_back({&out, row});
  std::vector<size_t> columns;
  for (size_t i = 0; i < layout.row(); ++i) {
    const size_t column = i % layout.stride;
    columns.push_back(column < layout.width ? i / layout.stride * layout.width + column
                                            : Linear::kNoColumn);
  }
  return Linear(outputs, integers, weights, &columns);
}

AttentionWindow::AttentionWindow(size_t reach)
    : reach_(reach),
      query_rows_(local_query_rows(reach)),
      // The farthest key of a tile from a query of it, and the vector that the softmax reads last.
      center_(reach + query_rows_ + 2 * kPanelColumns),
      values_(2 * center_ + 1, kMasked) {
  std::fill_n(values_.begin() + static_cast<ptrdiff_t>(center_ - reach), 2 * reach + 1, 0.0F);
}

// One head of one row of tokens.
struct Attention::Head {
  const float* queries;  // [query_count, query_stride]
  size_t query_stride;
  size_t query_count;
  const float* keys;  // [tokens, stride], and so are the values
  const float* values;
  size_t stride;
  size_t tokens;
  size_t reach;       // keys that far away count
  float* out;         // [query_count, layout.row()]
  const float* bias;  // that of key 0 for query 0, or null

  // Queries that are scored together, and the keys that they see.
  struct Tile {
    size_t query;
    size_t count;
    size_t from;  // a multiple of 16
    size_t keys;
    const float* bias;  // that of key `from` for the first query, or null
  };
  template <class Body>
  void for_tiles(size_t query_rows, Body body) const {
    for (size_t query = 0; query < query_count; query += query_rows) {
      const size_t count = std::min(query_rows, query_count - query);
      const size_t from = query > reach ? (query - reach) / kPanelColumns * kPanelColumns : 0;
      const size_t keys_seen = std::min(tokens, query + count + reach) - from;
      body(Tile{query, count, from, keys_seen, bias == nullptr ? nullptr : bias + from - query});
    }
  }
};

void Attention::run_f32(const Kernels& kernels, const Head& head, size_t query_rows,
                        Workspace* own) const {
  const float scale = 1.0F / std::sqrt(static_cast<float>(layout.width));
  const size_t seen = std::min(head.tokens, head.query_count + head.reach);
  auto* keys = reinterpret_cast<float*>(own->attention.data());
  float* scores = keys + round_up(head.tokens, kPanelColumns) * layout.stride;
  kernels.pack_keys(head.keys, head.stride, seen, layout.stride, keys);
  head.for_tiles(query_rows, [&](const Head::Tile& tile) {
    const size_t panels = panel_count(tile.keys);
    const size_t score_stride = panels * kPanelColumns;
    kernels.gemm_f32({head.queries + tile.query * head.query_stride, head.query_stride,
                      keys + tile.from * layout.stride, kPanelColumns,
                      layout.stride * kPanelColumns, nullptr, tile.count, panels, layout.depth(),
                      scores, score_stride, nullptr, Epilogue::kBias});
    kernels.softmax(scores, score_stride, tile.count, tile.keys, scale, tile.bias, -1);
    kernels.gemm_f32({scores, score_stride, head.values + tile.from * head.stride, head.stride,
                      kPanelColumns, nullptr, tile.count, layout.stride / kPanelColumns, tile.keys,
                      head.out + tile.query * layout.row(), layout.row(), nullptr,
                      Epilogue::kBias});
  });
}

void Attention::run_s16(const Kernels& kernels, const Head& head, size_t query_rows,
                        Workspace* own) const {
  const AttentionS16& s16 = kernels.attention_s16;
  const S16Room room(layout, head.tokens);
  uint8_t* memory = own->attention.data();
  auto* keys = reinterpret_cast<int8_t*>(memory);
  auto* values = reinterpret_cast<int8_t*>(memory + room.values);
  auto* value_scales = reinterpret_cast<float*>(memory + room.value_scales);
  uint8_t* queries = memory + room.queries;
  auto* quant = reinterpret_cast<RowQuant*>(memory + room.quant);
  auto* scores = reinterpret_cast<int32_t*>(memory + room.scores);
  uint8_t* weights = memory + room.weights;
  const int32_t max_code = max_score_code(layout.width);
  const size_t steps = (layout.depth() + 1) / 2;
  const size_t query_bytes = layout.stride * sizeof(int16_t);
  const size_t key_bytes = key_panel_bytes(layout.stride);
  const size_t value_bytes = (head.tokens + 1) / 2 * 64;
  const float key_scale =
      s16.pack_keys(head.keys, head.stride, head.tokens, layout.stride, max_code, keys);
  s16.pack_values(head.values, head.stride, head.tokens, layout.stride, values, value_scales);
  const float scale = key_scale / std::sqrt(static_cast<float>(layout.width));
  head.for_tiles(query_rows, [&](const Head::Tile& tile) {
    const size_t panels = panel_count(tile.keys);
    const size_t score_stride = panels * kPanelColumns;
    kernels.quantize_s16(head.queries + tile.query * head.query_stride, head.query_stride,
                         tile.count, layout.depth(), max_code, queries, query_bytes, quant);
    s16.scores({queries, query_bytes, keys + tile.from / kPanelColumns * key_bytes, key_bytes,
                tile.count, panels, steps},
               scores, score_stride);
    s16.softmax(scores, score_stride, tile.count, tile.keys, scale, tile.bias, -1, weights,
                score_stride * sizeof(int16_t), quant);
    s16.values({weights, score_stride * sizeof(int16_t), values + tile.from / 2 * 64, value_bytes,
                tile.count, layout.stride / kPanelColumns, (tile.keys + 1) / 2},
               quant, value_scales, head.out + tile.query * layout.row(), layout.row());
  });
}

void Attention::run(const Kernels& kernels, const RowSpans& rows, const float* qkv,
                    const Queries& kept, bool integers, float* context, Team& team,
                    Workspace* own) const {
  const size_t width = layout.row();
  const size_t qkv_stride = 3 * width;
  size_t begin = 0;
  size_t end = 0;
  team.share(rows.rows * layout.heads, 1, &begin, &end);
  for (size_t task = begin; task < end; ++task) {
    const size_t row = task / layout.heads;
    const size_t index = task % layout.heads;
    const size_t column = index * layout.stride;
    const size_t first = rows.first(row);
    const float* base = qkv + first * qkv_stride + column;
    const bool some = kept.values != nullptr;
    const size_t first_out = some ? kept.rows.first(row) : first;
    Head head;
    head.tokens = rows.length(row);
    head.queries = some ? kept.values + first_out * width + column : base;
    head.query_stride = some ? width : qkv_stride;
    head.query_count = some ? kept.rows.length(row) : head.tokens;
    head.keys = base + width;
    head.values = base + 2 * width;
    head.stride = qkv_stride;
    head.out = context + first_out * width + column;
    const bool local = window != nullptr && head.tokens > window->reach() + 1;
    head.reach = local ? window->reach() : head.tokens;
    const ScoreBias added = local ? window->bias() : bias;
    head.bias =
        added.values == nullptr ? nullptr : added.values + index * added.head_stride + added.center;
    const size_t query_rows = local ? window->query_rows() : whole_query_rows(head.tokens);
    if (integers && head.tokens <= kMostKeysS16) {
      run_s16(kernels, head, query_rows, own);
    } else {
      run_f32(kernels, head, query_rows, own);
    }
  }
}

Rotary::Rotary(size_t positions, size_t head_width, double theta)
    : half_(round_up(head_width / 2, kPanelColumns)), factors_(positions * 2 * half_, 0.0F) {
  std::vector<float> turns;
  for (size_t i = 0; i < head_width / 2; ++i) {
    // In float, as the checkpoints were trained: far positions depend on its rounding.
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_width);
    turns.push_back(1.0F / static_cast<float>(std::pow(theta, static_cast<double>(exponent))));
  }
  for (size_t position = 0; position < positions; ++position) {
    float* cosines = factors_.data() + position * 2 * half_;
    for (size_t i = 0; i < turns.size(); ++i) {
      const float angle = static_cast<float>(position) * turns[i];
      cosines[i] = static_cast<float>(std::cos(static_cast<double>(angle)));
      cosines[half_ + i] = static_cast<float>(std::sin(static_cast<double>(angle)));
    }
  }
}

void Rotary::turn(const Kernels& kernels, size_t position, size_t heads, float* x) const {
  const float* cosines = factors_.data() + position * 2 * half_;
  kernels.rotate(x, heads, half_, cosines, cosines + half_);
}

void add_attention_room(const HeadLayout& layout, const RowSpans& rows, bool whole,
                        const RowSpans& kept, Room* room) {
  const size_t longest = rows.longest();
  const size_t floats = round_up(longest, kPanelColumns) * layout.stride + most_scores(longest);
  room->attention = std::max(floats * sizeof(float), S16Room(layout, longest).end);
  if (!whole) return;
  room->qkv = rows.tokens() * 3 * layout.row();
  room->context = rows.tokens() * layout.row();
  if (kept.tokens() < rows.tokens()) room->kept_queries = kept.tokens() * layout.row();
}

}  // namespace affectrt

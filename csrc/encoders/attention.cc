#include "encoders/attention.h"

#include <algorithm>
#include <cmath>

#include "kernels/pack.h"

namespace affectrt {
namespace {

// Query rows that are scored together: their scores stay in the first-level cache.
constexpr size_t kScoreFloats = 6144;
constexpr size_t kLeastQueryRows = 12;
// Added to a score that does not count: the softmax makes nothing of it, yet no infinity.
constexpr float kMasked = -1e30F;

size_t query_rows(size_t tokens) {
  const size_t fitting = kScoreFloats / round_up(tokens, kPanelColumns);
  return std::max(kLeastQueryRows, fitting / kLeastQueryRows * kLeastQueryRows);
}

// The same where keys up to `reach` tokens on both sides of the rows are seen, in whole panels.
size_t local_query_rows(size_t reach) {
  size_t rows = kLeastQueryRows;
  const auto floats = [&](size_t count) { return count * (count + 2 * (reach + kPanelColumns)); };
  while (floats(rows + kLeastQueryRows) <= kScoreFloats) rows += kLeastQueryRows;
  return rows;
}

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

void Attention::run(const Kernels& kernels, const RowSpans& rows, const float* qkv,
                    const Queries& kept, float* context, Team& team, Workspace* own) const {
  const size_t width = layout.row();
  const size_t qkv_stride = 3 * width;
  const float scale = 1.0F / std::sqrt(static_cast<float>(layout.width));
  size_t begin = 0;
  size_t end = 0;
  team.share(rows.rows * layout.heads, 1, &begin, &end);
  for (size_t task = begin; task < end; ++task) {
    const size_t row = task / layout.heads;
    const size_t head = task % layout.heads;
    const size_t tokens = rows.length(row);
    const size_t first = rows.first(row);
    const size_t column = head * layout.stride;
    const float* base = qkv + first * qkv_stride + column;
    const float* keys = base + width;
    const float* values = keys + width;
    const bool some = kept.values != nullptr;
    const size_t first_out = some ? kept.rows.first(row) : first;
    const float* queries = some ? kept.values + first_out * width + column : base;
    const size_t query_stride = some ? width : qkv_stride;
    float* out = context + first_out * width + column;
    const size_t query_count = some ? kept.rows.length(row) : tokens;

    const bool local = window != nullptr && tokens > window->reach() + 1;
    const size_t reach = local ? window->reach() : tokens;
    const size_t seen = std::min(tokens, query_count + reach);
    kernels.pack_keys(keys, qkv_stride, seen, layout.stride, own->keys.data());
    const ScoreBias added = local ? window->bias() : bias;
    const size_t block = local ? window->query_rows() : query_rows(tokens);
    for (size_t q = 0; q < query_count; q += block) {
      const size_t count = std::min(block, query_count - q);
      const size_t from = q > reach ? (q - reach) / kPanelColumns * kPanelColumns : 0;
      const size_t near = std::min(tokens, q + count + reach) - from;
      const size_t panels = panel_count(near);
      const size_t score_stride = panels * kPanelColumns;
      kernels.gemm_f32({queries + q * query_stride, query_stride,
                        own->keys.data() + from * layout.stride, kPanelColumns,
                        layout.stride * kPanelColumns, nullptr, count, panels, layout.depth(),
                        own->scores.data(), score_stride, nullptr, Epilogue::kBias});
      const float* sliding = nullptr;
      if (added.values != nullptr) {
        sliding = added.values + head * added.head_stride + added.center + from - q;
      }
      kernels.softmax(own->scores.data(), score_stride, count, near, scale, sliding, -1);
      kernels.gemm_f32({own->scores.data(), score_stride, values + from * qkv_stride, qkv_stride,
                        kPanelColumns, nullptr, count, layout.stride / kPanelColumns, near,
                        out + q * width, width, nullptr, Epilogue::kBias});
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
  const size_t longest = round_up(rows.longest(), kPanelColumns);
  room->keys = longest * layout.stride;
  // Bounds of every row's tiles, whole or local: never more queries than keys, and kScoreFloats are
  // passed by the fewest query rows alone.
  room->scores = std::min(longest * longest, std::max(kScoreFloats, kLeastQueryRows * longest));
  if (!whole) return;
  room->qkv = rows.tokens() * 3 * layout.row();
  room->context = rows.tokens() * layout.row();
  if (kept.tokens() < rows.tokens()) room->kept_queries = kept.tokens() * layout.row();
}

}  // namespace affectrt

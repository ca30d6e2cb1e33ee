// Attention of every row of tokens to itself, for all families.
#pragma once

#include <cstddef>
#include <vector>

#include "base/thread_pool.h"
#include "bundle/safetensors.h"
#include "encoders/linear.h"
#include "encoders/rows.h"
#include "encoders/workspace.h"
#include "kernels/kernels.h"

namespace affectrt {

// Where the heads lie in a row of queries, keys or values: each begins at a multiple of 16 columns,
// where the kernels want it.
struct HeadLayout {
  size_t heads = 0;
  size_t width = 0;   // columns of a head in the checkpoint
  size_t stride = 0;  // columns from one head to the next
  // Rotary positions turn the first half of a head against the second: of queries and keys, both
  // halves begin at a multiple of 16. Scores do not mind the order of columns.
  bool halves = false;

  HeadLayout() = default;
  HeadLayout(size_t head_count, size_t head_width, bool in_halves);
  size_t row() const { return heads * stride; }
  // Columns of a query that count in a score.
  size_t depth() const { return halves ? stride : width; }
};

// Rows [first, first + heads * width) of a matrix.
struct MatrixRows {
  const MatrixView* matrix;
  size_t first;
};
// Queries, keys and values as one layer: three times layout.row() columns.
Linear make_qkv(const HeadLayout& layout, const MatrixRows& query, const MatrixRows& key,
                const MatrixRows& value, Arithmetic integers, const SafeTensors& weights);
// The layer behind the attention, which reads layout.row() columns.
Linear make_attention_out(const HeadLayout& layout, const MatrixView& out, Arithmetic integers,
                          const SafeTensors& weights);

// What is added to the score of key j for query i: values[head * head_stride + center + j - i].
struct ScoreBias {
  const float* values = nullptr;
  size_t head_stride = 0;
  size_t center = 0;
};

// Only keys at most `reach` tokens away count.
class AttentionWindow {
 public:
  explicit AttentionWindow(size_t reach);
  size_t reach() const { return reach_; }
  // Query rows that are scored together.
  size_t query_rows() const { return query_rows_; }
  ScoreBias bias() const { return {values_.data(), 0, center_}; }

 private:
  size_t reach_;
  size_t query_rows_;
  size_t center_;
  std::vector<float> values_;
};

struct Attention {
  HeadLayout layout;
  ScoreBias bias;                           // values == nullptr: none
  const AttentionWindow* window = nullptr;  // null: every key counts. Not with a bias

  // The queries of the first tokens of each row, where not all are asked.
  struct Queries {
    const float* values = nullptr;  // [rows.tokens(), layout.row()]; null: those in qkv
    RowSpans rows;
  };
  // qkv [tokens, 3 * layout.row()] to context [tokens, layout.row()], or one row a query of `kept`;
  // `integers`: multiplied in 16-bit integers (kernels/attention_s16.h) and not in float32. The
  // team shares rows and heads; `own` has the room() of these rows.
  void run(const Kernels& kernels, const RowSpans& rows, const float* qkv, const Queries& kept,
           bool integers, float* context, Team& team, Workspace* own) const;

 private:
  struct Head;
  void run_f32(const Kernels& kernels, const Head& head, size_t query_rows, Workspace* own) const;
  void run_s16(const Kernels& kernels, const Head& head, size_t query_rows, Workspace* own) const;
};

// Rotary positions (Su et al. 2021): columns i and i + width / 2 of a head are a point that is
// turned by position / theta^(2 i / width).
class Rotary {
 public:
  Rotary(size_t positions, size_t head_width, double theta);
  // Heads of queries or keys of one token, one behind the other, with HeadLayout::halves.
  void turn(const Kernels& kernels, size_t position, size_t heads, float* x) const;

 private:
  size_t half_ = 0;             // columns of a half, a multiple of 16
  std::vector<float> factors_;  // [positions][cosines, sines][half]
};

// Adds to `room` what Attention::run() needs of each member, and where `whole` the chunk's
// matrices; `kept` as for run_layer().
void add_attention_room(const HeadLayout& layout, const RowSpans& rows, bool whole,
                        const RowSpans& kept, Room* room);

}  // namespace affectrt

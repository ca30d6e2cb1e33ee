// What the layers of all families have in common: queries, keys and values, attention, and the rows
// that go on.
#pragma once

#include <algorithm>
#include <cstddef>

#include "base/thread_pool.h"
#include "encoders/attention.h"
#include "encoders/layer_reader.h"
#include "encoders/rows.h"
#include "encoders/workspace.h"
#include "kernels/kernels.h"

namespace affectrt {

// A chunk on its way through the layers. Every member of the team makes the same calls.
struct Pass {
  const Kernels& kernels;
  RowSpans rows;
  RowSpans kept;  // the first tokens of each row that are read behind the last layer
  size_t stride;  // of hidden rows
  Team& team;
  Workspace* shared;
  Workspace* own;

  bool keeps_all() const { return kept.tokens() == rows.tokens(); }
};

// Shows the reader what is behind `layer` layers. Nobody writes to x before the first barrier of
// the next layer, which its thread has to reach as well.
inline void read_layer(const Pass& pass, size_t layer, const float* x, LayerReader* reader) {
  if (pass.team.rank() != 0) return;
  const bool is_last = layer > 0 && layer == reader->depth();
  reader->read(layer, x, is_last ? pass.kept : pass.rows);
}

// Turns `heads` heads of tokens [begin, end) of `rows`; x [tokens, stride] is their place.
inline void turn_tokens(const Kernels& kernels, const Rotary& rotary, const RowSpans& rows,
                        size_t begin, size_t end, size_t heads, float* x, size_t stride) {
  size_t row = 0;
  for (size_t token = begin; token < end; ++token) {
    while (token >= rows.first(row + 1)) ++row;
    rotary.turn(kernels, token - rows.first(row), heads, x + token * stride);
  }
}

// One layer over x [tokens, stride], which all members have finished. Returns the rows that go on:
// x itself, or those of pass.kept where `last` and these are not all, since only they are read
// later: of the others the layer then computes keys and values alone.
//   input(x of the block's rows, block) -> LayerInput of the queries, keys and values: this
//     member's rows of it
//   finish(x of the block's rows, their attention [rows, layout.row()], block): the rest of the
//     layer, in place, this member's rows of it
template <class Input, class Finish>
float* run_layer(const Pass& pass, const Attention& attention, const Linear& qkv,
                 const Rotary* rotary, bool last, float* x, Input input, Finish finish) {
  const HeadLayout& layout = attention.layout;
  const size_t width = layout.row();
  const size_t query_panels = width / kPanelColumns;
  const size_t tokens = pass.rows.tokens();
  float* values = pass.shared->qkv.data();
  const bool some = last && !pass.keeps_all();
  const size_t from = some ? query_panels : 0;
  for_blocks(pass.kernels, tokens, pass.team, pass.shared, pass.own,
             [&](size_t row, const Block& block) {
               float* of_block = values + row * 3 * width;
               block.project(qkv, from, qkv.panels(), input(x + row * pass.stride, block),
                             of_block + from * kPanelColumns, 3 * width, nullptr, Epilogue::kBias);
               if (rotary != nullptr) {
                 // Queries and keys.
                 turn_tokens(pass.kernels, *rotary, pass.rows, row + block.begin, row + block.end,
                             some ? layout.heads : 2 * layout.heads, values + (some ? width : 0),
                             3 * width);
               }
             });
  float* remaining = x;
  size_t remaining_rows = tokens;
  Attention::Queries queries;
  if (some) {
    remaining = pass.shared->kept_hidden.data();
    remaining_rows = pass.kept.tokens();
    float* of_kept = pass.shared->kept_queries.data();
    queries = {of_kept, pass.kept};
    if (pass.team.rank() == 0) {
      for (size_t row = 0; row < pass.rows.rows; ++row) {
        std::copy_n(x + pass.rows.first(row) * pass.stride, pass.kept.length(row) * pass.stride,
                    remaining + pass.kept.first(row) * pass.stride);
      }
    }
    pass.team.barrier();
    for_blocks(pass.kernels, remaining_rows, pass.team, pass.shared, pass.own,
               [&](size_t row, const Block& block) {
                 block.project(qkv, 0, query_panels, input(remaining + row * pass.stride, block),
                               of_kept + row * width, width, nullptr, Epilogue::kBias);
                 if (rotary != nullptr) {
                   turn_tokens(pass.kernels, *rotary, pass.kept, row + block.begin, row + block.end,
                               layout.heads, of_kept, width);
                 }
               });
  }
  if (rotary != nullptr) pass.team.barrier();
  float* context = pass.shared->context.data();
  attention.run(pass.kernels, pass.rows, values, queries, qkv.multiplies_integers(), context,
                pass.team, pass.own);
  pass.team.barrier();
  for_blocks(pass.kernels, remaining_rows, pass.team, pass.shared, pass.own,
             [&](size_t row, const Block& block) {
               finish(remaining + row * pass.stride, context + row * width, block);
             });
  pass.team.barrier();
  return remaining;
}

}  // namespace affectrt

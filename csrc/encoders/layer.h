// What the layers of all families have in common: queries, keys and values, attention, and the rows
// that go on.
#pragma once

#include <algorithm>
#include <cstddef>

#include "base/thread_pool.h"
#include "encoders/attention.h"
#include "encoders/rows.h"
#include "encoders/workspace.h"
#include "kernels/kernels.h"

namespace affectrt {

// A chunk on its way through the layers. Every member of the team makes the same calls.
struct Pass {
  const Kernels& kernels;
  RowSpans rows;
  size_t stride;  // of hidden rows
  Team& team;
  Workspace* shared;
  Workspace* own;
};

// Turns `heads` heads of tokens [begin, end) of the chunk; x [tokens, stride] is their place.
inline void turn_tokens(const Pass& pass, const Rotary& rotary, size_t begin, size_t end,
                        size_t heads, float* x, size_t stride) {
  size_t row = 0;
  for (size_t token = begin; token < end; ++token) {
    while (token >= pass.rows.first(row + 1)) ++row;
    rotary.turn(pass.kernels, token - pass.rows.first(row), heads, x + token * stride);
  }
}

// One layer over x [tokens, stride], which all members have finished. Returns the rows that go on:
// x itself, or where `first_only` the first row of each text, since only these are read later: of
// the others the layer then computes keys and values alone.
//   input(x of the block's rows, block) -> LayerInput of the queries, keys and values: this
//     member's rows of it
//   finish(x of the block's rows, their attention [rows, layout.row()], block): the rest of the
//     layer, in place, this member's rows of it
template <class Input, class Finish>
float* run_layer(const Pass& pass, const Attention& attention, const Linear& qkv,
                 const Rotary* rotary, bool first_only, float* x, Input input, Finish finish) {
  const HeadLayout& layout = attention.layout;
  const size_t width = layout.row();
  const size_t query_panels = width / kPanelColumns;
  const size_t tokens = pass.rows.tokens();
  float* values = pass.shared->qkv.data();
  const size_t from = first_only ? query_panels : 0;
  for_blocks(pass.kernels, tokens, pass.team, pass.shared, pass.own,
             [&](size_t row, const Block& block) {
               float* of_block = values + row * 3 * width;
               block.project(qkv, from, qkv.panels(), input(x + row * pass.stride, block),
                             of_block + from * kPanelColumns, 3 * width, nullptr, Epilogue::kBias);
               if (rotary != nullptr) {
                 // Queries and keys; the first position turns by nothing.
                 turn_tokens(pass, *rotary, row + block.begin, row + block.end,
                             first_only ? layout.heads : 2 * layout.heads,
                             values + (first_only ? width : 0), 3 * width);
               }
             });
  float* remaining = x;
  size_t remaining_rows = tokens;
  float* queries = nullptr;
  if (first_only) {
    remaining = pass.shared->first_hidden.data();
    remaining_rows = pass.rows.rows;
    queries = pass.shared->first_queries.data();
    if (pass.team.rank() == 0) {
      for (size_t row = 0; row < pass.rows.rows; ++row) {
        std::copy_n(x + pass.rows.first(row) * pass.stride, pass.stride,
                    remaining + row * pass.stride);
      }
    }
    pass.team.barrier();
    for_blocks(pass.kernels, remaining_rows, pass.team, pass.shared, pass.own,
               [&](size_t row, const Block& block) {
                 block.project(qkv, 0, query_panels, input(remaining + row * pass.stride, block),
                               queries + row * width, width, nullptr, Epilogue::kBias);
               });
  }
  if (rotary != nullptr) pass.team.barrier();
  float* context = pass.shared->context.data();
  attention.run(pass.kernels, pass.rows, values, queries, context, pass.team, pass.own);
  pass.team.barrier();
  for_blocks(pass.kernels, remaining_rows, pass.team, pass.shared, pass.own,
             [&](size_t row, const Block& block) {
               finish(remaining + row * pass.stride, context + row * width, block);
             });
  pass.team.barrier();
  return remaining;
}

}  // namespace affectrt

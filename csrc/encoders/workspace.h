// What the encoders work in, and how a team shares the row-wise part of a layer.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/aligned_buffer.h"
#include "base/thread_pool.h"
#include "encoders/linear.h"
#include "kernels/kernels.h"

namespace affectrt {

// Rows that are worked on together in the row-wise part of a layer: enough that weights are read
// rarely, few enough that their activations stay in a core's own cache.
constexpr size_t kBlockRows = 96;

// Values that an encoder needs room for.
struct Room {
  // Of the chunk; 0 for a member that shares another's.
  size_t hidden = 0;
  size_t qkv = 0;
  size_t context = 0;
  size_t kept_hidden = 0;
  size_t kept_queries = 0;
  size_t frames = 0;
  size_t convolved = 0;
  // Of a block.
  size_t normal = 0;
  size_t wide = 0;
  size_t codes = 0;  // bytes
  size_t quant = 0;
  // Of one head.
  size_t attention = 0;  // bytes
};

// Scratch of one thread. Grows as needed; belongs to one call at a time.
class Workspace {
 public:
  void make(const Room& room);

  AlignedBuffer<float> hidden;        // [tokens, stride]
  AlignedBuffer<float> qkv;           // [tokens, 3 * width of all heads]
  AlignedBuffer<float> context;       // [tokens, width of all heads]
  AlignedBuffer<float> kept_hidden;   // [kept tokens, stride]
  AlignedBuffer<float> kept_queries;  // [kept tokens, width of all heads]
  AlignedBuffer<float> frames;        // WhisperEncoder: features
  AlignedBuffer<float> convolved;     // and what the first convolution makes of them
  AlignedBuffer<float> normal;        // [kBlockRows, stride]
  AlignedBuffer<float> wide;          // [kBlockRows, widest inner row]
  AlignedBuffer<uint8_t> codes;       // [kBlockRows, widest row of codes]
  AlignedBuffer<RowQuant> quant;      // [kBlockRows]
  AlignedBuffer<uint8_t> attention;   // packed keys, scores, ... of one head
};

// One block of rows, in the hands of a team whose members all make the same calls.
struct Block {
  const Kernels& kernels;
  Team& team;
  Workspace* space;
  size_t rows;
  // The rows that are this member's: it alone reads and writes them outside of multiply().
  size_t begin;
  size_t end;

  Block(const Kernels& used, Team& members, Workspace* memory, size_t count);

  LayerInput input(const float* x, size_t stride) const {
    return {x, stride, space->codes.data(), space->quant.data()};
  }
  // This member's share of c = x W^T + b for panels [from, to); c is the place of the first, and so
  // is `residual`. Rows have been quantised by all.
  void multiply(const Linear& linear, const LayerInput& x, size_t from, size_t to, float* c,
                size_t c_stride, const float* residual, Epilogue epilogue) const;
  // The whole of it: needs this member's rows of x, and returns when all rows of c are there.
  void project(const Linear& linear, size_t from, size_t to, const LayerInput& x, float* c,
               size_t c_stride, const float* residual, Epilogue epilogue) const;
};

// Calls body(first row, block) so that all rows are covered once: by the whole team on every block
// where there are few rows (it then shares the columns), otherwise by each member alone on its own
// rows. What a body wrote outside of project() in the first case is not yet there for the others.
template <class Body>
void for_blocks(const Kernels& kernels, size_t rows, Team& team, Workspace* shared, Workspace* own,
                Body body) {
  if (rows <= kBlockRows) {
    body(size_t{0}, Block(kernels, team, shared, rows));
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
    body(from, Block(kernels, alone, own, to - from));
  }
  team.barrier();
}

}  // namespace affectrt

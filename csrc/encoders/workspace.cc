#include "encoders/workspace.h"

namespace affectrt {
namespace {

template <class T>
void grow(AlignedBuffer<T>* buffer, size_t count) {
  if (buffer->size() < count) *buffer = AlignedBuffer<T>(count);
}

}  // namespace

void Workspace::make(const Room& room) {
  grow(&hidden, room.hidden);
  grow(&qkv, room.qkv);
  grow(&context, room.context);
  grow(&kept_hidden, room.kept_hidden);
  grow(&kept_queries, room.kept_queries);
  grow(&frames, room.frames);
  grow(&convolved, room.convolved);
  grow(&normal, room.normal);
  grow(&wide, room.wide);
  grow(&codes, room.codes);
  grow(&quant, room.quant);
  grow(&attention, room.attention);
}

Block::Block(const Kernels& used, Team& members, Workspace* memory, size_t count)
    : kernels(used), team(members), space(memory), rows(count), begin(0), end(0) {
  team.share(rows, 1, &begin, &end);
}

void Block::multiply(const Linear& linear, const LayerInput& x, size_t from, size_t to, float* c,
                     size_t c_stride, const float* residual, Epilogue epilogue) const {
  // Panels are shared in fours, the widest strip of the GEMM kernels.
  size_t first = 0;
  size_t last = 0;
  team.share(to - from, 4, &first, &last);
  const size_t column = first * kPanelColumns;
  linear.multiply(kernels, x, rows, from + first, from + last, c + column, c_stride,
                  residual == nullptr ? nullptr : residual + column, epilogue);
}

void Block::project(const Linear& linear, size_t from, size_t to, const LayerInput& x, float* c,
                    size_t c_stride, const float* residual, Epilogue epilogue) const {
  linear.quantize(kernels, x, begin, end);
  team.barrier();
  multiply(linear, x, from, to, c, c_stride, residual, epilogue);
  team.barrier();
}

}  // namespace affectrt

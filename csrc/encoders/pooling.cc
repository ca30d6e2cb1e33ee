#include "encoders/pooling.h"

#include <algorithm>
#include <string>

#include "base/error.h"

namespace affectrt {
namespace {

bool reads(Pooling kind, const int32_t* types, size_t token) {
  return !reads_first_segment(kind) || types[token] == 0;
}

}  // namespace

Pooler::Pooler(Pooling kind, const SafeTensors& weights, const std::string& name, size_t hidden)
    : kind_(kind) {
  if (has_attention(kind)) attention_ = AttentionPooling(weights, hidden, name);
}

void Pooler::check(const TokenRows& rows) const {
  for (size_t row = 0; reads_first_segment(kind_) && row < rows.rows; ++row) {
    const int32_t type = rows.type_ids[rows.row_begin[row]];
    if (type == 0) continue;
    throw Error(ErrorKind::kInput, "row " + std::to_string(row) + " begins with token type " +
                                       std::to_string(type) +
                                       "; this model pools a first segment of type 0");
  }
}

size_t Pooler::tokens(const TokenRows& rows, size_t row) const {
  if (kind_ == Pooling::kFirstToken) return 1;
  size_t count = rows.length(row);
  const int32_t* types = rows.type_ids + rows.row_begin[row];
  while (count > 1 && !reads(kind_, types, count - 1)) --count;
  return count;
}

size_t Pooler::scratch(const TokenRows& rows, size_t stride) const {
  if (!has_attention(kind_)) return 0;
  const size_t longest = rows.spans().longest();
  // The tokens of the first segment are brought together.
  return attention_.scratch(longest) + (reads_first_segment(kind_) ? longest * stride : 0);
}

void Pooler::attend(const Kernels& kernels, const TokenRows& rows, size_t row, const float* x,
                    size_t stride, float* scratch, float* pooled) const {
  const size_t end = tokens(rows, row);
  const int32_t* types = rows.type_ids + rows.row_begin[row];
  if (std::all_of(types, types + end, [](int32_t type) { return type == 0; }) ||
      !reads_first_segment(kind_)) {
    attention_.run(kernels, x, stride, end, scratch, pooled);
    return;
  }
  float* gathered = scratch + attention_.scratch(rows.spans().longest());
  size_t count = 0;
  for (size_t i = 0; i < end; ++i) {
    if (types[i] != 0) continue;
    std::copy_n(x + i * stride, stride, gathered + count * stride);
    ++count;
  }
  attention_.run(kernels, gathered, stride, count, scratch, pooled);
}

void Pooler::run(const Kernels& kernels, const TokenRows& rows, const RowSpans& spans,
                 const float* x, size_t stride, float* scratch, float* pooled) const {
  for (size_t row = 0; row < rows.rows; ++row, pooled += stride) {
    const float* from = x + spans.first(row) * stride;
    if (has_attention(kind_)) {
      attend(kernels, rows, row, from, stride, scratch, pooled);
      continue;
    }
    std::copy_n(from, stride, pooled);
    if (kind_ == Pooling::kFirstToken) continue;
    const size_t end = tokens(rows, row);
    const int32_t* types = rows.type_ids + rows.row_begin[row];
    size_t count = 1;
    for (size_t i = 1; i < end; ++i) {
      if (!reads(kind_, types, i)) continue;
      kernels.add(from + i * stride, pooled, stride);
      ++count;
    }
    for (size_t i = 0; i < stride; ++i) pooled[i] /= static_cast<float>(count);
  }
}

}  // namespace affectrt

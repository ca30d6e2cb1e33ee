#include "encoders/table.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "encoders/tensor_checks.h"

namespace affectrt {
namespace {

// Floats of a row that are widened at a time.
constexpr size_t kWidened = 64;

}  // namespace

Table::Table(const SafeTensors& weights, const std::string& name, size_t rows, size_t width,
             const SafeTensors* others)
    : rows_(rows), width_(width), own_rows_(rows) {
  if (weights.find(name + ".rows") == nullptr) {
    own_ = read_part(weights, name, rows, width);
    return;
  }
  places_.assign(rows, kAbsent);
  own_ = read_listed(weights, name, 0, &own_rows_);
  size_t more = 0;
  if (others != nullptr && others->find(name) != nullptr) {
    others_ = read_listed(*others, name, own_rows_, &more);
  }
  absent_ = rows - own_rows_ - more;
}

Table::Part Table::read_part(const SafeTensors& weights, const std::string& name, size_t rows,
                             size_t width) {
  Part part;
  if (holds_codes(weights, name)) {
    part.codes = weights.i8(name, {rows, width});
    part.scales = read_scales(weights, name + ".scale", rows);
  } else if (const auto kind = half_kind(weights, name)) {
    part.kind = *kind;
    part.halves = weights.u16(name, *kind == HalfKind::kF16 ? "F16" : "BF16", {rows, width});
    check_finite(weights, name, part.halves, *kind, rows * width);
  } else {
    part.values = weights.f32(name, {rows, width});
    check_finite(weights, name, part.values, rows * width);
  }
  return part;
}

Table::Part Table::read_listed(const SafeTensors& weights, const std::string& name, size_t first,
                               size_t* count) {
  const std::string list = name + ".rows";
  const Tensor* found = weights.find(list);
  *count = found != nullptr && found->shape.size() == 1 ? found->shape[0] : rows_;
  const int32_t* numbers = weights.i32(list, {*count});
  for (size_t i = 0; i < *count; ++i) {
    const bool ascends = i == 0 || numbers[i] > numbers[i - 1];
    if (!ascends || numbers[i] < 0 || static_cast<size_t>(numbers[i]) >= rows_) {
      fail_weights(weights, "tensor '" + list + "' has " + std::to_string(numbers[i]) +
                                " at index " + std::to_string(i) +
                                "; numbers of rows must ascend, from 0 to " +
                                std::to_string(rows_ - 1));
    }
    int32_t& place = places_[static_cast<size_t>(numbers[i])];
    if (place != kAbsent) {
      fail_weights(weights, "tensor '" + list + "' has row " + std::to_string(numbers[i]) +
                                ", which the model file has itself; they belong to different "
                                "exports");
    }
    place = static_cast<int32_t>(first + i);
  }
  return read_part(weights, name, *count, width_);
}

void Table::add_row(const Kernels& kernels, size_t row, float* x) const {
  size_t place = places_.empty() ? row : static_cast<size_t>(places_[row]);
  const Part& part = place < own_rows_ ? own_ : others_;
  if (place >= own_rows_) place -= own_rows_;
  const size_t at = place * width_;
  if (part.codes != nullptr) {
    kernels.add_scaled_s8(part.codes + at, part.scales[place], x, width_);
  } else if (part.halves != nullptr) {
    float widened[kWidened];
    for (size_t i = 0; i < width_; i += kWidened) {
      const size_t count = std::min(kWidened, width_ - i);
      for (size_t k = 0; k < count; ++k) {
        widened[k] = widen_half(part.halves[at + i + k], part.kind);
      }
      kernels.add(widened, x + i, count);
    }
  } else {
    kernels.add(part.values + at, x, width_);
  }
}

}  // namespace affectrt

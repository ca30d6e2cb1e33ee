#include "encoders/linear.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "encoders/tensor_checks.h"
#include "kernels/pack.h"

namespace affectrt {
namespace {

constexpr const char* kActivationBits = "affectrt.activation_bits";

// Whether the file has 16-bit activations for this matrix alone.
bool is_wide(const SafeTensors& weights, const std::string& name) {
  const std::string bits = weights.metadata(kActivationBits).value_or("") + " ";
  return bits.find(" 16:" + name + " ") != std::string::npos;
}

MatrixView read_shaped(const SafeTensors& weights, const std::string& name,
                       const std::vector<uint64_t>& shape, bool has_bias) {
  MatrixView matrix;
  matrix.name = name + ".weight";
  matrix.outputs = shape[0];
  matrix.inputs = shape[1] * (shape.size() > 2 ? shape[2] : 1);
  if (holds_codes(weights, matrix.name)) {
    matrix.codes = weights.i8(matrix.name, shape);
    matrix.scales = read_scales(weights, matrix.name + ".scale", matrix.outputs);
    matrix.wide = is_wide(weights, name);
  } else if (const auto kind = half_kind(weights, matrix.name)) {
    matrix.half_kind = *kind;
    matrix.halves = weights.u16(matrix.name, *kind == HalfKind::kF16 ? "F16" : "BF16", shape);
  } else {
    matrix.values = weights.f32(matrix.name, shape);
  }
  if (has_bias) {
    matrix.bias = weights.f32(name + ".bias", {matrix.outputs});
    check_finite(weights, name + ".bias", matrix.bias, matrix.outputs);
  }
  return matrix;
}

}  // namespace

Arithmetic integer_arithmetic(const SafeTensors& weights) {
  const std::string bits = weights.metadata(kActivationBits).value_or("8");
  if (bits == "16") return Arithmetic::kW8A16;
  const size_t first = std::min(bits.find(' '), bits.size());
  bool possible = bits.compare(0, first, "8") == 0;
  for (size_t at = first; possible && at < bits.size();) {  // at a blank
    const size_t end = std::min(bits.find(' ', at + 1), bits.size());
    const std::string word = bits.substr(at + 1, end - at - 1);
    possible = word.compare(0, 3, "16:") == 0 && holds_codes(weights, word.substr(3) + ".weight");
    at = end;
  }
  if (possible) return Arithmetic::kW7A8;
  fail_weights(weights,
               std::string("__metadata__ has ") + kActivationBits + " '" + bits.substr(0, 200) +
                   "'; '8' or '16' is possible, and behind '8' words '16:NAME' of matrices that "
                   "are I8");
}

MatrixView read_matrix(const SafeTensors& weights, const std::string& name, size_t outputs,
                       size_t inputs, bool has_bias) {
  return read_shaped(weights, name, {outputs, inputs}, has_bias);
}

MatrixView read_convolution(const SafeTensors& weights, const std::string& name, size_t outputs,
                            size_t channels, size_t taps) {
  return read_shaped(weights, name, {outputs, channels, taps}, true);
}

Norm read_norm(const SafeTensors& weights, const std::string& name, size_t width, bool has_bias) {
  Norm norm;
  norm.gamma = read_vector(weights, name + ".weight", width);
  norm.beta = has_bias ? read_vector(weights, name + ".bias", width)
                       : std::vector<float>(norm.gamma.size(), 0.0F);
  return norm;
}

std::vector<float> read_vector(const SafeTensors& weights, const std::string& name, size_t size) {
  const float* values = weights.f32(name, {size});
  check_finite(weights, name, values, size);
  std::vector<float> padded(round_up(size, kPanelColumns), 0.0F);
  std::copy_n(values, size, padded.begin());
  return padded;
}

Linear::Linear(const MatrixView& matrix, Arithmetic integers, const SafeTensors& weights) {
  std::vector<Output> outputs;
  for (size_t row = 0; row < matrix.outputs; ++row) outputs.push_back({&matrix, row});
  *this = Linear(outputs, integers, weights);
}

Linear::Linear(const std::vector<Output>& outputs, Arithmetic integers, const SafeTensors& weights,
               const std::vector<size_t>* columns) {
  const auto first = std::find_if(outputs.begin(), outputs.end(),
                                  [](const Output& output) { return output.matrix != nullptr; });
  const MatrixView& model = *first->matrix;
  for (const Output& output : outputs) {
    if (output.matrix == nullptr) continue;
    if ((output.matrix->codes == nullptr) != (model.codes == nullptr) ||
        output.matrix->wide != model.wide) {
      throw Error(ErrorKind::kUnsupported,
                  weights.origin() + ": '" + output.matrix->name + "' and '" + model.name +
                      "' are multiplied as one matrix; both must be floats or both I8 with as "
                      "many bits of the activations");
    }
  }
  const Arithmetic of_codes = model.wide ? Arithmetic::kW8A16 : integers;
  arithmetic_ = model.codes == nullptr ? Arithmetic::kF32 : of_codes;
  inputs_ = columns == nullptr ? model.inputs : columns->size();
  panels_ = panel_count(outputs.size());
  const size_t padded = panels_ * kPanelColumns;
  const size_t per_step = arithmetic_ == Arithmetic::kW8A16 ? 2 : 4;
  steps_ = (inputs_ + per_step - 1) / per_step;
  max_activation_code_ = max_activation_code_s16(inputs_);
  bias_.assign(padded, 0.0F);
  scales_.assign(padded, 0.0F);
  sums_.assign(padded, 0.0F);
  if (arithmetic_ == Arithmetic::kF32) {
    values_ = AlignedBuffer<float>(panels_ * inputs_ * kPanelColumns);
  } else {
    codes_ = AlignedBuffer<int8_t>(panels_ * steps_ * kPanelColumns * 4);
  }

  // Rows with the columns in another order, or widened, sixteen at a time.
  const bool is_float = arithmetic_ == Arithmetic::kF32;
  std::vector<float> value_rows(is_float ? inputs_ * kPanelColumns : 0, 0.0F);
  std::vector<int8_t> code_rows(columns == nullptr ? 0 : inputs_ * kPanelColumns, 0);
  for (size_t panel = 0; panel < panels_; ++panel) {
    const float* values[kPanelColumns] = {};
    const int8_t* codes[kPanelColumns] = {};
    std::string name;
    for (size_t c = 0; c < kPanelColumns; ++c) {
      const size_t index = panel * kPanelColumns + c;
      if (index >= outputs.size() || outputs[index].matrix == nullptr) continue;
      const MatrixView& matrix = *outputs[index].matrix;
      const size_t row = outputs[index].row;
      if (matrix.bias != nullptr) bias_[index] = matrix.bias[row];
      name = matrix.name;
      if (matrix.codes != nullptr) {
        scales_[index] = matrix.scales[row];
        codes[c] = matrix.codes + row * matrix.inputs;
      } else if (matrix.values != nullptr) {
        values[c] = matrix.values + row * matrix.inputs;
      }
      if (columns == nullptr && matrix.halves == nullptr) continue;
      const uint16_t* halves =
          matrix.halves == nullptr ? nullptr : matrix.halves + row * matrix.inputs;
      for (size_t i = 0; i < inputs_; ++i) {
        const size_t column = columns == nullptr ? i : (*columns)[i];
        if (column == kNoColumn) continue;
        const size_t at = c * inputs_ + i;
        if (matrix.codes != nullptr) code_rows[at] = codes[c][column];
        if (matrix.values != nullptr) value_rows[at] = values[c][column];
        if (halves != nullptr) value_rows[at] = widen_half(halves[column], matrix.half_kind);
      }
      if (matrix.codes != nullptr) codes[c] = code_rows.data() + c * inputs_;
      if (matrix.codes == nullptr) values[c] = value_rows.data() + c * inputs_;
    }
    if (is_float) {
      if (!pack_panel_f32(values, inputs_, values_.data() + panel * inputs_ * kPanelColumns)) {
        fail_weights(weights,
                     "tensor '" + name + "' has NaN or infinite values; finite ones are needed");
      }
      continue;
    }
    const bool wide = arithmetic_ == Arithmetic::kW8A16;
    const int32_t max_code = wide ? kMaxCode8 : kMaxCode7;
    const auto pack = wide ? pack_panel_s16 : pack_panel_u8s8;
    if (!pack(codes, inputs_, max_code, codes_.data() + panel * steps_ * kPanelColumns * 4,
              sums_.data() + panel * kPanelColumns)) {
      fail_weights(weights, "tensor '" + name + "' has codes beyond +-" + std::to_string(max_code) +
                                ", which the sums of " + (wide ? "16" : "8") +
                                "-bit activations cannot hold");
    }
  }
}

size_t Linear::code_bytes() const {
  return round_up(inputs_, kPanelColumns) * (arithmetic_ == Arithmetic::kW8A16 ? 2 : 1);
}

void Linear::quantize(const Kernels& kernels, const LayerInput& input, size_t begin,
                      size_t end) const {
  if (begin >= end || arithmetic_ == Arithmetic::kF32) return;
  const float* x = input.x + begin * input.stride;
  uint8_t* codes = input.codes + begin * code_bytes();
  if (arithmetic_ == Arithmetic::kW7A8) {
    kernels.quantize_u8(x, input.stride, end - begin, inputs_, codes, code_bytes(),
                        input.quant + begin);
  } else {
    kernels.quantize_s16(x, input.stride, end - begin, inputs_, max_activation_code_, codes,
                         code_bytes(), input.quant + begin);
  }
}

void Linear::multiply(const Kernels& kernels, const LayerInput& input, size_t rows,
                      size_t panel_begin, size_t panel_end, float* c, size_t c_stride,
                      const float* residual, Epilogue epilogue) const {
  if (panel_begin >= panel_end || rows == 0) return;
  const size_t column = panel_begin * kPanelColumns;
  const size_t panels = panel_end - panel_begin;
  if (arithmetic_ == Arithmetic::kF32) {
    const size_t panel_stride = inputs_ * kPanelColumns;
    kernels.gemm_f32({input.x, input.stride, values_.data() + panel_begin * panel_stride,
                      kPanelColumns, panel_stride, bias_.data() + column, rows, panels, inputs_, c,
                      c_stride, residual, epilogue});
    return;
  }
  const GemmInt gemm = {input.codes,
                        code_bytes(),
                        input.quant,
                        codes_.data() + panel_begin * steps_ * kPanelColumns * 4,
                        scales_.data() + column,
                        sums_.data() + column,
                        bias_.data() + column,
                        rows,
                        panels,
                        steps_,
                        c,
                        c_stride,
                        residual,
                        epilogue};
  if (arithmetic_ == Arithmetic::kW7A8) {
    kernels.gemm_u8s8(gemm);
  } else {
    kernels.gemm_s16s16(gemm);
  }
}

}  // namespace affectrt

// Weight matrices of a model file, checked and brought into the layout of the kernels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/half.h"
#include "bundle/safetensors.h"
#include "kernels/kernels.h"

namespace affectrt {

// How a layer multiplies.
enum class Arithmetic {
  kF32,
  kW7A8,   // 7-bit weight codes x 8-bit activations
  kW8A16,  // 8-bit weight codes x 16-bit activations
};

// The activations of the integer layers of a file: "8" or "16" at "affectrt.activation_bits" of its
// metadata; "8 16:NAME 16:NAME ..." where matrices of these names have 16. Throws
// Error(kModelFile).
Arithmetic integer_arithmetic(const SafeTensors& weights);

// NAME.weight [outputs, inputs] with NAME.bias [outputs], as they lie in the file: float32, F16 or
// BF16, which are multiplied as float32, or int8 codes with NAME.weight.scale [outputs].
struct MatrixView {
  std::string name;
  size_t outputs = 0;
  size_t inputs = 0;
  const float* values = nullptr;
  const uint16_t* halves = nullptr;
  HalfKind half_kind = HalfKind::kF16;
  const int8_t* codes = nullptr;
  const float* scales = nullptr;  // of codes
  bool wide = false;              // codes of 8 bits, whatever those of the file's others are
  const float* bias = nullptr;    // null: none
};
// Throws Error(kModelFile) for what is missing, has another shape, is NaN or Inf, or a scale <= 0.
MatrixView read_matrix(const SafeTensors& weights, const std::string& name, size_t outputs,
                       size_t inputs, bool has_bias = true);
// The same for NAME.weight [outputs, channels, taps]; input `channel * taps + tap` of the matrix.
MatrixView read_convolution(const SafeTensors& weights, const std::string& name, size_t outputs,
                            size_t channels, size_t taps);

// A float vector padded with zeros to a multiple of 16. Throws Error(kModelFile).
std::vector<float> read_vector(const SafeTensors& weights, const std::string& name, size_t size);

// NAME.weight and NAME.bias of a layer norm, as of read_vector(); without a bias, zeros.
struct Norm {
  std::vector<float> gamma;
  std::vector<float> beta;
};
Norm read_norm(const SafeTensors& weights, const std::string& name, size_t width,
               bool has_bias = true);

// Activations as a layer reads them: the float rows, and room for their codes.
struct LayerInput {
  const float* x;   // [rows, stride]
  size_t stride;    // floats
  uint8_t* codes;   // [rows, Linear::code_bytes()]
  RowQuant* quant;  // [rows]
};

// y = x W^T + b with packed weights. Immutable: concurrent calls are safe.
class Linear {
 public:
  // Output o is row `row` of `matrix`, or a column of zeros where matrix is null.
  struct Output {
    const MatrixView* matrix;
    size_t row;
  };
  Linear() = default;
  // All matrices have the same number of inputs and are all float or all codes. `columns`, where
  // given, says which column of the matrices each input is; kNoColumn: it counts for nothing.
  static constexpr size_t kNoColumn = static_cast<size_t>(-1);
  Linear(const std::vector<Output>& outputs, Arithmetic integers, const SafeTensors& weights,
         const std::vector<size_t>* columns = nullptr);
  // One matrix as it is.
  Linear(const MatrixView& matrix, Arithmetic integers, const SafeTensors& weights);

  size_t panels() const { return panels_; }
  size_t inputs() const { return inputs_; }
  bool multiplies_integers() const { return arithmetic_ != Arithmetic::kF32; }
  // Bytes from one row of codes to the next.
  size_t code_bytes() const;

  // Fills codes and quant of rows [begin, end); nothing to do for float layers.
  void quantize(const Kernels& kernels, const LayerInput& input, size_t begin, size_t end) const;
  // Columns of panels [panel_begin, panel_end) to c [rows, c_stride], which is the place of panel
  // `panel_begin`; so is `residual`. Rows have been quantised.
  void multiply(const Kernels& kernels, const LayerInput& input, size_t rows, size_t panel_begin,
                size_t panel_end, float* c, size_t c_stride, const float* residual,
                Epilogue epilogue) const;

 private:
  Arithmetic arithmetic_ = Arithmetic::kF32;
  size_t inputs_ = 0;
  size_t panels_ = 0;
  size_t steps_ = 0;
  int32_t max_activation_code_ = 0;  // kW8A16
  AlignedBuffer<int8_t> codes_;
  AlignedBuffer<float> values_;
  std::vector<float> scales_;
  std::vector<float> sums_;
  std::vector<float> bias_;
};

}  // namespace affectrt

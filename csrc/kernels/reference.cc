// The scalar reference: what each kernel means, in plain loops. Runs on any CPU; sums that the SIMD
// bodies keep in float are double here.
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/tables.h"

namespace affectrt {
namespace {

float activate_one(Activation kind, float x) {
  const double v = static_cast<double>(x);
  switch (kind) {
    case Activation::kNone:
      return x;
    case Activation::kGelu:
      return static_cast<float>(v * 0.5 * std::erfc(-v * 0.70710678118654752440));
    case Activation::kGeluTanh:
      return static_cast<float>(
          0.5 * v * (1.0 + std::tanh(0.79788456080286535588 * (v + 0.044715 * v * v * v))));
    case Activation::kRelu:
      return x < 0.0F ? 0.0F : x;
    case Activation::kTanh:
      return static_cast<float>(std::tanh(v));
  }
  return x;
}

float finish(Epilogue epilogue, float x, const float* residual, size_t at) {
  if (epilogue == Epilogue::kBiasGelu) return activate_one(Activation::kGelu, x);
  if (epilogue == Epilogue::kBiasResidual) return x + residual[at];
  return x;
}

int32_t dot_u8s8(const uint8_t* a, const int8_t* b) {
  int32_t sum = 0;
  for (int i = 0; i < 4; ++i) sum += int32_t{a[i]} * int32_t{b[i]};
  return sum;
}

int32_t dot_s16s16(const uint8_t* a, const int8_t* b) {
  int16_t x[2];
  int16_t w[2];
  std::memcpy(x, a, sizeof x);
  std::memcpy(w, b, sizeof w);
  return int32_t{x[0]} * int32_t{w[0]} + int32_t{x[1]} * int32_t{w[1]};
}

template <int32_t (*kDot)(const uint8_t*, const int8_t*)>
void gemm_int(const GemmInt& g) {
  for (size_t r = 0; r < g.rows; ++r) {
    for (size_t column = 0; column < g.panels * kPanelColumns; ++column) {
      const int8_t* b = g.b + column / kPanelColumns * g.steps * 64 + column % kPanelColumns * 4;
      int32_t sum = 0;
      for (size_t i = 0; i < g.steps; ++i) sum += kDot(g.a + r * g.a_stride + i * 4, b + i * 64);
      const float exact = std::fma(-g.quant[r].zero, g.b_sum[column], static_cast<float>(sum));
      const float x = std::fma(exact, g.quant[r].scale * g.b_scale[column], g.bias[column]);
      const size_t at = r * g.c_stride + column;
      g.c[at] = finish(g.epilogue, x, g.residual, at);
    }
  }
}

void gemm_f32(const GemmF32& g) {
  for (size_t r = 0; r < g.rows; ++r) {
    for (size_t column = 0; column < g.panels * kPanelColumns; ++column) {
      const float* b = g.b + column / kPanelColumns * g.b_panel_stride + column % kPanelColumns;
      double sum = 0.0;
      for (size_t i = 0; i < g.k; ++i) {
        sum += static_cast<double>(g.a[r * g.a_stride + i]) *
               static_cast<double>(b[i * g.b_row_stride]);
      }
      const size_t at = r * g.c_stride + column;
      if (g.bias == nullptr) {
        g.c[at] = static_cast<float>(sum);
      } else {
        g.c[at] = finish(g.epilogue, static_cast<float>(sum) + g.bias[column], g.residual, at);
      }
    }
  }
}

struct Range {
  float low = 0.0F;
  float high = 0.0F;
  bool finite = true;
};

Range range(const float* x, size_t n) {
  Range limits;
  for (size_t i = 0; i < n; ++i) {
    if (x[i] < limits.low) limits.low = x[i];
    if (x[i] > limits.high) limits.high = x[i];
    limits.finite = limits.finite && std::isfinite(x[i]);
  }
  return limits;
}

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

void quantize_u8(const float* x, size_t stride, size_t rows, size_t n, uint8_t* codes,
                 size_t code_stride, RowQuant* quant) {
  const size_t padded = (n + 15) / 16 * 16;
  for (size_t r = 0; r < rows; ++r, x += stride, codes += code_stride) {
    const Range limits = range(x, n);
    const float width = limits.high - limits.low;
    if (!limits.finite || !std::isfinite(width)) {
      std::memset(codes, 0, padded);
      quant[r] = {kNaN, 0.0F};
      continue;
    }
    const float to_codes = width > 0.0F ? 255.0F / width : 0.0F;
    const float zero = std::nearbyint(-limits.low * to_codes);
    for (size_t i = 0; i < padded; ++i) {
      const float code = std::nearbyint(std::fma(x[i], to_codes, zero));
      codes[i] = static_cast<uint8_t>(std::fmin(255.0F, std::fmax(0.0F, code)));
    }
    quant[r] = {width / 255.0F, zero};
  }
}

void quantize_s16(const float* x, size_t stride, size_t rows, size_t n, int32_t max_code,
                  uint8_t* codes, size_t code_stride, RowQuant* quant) {
  const size_t padded = (n + 15) / 16 * 16;
  const float top = static_cast<float>(max_code);
  for (size_t r = 0; r < rows; ++r, x += stride, codes += code_stride) {
    const Range limits = range(x, n);
    const float most = std::fmax(limits.high, -limits.low);
    if (!limits.finite) {
      std::memset(codes, 0, padded * 2);
      quant[r] = {kNaN, 0.0F};
      continue;
    }
    const float to_codes = top / std::fmax(most, kLeastRange);
    for (size_t i = 0; i < padded; ++i) {
      const float code = std::nearbyint(x[i] * to_codes);
      const int16_t value = static_cast<int16_t>(code);
      std::memcpy(codes + 2 * i, &value, sizeof value);
    }
    quant[r] = {most / top, 0.0F};
  }
}

void layer_norm(float* x, size_t stride, size_t rows, size_t n, float eps, const float* gamma,
                const float* beta) {
  for (size_t r = 0; r < rows; ++r, x += stride) {
    double mean = 0.0;
    for (size_t i = 0; i < n; ++i) mean += static_cast<double>(x[i]);
    mean /= static_cast<double>(n);
    double variance = 0.0;
    for (size_t i = 0; i < n; ++i) {
      const double d = static_cast<double>(x[i]) - mean;
      variance += d * d;
    }
    variance /= static_cast<double>(n);
    const double inverse = 1.0 / std::sqrt(variance + static_cast<double>(eps));
    for (size_t i = 0; i < n; ++i) {
      x[i] = static_cast<float>((static_cast<double>(x[i]) - mean) * inverse *
                                    static_cast<double>(gamma[i]) +
                                static_cast<double>(beta[i]));
    }
  }
}

void softmax(float* x, size_t stride, size_t rows, size_t n, float scale, const float* bias,
             ptrdiff_t bias_stride) {
  for (size_t r = 0; r < rows; ++r, x += stride) {
    float top = -std::numeric_limits<float>::infinity();
    for (size_t i = 0; i < n; ++i) {
      x[i] *= scale;
      if (bias != nullptr)
        x[i] += bias[static_cast<ptrdiff_t>(r) * bias_stride + static_cast<ptrdiff_t>(i)];
      top = std::fmax(top, x[i]);
    }
    double total = 0.0;
    for (size_t i = 0; i < n; ++i) {
      x[i] = std::exp(x[i] - top);
      total += static_cast<double>(x[i]);
    }
    for (size_t i = 0; i < n; ++i) {
      x[i] = static_cast<float>(static_cast<double>(x[i]) / total);
    }
    for (size_t i = n; i < (n + 15) / 16 * 16; ++i) x[i] = 0.0F;
  }
}

void activate(Activation kind, float* x, size_t n) {
  for (size_t i = 0; i < n; ++i) x[i] = activate_one(kind, x[i]);
}

void add_scaled_s8(const int8_t* codes, float scale, float* x, size_t n) {
  for (size_t i = 0; i < n; ++i) x[i] = std::fma(static_cast<float>(codes[i]), scale, x[i]);
}

void add(const float* x, float* y, size_t n) {
  for (size_t i = 0; i < n; ++i) y[i] += x[i];
}

void multiply(const float* x, float* y, size_t n) {
  for (size_t i = 0; i < n; ++i) y[i] *= x[i];
}

void rotate(float* x, size_t heads, size_t half, const float* cosines, const float* sines) {
  for (size_t head = 0; head < heads; ++head, x += 2 * half) {
    for (size_t i = 0; i < half; ++i) {
      const double a = static_cast<double>(x[i]);
      const double b = static_cast<double>(x[half + i]);
      const double cosine = static_cast<double>(cosines[i]);
      const double sine = static_cast<double>(sines[i]);
      x[i] = static_cast<float>(a * cosine - b * sine);
      x[half + i] = static_cast<float>(b * cosine + a * sine);
    }
  }
}

void pack_keys(const float* keys, size_t stride, size_t tokens, size_t width, float* panels) {
  for (size_t token = 0; token < (tokens + 15) / 16 * 16; ++token) {
    float* panel = panels + token / 16 * width * 16 + token % 16;
    for (size_t i = 0; i < width; ++i) {
      panel[i * 16] = token < tokens ? keys[token * stride + i] : 0.0F;
    }
  }
}

}  // namespace

const Kernels& scalar_kernels() {
  static const Kernels kKernels = {"scalar",
                                   gemm_int<dot_u8s8>,
                                   gemm_int<dot_s16s16>,
                                   gemm_f32,
                                   quantize_u8,
                                   quantize_s16,
                                   layer_norm,
                                   softmax,
                                   activate,
                                   add_scaled_s8,
                                   add,
                                   multiply,
                                   rotate,
                                   pack_keys,
                                   scalar_attention_s16(),
                                   scalar_signal_kernels};
  return kKernels;
}

}  // namespace affectrt

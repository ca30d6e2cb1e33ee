// The scalar reference of attention in 16-bit integers.
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/kernels.h"
#include "kernels/tables.h"

namespace affectrt {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// The largest |x|; NaN where a value is NaN or Inf.
float magnitude(const float* x, size_t stride, size_t rows, size_t n) {
  float most = 0.0F;
  for (size_t r = 0; r < rows; ++r) {
    for (size_t i = 0; i < n; ++i) {
      const float size = std::fabs(x[r * stride + i]);
      if (!std::isfinite(size)) return kNaN;
      most = std::fmax(most, size);
    }
  }
  return most;
}

int16_t code_of(float x, float most, int32_t max_code) {
  if (std::isnan(most)) return 0;
  const float factor = static_cast<float>(max_code) / std::fmax(most, kLeastRange);
  return static_cast<int16_t>(std::nearbyint(x * factor));
}

int16_t code_at(const void* codes, size_t index) {
  int16_t code;
  std::memcpy(&code, static_cast<const uint8_t*>(codes) + 2 * index, sizeof code);
  return code;
}

void set_code(void* codes, size_t index, int16_t code) {
  std::memcpy(static_cast<uint8_t*>(codes) + 2 * index, &code, sizeof code);
}

float pack_keys(const float* keys, size_t stride, size_t tokens, size_t width, int32_t max_code,
                int8_t* panels) {
  const float most = magnitude(keys, stride, tokens, width);
  const size_t panel_bytes = key_panel_bytes(width);
  for (size_t token = 0; token < (tokens + 15) / 16 * 16; ++token) {
    int8_t* panel = panels + token / 16 * panel_bytes;
    for (size_t i = 0; i < panel_bytes / 32; ++i) {
      const bool real = token < tokens && i < width;
      set_code(panel, i / 2 * 32 + token % 16 * 2 + i % 2,
               real ? code_of(keys[token * stride + i], most, max_code) : int16_t{0});
    }
  }
  return most / static_cast<float>(max_code);
}

void pack_values(const float* values, size_t stride, size_t tokens, size_t width, int8_t* panels,
                 float* scales) {
  const size_t steps = (tokens + 1) / 2;
  for (size_t i = 0; i < width; ++i) {
    const float most = magnitude(values + i, stride, tokens, 1);
    scales[i] = most / static_cast<float>(kMostValueCode);
    int8_t* panel = panels + i / 16 * steps * 64;
    for (size_t token = 0; token < 2 * steps; ++token) {
      set_code(
          panel, token / 2 * 32 + i % 16 * 2 + token % 2,
          token < tokens ? code_of(values[token * stride + i], most, kMostValueCode) : int16_t{0});
    }
  }
}

int32_t sum_at(const ProductS16& p, size_t row, size_t column) {
  const uint8_t* a = p.a + row * p.a_stride;
  const int8_t* b = p.b + column / 16 * p.b_panel_stride;
  int32_t sum = 0;
  for (size_t i = 0; i < 2 * p.steps; ++i) {
    sum += int32_t{code_at(a, i)} * int32_t{code_at(b, i / 2 * 32 + column % 16 * 2 + i % 2)};
  }
  return sum;
}

void scores(const ProductS16& p, int32_t* sums, size_t sum_stride) {
  for (size_t r = 0; r < p.rows; ++r) {
    for (size_t column = 0; column < p.panels * 16; ++column) {
      sums[r * sum_stride + column] = sum_at(p, r, column);
    }
  }
}

void softmax(const int32_t* sums, size_t sum_stride, size_t rows, size_t n, float scale,
             const float* bias, ptrdiff_t bias_stride, uint8_t* codes, size_t code_stride,
             RowQuant* quant) {
  for (size_t r = 0; r < rows; ++r, sums += sum_stride, codes += code_stride) {
    std::memset(codes, 0, (n + 15) / 16 * 32);
    const float factor = quant[r].scale * scale;
    if (!std::isfinite(factor)) {
      quant[r] = {kNaN, 0.0F};
      continue;
    }
    const auto score = [&](size_t i) {
      const double x = static_cast<double>(sums[i]) * static_cast<double>(factor);
      if (bias == nullptr) return x;
      return x + static_cast<double>(
                     bias[static_cast<ptrdiff_t>(r) * bias_stride + static_cast<ptrdiff_t>(i)]);
    };
    double top = score(0);
    for (size_t i = 1; i < n; ++i) top = std::fmax(top, score(i));
    int32_t total = 0;
    for (size_t i = 0; i < n; ++i) {
      const double weight = std::nearbyint(std::exp(score(i) - top) * kMostWeight);
      set_code(codes, i, static_cast<int16_t>(weight));
      total += static_cast<int32_t>(weight);
    }
    if (total > kMostWeightSum) {
      const auto down = static_cast<int32_t>((int64_t{kMostWeightSum} << 15U) / total);
      total = 0;
      for (size_t i = 0; i < n; ++i) {
        const int32_t code = (code_at(codes, i) * down + (1 << 14)) >> 15U;
        set_code(codes, i, static_cast<int16_t>(code));
        total += code;
      }
    }
    quant[r] = {1.0F / static_cast<float>(total), 0.0F};
  }
}

void values(const ProductS16& p, const RowQuant* quant, const float* scales, float* c,
            size_t c_stride) {
  for (size_t r = 0; r < p.rows; ++r) {
    for (size_t column = 0; column < p.panels * 16; ++column) {
      c[r * c_stride + column] =
          static_cast<float>(sum_at(p, r, column)) * (quant[r].scale * scales[column]);
    }
  }
}

}  // namespace

AttentionS16 scalar_attention_s16() { return {pack_keys, pack_values, scores, softmax, values}; }

}  // namespace affectrt

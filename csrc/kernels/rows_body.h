// Row kernels, one source for every SIMD instruction set (see gemm_body.h on instances).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/attention_s16_body.h"
#include "kernels/gemm_body.h"
#include "kernels/kernels.h"
#include "kernels/row_math.h"

namespace affectrt {

template <class S>
struct RowKernels {
  using F = typename S::F;
  using I = typename S::I;

  // Calls body(vector, lanes, index): `lanes` is 16 except for the last vector.
  template <class Body>
  static void for_vectors(size_t n, Body body) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) body(i, size_t{16});
    if (i < n) body(i, n - i);
  }

  struct Range {
    float low;
    float high;
    float not_finite;  // 0, or NaN where the row holds NaN or Inf
  };
  static Range range(const float* x, size_t n) {
    F low[4];
    F high[4];
    F bad[4];
#pragma GCC unroll 4
    for (size_t j = 0; j < 4; ++j) low[j] = high[j] = bad[j] = S::zero();
    const auto look = [&](size_t i, size_t j) {
      const F v = S::load(x + i);
      low[j] = S::min(v, low[j]);
      high[j] = S::max(v, high[j]);
      bad[j] = S::fma(v, S::zero(), bad[j]);
    };
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
#pragma GCC unroll 4
      for (size_t j = 0; j < 4; ++j) look(i + 16 * j, j);
    }
    for (; i < n; i += 16) look(i, 0);
    return {S::reduce_min(S::min(S::min(low[0], low[1]), S::min(low[2], low[3]))),
            S::reduce_max(S::max(S::max(high[0], high[1]), S::max(high[2], high[3]))),
            S::reduce_add(S::add(S::add(bad[0], bad[1]), S::add(bad[2], bad[3])))};
  }

  static void quantize_u8(const float* x, size_t stride, size_t rows, size_t n, uint8_t* codes,
                          size_t code_stride, RowQuant* quant) {
    for (size_t r = 0; r < rows; ++r, x += stride, codes += code_stride) {
      const Range limits = range(x, n);
      const float width = limits.high - limits.low;
      const float to_codes = width > 0.0F ? 255.0F / width : 0.0F;
      const float zero = S::round_scalar(-limits.low * to_codes);
      const F scale = S::set1(to_codes);
      const F offset = S::set1(zero);
      for (size_t i = 0; i < n; i += 16) {
        S::store_u8(codes + i, S::round_to_int(S::fma(S::load(x + i), scale, offset)));
      }
      quant[r] = {width / 255.0F + limits.not_finite, zero - S::kCodeOffset};
    }
  }

  static void quantize_s16(const float* x, size_t stride, size_t rows, size_t n, int32_t max_code,
                           uint8_t* codes, size_t code_stride, RowQuant* quant) {
    const float top = static_cast<float>(max_code);
    for (size_t r = 0; r < rows; ++r, x += stride, codes += code_stride) {
      I sizes = S::zero_i();
      for (size_t i = 0; i < n; i += 16) sizes = S::max_i(sizes, S::magnitude(S::load(x + i)));
      const float most = largest<S>(sizes);
      const F scale = S::set1(top / (most > kLeastRange ? most : kLeastRange));
      for (size_t i = 0; i < n; i += 16) {
        S::store_s16(codes + 2 * i, S::round_to_int(S::mul(S::load(x + i), scale)));
      }
      quant[r] = {most / top + most * 0.0F, 0.0F};
    }
  }

  // Four partial sums hide the latency of the additions; their order depends on n alone.
  template <class Term>
  static float sum(size_t n, Term term) {
    F part[4] = {S::zero(), S::zero(), S::zero(), S::zero()};
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
#pragma GCC unroll 4
      for (size_t j = 0; j < 4; ++j) part[j] = S::add(part[j], term(i + 16 * j));
    }
    for (; i + 16 <= n; i += 16) part[0] = S::add(part[0], term(i));
    if (i < n) part[1] = S::add(part[1], S::keep_first(n - i, term(i), S::zero()));
    return S::reduce_add(S::add(S::add(part[0], part[1]), S::add(part[2], part[3])));
  }

  static void layer_norm(float* x, size_t stride, size_t rows, size_t n, float eps,
                         const float* gamma, const float* beta) {
    const float count = static_cast<float>(n);
    for (size_t r = 0; r < rows; ++r, x += stride) {
      const F mean = S::set1(sum(n, [&](size_t i) { return S::load(x + i); }) / count);
      const float variance = sum(n,
                                 [&](size_t i) {
                                   const F d = S::sub(S::load(x + i), mean);
                                   return S::mul(d, d);
                                 }) /
                             count;
      const F inverse = S::div(S::set1(1.0F), S::sqrt(S::set1(variance + eps)));
      for_vectors(n, [&](size_t i, size_t lanes) {
        const F d = S::mul(S::sub(S::load(x + i), mean), inverse);
        const F y = S::fma(d, S::load(gamma + i), S::load(beta + i));
        S::store(x + i, lanes == 16 ? y : S::keep_first(lanes, y, S::zero()));
      });
    }
  }

  static void softmax(float* x, size_t stride, size_t rows, size_t n, float scale,
                      const float* bias, ptrdiff_t bias_stride) {
    const F factor = S::set1(scale);
    for (size_t r = 0; r < rows; ++r, x += stride) {
      const float* row_bias =
          bias == nullptr ? nullptr : bias + static_cast<ptrdiff_t>(r) * bias_stride;
      F top = S::set1(-3.4e38F);
      for_vectors(n, [&](size_t i, size_t lanes) {
        F v = S::mul(S::load(x + i), factor);
        if (row_bias != nullptr) v = S::add(v, S::load(row_bias + i));
        if (lanes < 16) v = S::keep_first(lanes, v, S::set1(-3.4e38F));
        S::store(x + i, v);
        top = S::max(top, v);
      });
      const F highest = S::set1(S::reduce_max(top));
      const float total = sum(n, [&](size_t i) {
        const F e = exp<S>(S::sub(S::load(x + i), highest));
        S::store(x + i, e);
        return e;
      });
      const F inverse = S::set1(1.0F / total);
      for_vectors(n, [&](size_t i, size_t lanes) {
        const F y = S::mul(S::load(x + i), inverse);
        S::store(x + i, lanes == 16 ? y : S::keep_first(lanes, y, S::zero()));
      });
    }
  }

  static void activate(Activation kind, float* x, size_t n) {
    switch (kind) {
      case Activation::kNone:
        return;
      case Activation::kGelu:
        for (size_t i = 0; i < n; i += 16) S::store(x + i, gelu<S>(S::load(x + i)));
        return;
      case Activation::kGeluTanh:
        for (size_t i = 0; i < n; i += 16) S::store(x + i, gelu_tanh<S>(S::load(x + i)));
        return;
      case Activation::kRelu:  // NaN stays NaN
        for (size_t i = 0; i < n; i += 16) S::store(x + i, S::max(S::zero(), S::load(x + i)));
        return;
      case Activation::kTanh:
        for (size_t i = 0; i < n; i += 16) S::store(x + i, tanh<S>(S::load(x + i)));
        return;
    }
  }

  static void add_scaled_s8(const int8_t* codes, float scale, float* x, size_t n) {
    const F factor = S::set1(scale);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
      S::store(x + i, S::fma(S::load_s8(codes + i), factor, S::load(x + i)));
    }
    for (; i < n; ++i) x[i] = __builtin_fmaf(static_cast<float>(codes[i]), scale, x[i]);
  }

  static void add(const float* x, float* y, size_t n) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) S::store(y + i, S::add(S::load(x + i), S::load(y + i)));
    for (; i < n; ++i) y[i] += x[i];
  }

  static void multiply(const float* x, float* y, size_t n) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) S::store(y + i, S::mul(S::load(x + i), S::load(y + i)));
    for (; i < n; ++i) y[i] *= x[i];
  }

  static void rotate(float* x, size_t heads, size_t half, const float* cosines,
                     const float* sines) {
    for (size_t head = 0; head < heads; ++head, x += 2 * half) {
      for (size_t i = 0; i < half; i += 16) {
        const F a = S::load(x + i);
        const F b = S::load(x + half + i);
        const F cosine = S::load(cosines + i);
        const F sine = S::load(sines + i);
        S::store(x + i, S::fnma(b, sine, S::mul(a, cosine)));
        S::store(x + half + i, S::fma(a, sine, S::mul(b, cosine)));
      }
    }
  }

  static void pack_keys(const float* keys, size_t stride, size_t tokens, size_t width,
                        float* panels) {
    for (size_t token = 0; token < tokens; token += 16) {
      const float* block = keys + token * stride;
      if (tokens - token >= 16) {
        for (size_t i = 0; i < width; i += 16) {
          S::transpose16(block + i, stride, panels + i * 16);
        }
      } else {
        const size_t count = tokens - token;
        alignas(64) float rows[16 * 16];
        for (size_t i = 0; i < width; i += 16) {
          for (size_t r = 0; r < 16; ++r) {
            S::store(rows + r * 16, r < count ? S::load(block + r * stride + i) : S::zero());
          }
          S::transpose16(rows, 16, panels + i * 16);
        }
      }
      panels += width * 16;
    }
  }
};

// The table of one instruction set.
template <class S, class Shape>
constexpr Kernels make_kernels(const char* isa, const SignalKernels& (*signal)()) {
  using R = RowKernels<S>;
  return Kernels{isa,
                 gemm_int<S, DotU8S8<S>, Shape>,
                 gemm_int<S, DotS16S16<S>, Shape>,
                 gemm_f32<S, Shape>,
                 R::quantize_u8,
                 R::quantize_s16,
                 R::layer_norm,
                 R::softmax,
                 R::activate,
                 R::add_scaled_s8,
                 R::add,
                 R::multiply,
                 R::rotate,
                 R::pack_keys,
                 make_attention_s16<S, Shape>(),
                 signal};
}

}  // namespace affectrt

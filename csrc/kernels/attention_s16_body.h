// Attention in 16-bit integers, one source for every SIMD instruction set (see gemm_body.h on
// instances).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/gemm_body.h"
#include "kernels/kernels.h"
#include "kernels/row_math.h"

namespace affectrt {

template <class S, class Shape>
struct AttentionS16Body {
  using F = typename S::F;
  using I = typename S::I;
  using Dot = DotS16S16<S>;

  static float pack_keys(const float* keys, size_t stride, size_t tokens, size_t width,
                         int32_t max_code, int8_t* panels) {
    I sizes = S::zero_i();
    for (size_t token = 0; token < tokens; ++token) {
      const float* key = keys + token * stride;
      for (size_t i = 0; i < width; i += 16) {
        sizes = S::max_i(sizes, S::magnitude(S::load(key + i)));
      }
    }
    const float most = largest<S>(sizes);
    const float top = static_cast<float>(max_code);
    const F factor = S::set1(top / (most > kLeastRange ? most : kLeastRange));
    for (size_t token = 0; token < tokens; token += 16) {
      const size_t count = tokens - token < 16 ? tokens - token : 16;
      for (size_t column = 0; column < width; column += 32) {
        alignas(64) uint8_t pairs[16 * 64];  // 16 pairs of each token, which are then transposed
        const bool whole = width - column > 16;
        for (size_t r = 0; r < 16; ++r) {
          const float* key = keys + (token + r) * stride + column;
          const bool real = r < count;
          const I low = real ? S::round_to_int(S::mul(S::load(key), factor)) : S::zero_i();
          const I high =
              real && whole ? S::round_to_int(S::mul(S::load(key + 16), factor)) : S::zero_i();
          S::store_s16(pairs + r * 64, low);
          S::store_s16(pairs + r * 64 + 32, high);
        }
        S::transpose16(reinterpret_cast<const float*>(pairs), 16, reinterpret_cast<float*>(panels));
        panels += 16 * 64;
      }
    }
    return most / top + most * 0.0F;
  }

  static void pack_values(const float* values, size_t stride, size_t tokens, size_t width,
                          int8_t* panels, float* scales) {
    const F top = S::set1(static_cast<float>(kMostValueCode));
    for (size_t column = 0; column < width; column += 16) {
      I sizes = S::zero_i();
      for (size_t token = 0; token < tokens; ++token) {
        sizes = S::max_i(sizes, S::magnitude(S::load(values + token * stride + column)));
      }
      const F most = S::from_bits(sizes);
      S::store(scales + column, S::fma(most, S::zero(), S::div(most, top)));
      const F factor = S::div(top, S::max(most, S::set1(kLeastRange)));
      for (size_t token = 0; token < tokens; token += 2) {
        const float* value = values + token * stride + column;
        const I first = S::round_to_int(S::mul(S::load(value), factor));
        const I second = token + 1 < tokens
                             ? S::round_to_int(S::mul(S::load(value + stride), factor))
                             : S::zero_i();
        S::store_i(panels, S::pair_s16(first, second));
        panels += 64;
      }
    }
  }

  template <int kPanels, class Store>
  static void strip(const ProductS16& p, size_t panel, Store store) {
    constexpr int kMaxRows = Shape::template max_rows_int<kPanels>();
    alignas(64) int32_t sums[kMaxRows * kPanels * 16];
    for_row_tiles<kMaxRows>(p.rows, [&](size_t row, size_t rows) {
      int32_t* out = store.place(row, panel, sums);
      const size_t out_stride = store.stride(size_t{kPanels} * 16);
      run_tile_int<S, Dot, kPanels, kMaxRows>(rows, p.a + row * p.a_stride, p.a_stride,
                                              p.b + panel * p.b_panel_stride, p.b_panel_stride,
                                              p.steps, uintptr_t{0}, size_t{0}, out, out_stride);
      store.template finish<kPanels>(row, rows, panel, sums);
    });
  }
  template <class Store>
  static void multiply(const ProductS16& p, Store store) {
    size_t panel = 0;
    if constexpr (Shape::kMaxPanels >= 4) {
      for (; panel + 4 <= p.panels; panel += 4) strip<4>(p, panel, store);
    }
    if constexpr (Shape::kMaxPanels >= 2) {
      for (; panel + 2 <= p.panels; panel += 2) strip<2>(p, panel, store);
    }
    for (; panel < p.panels; ++panel) strip<1>(p, panel, store);
  }

  // Sums go where they belong at once.
  struct StoreSums {
    int32_t* c;
    size_t c_stride;
    int32_t* place(size_t row, size_t panel, int32_t* /*sums*/) const {
      return c + row * c_stride + panel * 16;
    }
    size_t stride(size_t /*columns*/) const { return c_stride; }
    template <int kPanels>
    void finish(size_t /*row*/, size_t /*rows*/, size_t /*panel*/, const int32_t* /*sums*/) const {}
  };
  struct StoreScaled {
    const RowQuant* quant;
    const float* scales;
    float* c;
    size_t c_stride;
    int32_t* place(size_t /*row*/, size_t /*panel*/, int32_t* sums) const { return sums; }
    size_t stride(size_t columns) const { return columns; }
    template <int kPanels>
    void finish(size_t row, size_t rows, size_t panel, const int32_t* sums) const {
      for (size_t r = 0; r < rows; ++r) {
        const F scale = S::set1(quant[row + r].scale);
        for (size_t i = 0; i < size_t{kPanels} * 16; i += 16, sums += 16) {
          const size_t column = panel * 16 + i;
          S::store(c + (row + r) * c_stride + column,
                   S::mul(S::to_float(S::load_i(sums)), S::mul(scale, S::load(scales + column))));
        }
      }
    }
  };

  static void scores(const ProductS16& p, int32_t* sums, size_t sum_stride) {
    multiply(p, StoreSums{sums, sum_stride});
  }
  static void values(const ProductS16& p, const RowQuant* quant, const float* scales, float* c,
                     size_t c_stride) {
    multiply(p, StoreScaled{quant, scales, c, c_stride});
  }

  // 2^x for -2 <= x < 16, relative error below 3e-6.
  static F exp2(F x) {
    // 2^f on |f| <= 1/2, fitted for the least largest relative error.
    constexpr float kTerms[] = {0x1.ffffe8p-1F, 0x1.62e0dcp-1F, 0x1.ec06dap-3F, 0x1.ca1442p-5F,
                                0x1.3997d6p-7F};
    const I n = S::round_to_int(x);
    const F f = S::sub(x, S::to_float(n));
    return S::scale_pow2(horner<S, 0, 1>(kTerms, f), n);
  }

  // log2_weight(i): of 16 weights from i, as multiples of 1 / kMostWeight. Their codes' sum.
  template <class Log>
  static int32_t weigh(size_t n, uint8_t* codes, Log log2_weight) {
    I total = S::zero_i();
    // What is below a quarter counts for nothing, as does NaN.
    const auto weight = [&](size_t i) { return exp2(S::max(log2_weight(i), S::set1(-2.0F))); };
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
      const I code = S::round_to_int(weight(i));
      total = S::add_i(total, code);
      S::store_s16(codes + 2 * i, code);
    }
    if (i < n) {
      const I code = S::round_to_int(S::keep_first(n - i, weight(i), S::zero()));
      total = S::add_i(total, code);
      S::store_s16(codes + 2 * i, code);
    }
    return S::reduce_add_i(total);
  }

  static void softmax(const int32_t* sums, size_t sum_stride, size_t rows, size_t n, float scale,
                      const float* bias, ptrdiff_t bias_stride, uint8_t* codes, size_t code_stride,
                      RowQuant* quant) {
    constexpr float kLog2E = 1.44269504F;
    const F highest_log = S::set1(14.999956F);  // log2(kMostWeight)
    for (size_t r = 0; r < rows; ++r, sums += sum_stride, codes += code_stride) {
      const float factor = quant[r].scale * scale;
      int32_t total = 0;
      if (bias == nullptr) {
        const I top = highest(sums, n);
        const F slope = S::set1(factor * kLog2E);
        total = weigh(n, codes, [&](size_t i) {
          const F below = S::to_float(S::sub_i(S::load_i(sums + i), top));
          return S::fma(below, slope, highest_log);
        });
      } else {
        const float* added = bias + static_cast<ptrdiff_t>(r) * bias_stride;
        const F slope = S::set1(factor);
        const auto score = [&](size_t i) {
          return S::fma(S::to_float(S::load_i(sums + i)), slope, S::load(added + i));
        };
        F most = S::set1(-3.4e38F);
        size_t i = 0;
        for (; i + 16 <= n; i += 16) most = S::max(most, score(i));
        if (i < n) most = S::max(most, S::keep_first(n - i, score(i), S::set1(-3.4e38F)));
        const F top = S::set1(S::reduce_max(most));
        total = weigh(n, codes, [&](size_t j) {
          return S::fma(S::sub(score(j), top), S::set1(kLog2E), highest_log);
        });
      }
      if (total > kMostWeightSum) {
        const int64_t down = (int64_t{kMostWeightSum} << 15U) / total;
        total = S::scale_s16(codes, (n + 15) / 16, static_cast<int16_t>(down));
      }
      quant[r] = {1.0F / static_cast<float>(total) + factor * 0.0F, 0.0F};
    }
  }

 private:
  static I highest(const int32_t* sums, size_t n) {
    I most = S::load_i(sums);
    if (n < 16) {
      const F none = S::from_bits(S::set1_i(-0x7FFFFFFF));
      most = S::bits(S::keep_first(n, S::from_bits(most), none));
      return S::set1_i(S::reduce_max_i(most));
    }
    size_t i = 16;
    for (; i + 16 <= n; i += 16) most = S::max_i(most, S::load_i(sums + i));
    if (i < n) most = S::max_i(most, S::load_i(sums + n - 16));
    return S::set1_i(S::reduce_max_i(most));
  }
};

template <class S, class Shape>
constexpr AttentionS16 make_attention_s16() {
  using A = AttentionS16Body<S, Shape>;
  return {A::pack_keys, A::pack_values, A::scores, A::softmax, A::values};
}

}  // namespace affectrt

// Kernels of sound features, one source for every instruction set (see gemm_body.h on instances).
// S::TileF is a native vector, on which gcc and clang have the operators.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/signal.h"

namespace affectrt {

template <class S>
struct SignalBody {
  using V = typename S::TileF;
  static constexpr size_t kLanes = S::kLanes;
  using Bits __attribute__((vector_size(sizeof(V)))) = int32_t;

  static V load(const float* p) { return S::tile_load_f(p); }
  static void store(float* p, V x) { S::tile_store_f(p, x); }
  static V set1(float x) { return S::tile_set1_f(&x); }
  static V fma(V a, V b, V c) { return S::tile_fma(a, b, c); }
  static V larger(V a, V b) { return a > b ? a : b; }  // b where either is NaN

  struct Complex {
    V re, im;
  };
  static Complex load2(const float* p) { return {load(p), load(p + kFrameLanes)}; }
  static void store2(float* p, Complex z) {
    store(p, z.re);
    store(p + kFrameLanes, z.im);
  }
  static Complex add(Complex a, Complex b) { return {a.re + b.re, a.im + b.im}; }
  static Complex sub(Complex a, Complex b) { return {a.re - b.re, a.im - b.im}; }
  // a - i b and a + i b.
  static Complex minus_i(Complex a, Complex b) { return {a.re + b.im, a.im - b.re}; }
  static Complex plus_i(Complex a, Complex b) { return {a.re - b.im, a.im + b.re}; }
  static Complex mul(Complex a, V re, V im) {
    return {fma(a.re, re, -(a.im * im)), fma(a.re, im, a.im * re)};
  }
  static Complex scale_add(Complex a, V factor, Complex b) {  // a * factor + b
    return {fma(a.re, factor, b.re), fma(a.im, factor, b.im)};
  }

  // The transform of `kRadix` values in place. Odd radices by sums and differences of the pairs
  // (q, radix - q): y_p = a_0 + sum cos(2 pi p q / radix) s_q - i sum sin(2 pi p q / radix) d_q.
  template <int kRadix>
  static void small_transform(Complex* z) {
    if constexpr (kRadix == 2) {
      const Complex a = z[0];
      z[0] = add(a, z[1]);
      z[1] = sub(a, z[1]);
    } else if constexpr (kRadix == 4) {
      const Complex a = add(z[0], z[2]);
      const Complex b = sub(z[0], z[2]);
      const Complex c = add(z[1], z[3]);
      const Complex d = sub(z[1], z[3]);
      z[0] = add(a, c);
      z[2] = sub(a, c);
      z[1] = minus_i(b, d);
      z[3] = plus_i(b, d);
    } else {
      // cos and sin of 2 pi k / radix, radix 3, 5, 7.
      constexpr float kCosines[3][7] = {
          {1.0F, -0.5F, -0.5F, 0.0F, 0.0F, 0.0F, 0.0F},
          {1.0F, 0.309016994F, -0.809016994F, -0.809016994F, 0.309016994F, 0.0F, 0.0F},
          {1.0F, 0.623489802F, -0.222520934F, -0.900968868F, -0.900968868F, -0.222520934F,
           0.623489802F}};
      constexpr float kSines[3][7] = {
          {0.0F, 0.866025404F, -0.866025404F, 0.0F, 0.0F, 0.0F, 0.0F},
          {0.0F, 0.951056516F, 0.587785252F, -0.587785252F, -0.951056516F, 0.0F, 0.0F},
          {0.0F, 0.781831482F, 0.974927912F, 0.433883739F, -0.433883739F, -0.974927912F,
           -0.781831482F}};
      constexpr int kTable = (kRadix - 3) / 2;
      constexpr int kPairs = kRadix / 2;
      Complex sums[kPairs];
      Complex differences[kPairs];
      Complex total = z[0];
#pragma GCC unroll 4
      for (int q = 0; q < kPairs; ++q) {
        sums[q] = add(z[1 + q], z[kRadix - 1 - q]);
        differences[q] = sub(z[1 + q], z[kRadix - 1 - q]);
        total = add(total, sums[q]);
      }
      const Complex first = z[0];
      z[0] = total;
#pragma GCC unroll 4
      for (int p = 1; p <= kPairs; ++p) {
        Complex even = first;
        Complex odd = {set1(0.0F), set1(0.0F)};
#pragma GCC unroll 4
        for (int q = 0; q < kPairs; ++q) {
          even = scale_add(sums[q], set1(kCosines[kTable][p * (q + 1) % kRadix]), even);
          odd = scale_add(differences[q], set1(kSines[kTable][p * (q + 1) % kRadix]), odd);
        }
        z[p] = minus_i(even, odd);
        z[kRadix - p] = plus_i(even, odd);
      }
    }
  }

  // One stage of decimation in frequency over all blocks of `block` values; returns the twiddles of
  // the next.
  template <int kRadix>
  static const float* stage(float* tile, size_t count, size_t block, const float* twiddles) {
    constexpr size_t kRow = 2 * kFrameLanes;
    const size_t m = block / kRadix;
    for (size_t begin = 0; begin < count; begin += block) {
      for (size_t j = 0; j < m; ++j) {
        const float* w = twiddles + (j == 0 ? 0 : (j - 1) * 2 * (kRadix - 1));
#pragma GCC unroll 1
        for (size_t half = 0; half < kFrameLanes; half += kLanes) {
          float* p = tile + (begin + j) * kRow + half;
          Complex z[kRadix];
#pragma GCC unroll 8
          for (size_t q = 0; q < kRadix; ++q) z[q] = load2(p + q * m * kRow);
          small_transform<kRadix>(z);
          store2(p, z[0]);
          if (j == 0) {
#pragma GCC unroll 8
            for (size_t q = 1; q < kRadix; ++q) store2(p + q * m * kRow, z[q]);
          } else {
#pragma GCC unroll 8
            for (size_t q = 1; q < kRadix; ++q) {
              store2(p + q * m * kRow, mul(z[q], S::tile_set1_f(w + 2 * (q - 1)),
                                           S::tile_set1_f(w + 2 * (q - 1) + 1)));
            }
          }
        }
      }
    }
    return twiddles + (m - 1) * 2 * (kRadix - 1);
  }

  __attribute__((noinline)) static void complex_transform(const FftPlan& plan, float* tile) {
    const size_t count = plan.size / 2;
    const float* twiddles = plan.twiddles;
    size_t block = count;
    for (size_t s = 0; s < plan.stages; ++s) {
      const uint32_t radix = plan.radices[s];
      switch (radix) {
        case 2:
          twiddles = stage<2>(tile, count, block, twiddles);
          break;
        case 3:
          twiddles = stage<3>(tile, count, block, twiddles);
          break;
        case 4:
          twiddles = stage<4>(tile, count, block, twiddles);
          break;
        case 5:
          twiddles = stage<5>(tile, count, block, twiddles);
          break;
        default:
          twiddles = stage<7>(tile, count, block, twiddles);
      }
      block /= radix;
    }
  }

  static void put(float* out, size_t k, size_t half, Complex x, bool power) {
    if (power) {
      store(out + k * kFrameLanes + half, fma(x.re, x.re, x.im * x.im));
    } else {
      store2(out + k * 2 * kFrameLanes + half, x);
    }
  }

  // The even samples are the real parts z of the complex transform Z, the odd ones the imaginary:
  // X[k] = E + T, X[M - k] = conj(E - T), with 2 E = Z[k] + conj Z[M - k],
  // 2 T = e^(-2 pi i k / size) (Z[k] - conj Z[M - k]) / i, M = size / 2.
  template <bool kPower>
  static void real_transform(const FftPlan& plan, float* tile, float* out) {
    constexpr size_t kRow = 2 * kFrameLanes;
    complex_transform(plan, tile);
    const size_t m = plan.size / 2;
    const V half_factor = set1(0.5F);
    for (size_t half = 0; half < kFrameLanes; half += kLanes) {
      const Complex z = load2(tile + half);
      const V zero = set1(0.0F);
      put(out, 0, half, {z.re + z.im, zero}, kPower);
      put(out, m, half, {z.re - z.im, zero}, kPower);
    }
    for (size_t k = 1; k <= m / 2; ++k) {
      const float* a_row = tile + plan.order[k] * kRow;
      const float* b_row = tile + plan.order[m - k] * kRow;
      const V cosine = S::tile_set1_f(plan.untangle + 2 * k);
      const V sine = S::tile_set1_f(plan.untangle + 2 * k + 1);
      for (size_t half = 0; half < kFrameLanes; half += kLanes) {
        Complex a = load2(a_row + half);
        Complex b = load2(b_row + half);
        a = {a.re * half_factor, a.im * half_factor};
        b = {b.re * half_factor, b.im * half_factor};
        const Complex even = {a.re + b.re, a.im - b.im};
        const V d_re = a.re - b.re;
        const V d_im = a.im + b.im;
        const Complex odd = {fma(cosine, d_im, -(sine * d_re)), -fma(cosine, d_re, sine * d_im)};
        put(out, k, half, add(even, odd), kPower);
        const Complex mirror = sub(even, odd);
        put(out, m - k, half, {mirror.re, -mirror.im}, kPower);
      }
    }
  }

  static void load_frames(const FrameShape& shape, const float* samples, float* tile,
                          float* energy) {
    for (size_t i = 0; i < shape.length; i += 16) {
      S::transpose16(samples + i, shape.shift, tile + i * kFrameLanes);
    }
    const size_t n = shape.length;
    if (shape.rows > n) {
      __builtin_memset(tile + n * kFrameLanes, 0, (shape.rows - n) * kFrameLanes * sizeof(float));
    }
    if (!shape.remove_mean && energy == nullptr && shape.preemphasis == 0.0F &&
        shape.window == nullptr) {
      return;
    }
    const V inverse = set1(1.0F / static_cast<float>(n));
    for (size_t half = 0; half < kFrameLanes; half += kLanes) {
      float* x = tile + half;
      V mean = set1(0.0F);
      if (shape.remove_mean) {
        V part[4] = {mean, mean, mean, mean};
        size_t i = 0;
        for (; i + 4 <= n; i += 4) {
#pragma GCC unroll 4
          for (size_t j = 0; j < 4; ++j) part[j] = part[j] + load(x + (i + j) * kFrameLanes);
        }
        for (; i < n; ++i) part[0] = part[0] + load(x + i * kFrameLanes);
        mean = ((part[0] + part[1]) + (part[2] + part[3])) * inverse;
      }
      if (energy != nullptr) {
        V sum = set1(0.0F);
        for (size_t i = 0; i < n; ++i) {
          const V v = load(x + i * kFrameLanes) - mean;
          sum = fma(v, v, sum);
        }
        store(energy + half, sum);
      }
      // The mean goes after the difference, whose rounding is then that of a small number.
      const V factor = set1(-shape.preemphasis);
      const V rest = fma(mean, factor, mean);
      V previous = load(x);
      for (size_t i = 0; i < n; ++i) {
        const V v = load(x + i * kFrameLanes);
        V y = fma(previous, factor, v) - rest;
        if (shape.window != nullptr) y = y * S::tile_set1_f(shape.window + i);
        store(x + i * kFrameLanes, y);
        previous = v;
      }
    }
  }

  static void sum_rows(const RowSums& sums, const float* tile, float* out) {
    const float* weights = sums.weights;
    for (size_t o = 0; o < sums.outputs; ++o) {
      const float* rows = tile + sums.first[o] * kFrameLanes;
      const size_t count = sums.count[o];
      for (size_t half = 0; half < kFrameLanes; half += kLanes) {
        V even = set1(0.0F);
        V odd = set1(0.0F);
        size_t i = 0;
        for (; i + 2 <= count; i += 2) {
          even = fma(load(rows + i * kFrameLanes + half), S::tile_set1_f(weights + i), even);
          odd =
              fma(load(rows + (i + 1) * kFrameLanes + half), S::tile_set1_f(weights + i + 1), odd);
        }
        if (i < count) {
          even = fma(load(rows + i * kFrameLanes + half), S::tile_set1_f(weights + i), even);
        }
        store(out + o * kFrameLanes + half, even + odd);
      }
      weights += count;
    }
  }

  // x = 2^e m with m in [sqrt(1/2), sqrt(2)); ln m = 2 artanh s, s = (m - 1) / (m + 1), as a series
  // of which the next term, 2 s^11 / 11, is below 1e-9.
  static V log(V x) {
    constexpr int32_t kRootHalf = 0x3F3504F3;
    const Bits bits = (Bits)x - kRootHalf;
    const Bits exponent = bits >> 23;
    const V m = (V)((bits & 0x007FFFFF) + kRootHalf);
    const V e = __builtin_convertvector(exponent, V);
    const V s = (m - set1(1.0F)) / (m + set1(1.0F));
    const V square = s * s;
    V series = fma(square, set1(2.0F / 9), set1(2.0F / 7));
    series = fma(series, square, set1(2.0F / 5));
    series = fma(series, square, set1(2.0F / 3));
    // ln(2) in two parts; the first has trailing zeros, so that its product with e is exact.
    const V tail = fma(series * square, s, e * set1(-2.12194440e-4F));
    return fma(e, set1(0.693359375F), s + s + tail);
  }

  static float log_rows(float* tile, size_t rows, float floor, float scale) {
    const V low = set1(floor);
    const V factor = set1(scale);
    V top = set1(-3.4e38F);
    for (size_t i = 0; i < rows * kFrameLanes; i += kLanes) {
      const V y = log(larger(load(tile + i), low)) * factor;
      store(tile + i, y);
      top = larger(y, top);
    }
    float best = -3.4e38F;
    for (size_t i = 0; i < kLanes; ++i) best = top[i] > best ? top[i] : best;
    return best;
  }

  static void store_frames(const float* tile, size_t rows, size_t count, float* out,
                           size_t stride) {
    alignas(64) float block[16 * 16];
    for (size_t r = 0; r < rows; r += 16) {
      const size_t width = rows - r < 16 ? rows - r : 16;
      if (width == 16 && count == 16 && stride % 16 == 0) {
        S::transpose16(tile + r * 16, 16, block);
        for (size_t f = 0; f < 16; ++f) {
          __builtin_memcpy(out + f * stride + r, block + f * 16, 16 * sizeof(float));
        }
        continue;
      }
      for (size_t f = 0; f < count; ++f) {
        for (size_t i = 0; i < width; ++i) out[f * stride + r + i] = tile[(r + i) * 16 + f];
      }
    }
  }

  static void to_hartley(const float* spectrum, const float* gains, size_t bins, size_t size,
                         float* tile) {
    constexpr size_t kRow = 2 * kFrameLanes;
    for (size_t half = 0; half < kFrameLanes; half += kLanes) {
      store(tile + half, load(spectrum + half) * S::tile_set1_f(gains));
    }
    for (size_t k = 1; k < bins; ++k) {
      const V gain = S::tile_set1_f(gains + k);
      for (size_t half = 0; half < kFrameLanes; half += kLanes) {
        const Complex x = load2(spectrum + k * kRow + half);
        store(tile + k * kFrameLanes + half, (x.re - x.im) * gain);
        store(tile + (size - k) * kFrameLanes + half, (x.re + x.im) * gain);
      }
    }
    __builtin_memset(tile + bins * kFrameLanes, 0,
                     (size - 2 * bins + 1) * kFrameLanes * sizeof(float));
  }

  static void from_hartley(const float* spectrum, size_t size, float* tile) {
    for (size_t k = 0; k <= size / 2; ++k) {
      for (size_t half = 0; half < kFrameLanes; half += kLanes) {
        const Complex x = load2(spectrum + k * 2 * kFrameLanes + half);
        store(tile + k * kFrameLanes + half, x.re - x.im);
        if (k != 0) store(tile + (size - k) * kFrameLanes + half, x.re + x.im);
      }
    }
  }

  static float dot(const float* a, const float* b, size_t n) {
    typename S::F even = S::zero();
    typename S::F odd = S::zero();
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
      even = S::fma(S::load(a + i), S::load(b + i), even);
      odd = S::fma(S::load(a + i + 16), S::load(b + i + 16), odd);
    }
    if (i < n) even = S::fma(S::load(a + i), S::load(b + i), even);
    return S::reduce_add(S::add(even, odd));
  }
};

template <class S>
constexpr SignalKernels make_signal_kernels() {
  using B = SignalBody<S>;
  return SignalKernels{B::load_frames,
                       B::template real_transform<true>,
                       B::template real_transform<false>,
                       B::sum_rows,
                       B::log_rows,
                       B::store_frames,
                       B::to_hartley,
                       B::from_hartley,
                       B::dot};
}

}  // namespace affectrt

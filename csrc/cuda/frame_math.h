// One frame's features by a group of threads that share memory: samples, window, FFT, power, bands,
// logarithm, transform. The arithmetic of kernels/signal_body.h, operation by operation, so that a
// GPU gives the bits of the CPU's SIMD bodies. Tests run it on the CPU, thread by thread.
//
// A Group has threads() and each(work): work(rank) for every rank below threads(), all of them done
// before each() returns.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "audio/reflect.h"
#include "base/host_device.h"
#include "kernels/signal.h"

namespace affectrt {

// Weighted sums whose outputs are computed side by side.
struct DeviceSums {
  RowSums sums;
  const uint32_t* starts;  // [outputs] where each one's weights begin
};

// FrameSettings with its tables in the memory of whoever computes.
struct DeviceFrames {
  FrameShape shape;
  bool repeat_border;  // where a frame reaches past the clip
  int64_t offset;      // where frame 0 begins
  FftPlan fft;
  DeviceSums bands;
  DeviceSums transform;  // no outputs: the bands are the features
  float floor;
  float log_scale;
  bool energy_first;
  float energy_scale;

  AFFECTRT_HOST_DEVICE size_t bins() const { return fft.size / 2 + 1; }
  AFFECTRT_HOST_DEVICE size_t columns() const {
    return transform.sums.outputs != 0 ? transform.sums.outputs : bands.sums.outputs;
  }
  // What frame_features() works in: the tile, samples or powers with what is made of them, and the
  // parts of the mean and the energy.
  AFFECTRT_HOST_DEVICE size_t tile_floats() const {
    return fft.size > shape.length ? fft.size : shape.length;
  }
  AFFECTRT_HOST_DEVICE size_t second_floats() const {
    const size_t made = bins() + bands.sums.outputs + transform.sums.outputs;
    return made > shape.length ? made : shape.length;
  }
  AFFECTRT_HOST_DEVICE size_t memory_floats() const { return tile_floats() + second_floats() + 5; }
};

// The samples of a clip; zeros follow `count` up to `total`.
struct DeviceClip {
  const float* samples;
  int64_t count;
  int64_t total;
};

struct Complex {
  float re, im;
};

AFFECTRT_HOST_DEVICE inline Complex operator+(Complex a, Complex b) {
  return {a.re + b.re, a.im + b.im};
}
AFFECTRT_HOST_DEVICE inline Complex operator-(Complex a, Complex b) {
  return {a.re - b.re, a.im - b.im};
}
AFFECTRT_HOST_DEVICE inline Complex minus_i(Complex a, Complex b) {
  return {a.re + b.im, a.im - b.re};
}
AFFECTRT_HOST_DEVICE inline Complex plus_i(Complex a, Complex b) {
  return {a.re - b.im, a.im + b.re};
}
AFFECTRT_HOST_DEVICE inline Complex multiply(Complex a, float re, float im) {
  return {fmaf(a.re, re, -(a.im * im)), fmaf(a.re, im, a.im * re)};
}

// cos and sin of 2 pi k / radix, radix 3, 5 or 7.
AFFECTRT_HOST_DEVICE inline float root(int radix, int k, bool sine) {
  constexpr float kRoots[3][2][4] = {
      {{1.0F, -0.5F, 0.0F, 0.0F}, {0.0F, 0.866025404F, 0.0F, 0.0F}},
      {{1.0F, 0.309016994F, -0.809016994F, 0.0F}, {0.0F, 0.951056516F, 0.587785252F, 0.0F}},
      {{1.0F, 0.623489802F, -0.222520934F, -0.900968868F},
       {0.0F, 0.781831482F, 0.974927912F, 0.433883739F}}};
  const bool mirrored = 2 * k > radix;
  const float value = kRoots[(radix - 3) / 2][sine ? 1 : 0][mirrored ? radix - k : k];
  return sine && mirrored ? -value : value;
}

template <uint32_t kRadix>
AFFECTRT_HOST_DEVICE void small_transform(Complex* z) {
  if constexpr (kRadix == 2) {
    const Complex a = z[0];
    z[0] = a + z[1];
    z[1] = a - z[1];
  } else if constexpr (kRadix == 4) {
    const Complex a = z[0] + z[2];
    const Complex b = z[0] - z[2];
    const Complex c = z[1] + z[3];
    const Complex d = z[1] - z[3];
    z[0] = a + c;
    z[2] = a - c;
    z[1] = minus_i(b, d);
    z[3] = plus_i(b, d);
  } else {
    constexpr int kPairs = kRadix / 2;
    constexpr int kCount = kRadix;
    Complex sums[kPairs];
    Complex differences[kPairs];
    Complex total = z[0];
    for (int q = 0; q < kPairs; ++q) {
      sums[q] = z[1 + q] + z[kCount - 1 - q];
      differences[q] = z[1 + q] - z[kCount - 1 - q];
      total = total + sums[q];
    }
    const Complex first = z[0];
    z[0] = total;
    for (int p = 1; p <= kPairs; ++p) {
      Complex even = first;
      Complex odd = {0.0F, 0.0F};
      for (int q = 0; q < kPairs; ++q) {
        const int k = p * (q + 1) % kCount;
        const float cosine = root(kCount, k, false);
        const float sine = root(kCount, k, true);
        even = {fmaf(sums[q].re, cosine, even.re), fmaf(sums[q].im, cosine, even.im)};
        odd = {fmaf(differences[q].re, sine, odd.re), fmaf(differences[q].im, sine, odd.im)};
      }
      z[p] = minus_i(even, odd);
      z[kCount - p] = plus_i(even, odd);
    }
  }
}

// A stage of decimation in frequency in place: the butterflies of one rank. What is divided has 32
// bits: a GPU divides 64 step by step.
template <uint32_t kRadix>
AFFECTRT_HOST_DEVICE void butterflies(float* tile, uint32_t count, uint32_t block,
                                      const float* twiddles, uint32_t rank, uint32_t ranks) {
  const uint32_t m = block / kRadix;
  const size_t step = size_t{2} * m;
  for (uint32_t i = rank; i < count / kRadix; i += ranks) {
    const size_t j = i % m;
    float* p = tile + 2 * (size_t{i / m} * block + j);
    Complex z[kRadix];
    for (size_t q = 0; q < kRadix; ++q) z[q] = {p[q * step], p[q * step + 1]};
    small_transform<kRadix>(z);
    const float* w = twiddles + (j == 0 ? 0 : (j - 1) * 2 * (kRadix - 1));
    for (size_t q = 0; q < kRadix; ++q) {
      const Complex y =
          q == 0 || j == 0 ? z[q] : multiply(z[q], w[2 * (q - 1)], w[2 * (q - 1) + 1]);
      p[q * step] = y.re;
      p[q * step + 1] = y.im;
    }
  }
}

AFFECTRT_HOST_DEVICE inline float power_of(Complex x) { return fmaf(x.re, x.re, x.im * x.im); }

// |X[k]|^2 and |X[size / 2 - k]|^2 of the real transform (signal_body.h says how).
AFFECTRT_HOST_DEVICE inline void untangle(const FftPlan& plan, const float* tile, size_t k,
                                          float* power) {
  const size_t m = plan.size / 2;
  if (k == 0) {
    power[0] = power_of({tile[0] + tile[1], 0.0F});
    power[m] = power_of({tile[0] - tile[1], 0.0F});
    return;
  }
  const float* a_at = tile + size_t{2} * plan.order[k];
  const float* b_at = tile + size_t{2} * plan.order[m - k];
  const float cosine = plan.untangle[2 * k];
  const float sine = plan.untangle[2 * k + 1];
  const Complex a = {a_at[0] * 0.5F, a_at[1] * 0.5F};
  const Complex b = {b_at[0] * 0.5F, b_at[1] * 0.5F};
  const Complex even = {a.re + b.re, a.im - b.im};
  const float d_re = a.re - b.re;
  const float d_im = a.im + b.im;
  const Complex odd = {fmaf(cosine, d_im, -(sine * d_re)), -fmaf(cosine, d_re, sine * d_im)};
  power[k] = power_of(even + odd);
  power[m - k] = power_of(even - odd);
}

// ln x of a normal number above zero.
AFFECTRT_HOST_DEVICE inline float log_of(float x) {
  constexpr int32_t kRootHalf = 0x3F3504F3;
  int32_t bits;
  memcpy(&bits, &x, sizeof bits);
  bits -= kRootHalf;
  const auto e = static_cast<float>(bits >> 23);
  const int32_t mantissa = (bits & 0x007FFFFF) + kRootHalf;
  float m;
  memcpy(&m, &mantissa, sizeof m);
  const float s = (m - 1.0F) / (m + 1.0F);
  const float square = s * s;
  float series = fmaf(square, 2.0F / 9, 2.0F / 7);
  series = fmaf(series, square, 2.0F / 5);
  series = fmaf(series, square, 2.0F / 3);
  const float tail = fmaf(series * square, s, e * -2.12194440e-4F);
  return fmaf(e, 0.693359375F, s + s + tail);
}
AFFECTRT_HOST_DEVICE inline float log_above(float x, float floor) {
  return log_of(x > floor ? x : floor);
}

AFFECTRT_HOST_DEVICE inline float weighted_sum(const DeviceSums& sums, size_t output,
                                               const float* values) {
  const float* weights = sums.sums.weights + sums.starts[output];
  const float* x = values + sums.sums.first[output];
  const size_t count = sums.sums.count[output];
  float even = 0.0F;
  float odd = 0.0F;
  size_t i = 0;
  for (; i + 2 <= count; i += 2) {
    even = fmaf(x[i], weights[i], even);
    odd = fmaf(x[i + 1], weights[i + 1], odd);
  }
  if (i < count) even = fmaf(x[i], weights[i], even);
  return even + odd;
}

// The features of frame `frame`, [columns], which lie in `memory` [memory_floats()]; `top` gets the
// largest logarithm of a band.
template <class Group>
AFFECTRT_HOST_DEVICE const float* frame_features(const DeviceFrames& plan, const DeviceClip& clip,
                                                 int64_t frame, float* memory, float* top,
                                                 const Group& group) {
  const size_t ranks = group.threads();
  const size_t n = plan.shape.length;
  float* tile = memory;
  float* second = tile + plan.tile_floats();
  float* parts = second + plan.second_floats();  // [4] of the mean, then the energy
  float* samples = second;
  const int64_t start = plan.offset + frame * static_cast<int64_t>(plan.shape.shift);
  group.each([&](size_t rank) {
    for (size_t i = rank; i < n; i += ranks) {
      const int64_t at = reflect(start + static_cast<int64_t>(i), clip.total, plan.repeat_border);
      samples[i] = at < clip.count ? clip.samples[at] : 0.0F;
    }
    for (size_t i = n + rank; i < plan.tile_floats(); i += ranks) tile[i] = 0.0F;
  });
  if (plan.shape.remove_mean) {
    group.each([&](size_t rank) {
      for (size_t part = rank; part < 4; part += ranks) {
        float sum = 0.0F;
        for (size_t i = part; i + 4 <= n + part; i += 4) sum = sum + samples[i];
        for (size_t i = n / 4 * 4; part == 0 && i < n; ++i) sum = sum + samples[i];
        parts[part] = sum;
      }
    });
  }
  float mean = 0.0F;
  if (plan.shape.remove_mean) {
    mean = ((parts[0] + parts[1]) + (parts[2] + parts[3])) * (1.0F / static_cast<float>(n));
  }
  group.each([&](size_t rank) {
    if (plan.energy_first && rank == ranks - 1) {
      float sum = 0.0F;
      for (size_t i = 0; i < n; ++i) {
        const float v = samples[i] - mean;
        sum = fmaf(v, v, sum);
      }
      parts[4] = sum;
    }
    const float factor = -plan.shape.preemphasis;
    const float rest = fmaf(mean, factor, mean);
    for (size_t i = rank; i < n; i += ranks) {
      const float y = fmaf(samples[i == 0 ? 0 : i - 1], factor, samples[i]) - rest;
      tile[i] = plan.shape.window != nullptr ? y * plan.shape.window[i] : y;
    }
  });

  const auto count = static_cast<uint32_t>(plan.fft.size / 2);
  const float* twiddles = plan.fft.twiddles;
  uint32_t block = count;
  for (size_t s = 0; s < plan.fft.stages; ++s) {
    const uint32_t radix = plan.fft.radices[s];
    group.each([&](size_t of) {
      const auto rank = static_cast<uint32_t>(of);
      const auto step = static_cast<uint32_t>(ranks);
      switch (radix) {
        case 2:
          butterflies<2>(tile, count, block, twiddles, rank, step);
          break;
        case 3:
          butterflies<3>(tile, count, block, twiddles, rank, step);
          break;
        case 4:
          butterflies<4>(tile, count, block, twiddles, rank, step);
          break;
        case 5:
          butterflies<5>(tile, count, block, twiddles, rank, step);
          break;
        default:
          butterflies<7>(tile, count, block, twiddles, rank, step);
      }
    });
    block /= radix;
    twiddles += size_t{block - 1} * 2 * (radix - 1);
  }

  float* power = second;
  float* bands = power + plan.bins();
  float* transformed = bands + plan.bands.sums.outputs;
  group.each([&](size_t rank) {
    for (size_t k = rank; k <= count / 2; k += ranks) untangle(plan.fft, tile, k, power);
  });
  group.each([&](size_t rank) {
    for (size_t b = rank; b < plan.bands.sums.outputs; b += ranks) {
      bands[b] = log_above(weighted_sum(plan.bands, b, power), plan.floor) * plan.log_scale;
    }
  });
  group.each([&](size_t rank) {
    if (rank == ranks - 1) {
      float best = bands[0];
      for (size_t b = 1; b < plan.bands.sums.outputs; ++b) {
        if (bands[b] > best) best = bands[b];
      }
      *top = best;
    }
    for (size_t c = rank; c < plan.transform.sums.outputs; c += ranks) {
      transformed[c] = c == 0 && plan.energy_first
                           ? log_above(parts[4] * plan.energy_scale, plan.floor)
                           : weighted_sum(plan.transform, c, bands);
    }
  });
  return plan.transform.sums.outputs != 0 ? transformed : bands;
}

}  // namespace affectrt

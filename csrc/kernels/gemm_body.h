// The GEMM drivers, one source for every SIMD instruction set. Instances are told apart by `S`, so
// that the linker cannot merge code of one instruction set into another; for the same reason
// nothing of the standard library is used here.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"
#include "kernels/row_math.h"

namespace affectrt {

// One accumulator a (row, vector); the loops have to be unrolled before gcc decides what lives in
// registers, hence the pragmas.
template <class S, int kRows, int kPanels>
struct TileF32 {
  static constexpr int kVectors = kPanels * 16 / S::kLanes;
  static constexpr int kPerPanel = 16 / S::kLanes;

  // out [kRows, out_stride]: plain sums over k.
  __attribute__((noinline)) static void run(const float* a, size_t a_stride, const float* b,
                                            size_t b_row_stride, size_t b_panel_stride, size_t k,
                                            float* out, size_t out_stride) {
    typename S::TileF sum[kRows][kVectors];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) sum[r][v] = S::tile_zero_f();
    }
    for (size_t i = 0; i < k; ++i) {
      typename S::TileF columns[kVectors];
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) {
        columns[v] = S::tile_load_f(b + static_cast<size_t>(v / kPerPanel) * b_panel_stride +
                                    static_cast<size_t>(v % kPerPanel * S::kLanes));
      }
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const typename S::TileF x = S::tile_set1_f(a + static_cast<size_t>(r) * a_stride + i);
#pragma GCC unroll 16
        for (int v = 0; v < kVectors; ++v) sum[r][v] = S::tile_fma(x, columns[v], sum[r][v]);
      }
      b += b_row_stride;
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) {
        S::tile_store_f(
            out + static_cast<size_t>(r) * out_stride + static_cast<size_t>(v * S::kLanes),
            sum[r][v]);
      }
    }
  }
};

template <class S>
struct DotU8S8 {
  static constexpr bool kOfBytes = true;
  static typename S::TileI dot(typename S::TileI sum, typename S::TileI a, typename S::TileI b) {
    return S::dot_u8s8(sum, a, b);
  }
};
template <class S>
struct DotS16S16 {
  static constexpr bool kOfBytes = false;
  static typename S::TileI dot(typename S::TileI sum, typename S::TileI a, typename S::TileI b) {
    return S::dot_s16s16(sum, a, b);
  }
};

template <class S, class Dot, int kRows, int kPanels>
struct TileInt {
  static constexpr int kVectors = kPanels * 16 / S::kLanes;
  static constexpr int kPerPanel = 16 / S::kLanes;

  // out [kRows, out_stride]; b_panel_stride in bytes. What lies at `ahead` is asked for while this
  // tile is computed, `ahead_step` bytes a step.
  __attribute__((noinline)) static void run(const uint8_t* a, size_t a_stride, const int8_t* b,
                                            size_t b_panel_stride, size_t steps, uintptr_t ahead,
                                            size_t ahead_step, int32_t* out, size_t out_stride) {
    typename S::TileI sum[kRows][kVectors];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) sum[r][v] = S::tile_zero_i();
    }
    for (size_t i = 0; i < steps; ++i) {
      typename S::TileI columns[kVectors];
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) {
        columns[v] = S::tile_load_i(b + static_cast<size_t>(v / kPerPanel) * b_panel_stride +
                                    static_cast<size_t>(v % kPerPanel * S::kLanes * 4));
      }
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const typename S::TileI x = S::tile_broadcast4(a + static_cast<size_t>(r) * a_stride);
#pragma GCC unroll 16
        for (int v = 0; v < kVectors; ++v) sum[r][v] = Dot::dot(sum[r][v], x, columns[v]);
      }
      for (size_t line = 0; line < ahead_step; line += 64) S::prefetch(ahead + line);
      a += 4;
      b += 64;
      ahead += ahead_step;
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) {
        S::tile_store_i(
            out + static_cast<size_t>(r) * out_stride + static_cast<size_t>(v * S::kLanes),
            sum[r][v]);
      }
    }
  }
};

// The tile with that many rows; 1 <= rows <= kRows.
template <class S, int kPanels, int kRows, class... Args>
inline void run_tile_f32(size_t rows, Args... args) {
  if (rows == static_cast<size_t>(kRows)) return TileF32<S, kRows, kPanels>::run(args...);
  if constexpr (kRows > 1) run_tile_f32<S, kPanels, kRows - 1>(rows, args...);
}
template <class S, class Dot, int kPanels, int kRows, class... Args>
inline void run_tile_int(size_t rows, Args... args) {
  if (rows == static_cast<size_t>(kRows)) return TileInt<S, Dot, kRows, kPanels>::run(args...);
  if constexpr (kRows > 1) run_tile_int<S, Dot, kPanels, kRows - 1>(rows, args...);
}

// Splits `rows` into the fewest tiles of at most kMaxRows, of sizes as equal as possible: a
// remainder tile of one or two rows would wait for its own sums.
template <int kMaxRows, class Body>
inline void for_row_tiles(size_t rows, Body body) {
  const size_t tiles = (rows + kMaxRows - 1) / kMaxRows;
  size_t begin = 0;
  for (size_t t = 0; t < tiles; ++t) {
    const size_t size = rows / tiles + (t < rows % tiles ? 1 : 0);
    body(begin, size);
    begin += size;
  }
}

template <class S, bool kOfBytes>
inline typename S::F gelu_of_sum(typename S::F x) {
  if constexpr (kOfBytes) {
    return gelu_of_codes<S>(x);
  } else {
    return gelu<S>(x);
  }
}

// x[kPanels] to c; `at` is where c, and residual, hold them. `kOfBytes`: the sums are of 8-bit
// codes.
template <class S, Epilogue kEpilogue, bool kOfBytes, int kPanels>
inline void finish_row(typename S::F (&x)[kPanels], const float* residual, float* c, size_t at) {
  if constexpr (kEpilogue == Epilogue::kBiasGelu && kPanels == 4) {
    using Four = Two<Two<S>>;
    const typename Four::F y = gelu_of_sum<Four, kOfBytes>({{x[0], x[1]}, {x[2], x[3]}});
    S::store(c + at, y.a.a);
    S::store(c + at + 16, y.a.b);
    S::store(c + at + 32, y.b.a);
    S::store(c + at + 48, y.b.b);
    return;
  }
#pragma GCC unroll 4
  for (size_t p = 0; p < static_cast<size_t>(kPanels); ++p) {
    typename S::F y = x[p];
    if constexpr (kEpilogue == Epilogue::kBiasGelu) y = gelu_of_sum<S, kOfBytes>(y);
    if constexpr (kEpilogue == Epilogue::kBiasResidual) {
      y = S::add(y, S::load(residual + at + p * 16));
    }
    S::store(c + at + p * 16, y);
  }
}

// `Shape` says how many rows fit the registers beside 4, 2 or 1 panels.
template <class S, class Dot, class Shape, Epilogue kEpilogue>
struct GemmIntDriver {
  template <int kPanels>
  static void strip(const GemmInt& g, size_t panel) {
    constexpr int kMaxRows = Shape::template max_rows_int<kPanels>();
    const size_t panel_bytes = g.steps * 64;
    const int8_t* b = g.b + panel * panel_bytes;
    alignas(64) int32_t sums[kMaxRows * kPanels * 16];
    // The next strip of weights comes from far: each tile of this one asks for its share of it, as
    // evenly as can be, so that no tile waits for more than memory gives in its time. A tile alone
    // leaves what is beyond two lines a step to the strip itself. A number, as the next strip need
    // not exist.
    uintptr_t ahead = reinterpret_cast<uintptr_t>(b) + kPanels * panel_bytes;
    const size_t tiles = (g.rows + kMaxRows - 1) / kMaxRows;
    const size_t share = (kPanels * 64 + tiles - 1) / tiles;
    const size_t ahead_step = share < 128 ? share : 128;
    for_row_tiles<kMaxRows>(g.rows, [&](size_t row, size_t rows) {
      run_tile_int<S, Dot, kPanels, kMaxRows>(rows, g.a + row * g.a_stride, g.a_stride, b,
                                              panel_bytes, g.steps, ahead, ahead_step,
                                              static_cast<int32_t*>(sums), size_t{kPanels} * 16);
      ahead += g.steps * ahead_step;
      for (size_t r = 0; r < rows; ++r) {
        const RowQuant quant = g.quant[row + r];
        const typename S::F zero = S::set1(quant.zero);
        const typename S::F scale = S::set1(quant.scale);
        const size_t at = (row + r) * g.c_stride + panel * 16;
        typename S::F x[kPanels];
#pragma GCC unroll 4
        for (size_t p = 0; p < static_cast<size_t>(kPanels); ++p) {
          const size_t column = (panel + p) * 16;
          const typename S::F sum = S::to_float(S::load_i(sums + (r * kPanels + p) * 16));
          const typename S::F exact = S::fnma(zero, S::load(g.b_sum + column), sum);
          x[p] =
              S::fma(exact, S::mul(scale, S::load(g.b_scale + column)), S::load(g.bias + column));
        }
        finish_row<S, kEpilogue, Dot::kOfBytes>(x, g.residual, g.c, at);
      }
    });
  }

  static void run(const GemmInt& g) {
    size_t panel = 0;
    if constexpr (Shape::kMaxPanels >= 4) {
      for (; panel + 4 <= g.panels; panel += 4) strip<4>(g, panel);
    }
    for (; panel < g.panels; ++panel) strip<1>(g, panel);
  }
};

template <class S, class Dot, class Shape>
void gemm_int(const GemmInt& g) {
  switch (g.epilogue) {
    case Epilogue::kBias:
      return GemmIntDriver<S, Dot, Shape, Epilogue::kBias>::run(g);
    case Epilogue::kBiasGelu:
      return GemmIntDriver<S, Dot, Shape, Epilogue::kBiasGelu>::run(g);
    case Epilogue::kBiasResidual:
      return GemmIntDriver<S, Dot, Shape, Epilogue::kBiasResidual>::run(g);
  }
}

// Plain sums go straight to c: kBias without a bias.
template <class S, class Shape, Epilogue kEpilogue, bool kHasBias>
struct GemmF32Driver {
  template <int kPanels>
  static void strip(const GemmF32& g, size_t panel) {
    constexpr int kMaxRows = Shape::template max_rows_f32<kPanels>();
    const float* b = g.b + panel * g.b_panel_stride;
    alignas(64) float sums[kMaxRows * kPanels * 16];
    for_row_tiles<kMaxRows>(g.rows, [&](size_t row, size_t rows) {
      const float* a = g.a + row * g.a_stride;
      if constexpr (!kHasBias) {
        run_tile_f32<S, kPanels, kMaxRows>(rows, a, g.a_stride, b, g.b_row_stride, g.b_panel_stride,
                                           g.k, g.c + row * g.c_stride + panel * 16, g.c_stride);
        return;
      }
      run_tile_f32<S, kPanels, kMaxRows>(rows, a, g.a_stride, b, g.b_row_stride, g.b_panel_stride,
                                         g.k, static_cast<float*>(sums),
                                         static_cast<size_t>(kPanels * 16));
      for (size_t r = 0; r < rows; ++r) {
        const size_t at = (row + r) * g.c_stride + panel * 16;
        typename S::F x[kPanels];
#pragma GCC unroll 4
        for (size_t p = 0; p < static_cast<size_t>(kPanels); ++p) {
          x[p] = S::add(S::load(sums + (r * kPanels + p) * 16), S::load(g.bias + (panel + p) * 16));
        }
        finish_row<S, kEpilogue, false>(x, g.residual, g.c, at);
      }
    });
  }

  static void run(const GemmF32& g) {
    size_t panel = 0;
    // Two panels of floats, not four: a strip of them still fits the first-level cache.
    if constexpr (Shape::kMaxPanels >= 2) {
      for (; panel + 2 <= g.panels; panel += 2) strip<2>(g, panel);
    }
    for (; panel < g.panels; ++panel) strip<1>(g, panel);
  }
};

template <class S, class Shape>
void gemm_f32(const GemmF32& g) {
  if (g.bias == nullptr) return GemmF32Driver<S, Shape, Epilogue::kBias, false>::run(g);
  switch (g.epilogue) {
    case Epilogue::kBias:
      return GemmF32Driver<S, Shape, Epilogue::kBias, true>::run(g);
    case Epilogue::kBiasGelu:
      return GemmF32Driver<S, Shape, Epilogue::kBiasGelu, true>::run(g);
    case Epilogue::kBiasResidual:
      return GemmF32Driver<S, Shape, Epilogue::kBiasResidual, true>::run(g);
  }
}

}  // namespace affectrt

// Sound features on any machine, by vectors of four that the compiler maps to what it targets. A
// product and a sum round one after the other here, so that the last bits differ from the others.
#include "kernels/signal_body.h"
#include "kernels/tables.h"

namespace affectrt {
namespace {

struct Plain {
  using TileF __attribute__((vector_size(16))) = float;
  struct F {
    TileF part[4];
  };
  static constexpr size_t kLanes = 4;

  static TileF tile_load_f(const float* p) {
    TileF x;
    __builtin_memcpy(&x, p, sizeof x);
    return x;
  }
  static void tile_store_f(float* p, TileF x) { __builtin_memcpy(p, &x, sizeof x); }
  static TileF tile_set1_f(const float* p) { return TileF{*p, *p, *p, *p}; }
  static TileF tile_fma(TileF a, TileF b, TileF c) { return a * b + c; }

  static F zero() { return F{}; }
  static F load(const float* p) {
    return {{tile_load_f(p), tile_load_f(p + 4), tile_load_f(p + 8), tile_load_f(p + 12)}};
  }
  static F fma(F a, F b, F c) {
    for (size_t i = 0; i < 4; ++i) c.part[i] = a.part[i] * b.part[i] + c.part[i];
    return c;
  }
  static F add(F a, F b) {
    for (size_t i = 0; i < 4; ++i) a.part[i] = a.part[i] + b.part[i];
    return a;
  }
  static float reduce_add(F x) {
    const TileF sum = (x.part[0] + x.part[2]) + (x.part[1] + x.part[3]);
    return (sum[0] + sum[2]) + (sum[1] + sum[3]);
  }
  static void transpose16(const float* p, size_t stride, float* out) {
    for (size_t row = 0; row < 16; ++row) {
      for (size_t column = 0; column < 16; ++column)
        out[column * 16 + row] = p[row * stride + column];
    }
  }
};

}  // namespace

const SignalKernels& scalar_signal_kernels() {
  static constexpr SignalKernels kKernels = make_signal_kernels<Plain>();
  return kKernels;
}

}  // namespace affectrt

// What the tests of the kernels share.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "kernels/dispatch.h"

namespace affectrt {

// Largest allowed |SIMD - reference|, as absolute + relative * |reference|. The reference sums in
// double.
struct Tolerance {
  float absolute;
  float relative;
};

inline void check_close(const std::vector<float>& actual, const std::vector<float>& expected,
                        Tolerance tolerance) {
  REQUIRE(actual.size() == expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    const float bound = tolerance.absolute + tolerance.relative * std::fabs(expected[i]);
    if (!(std::fabs(actual[i] - expected[i]) <= bound)) {
      FAIL_CHECK("value " << i << ": " << actual[i] << " but reference " << expected[i]);
      return;
    }
  }
}

inline std::mt19937& random_engine() {
  static std::mt19937 engine(20240607);
  return engine;
}

inline std::vector<float> random_rows(size_t rows, size_t n, size_t stride, float scale = 1.0F) {
  std::normal_distribution<float> normal(0.0F, scale);
  std::vector<float> x(rows * stride, 0.0F);
  for (size_t r = 0; r < rows; ++r) {
    for (size_t i = 0; i < n; ++i) x[r * stride + i] = normal(random_engine());
  }
  return x;
}

// Bodies to test against the scalar one. A CPU that has an instruction set but no body that uses it
// would otherwise pass silently.
inline std::vector<const Kernels*> simd_bodies() {
  std::vector<const Kernels*> bodies;
  for (const Kernels* kernels : available_kernels()) {
    if (std::string(kernels->isa) != "scalar") bodies.push_back(kernels);
  }
  return bodies;
}

}  // namespace affectrt

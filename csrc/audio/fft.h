// What the transforms of kernels/signal.h need for one size.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/signal.h"

namespace affectrt {

// Immutable; owns the tables that plan() points to.
class Fft {
 public:
  // Throws Error(kInput) unless can_transform(size).
  explicit Fft(size_t size);
  Fft(const Fft&) = delete;
  Fft& operator=(const Fft&) = delete;

  // Even, at least 4, at most 65536, and size / 2 has no prime factor above 7.
  static bool can_transform(size_t size);

  size_t size() const { return plan_.size; }
  size_t bins() const { return plan_.size / 2 + 1; }
  const FftPlan& plan() const { return plan_; }

 private:
  FftPlan plan_{};
  std::vector<float> twiddles_;
  std::vector<uint32_t> order_;
  std::vector<float> untangle_;
};

}  // namespace affectrt

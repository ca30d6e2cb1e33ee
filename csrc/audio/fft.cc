#include "audio/fft.h"

#include <cmath>
#include <string>

#include "base/error.h"

namespace affectrt {
namespace {

constexpr double kTwoPi = 6.283185307179586;
constexpr uint32_t kRadices[] = {4, 2, 3, 5, 7};

uint32_t radix_of(size_t count) {
  for (const uint32_t radix : kRadices) {
    if (count % radix == 0) return radix;
  }
  return 0;
}

}  // namespace

bool Fft::can_transform(size_t size) {
  if (size < 4 || size > 65536 || size % 2 != 0) return false;
  size_t count = size / 2;
  while (count > 1) {
    const uint32_t radix = radix_of(count);
    if (radix == 0) return false;
    count /= radix;
  }
  return true;
}

Fft::Fft(size_t size) {
  if (!can_transform(size)) {
    throw Error(ErrorKind::kInput, "a transform of " + std::to_string(size) +
                                       " points is not done; the size must be even, from 4 to "
                                       "65536, with the prime factors 2, 3, 5 and 7 alone");
  }
  const size_t half = size / 2;
  plan_.size = size;
  for (size_t block = half; block > 1;) {
    const uint32_t radix = radix_of(block);
    const size_t m = block / radix;
    for (size_t j = 1; j < m; ++j) {
      for (size_t p = 1; p < radix; ++p) {
        const double angle = -kTwoPi * static_cast<double>(p * j) / static_cast<double>(block);
        twiddles_.push_back(static_cast<float>(std::cos(angle)));
        twiddles_.push_back(static_cast<float>(std::sin(angle)));
      }
    }
    plan_.radices[plan_.stages++] = radix;
    block = m;
  }
  // Decimation in frequency leaves value k at its digits in reverse.
  order_.resize(half);
  for (size_t k = 0; k < half; ++k) {
    size_t rest = k;
    size_t place = 0;
    size_t block = half;
    for (size_t s = 0; s < plan_.stages; ++s) {
      block /= plan_.radices[s];
      place += rest % plan_.radices[s] * block;
      rest /= plan_.radices[s];
    }
    order_[k] = static_cast<uint32_t>(place);
  }
  for (size_t k = 0; k <= half / 2; ++k) {
    const double angle = kTwoPi * static_cast<double>(k) / static_cast<double>(size);
    untangle_.push_back(static_cast<float>(std::cos(angle)));
    untangle_.push_back(static_cast<float>(std::sin(angle)));
  }
  plan_.twiddles = twiddles_.data();
  plan_.order = order_.data();
  plan_.untangle = untangle_.data();
}

}  // namespace affectrt

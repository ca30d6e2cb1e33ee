// IEEE 754 binary16 to binary32, exact for every value.
#pragma once

#include <cstdint>
#include <cstring>

namespace affectrt {

inline float float_from_float16(uint16_t value) {
  const uint32_t half = value;
  const uint32_t sign = (half & 0x8000U) << 16U;
  const uint32_t exponent = (half >> 10U) & 0x1fU;
  const uint32_t mantissa = half & 0x3ffU;
  uint32_t bits = 0;
  if (exponent == 0x1f) {
    bits = sign | 0x7f800000U | (mantissa << 13U);
  } else if (exponent != 0) {
    bits = sign | ((exponent + 112) << 23U) | (mantissa << 13U);
  } else {
    // Zero or subnormal: mantissa * 2^-24, which binary32 holds as a normal number.
    const float magnitude = static_cast<float>(mantissa) * 5.9604644775390625e-8F;
    return sign == 0 ? magnitude : -magnitude;
  }
  float result = 0.0F;
  std::memcpy(&result, &bits, sizeof(result));
  return result;
}

}  // namespace affectrt

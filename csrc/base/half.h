// Numbers of 16 bits as they are stored, widened to float: exact.
#pragma once

#include <cstdint>
#include <cstring>

namespace affectrt {

enum class HalfKind {
  kF16,  // IEEE 754 binary16: 5 bits of exponent, 10 of fraction
  kBF16  // the upper half of a float
};

// All bits of the exponent: NaN or infinite.
constexpr uint16_t exponent_bits(HalfKind kind) {
  return kind == HalfKind::kF16 ? uint16_t{0x7C00} : uint16_t{0x7F80};
}

inline float widen_half(uint16_t bits, HalfKind kind) {
  const uint32_t sign = (bits & 0x8000U) << 16U;
  uint32_t wide = static_cast<uint32_t>(bits) << 16U;
  if (kind == HalfKind::kF16) {
    const uint32_t exponent = (bits >> 10U) & 0x1FU;
    const uint32_t fraction = bits & 0x3FFU;
    if (exponent == 0) {  // zero or subnormal, which a float holds as a normal number
      const float value = static_cast<float>(fraction) * 0x1p-24F;
      std::memcpy(&wide, &value, sizeof wide);
      wide |= sign;
    } else {
      constexpr uint32_t kBiasGap = 127 - 15;
      const uint32_t shifted = exponent == 0x1FU ? 0xFFU : exponent + kBiasGap;
      wide = sign | (shifted << 23U) | (fraction << 13U);
    }
  }
  float value;
  std::memcpy(&value, &wide, sizeof value);
  return value;
}

}  // namespace affectrt

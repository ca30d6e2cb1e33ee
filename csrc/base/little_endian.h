// Unaligned little-endian loads, the same on every machine. The caller has checked the range.
#pragma once

#include <cstdint>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "affectrt needs a little-endian machine: weights are used as they lie in the file"
#endif

namespace affectrt {

inline uint16_t load_le16(const uint8_t* p) {
  return static_cast<uint16_t>(p[0] | (static_cast<unsigned>(p[1]) << 8U));
}

inline uint32_t load_le32(const uint8_t* p) {
  return static_cast<uint32_t>(p[0]) | (static_cast<uint32_t>(p[1]) << 8U) |
         (static_cast<uint32_t>(p[2]) << 16U) | (static_cast<uint32_t>(p[3]) << 24U);
}

inline uint64_t load_le64(const uint8_t* p) {
  return load_le32(p) | (static_cast<uint64_t>(load_le32(p + 4)) << 32U);
}

}  // namespace affectrt

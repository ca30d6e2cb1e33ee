// A hash of short byte strings for the in-memory tables of this folder. Not stable across versions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace affectrt {

inline uint64_t hash_mix(uint64_t h) {
  h ^= h >> 32;
  h *= 0xd6e8feb86659fd93ULL;
  h ^= h >> 29;
  return h;
}

inline uint64_t hash_bytes(std::string_view bytes) {
  constexpr uint64_t kOdd = 0x9e3779b97f4a7c15ULL;
  const char* p = bytes.data();
  size_t n = bytes.size();
  uint64_t h = n * kOdd;
  uint64_t word = 0;
  for (; n > 8; p += 8, n -= 8) {
    std::memcpy(&word, p, 8);
    h = hash_mix((h ^ word) * kOdd);
  }
  word = 0;
  if (n != 0) std::memcpy(&word, p, n);
  return hash_mix((h ^ word) * kOdd);
}

}  // namespace affectrt

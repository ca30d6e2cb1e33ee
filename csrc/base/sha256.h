// SHA-256 (FIPS 180-4).
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "base/bytes.h"

namespace affectrt {

// One message; not safe for concurrent use.
class Sha256 {
 public:
  using Digest = std::array<uint8_t, 32>;

  void update(ByteView bytes);
  // Ends the message; the object must not be used afterwards.
  Digest finish();

 private:
  static constexpr size_t kBlockBytes = 64;
  void absorb(const uint8_t* block);

  // FIPS 180-4, 5.3.3: fractional parts of the square roots of the first eight primes.
  std::array<uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<uint8_t, kBlockBytes> pending_{};
  size_t pending_size_ = 0;
  uint64_t total_bytes_ = 0;
};

// 64 lower-case hexadecimal digits.
std::string sha256_hex(ByteView bytes);

}  // namespace affectrt

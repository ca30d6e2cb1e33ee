// CRC-32 as ZIP and PNG use it (ISO 3309: reflected polynomial 0xEDB88320, all-ones start and end).
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace affectrt {

// `previous` continues a checksum: crc32(ab) == crc32(b, crc32(a)).
uint32_t crc32(ByteView bytes, uint32_t previous = 0);

}  // namespace affectrt

// Finds the entries of a `.affect` image: a ZIP archive in the one form that FORMAT.md allows.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/bytes.h"

namespace affectrt {

struct ZipEntry {
  std::string name;
  ByteView data;  // inside the image, 64-byte aligned from its begin
  uint32_t crc = 0;
};

// Every byte outside of the entries' data is checked; the data itself is not read. `origin` names
// the file in errors. Throws Error(kModelFile).
std::vector<ZipEntry> read_stored_zip(ByteView image, const std::string& origin);

}  // namespace affectrt

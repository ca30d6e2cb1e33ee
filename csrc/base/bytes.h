// A view of bytes that somebody else owns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace affectrt {

struct ByteView {
  const uint8_t* data = nullptr;
  size_t size = 0;

  std::string_view text() const { return {reinterpret_cast<const char*>(data), size}; }
};

}  // namespace affectrt

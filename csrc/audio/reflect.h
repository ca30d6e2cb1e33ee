// Where frames that reach past a clip read it.
#pragma once

#include <cstdint>

#include "base/host_device.h"

namespace affectrt {

// Place `i` of a clip of `total` samples that goes on, in mirrors, on both sides. `repeat`: whether
// the samples at the borders come twice.
AFFECTRT_HOST_DEVICE inline int64_t reflect(int64_t i, int64_t total, bool repeat) {
  if (total <= 1) return 0;
  while (i < 0 || i >= total) {
    if (i < 0) {
      i = repeat ? -1 - i : -i;
    } else {
      i = 2 * total - (repeat ? 1 : 2) - i;
    }
  }
  return i;
}

}  // namespace affectrt

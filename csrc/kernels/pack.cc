#include "kernels/pack.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace affectrt {

bool pack_panel_u8s8(const int8_t* const rows[kPanelColumns], size_t inputs, int32_t max_code,
                     int8_t* panel, float* sums) {
  const size_t steps = (inputs + 3) / 4;
  bool in_range = true;
  for (size_t column = 0; column < kPanelColumns; ++column) {
    int8_t* out = panel + column * 4;
    const int8_t* row = rows[column];
    if (row == nullptr) {
      for (size_t i = 0; i < steps; ++i) std::memset(out + i * 64, 0, 4);
      sums[column] = 0.0F;
      continue;
    }
    int32_t sum = 0;
    int32_t low = 0;
    int32_t high = 0;
    for (size_t i = 0; i < inputs; ++i) {
      const int32_t code = row[i];
      sum += code;
      low = std::min(low, code);
      high = std::max(high, code);
    }
    in_range = in_range && low >= -max_code && high <= max_code;
    sums[column] = static_cast<float>(sum);
    for (size_t i = 0; i < inputs / 4; ++i) std::memcpy(out + i * 64, row + i * 4, 4);
    if (inputs % 4 != 0) {
      int8_t* last = out + (steps - 1) * 64;
      std::memset(last, 0, 4);
      std::memcpy(last, row + (steps - 1) * 4, inputs % 4);
    }
  }
  return in_range;
}

bool pack_panel_s16(const int8_t* const rows[kPanelColumns], size_t inputs, int32_t max_code,
                    int8_t* panel, float* sums) {
  const size_t steps = (inputs + 1) / 2;
  bool in_range = true;
  for (size_t column = 0; column < kPanelColumns; ++column) {
    const int8_t* row = rows[column];
    int32_t sum = 0;
    for (size_t i = 0; i < steps * 2; ++i) {
      const int16_t code = row == nullptr || i >= inputs ? int16_t{0} : int16_t{row[i]};
      in_range = in_range && code >= -max_code && code <= max_code;
      sum += code;
      std::memcpy(panel + (i / 2) * 64 + column * 4 + i % 2 * 2, &code, sizeof code);
    }
    sums[column] = static_cast<float>(sum);
  }
  return in_range;
}

bool pack_panel_f32(const float* const rows[kPanelColumns], size_t inputs, float* panel) {
  bool finite = true;
  for (size_t column = 0; column < kPanelColumns; ++column) {
    const float* row = rows[column];
    float* out = panel + column;
    if (row == nullptr) {
      for (size_t i = 0; i < inputs; ++i) out[i * kPanelColumns] = 0.0F;
      continue;
    }
    for (size_t i = 0; i < inputs; ++i) {
      finite = finite && std::isfinite(row[i]);
      out[i * kPanelColumns] = row[i];
    }
  }
  return finite;
}

int32_t max_activation_code_s16(size_t inputs) {
  const int64_t room = std::numeric_limits<int32_t>::max() /
                       (int64_t{kMaxCode8} * static_cast<int64_t>(std::max<size_t>(inputs, 1)));
  return static_cast<int32_t>(std::min<int64_t>(room, std::numeric_limits<int16_t>::max()));
}

}  // namespace affectrt

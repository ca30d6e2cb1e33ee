#include "kernels/pack.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace affectrt {

namespace {

// The sum of a row of codes, and whether all are within +-max_code. In the form that compilers make
// vectors of: 16-bit partial sums, too short to overflow.
bool sum_codes(const int8_t* row, size_t inputs, int32_t max_code, float* sum) {
  constexpr size_t kBlock = 256;  // 256 * 128 = 2^15: the codes of one sign alone just fit
  const auto low = static_cast<uint8_t>(max_code);
  int32_t total = 0;
  uint8_t most = 0;
  for (size_t begin = 0; begin < inputs; begin += kBlock) {
    const size_t end = std::min(inputs, begin + kBlock);
    uint16_t part = 0;
    for (size_t i = begin; i < end; ++i) {
      part = static_cast<uint16_t>(part + row[i]);
      most = std::max(most, static_cast<uint8_t>(static_cast<uint8_t>(row[i]) + low));
    }
    total += static_cast<int16_t>(part);
  }
  *sum = static_cast<float>(total);
  return most <= 2 * max_code;
}

}  // namespace

bool pack_panel_u8s8(const int8_t* const rows[kPanelColumns], size_t inputs, int32_t max_code,
                     int8_t* panel, float* sums) {
  const size_t whole = inputs / 4;
  const size_t steps = (inputs + 3) / 4;
  bool in_range = true;
  bool has_all = true;
  for (size_t column = 0; column < kPanelColumns; ++column) {
    sums[column] = 0.0F;
    has_all = has_all && rows[column] != nullptr;
    if (rows[column] != nullptr) {
      in_range = sum_codes(rows[column], inputs, max_code, sums + column) && in_range;
    }
  }
  if (has_all) {
    for (size_t i = 0; i < whole; ++i) {
      for (size_t column = 0; column < kPanelColumns; ++column) {
        std::memcpy(panel + i * 64 + column * 4, rows[column] + i * 4, 4);
      }
    }
    if (whole == steps) return in_range;
  } else {
    std::memset(panel, 0, steps * 64);
  }
  for (size_t column = 0; column < kPanelColumns; ++column) {
    if (rows[column] == nullptr) continue;
    int8_t* out = panel + column * 4;
    for (size_t i = 0; !has_all && i < whole; ++i) {
      std::memcpy(out + i * 64, rows[column] + i * 4, 4);
    }
    if (whole == steps) continue;
    std::memset(out + whole * 64, 0, 4);
    std::memcpy(out + whole * 64, rows[column] + whole * 4, inputs % 4);
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

int32_t max_score_code(size_t depth) {
  const double room = static_cast<double>((1 << 30) - 1) / static_cast<double>(depth);
  return static_cast<int32_t>(std::min(32767.0, std::floor(std::sqrt(room))));
}

int32_t max_activation_code_s16(size_t inputs) {
  const int64_t room = std::numeric_limits<int32_t>::max() /
                       (int64_t{kMaxCode8} * static_cast<int64_t>(std::max<size_t>(inputs, 1)));
  return static_cast<int32_t>(std::min<int64_t>(room, std::numeric_limits<int16_t>::max()));
}

}  // namespace affectrt

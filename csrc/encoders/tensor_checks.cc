#include "encoders/tensor_checks.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"

namespace affectrt {
namespace {

[[noreturn]] void fail_finite(const SafeTensors& weights, const std::string& name) {
  fail_weights(weights, "tensor '" + name + "' has NaN or infinite values; finite ones are needed");
}

}  // namespace

void fail_weights(const SafeTensors& weights, const std::string& what) {
  throw Error(ErrorKind::kModelFile, weights.origin() + ": " + what);
}

void check_finite(const SafeTensors& weights, const std::string& name, const float* values,
                  size_t count) {
  constexpr uint32_t kExponent = 0x7F800000U;  // all ones: NaN or infinite
  uint32_t most = 0;
  for (size_t i = 0; i < count; ++i) {
    uint32_t bits;
    std::memcpy(&bits, values + i, sizeof bits);
    most = std::max(most, bits & kExponent);
  }
  if (most == kExponent) fail_finite(weights, name);
}

void check_finite(const SafeTensors& weights, const std::string& name, const uint16_t* halves,
                  HalfKind kind, size_t count) {
  const uint16_t exponent = exponent_bits(kind);
  uint16_t most = 0;
  for (size_t i = 0; i < count; ++i) {
    most = std::max(most, static_cast<uint16_t>(halves[i] & exponent));
  }
  if (most == exponent) fail_finite(weights, name);
}

const float* read_scales(const SafeTensors& weights, const std::string& name, size_t count) {
  const float* scales = weights.f32(name, {count});
  for (size_t i = 0; i < count; ++i) {
    if (!std::isfinite(scales[i]) || !(scales[i] > 0.0F)) {
      fail_weights(weights, "tensor '" + name + "' has " + std::to_string(scales[i]) +
                                " at index " + std::to_string(i) +
                                "; a scale must be finite and above 0");
    }
  }
  return scales;
}

bool holds_codes(const SafeTensors& weights, const std::string& name) {
  const Tensor* tensor = weights.find(name);
  return tensor != nullptr && tensor->dtype == "I8";
}

std::optional<HalfKind> half_kind(const SafeTensors& weights, const std::string& name) {
  const Tensor* tensor = weights.find(name);
  if (tensor != nullptr && tensor->dtype == "F16") return HalfKind::kF16;
  if (tensor != nullptr && tensor->dtype == "BF16") return HalfKind::kBF16;
  return std::nullopt;
}

}  // namespace affectrt

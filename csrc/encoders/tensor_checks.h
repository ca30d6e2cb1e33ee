// What is checked of tensors before they are used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "base/half.h"
#include "bundle/safetensors.h"

namespace affectrt {

// Throws Error(kModelFile) that names the file.
[[noreturn]] void fail_weights(const SafeTensors& weights, const std::string& what);

// Throw Error(kModelFile) where there is NaN or infinity.
void check_finite(const SafeTensors& weights, const std::string& name, const float* values,
                  size_t count);
void check_finite(const SafeTensors& weights, const std::string& name, const uint16_t* halves,
                  HalfKind kind, size_t count);

// float32 [count], each finite and above 0.
const float* read_scales(const SafeTensors& weights, const std::string& name, size_t count);

bool holds_codes(const SafeTensors& weights, const std::string& name);
// Where a tensor is F16 or BF16.
std::optional<HalfKind> half_kind(const SafeTensors& weights, const std::string& name);

}  // namespace affectrt

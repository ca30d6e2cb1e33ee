// Fields that the config.json of several families have.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "bundle/json_fields.h"
#include "kernels/kernels.h"

namespace affectrt {

// Bounds that no sensible checkpoint comes near; they keep every later product within 64 bits.
constexpr int64_t kMaxWidth = 1 << 16;
constexpr int64_t kMaxLayers = 1 << 10;
constexpr int64_t kMaxTable = 1 << 24;

// 1 to `most`; `absent` where the key is not there.
size_t size_at(const JsonField& root, const char* key, int64_t most, std::optional<int64_t> absent);
bool flag_at(const JsonField& root, const char* key, bool absent);
// GELU where the key is not there. Throws Error(kUnsupported) for what the kernels do not compute.
Activation activation_at(const JsonField& root, const char* key);
// Throws Error(kModelFile) where the heads do not divide the width.
void check_heads(const JsonField& root, size_t hidden, size_t heads);

}  // namespace affectrt

// The backend that computes an encoder from `weights.safetensors` itself.
#pragma once

#include <memory>

#include "bundle/bundle.h"
#include "engine/backend.h"
#include "kernels/kernels.h"

namespace affectrt {

// Whether the bundle has weights and a config.json of a family, activation and kind of positions
// that the native backend computes. Damage is not looked for: make_native_backend() reports it.
bool native_backend_supports(const Bundle& bundle);

// Throws Error(kModelFile) for weights that are damaged or do not fit config and heads,
// Error(kUnsupported) for what native_backend_supports() is false for or an instruction set
// that is not possible here.
//
// A row's logits do not depend, to the bit, on the other rows of a batch or on the number of
// threads. run() throws Error(kInput) for rows or ids that the model has no room for, and
// Error(kBackend) where weights make numbers overflow.
std::unique_ptr<Backend> make_native_backend(std::shared_ptr<const Bundle> bundle,
                                             const BackendOptions& options);
// The same on these very kernels, which must outlive the backend.
std::unique_ptr<Backend> make_native_backend(std::shared_ptr<const Bundle> bundle,
                                             const BackendOptions& options, const Kernels& kernels);

}  // namespace affectrt

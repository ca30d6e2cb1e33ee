// The backend that runs `model.onnx` in ONNX Runtime.
#pragma once

#include <memory>

#include "bundle/bundle.h"
#include "engine/backend.h"

namespace affectrt {

// Throws Error(kBackend) for what the library lacks or refuses, Error(kModelFile) where the graph
// is damaged or does not fit the manifest, both with what is there and what would be right.
//
// After fork() a child has none of the session's threads: it makes itself a session of its own at
// its first run().
std::unique_ptr<Backend> make_onnxruntime_backend(std::shared_ptr<const Bundle> bundle,
                                                  const BackendOptions& options);

}  // namespace affectrt

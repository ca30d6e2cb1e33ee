// The backend that runs the `model.onnx` of a speech model in ONNX Runtime.
#pragma once

#include <memory>

#include "bundle/bundle.h"
#include "engine/backend.h"
#include "engine/speech_backend.h"

namespace affectrt {

// Clips go through the graph one at a time, without padding, so that an answer cannot depend on its
// neighbours, nor on whether the model was trained with a mask. Throws Error(kBackend) for what the
// library lacks or refuses, Error(kModelFile) where the graph is damaged or does not fit the
// manifest, both with what is there and what would be right. After fork() as the text backend.
std::unique_ptr<SpeechBackend> make_onnxruntime_speech(std::shared_ptr<const Bundle> bundle,
                                                       const BackendOptions& options);

}  // namespace affectrt

// One interface for inference on sound: features of clips in, one matrix per wanted output out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bundle/bundle.h"
#include "engine/backend.h"

namespace affectrt {

// Clips of different lengths. Frames are rows of as many values as the backend's features have: a
// log-mel frame, or one sample of a waveform.
struct ClipBatch {
  const float* const* features = nullptr;  // [clips] -> [frames[clip], features]
  const int32_t* frames = nullptr;         // [clips]
  size_t clips = 0;
};

// Concurrent calls of run() are safe. A backend keeps the bundle that it was made from alive, since
// weights may be used in place.
class SpeechBackend {
 public:
  virtual ~SpeechBackend() = default;
  virtual std::string name() const = 0;  // "onnxruntime", "native"
  // For people: version, providers, threads, instruction set.
  virtual std::string detail() const = 0;
  // One per distinct output that the manifest's heads read, in the order of the heads; then, where
  // the model can give it, that of kEmbedding. None is of kToken.
  virtual const std::vector<OutputInfo>& outputs() const = 0;
  // That of this process, where the backend is ONNX Runtime.
  virtual const OnnxRuntimeSession* session() const { return nullptr; }
  // `values` gets one buffer [clips, width] for each index into outputs() in `wanted`, which are
  // all different. A clip's values do not depend, to the bit, on the other clips of a batch. Throws
  // Error(kInput) for a clip without frames, with more than the model takes, or with a feature that
  // is NaN or infinite, and Error(kBackend) where weights make numbers overflow.
  virtual void run(const ClipBatch& batch, const std::vector<size_t>& wanted,
                   std::vector<std::vector<float>>* values) const = 0;
};

// Error(kInput) for a feature that is NaN or infinite.
void check_features(const ClipBatch& batch, size_t width);

}  // namespace affectrt

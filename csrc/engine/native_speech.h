// The speech encoder of the native engine, on all threads: features of clips in, hidden states out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "encoders/whisper_config.h"

namespace affectrt {

// Clips of different lengths. A clip's states do not depend, to the bit, on the other clips of a
// batch or on the number of threads.
struct ClipBatch {
  const float* const* features = nullptr;  // [clips] -> [frames[clip], mels]
  const int32_t* frames = nullptr;         // [clips]
  size_t clips = 0;
};

// Concurrent calls of run() are safe.
class NativeSpeech {
 public:
  virtual ~NativeSpeech() = default;
  virtual const WhisperConfig& config() const = 0;
  // "avx2, 2 threads"
  virtual std::string detail() const = 0;
  // states[clip] = the last hidden states [ceil(frames / 2), hidden] of a clip. Throws
  // Error(kInput) for a clip without frames, with more than the positions allow, or with a value
  // that is NaN or infinite, and Error(kBackend) where weights make numbers overflow.
  virtual void run(const ClipBatch& batch, std::vector<std::vector<float>>* states) const = 0;
};

// Of config.json and weights.safetensors of a Whisper encoder, as `affectrt.export` writes them;
// `weights` must outlive the encoder, and `origin` names their place in errors. `num_threads` 0: as
// many as the CPU quota allows. Throws Error(kModelFile) for what is damaged or does not fit,
// Error(kUnsupported) for another family and for an AFFECTRT_ISA that is not possible here.
std::unique_ptr<NativeSpeech> make_native_speech(std::string_view config_json, ByteView weights,
                                                 const std::string& origin, int num_threads);

}  // namespace affectrt

// The speech encoder of the native engine, on all threads: features of clips in, answers or hidden
// states out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "bundle/bundle.h"
#include "encoders/whisper_config.h"
#include "engine/speech_backend.h"

namespace affectrt {

// A clip's states and answers do not depend, to the bit, on the other clips of a batch or on the
// number of threads.
class NativeSpeech : public SpeechBackend {
 public:
  virtual const WhisperConfig& config() const = 0;
  // states[clip] = the last hidden states [ceil(frames / 2), hidden] of a clip. Errors as of run().
  virtual void states(const ClipBatch& batch, std::vector<std::vector<float>>* states) const = 0;
};

// Of config.json and weights.safetensors of a Whisper encoder without heads, as `affectrt.export`
// writes them; `weights` must outlive the encoder, and `origin` names their place in errors.
// `num_threads` 0: as many as the CPU quota allows. Throws Error(kModelFile) for what is damaged or
// does not fit, Error(kUnsupported) for another family and for an AFFECTRT_ISA that is not possible
// here.
std::unique_ptr<NativeSpeech> make_native_speech(std::string_view config_json, ByteView weights,
                                                 const std::string& origin, int num_threads);

// Whether the bundle has weights and a config.json of a family that the native engine computes,
// and wants its features. Damage is not looked for: make_native_speech() reports it.
bool native_speech_supports(const Bundle& bundle);

// A speech model with attention pooling and linear heads. Errors as above.
std::unique_ptr<NativeSpeech> make_native_speech(std::shared_ptr<const Bundle> bundle,
                                                 const BackendOptions& options);

}  // namespace affectrt

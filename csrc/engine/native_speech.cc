#include "engine/native_speech.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "encoders/whisper_encoder.h"
#include "engine/chunks.h"
#include "kernels/dispatch.h"

namespace affectrt {
namespace {

class Speech final : public NativeSpeech {
 public:
  Speech(const WhisperConfig& config, const SafeTensors& weights, const std::string& origin,
         const Kernels& kernels, int num_threads)
      : origin_(origin),
        kernels_(kernels),
        encoder_(config, weights, kernels),
        runner_(num_threads) {}

  const WhisperConfig& config() const override { return encoder_.config(); }

  std::string detail() const override {
    const int threads = runner_.num_threads();
    return std::string(kernels_.isa) + ", " + std::to_string(threads) +
           (threads == 1 ? " thread" : " threads");
  }

  void run(const ClipBatch& batch, std::vector<std::vector<float>>* states) const override {
    states->resize(batch.clips);
    if (batch.clips == 0) return;
    encoder_.check({batch.features, batch.frames, nullptr, batch.clips});
    std::vector<int32_t> token_begin = {0};
    int64_t tokens = 0;
    for (size_t clip = 0; clip < batch.clips; ++clip) {
      check_features(batch, clip);
      tokens += WhisperEncoder::tokens(batch.frames[clip]);
      if (tokens > INT32_MAX) {
        throw Error(ErrorKind::kInput, "the clips of one call have more than " +
                                           std::to_string(INT32_MAX) +
                                           " pairs of frames; give fewer clips at once");
      }
      token_begin.push_back(static_cast<int32_t>(tokens));
    }
    const ClipRows clips = {batch.features, batch.frames, token_begin.data(), batch.clips};
    runner_.run(clips.spans(), Work{encoder_, clips, states});
    for (size_t clip = 0; clip < states->size(); ++clip) {
      if (!all_finite((*states)[clip].data(), (*states)[clip].size())) {
        throw Error(ErrorKind::kBackend, "the states of clip " + std::to_string(clip) +
                                             " are not finite: the weights of " + origin_ +
                                             " make its numbers overflow");
      }
    }
  }

 private:
  // One call, as ChunkRunner does it.
  struct Work {
    const WhisperEncoder& encoder;
    const ClipRows& clips;
    std::vector<std::vector<float>>* states;

    ClipRows chunk(size_t begin, size_t end) const {
      return {clips.features + begin, clips.frames + begin, clips.token_begin + begin, end - begin};
    }
    void make_room(size_t begin, size_t end, bool whole, Workspace* scratch) const {
      encoder.prepare(chunk(begin, end), whole, scratch);
      if (!whole) return;
      for (size_t clip = begin; clip < end; ++clip) {
        (*states)[clip].resize(clips.spans().length(clip) * encoder.config().hidden);
      }
    }
    void forward(size_t begin, size_t end, Team& team, Workspace* shared, Workspace* own) const {
      encoder.forward(chunk(begin, end), team, shared, own);
    }
    void finish(size_t begin, size_t end, Workspace* scratch) const {
      const size_t hidden = encoder.config().hidden;
      const float* row = scratch->hidden.data();
      for (size_t clip = begin; clip < end; ++clip) {
        std::vector<float>& out = (*states)[clip];
        for (size_t at = 0; at < out.size(); at += hidden, row += encoder.stride()) {
          std::copy_n(row, hidden, out.data() + at);
        }
      }
    }
  };

  static bool all_finite(const float* values, size_t count) {
    return std::all_of(values, values + count, [](float x) { return std::isfinite(x); });
  }

  void check_features(const ClipBatch& batch, size_t clip) const {
    const size_t count = static_cast<size_t>(batch.frames[clip]) * encoder_.config().mels;
    if (!all_finite(batch.features[clip], count)) {
      throw Error(ErrorKind::kInput, "the features of clip " + std::to_string(clip) +
                                         " have NaN or infinite values; finite ones are needed");
    }
  }

  const std::string origin_;
  const Kernels& kernels_;
  const WhisperEncoder encoder_;
  mutable ChunkRunner<Workspace> runner_;
};

}  // namespace

std::unique_ptr<NativeSpeech> make_native_speech(std::string_view config_json, ByteView weights,
                                                 const std::string& origin, int num_threads) {
  const WhisperConfig config = parse_whisper_config(config_json, "config.json of '" + origin + "'");
  const SafeTensors tensors =
      SafeTensors::parse(weights, "weights.safetensors of '" + origin + "'");
  return std::make_unique<Speech>(config, tensors, "'" + origin + "'", select_kernels(),
                                  native_thread_count(num_threads));
}

}  // namespace affectrt

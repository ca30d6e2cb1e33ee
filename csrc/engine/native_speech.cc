#include "engine/native_speech.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "base/error.h"
#include "encoders/attention_pooling.h"
#include "encoders/classifier_heads.h"
#include "encoders/whisper_encoder.h"
#include "engine/chunks.h"
#include "kernels/dispatch.h"
#include "kernels/pack.h"

namespace affectrt {
namespace {

constexpr const char* kConfigEntry = "config.json";
constexpr const char* kWeightsEntry = "weights.safetensors";
constexpr double kFramesPerSecond = 100.0;

struct Scratch {
  Workspace workspace;
  ClassifierHeads::Scratch heads;
  AlignedBuffer<float> scores;  // of pooling
  AlignedBuffer<float> pooled;  // [clips, stride]
  std::vector<float*> logits;
};

void grow(AlignedBuffer<float>* buffer, size_t count) {
  if (buffer->size() < count) *buffer = AlignedBuffer<float>(count);
}

// What reads the hidden states of a whole model.
struct Answers {
  AttentionPooling pooling;
  ClassifierHeads heads;
};

// Their one reading are the pooled clips.
ClassifierHeads heads_of(size_t width, const SafeTensors& weights, const std::vector<Head>& heads) {
  EncoderConfig own;
  own.hidden = width;
  own.has_own_heads = true;
  return {&own, weights, heads};
}

bool all_finite(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); });
}

class Speech final : public NativeSpeech {
 public:
  // Without a bundle: of the encoder alone.
  Speech(const WhisperConfig& config, const SafeTensors& weights, const std::string& origin,
         const Kernels& kernels, int num_threads, std::shared_ptr<const Bundle> bundle)
      : bundle_(std::move(bundle)),
        origin_(origin),
        kernels_(kernels),
        encoder_(config, weights, kernels),
        runner_(num_threads) {
    if (bundle_ == nullptr) return;
    AttentionPooling pooling(weights, config.hidden, "pooling", config.statistics);
    const size_t width = pooling.width();
    answers_.emplace(
        Answers{std::move(pooling), heads_of(width, weights, bundle_->manifest().heads)});
    for (const ClassifierHeads::Output& output : answers_->heads.outputs()) {
      outputs_.push_back({output.name, static_cast<int32_t>(output.width), OutputKind::kRow});
    }
    outputs_.push_back({"embedding", static_cast<int32_t>(width), OutputKind::kEmbedding});
  }

  const WhisperConfig& config() const override { return encoder_.config(); }
  std::string name() const override { return "native"; }

  std::string detail() const override {
    const int threads = runner_.num_threads();
    return std::string(kernels_.isa) + ", " + std::to_string(threads) +
           (threads == 1 ? " thread" : " threads");
  }

  const std::vector<OutputInfo>& outputs() const override { return outputs_; }

  void states(const ClipBatch& batch, std::vector<std::vector<float>>* states) const override {
    states->resize(batch.clips);
    Call call;
    call.states = states;
    run_call(batch, &call);
    for (size_t clip = 0; clip < states->size(); ++clip) {
      if (!all_finite((*states)[clip])) fail_overflow("the states of clip", clip);
    }
  }

  void run(const ClipBatch& batch, const std::vector<size_t>& wanted,
           std::vector<std::vector<float>>* values) const override {
    Call call;
    call.buffers.resize(outputs_.size(), nullptr);
    values->resize(wanted.size());
    for (size_t i = 0; i < wanted.size(); ++i) {
      (*values)[i].resize(batch.clips * static_cast<size_t>(outputs_[wanted[i]].width));
      call.buffers[wanted[i]] = (*values)[i].data();
    }
    if (wanted.empty()) return;
    run_call(batch, &call);
    for (size_t i = 0; i < wanted.size(); ++i) {
      const auto width = static_cast<size_t>(outputs_[wanted[i]].width);
      const auto bad = std::find_if((*values)[i].begin(), (*values)[i].end(),
                                    [](float x) { return !std::isfinite(x); });
      if (bad == (*values)[i].end()) continue;
      fail_overflow("the answers to clip", static_cast<size_t>(bad - (*values)[i].begin()) / width);
    }
  }

 private:
  struct Call {
    ClipRows clips;
    std::vector<std::vector<float>>* states = nullptr;  // wanted where not null
    std::vector<float*> buffers;                        // one an output, or null
  };

  // One call, as ChunkRunner does it.
  struct Work {
    const Speech& speech;
    const Call& call;

    ClipRows chunk(size_t begin, size_t end) const {
      const ClipRows& clips = call.clips;
      return {clips.features + begin, clips.frames + begin, clips.token_begin + begin, end - begin};
    }
    void make_room(size_t begin, size_t end, bool whole, Scratch* scratch) const {
      const WhisperEncoder& encoder = speech.encoder_;
      const ClipRows clips = chunk(begin, end);
      encoder.prepare(clips, whole, &scratch->workspace);
      if (!whole) return;
      for (size_t clip = begin; call.states != nullptr && clip < end; ++clip) {
        (*call.states)[clip].resize(call.clips.spans().length(clip) * encoder.config().hidden);
      }
      if (call.buffers.empty()) return;
      grow(&scratch->scores, speech.answers_->pooling.scratch(clips.spans().longest()));
      grow(&scratch->pooled, clips.clips * speech.pooled_stride());
    }
    void forward(size_t begin, size_t end, Team& team, Scratch* shared, Scratch* own) const {
      speech.encoder_.forward(chunk(begin, end), team, &shared->workspace, &own->workspace);
    }
    void finish(size_t begin, size_t end, Scratch* scratch) const {
      if (call.states != nullptr) copy_states(begin, end, *scratch);
      if (!call.buffers.empty()) answer(begin, end, scratch);
    }
    void copy_states(size_t begin, size_t end, const Scratch& scratch) const {
      const size_t hidden = speech.encoder_.config().hidden;
      const float* row = scratch.workspace.hidden.data();
      for (size_t clip = begin; clip < end; ++clip) {
        std::vector<float>& out = (*call.states)[clip];
        for (size_t at = 0; at < out.size(); at += hidden, row += speech.encoder_.stride()) {
          std::copy_n(row, hidden, out.data() + at);
        }
      }
    }
    void answer(size_t begin, size_t end, Scratch* scratch) const {
      const size_t stride = speech.encoder_.stride();
      const size_t pooled_stride = speech.pooled_stride();
      const RowSpans spans = chunk(begin, end).spans();
      const float* hidden = scratch->workspace.hidden.data();
      float* pooled = scratch->pooled.data();
      for (size_t clip = 0; clip < spans.rows; ++clip) {
        speech.answers_->pooling.run(speech.kernels_, hidden + spans.first(clip) * stride, stride,
                                     spans.length(clip), scratch->scores.data(),
                                     pooled + clip * pooled_stride);
      }
      scratch->logits.clear();
      for (size_t i = 0; i + 1 < speech.outputs_.size(); ++i) {
        float* buffer = call.buffers[i];
        if (buffer != nullptr) buffer += begin * static_cast<size_t>(speech.outputs_[i].width);
        scratch->logits.push_back(buffer);
      }
      speech.answers_->heads.run(speech.kernels_, pooled, pooled_stride, spans.rows, 0,
                                 &scratch->heads, scratch->logits.data());
      if (float* embeddings = call.buffers.back(); embeddings != nullptr) {
        const size_t width = speech.answers_->pooling.width();
        for (size_t clip = begin; clip < end; ++clip, pooled += pooled_stride) {
          std::copy_n(pooled, width, embeddings + clip * width);
        }
      }
    }
  };

  size_t pooled_stride() const { return round_up(answers_->pooling.width(), kPanelColumns); }

  void run_call(const ClipBatch& batch, Call* call) const {
    if (batch.clips == 0) return;
    call->clips = {batch.features, batch.frames, nullptr, batch.clips};
    encoder_.check(call->clips);
    check_features(batch, encoder_.config().mels);
    std::vector<int32_t> token_begin = {0};
    int64_t tokens = 0;
    for (size_t clip = 0; clip < batch.clips; ++clip) {
      tokens += WhisperEncoder::tokens(batch.frames[clip]);
      if (tokens > INT32_MAX) {
        throw Error(ErrorKind::kInput, "the clips of one call have more than " +
                                           std::to_string(INT32_MAX) +
                                           " pairs of frames; give fewer clips at once");
      }
      token_begin.push_back(static_cast<int32_t>(tokens));
    }
    call->clips.token_begin = token_begin.data();
    runner_.run(call->clips.spans(), Work{*this, *call});
  }

  [[noreturn]] void fail_overflow(const char* what, size_t clip) const {
    throw Error(ErrorKind::kBackend, std::string(what) + " " + std::to_string(clip) +
                                         " are not finite: the weights of " + origin_ +
                                         " make its numbers overflow");
  }

  const std::shared_ptr<const Bundle> bundle_;
  const std::string origin_;
  const Kernels& kernels_;
  const WhisperEncoder encoder_;
  std::optional<const Answers> answers_;
  std::vector<OutputInfo> outputs_;
  mutable ChunkRunner<Scratch> runner_;
};

std::unique_ptr<Speech> make_speech(std::string_view config_json, ByteView weights,
                                    const std::string& origin, const BackendOptions& options,
                                    std::shared_ptr<const Bundle> bundle) {
  const std::string place = "'" + origin + "'";
  const WhisperConfig config =
      parse_whisper_config(config_json, std::string(kConfigEntry) + " of " + place);
  const SafeTensors tensors =
      SafeTensors::parse(weights, std::string(kWeightsEntry) + " of " + place);
  return std::make_unique<Speech>(config, tensors, place, select_kernels(options.isa),
                                  native_thread_count(options.num_threads), std::move(bundle));
}

void check_input(const AudioInput& audio, const WhisperConfig& config, const std::string& path) {
  const auto refuse = [&](const std::string& what) {
    throw Error(ErrorKind::kModelFile, "'" + path + "': " + what);
  };
  if (audio.num_mels != config.mels) {
    refuse("affectrt.json has features of " + std::to_string(audio.num_mels) +
           " mel bands, but the encoder of config.json reads " + std::to_string(config.mels));
  }
  const double most = 2.0 * static_cast<double>(config.positions);
  if (double{audio.max_seconds} * kFramesPerSecond > most + 1e-3) {
    refuse("affectrt.json allows clips of " + std::to_string(audio.max_seconds) +
           " s, but the positions in config.json end at " +
           std::to_string(most / kFramesPerSecond) + " s");
  }
}

}  // namespace

std::unique_ptr<NativeSpeech> make_native_speech(std::string_view config_json, ByteView weights,
                                                 const std::string& origin, int num_threads) {
  BackendOptions options;
  options.num_threads = num_threads;
  return make_speech(config_json, weights, origin, options, nullptr);
}

bool native_speech_supports(const Bundle& bundle) {
  const std::optional<AudioInput>& audio = bundle.manifest().audio;
  if (!audio || audio->kind != FeatureKind::kWhisperLogMel) return false;
  if (!bundle.has(kWeightsEntry) || !bundle.has(kConfigEntry)) return false;
  try {
    parse_whisper_config(bundle.entry(kConfigEntry).text(), kConfigEntry);
  } catch (const Error& error) {
    return error.kind() != ErrorKind::kUnsupported;
  }
  return true;
}

std::unique_ptr<NativeSpeech> make_native_speech(std::shared_ptr<const Bundle> bundle,
                                                 const BackendOptions& options) {
  for (const char* entry : {kConfigEntry, kWeightsEntry}) {
    if (!bundle->has(entry)) {
      throw Error(ErrorKind::kUnsupported, "'" + bundle->path() + "' has no " + entry +
                                               ", which the native backend needs; `affectrt "
                                               "export` writes it");
    }
  }
  const AudioInput& audio = bundle->manifest().audio.value();
  if (audio.kind != FeatureKind::kWhisperLogMel) {
    throw Error(ErrorKind::kUnsupported, "'" + bundle->path() + "' reads " +
                                             feature_name(audio.kind) +
                                             "; the native backend computes models of "
                                             "whisper_log_mel");
  }
  const Bundle& model = *bundle;
  auto speech = make_speech(model.entry(kConfigEntry).text(), model.entry(kWeightsEntry),
                            model.path(), options, std::move(bundle));
  check_input(audio, speech->config(), model.path());
  return speech;
}

}  // namespace affectrt

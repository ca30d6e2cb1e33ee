// A loaded speech model: clips of sound in, decoded scores of every head out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "audio/resampler.h"
#include "base/thread_pool.h"
#include "bundle/bundle.h"
#include "engine/speech_backend.h"
#include "runtime/clip_features.h"
#include "runtime/model.h"
#include "tasks/decode.h"

namespace affectrt {

// Sound of one channel, full scale from -1 to 1. The samples are the caller's.
struct SoundView {
  const float* samples = nullptr;
  size_t count = 0;
  int64_t sample_rate = 0;  // Hz; 0: the model's
  std::string name = {};    // in errors; "": "clip <i>"
};

// What a clip is without a model, at the model's rate.
struct ClipFacts {
  double duration_s = 0.0;
  float level_dbfs = 0.0F;     // root mean square without its mean; at least kSilenceDbfs
  float clipped_share = 0.0F;  // of the samples, those at full scale
  // False: shorter than kLeastSeconds or more quiet than kAudibleDbfs, so that there is nothing to
  // hear. All answers to it are unsure.
  bool audible = false;
};
constexpr float kSilenceDbfs = -120.0F;
constexpr float kAudibleDbfs = -70.0F;
constexpr double kLeastSeconds = 0.1;

// A part of a clip that went through the model at once: samples [begin, end) at the model's rate.
struct ClipWindow {
  int64_t begin = 0;
  int64_t end = 0;
};

struct SpeechPrediction {
  std::vector<int32_t> answered;  // indices into manifest().heads of the heads that answer
  std::vector<HeadScores> heads;  // one for each of them: [clips]
  std::vector<ClipFacts> facts;   // [clips]
  // A clip that the model takes at once is one window; a longer one is as few as possible, of equal
  // length (but for rounding), without overlap.
  std::vector<int32_t> window_begin;     // [clips + 1]: where each clip's windows begin
  std::vector<ClipWindow> windows;       // of all clips, one after the other
  std::vector<HeadScores> window_heads;  // as `heads`: [windows]
  int32_t embedding_width = 0;
  std::vector<float> embeddings;  // [clips, embedding_width]: what heads read, where asked for
};

// Labels of a single-label or ordinal head that can be at all: the scores are the softmax over
// these, those of others are 0.
struct Restriction {
  int32_t head = 0;
  std::vector<int32_t> labels;
};

struct SpeechWanted {
  std::optional<std::vector<int32_t>> heads;  // indices into manifest().heads; without: all
  std::vector<Restriction> restrictions;
  // Called as (clips done, clips in all) on the calling thread between passes; false stops the work
  // with Error(kInput, "interrupted ..."). What it throws passes through.
  std::function<bool(size_t, size_t)> progress;
  bool embeddings = false;
};

// Immutable: concurrent calls are safe and share the weights.
class SpeechModel {
 public:
  // Throws Error(kNotFound | kModelFile | kBackend | kUnsupported), and Error(kInput) for options
  // that cannot be and for a file of a text model.
  static std::shared_ptr<const SpeechModel> load(const std::string& path,
                                                 const ModelOptions& options);
  static std::shared_ptr<const SpeechModel> load(std::shared_ptr<const Bundle> bundle,
                                                 const ModelOptions& options);

  // Clips are answered in the caller's order. Sound of another rate is resampled first. Logits of a
  // clip of several windows are the mean of theirs, weighted by their lengths, and scores and
  // decisions are made of these. An answer depends, to the bit, neither on the other clips of a
  // call nor on the number of threads. Error(kInput) names the clip that is empty, holds NaN or
  // infinity, or has an impossible rate.
  SpeechPrediction predict(const std::vector<SoundView>& clips, const SpeechWanted& wanted) const;

  // Sound at the model's rate, checked as by predict(); `name` names it in errors.
  std::vector<float> at_model_rate(const SoundView& sound, const std::string& name) const;
  // The plan of the resampler from that rate to the model's, kept for the next call; null where the
  // two are the same.
  std::shared_ptr<const Resampler> resampler(int64_t from_rate) const;

  // Values of an embedding; 0 where the model gives none.
  int32_t embedding_width() const;

  const Bundle& bundle() const { return *bundle_; }
  const Manifest& manifest() const { return bundle_->manifest(); }
  const AudioInput& audio() const { return *bundle_->manifest().audio; }
  const SpeechBackend& backend() const { return *backend_; }

 private:
  SpeechModel(std::shared_ptr<const Bundle> bundle, const ModelOptions& options);
  class Passes;
  // The sound's resampler, null where it needs none; errors as of predict().
  std::shared_ptr<const Resampler> checked_resampler(const SoundView& sound,
                                                     const std::string& name) const;
  std::vector<float> resampled(const Resampler& plan, const SoundView& sound) const;
  std::vector<int32_t> checked_heads(const SpeechWanted& wanted) const;
  void check_restrictions(const SpeechWanted& wanted) const;
  HeadScores decode_head(int32_t head, const std::vector<float>& logits, size_t rows,
                         const SpeechWanted& wanted) const;
  ClipFacts facts_of(const float* samples, size_t count, double duration_s) const;

  std::shared_ptr<const Bundle> bundle_;
  std::unique_ptr<const SpeechBackend> backend_;
  ClipFeatures features_;
  std::vector<size_t> head_outputs_;  // index into backend().outputs() of each head
  mutable ThreadPool pool_;           // for resampling and features
  struct KeptResampler {
    int64_t from_rate;
    std::shared_ptr<const Resampler> plan;
  };
  // Only ever tried: in a forked child nobody may be left to release it.
  mutable std::mutex resamplers_mutex_;
  mutable std::vector<KeptResampler> resamplers_;
};

}  // namespace affectrt

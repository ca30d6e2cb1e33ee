// Sound as it comes to what a speech model says of each stretch of speech in it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "audio/resampler.h"
#include "audio/segmenter.h"
#include "audio/vad.h"
#include "bundle/manifest.h"
#include "runtime/model.h"
#include "runtime/speech_model.h"

namespace affectrt {

// What streams ask of a model: what its heads say of clips at 16 kHz. `judge` may be called by many
// streams at once, and what it says of a clip may not depend on the other clips.
struct ClipJudge {
  const Manifest* manifest = nullptr;  // whose heads all answer, in order
  double max_seconds = 0.0;            // of a clip
  std::function<Prediction(const std::vector<SoundView>&)> judge;
};

// Of a model, whose heads all answer.
ClipJudge judge_of(std::shared_ptr<const SpeechModel> model);

struct SpeechStreamOptions {
  SegmentOptions segments;  // max_segment_s is the model's where it is 0 or more than that
  // Every so many ms of an open segment, what is said of it so far; 0: not.
  double interim_ms = 0.0;
  // Scores of the first head are averaged over segments: weights are their lengths, times 1/e for
  // every so many seconds that they lie back; 0: each segment stands alone.
  double smoothing_s = 4.0;
  // By how much the average of another label must be higher before the stream's label changes.
  float margin = 0.1F;
};

struct SpeechSegment {
  int64_t index = 0;  // from 0; interim results have that of the segment that they are of
  double start_s = 0.0;
  double end_s = 0.0;
  bool interim = false;          // the segment is still open
  bool cut = false;              // it ends where it had to be cut, not where speech ends
  Prediction prediction;         // one row: of this segment alone
  std::vector<float> smoothed;   // of the labels of the first head
  std::optional<int32_t> label;  // of the first head, by `smoothed`; none for values
};

// The average of the first head's scores, and the label that it decides.
class ScoreSmoother {
 public:
  ScoreSmoother(const Head& head, double smoothing_s, float margin)
      : head_(head), smoothing_s_(smoothing_s), margin_(margin) {}
  // Fills `smoothed` and `label` of the next segment; an interim one leaves no trace.
  void take(SpeechSegment* segment);

 private:
  const Head& head_;
  double smoothing_s_;
  float margin_;
  std::vector<double> sums_;
  double weight_ = 0.0;
  double last_end_s_ = 0.0;
  std::optional<int32_t> label_;
};

// One stream belongs to one call at a time: a second call that comes meanwhile is refused with
// Error(kInput). Memory does not grow with the length of the sound: at most a segment and a second
// of it is held, and a batch of segments. Segments do not depend, to the bit, on how the samples
// are cut into chunks.
class SpeechStream {
 public:
  // Sound at `sample_rate` Hz. Throws Error(kInput) for options that cannot be.
  SpeechStream(ClipJudge judge, int64_t sample_rate, const SpeechStreamOptions& options);

  // Samples of one channel; none is fine. Appends the segments that are complete. Error(kInput) for
  // NaN and the like leaves the stream as it was; after any other error it can only be destroyed.
  void feed(const float* samples, size_t count, std::vector<SpeechSegment>* out);
  // The end of the sound: the segment that is open. After it feed() is Error(kInput).
  void flush(std::vector<SpeechSegment>* out);

  const Manifest& manifest() const { return *judge_.manifest; }
  int64_t sample_rate() const { return sample_rate_; }
  size_t held_samples() const { return held_.size(); }  // at 16 kHz
  double max_segment_s() const { return options_.segments.max_segment_s; }
  // From the end of speech to its segment, without the time of computing.
  double latency_ms() const;

 private:
  class Use;
  struct Pending {
    SpeechSpan span;
    bool interim;
    std::vector<float> samples;
  };

  void take(const float* samples, size_t count, std::vector<SpeechSegment>* out);
  void follow(std::vector<SpeechSegment>* out);
  void enqueue(const SpeechSpan& span, bool interim, std::vector<SpeechSegment>* out);
  void answer(std::vector<SpeechSegment>* out);

  const ClipJudge judge_;
  const int64_t sample_rate_;
  const SpeechStreamOptions options_;
  const int64_t interim_frames_;
  std::shared_ptr<const Resampler> resampler_;  // null at 16 kHz
  std::optional<ResampleStream> resample_;
  VadStream vad_;
  Segmenter segmenter_;
  ScoreSmoother smoother_;

  std::vector<float> held_;  // at 16 kHz, from held_begin_ on
  int64_t held_begin_ = 0;
  int64_t total_ = 0;  // at 16 kHz
  std::vector<VadFrame> frames_;
  std::vector<Pending> pending_;
  int64_t segments_ = 0;
  enum class State { kOpen, kEnded, kBroken } state_ = State::kOpen;
  std::atomic<bool> in_use_{false};
};

// A segment as a JSON object, with the keys of Segment.to_dict() in Python.
std::string segment_json(const Manifest& manifest, const SpeechSegment& segment);

}  // namespace affectrt

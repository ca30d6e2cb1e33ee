#include "runtime/speech_stream.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "audio/samples.h"
#include "base/error.h"
#include "runtime/json_writer.h"
#include "runtime/model_json.h"

namespace affectrt {
namespace {

constexpr size_t kMostPending = 8;  // clips that are judged at a time
constexpr double kLeastInterimMs = 50.0;
constexpr double kMostSmoothingS = 3600.0;

void check(bool good, const std::string& message) {
  if (!good) throw Error(ErrorKind::kInput, message);
}

SpeechStreamOptions checked(const ClipJudge& judge, SpeechStreamOptions options) {
  check(options.interim_ms == 0.0 ||
            (options.interim_ms >= kLeastInterimMs && options.interim_ms <= 1e6),
        "interim_ms is " + std::to_string(options.interim_ms) +
            "; 50 or more is needed, or 0 for no interim results");
  check(options.smoothing_s >= 0.0 && options.smoothing_s <= kMostSmoothingS,
        "smoothing_s is " + std::to_string(options.smoothing_s) + "; 0 to 3600 is needed");
  check(options.margin >= 0.0F && options.margin <= 1.0F,
        "margin is " + std::to_string(options.margin) + "; 0 to 1 is needed");
  double& most = options.segments.max_segment_s;
  check(most >= 0.0, "max_segment_s is " + std::to_string(most) +
                         "; seconds are needed, or 0 for what the model takes");
  most = most == 0.0 ? judge.max_seconds : std::min(most, judge.max_seconds);
  return options;
}

const Head& first_head(const ClipJudge& judge) {
  if (judge.manifest->heads.empty()) throw Error(ErrorKind::kInput, "the model has no heads");
  return judge.manifest->heads.front();
}

Prediction row_of(const Prediction& all, size_t row) {
  Prediction one;
  one.answered = all.answered;
  for (const HeadScores& scores : all.heads) one.heads.push_back(affectrt::row_of(scores, row));
  one.token_counts = {0};
  one.truncated = {0};
  return one;
}

}  // namespace

ClipJudge judge_of(std::shared_ptr<const SpeechModel> model) {
  ClipJudge judge;
  judge.manifest = &model->manifest();
  judge.max_seconds = double{model->audio().max_seconds};
  judge.judge = [model = std::move(model)](const std::vector<SoundView>& clips) {
    SpeechPrediction prediction = model->predict(clips, {});
    Prediction made;
    made.answered = std::move(prediction.answered);
    made.heads = std::move(prediction.heads);
    return made;
  };
  return judge;
}

void ScoreSmoother::take(SpeechSegment* segment) {
  const std::vector<float>& scores = segment->prediction.heads.front().scores;
  const double length_s = segment->end_s - segment->start_s;
  const double back_s = std::max(0.0, segment->end_s - last_end_s_);
  const double kept = smoothing_s_ > 0.0 ? std::exp(-back_s / smoothing_s_) : 0.0;
  std::vector<double> sums = sums_;
  sums.resize(scores.size(), 0.0);
  const double weight = weight_ * kept + length_s;
  segment->smoothed.resize(scores.size());
  for (size_t i = 0; i < scores.size(); ++i) {
    sums[i] = sums[i] * kept + length_s * double{scores[i]};
    segment->smoothed[i] = static_cast<float>(sums[i] / weight);
  }
  if (head_.task != Task::kRegression) {
    const std::vector<float>& smoothed = segment->smoothed;
    const auto best =
        static_cast<int32_t>(std::max_element(smoothed.begin(), smoothed.end()) - smoothed.begin());
    const auto score = [&](int32_t label) { return smoothed[static_cast<size_t>(label)]; };
    const bool stays = label_ && score(best) <= score(*label_) + margin_;
    segment->label = stays ? label_ : std::optional<int32_t>(best);
  }
  if (segment->interim) return;
  sums_ = std::move(sums);
  weight_ = weight;
  last_end_s_ = segment->end_s;
  label_ = segment->label;
}

// Holds a stream for one call.
class SpeechStream::Use {
 public:
  explicit Use(SpeechStream* of) : of_(of) {
    if (of->in_use_.exchange(true)) {
      throw Error(ErrorKind::kInput,
                  "the stream is in use by another call; one stream belongs to one thread at a "
                  "time");
    }
  }
  ~Use() { of_->in_use_.store(false); }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;

 private:
  SpeechStream* of_;
};

SpeechStream::SpeechStream(ClipJudge judge, int64_t sample_rate, const SpeechStreamOptions& options)
    : judge_(std::move(judge)),
      sample_rate_(sample_rate),
      options_(checked(judge_, options)),
      interim_frames_(std::llround(options_.interim_ms / kVadFrameMs)),
      segmenter_(options_.segments),
      smoother_(first_head(judge_), options_.smoothing_s, options_.margin) {
  check_sample_rate(sample_rate);
  if (sample_rate == kVadRate) return;
  resampler_ = std::make_shared<const Resampler>(sample_rate, kVadRate);
  resample_.emplace(resampler_);
}

double SpeechStream::latency_ms() const {
  return (resampler_ == nullptr ? 0.0 : resampler_->latency_ms()) + kVadLatencyMs +
         options_.segments.min_silence_ms;
}

void SpeechStream::enqueue(const SpeechSpan& span, bool interim, std::vector<SpeechSegment>* out) {
  const auto from = held_.begin() + (span.begin - held_begin_);
  pending_.push_back({span, interim, {from, from + (span.end - span.begin)}});
  if (pending_.size() >= kMostPending) answer(out);
}

void SpeechStream::answer(std::vector<SpeechSegment>* out) {
  if (pending_.empty()) return;
  std::vector<SoundView> clips;
  clips.reserve(pending_.size());
  for (const Pending& one : pending_)
    clips.push_back({one.samples.data(), one.samples.size(), kVadRate});
  const Prediction all = judge_.judge(clips);
  for (size_t row = 0; row < pending_.size(); ++row) {
    const Pending& one = pending_[row];
    SpeechSegment made;
    made.index = segments_;
    made.start_s = static_cast<double>(one.span.begin) / static_cast<double>(kVadRate);
    made.end_s = static_cast<double>(one.span.end) / static_cast<double>(kVadRate);
    made.interim = one.interim;
    made.cut = one.span.cut;
    made.prediction = row_of(all, row);
    smoother_.take(&made);
    if (!one.interim) ++segments_;
    out->push_back(std::move(made));
  }
  pending_.clear();
}

// The segments that the frames in frames_ complete.
void SpeechStream::follow(std::vector<SpeechSegment>* out) {
  SpeechSpan span;
  for (const VadFrame& frame : frames_) {
    if (segmenter_.feed(frame, &span)) {
      enqueue(span, false, out);
    } else if (const int64_t since = segmenter_.open_since(); interim_frames_ > 0 && since >= 0) {
      const int64_t now = segmenter_.frames();
      if ((now - since / kVadShift) % interim_frames_ == 0) {
        enqueue({since, now * kVadShift, false}, true, out);
      }
    }
  }
  frames_.clear();
}

void SpeechStream::take(const float* samples, size_t count, std::vector<SpeechSegment>* out) {
  const size_t old = held_.size();
  if (resample_) {
    resample_->feed(samples, count, &held_);
  } else {
    held_.insert(held_.end(), samples, samples + count);
  }
  total_ += static_cast<int64_t>(held_.size() - old);
  vad_.feed(held_.data() + old, held_.size() - old, &frames_);
  follow(out);
  // Moving the rest costs little beside the second that went.
  const int64_t drop = std::min(segmenter_.needed_from(), total_) - held_begin_;
  if (drop >= kVadRate) {
    held_.erase(held_.begin(), held_.begin() + drop);
    held_begin_ += drop;
  }
}

void SpeechStream::feed(const float* samples, size_t count, std::vector<SpeechSegment>* out) {
  const Use use(this);
  check(state_ != State::kEnded, "the stream has ended with flush(); begin another one");
  check(state_ != State::kBroken, "the stream ended with an error; begin another one");
  check_samples(samples, count, "chunk");
  state_ = State::kBroken;
  const auto most = static_cast<size_t>(sample_rate_);
  for (size_t at = 0; at < count; at += most) {
    take(samples + at, std::min(most, count - at), out);
  }
  answer(out);
  state_ = State::kOpen;
}

void SpeechStream::flush(std::vector<SpeechSegment>* out) {
  const Use use(this);
  check(state_ != State::kEnded, "the stream has ended already; begin another one");
  check(state_ != State::kBroken, "the stream ended with an error; begin another one");
  state_ = State::kBroken;
  if (resample_) {
    const size_t old = held_.size();
    resample_->finish(&held_);
    total_ += static_cast<int64_t>(held_.size() - old);
    vad_.feed(held_.data() + old, held_.size() - old, &frames_);
  }
  vad_.finish(&frames_);
  follow(out);
  SpeechSpan span;
  if (segmenter_.finish(total_, &span)) enqueue(span, false, out);
  answer(out);
  held_ = {};
  state_ = State::kEnded;
}

std::string segment_json(const Manifest& manifest, const SpeechSegment& segment) {
  const Head& head = manifest.heads.front();
  JsonWriter out;
  out.begin('{');
  out.key("index").integer(segment.index);
  out.key("start_s").number(segment.start_s);
  out.key("end_s").number(segment.end_s);
  out.key("interim").boolean(segment.interim);
  out.key("cut").boolean(segment.cut);
  if (segment.label) out.key("label").string(head.labels[static_cast<size_t>(*segment.label)]);
  out.key("smoothed").begin('{');
  for (size_t i = 0; i < head.labels.size(); ++i) {
    out.key(head.labels[i]).number(double{segment.smoothed[i]});
  }
  out.end('}');
  write_answers(manifest, segment.prediction.answered, segment.prediction.heads,
                {{}, 0, segment.prediction.truncated[0] != 0}, &out);
  out.end('}');
  return out.take();
}

}  // namespace affectrt

#include "audio/segmenter.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/error.h"

namespace affectrt {
namespace {

constexpr int64_t kQuietFrames = 5;  // a place to cut is judged by the 50 ms about it
constexpr int64_t kLeastRest = 50;   // frames that a cut leaves to the next segment, if it can
constexpr double kLeastSegmentS = 0.5;
constexpr double kMostSegmentS = 3600.0;

void check(bool good, const std::string& message) {
  if (!good) throw Error(ErrorKind::kInput, message);
}

int64_t frames_of(double ms, const char* name, double most_ms) {
  check(ms >= 0.0 && ms <= most_ms, std::string(name) + " is " + std::to_string(ms) + "; 0 to " +
                                        std::to_string(static_cast<int>(most_ms)) +
                                        " ms is needed");
  return std::llround(ms / kVadFrameMs);
}

}  // namespace

Segmenter::Segmenter(const SegmentOptions& options)
    : onset_(options.onset), offset_(options.offset) {
  check(options.onset > 0.0F && options.onset < 1.0F && options.offset > 0.0F &&
            options.offset <= options.onset,
        "0 < offset <= onset < 1 is needed, as probabilities of speech");
  min_speech_ = std::max<int64_t>(1, frames_of(options.min_speech_ms, "min_speech_ms", 1000.0));
  min_silence_ = std::max<int64_t>(1, frames_of(options.min_silence_ms, "min_silence_ms", 10000.0));
  padding_ = frames_of(options.padding_ms, "padding_ms", 1000.0);
  check(padding_ <= min_silence_, "padding_ms may not be above min_silence_ms");
  check(options.max_segment_s >= kLeastSegmentS && options.max_segment_s <= kMostSegmentS,
        "max_segment_s is " + std::to_string(options.max_segment_s) + "; 0.5 to 3600 s is needed");
  most_ = static_cast<int64_t>(options.max_segment_s * 1000.0 / kVadFrameMs);
  check(2 * (padding_ + min_speech_) <= most_,
        "max_segment_s has to be twice as long as padding_ms and min_speech_ms");
}

int64_t Segmenter::needed_from() const {
  if (speaking_) return begin_ * kVadShift;
  const int64_t from = rise_ >= 0 ? rise_ : frame_;
  return std::max(last_end_, from - padding_) * kVadShift;
}

void Segmenter::forget_levels() {
  for (const int64_t from = needed_from() / kVadShift; levels_from_ < from; ++levels_from_) {
    levels_.pop_front();
  }
}

SpeechSpan Segmenter::closed(int64_t end, bool cut) {
  last_end_ = end;
  return {begin_ * kVadShift, end * kVadShift, cut};
}

// The frame of the second half of the open segment about which it is quietest; the first of such.
int64_t Segmenter::quietest() const {
  const auto count = static_cast<int64_t>(levels_.size());
  const int64_t first = count / 2;
  const int64_t last = std::max(first, count - kLeastRest);
  int64_t best = first;
  float least = 0.0F;
  for (int64_t i = first; i <= last; ++i) {
    const int64_t from = std::max<int64_t>(0, i - kQuietFrames / 2);
    const int64_t to = std::min(count, i + kQuietFrames / 2 + 1);
    float mean = 0.0F;
    for (int64_t k = from; k < to; ++k) mean += levels_[static_cast<size_t>(k)];
    mean /= static_cast<float>(to - from);
    if (i > first && mean >= least) continue;
    best = i;
    least = mean;
  }
  return begin_ + best;
}

bool Segmenter::feed(const VadFrame& frame, SpeechSpan* span) {
  const int64_t now = frame_++;
  levels_.push_back(frame.level);
  if (!speaking_) {
    if (rise_ < 0 && frame.speech >= onset_) rise_ = now;
    if (frame.speech < offset_) rise_ = -1;
    if (rise_ >= 0 && now + 1 - rise_ >= min_speech_) {
      begin_ = std::max(last_end_, rise_ - padding_);
      speaking_ = true;
      rise_ = fall_ = -1;
    }
    forget_levels();
    return false;
  }
  if (frame.speech >= offset_) {
    fall_ = -1;
  } else if (fall_ < 0) {
    fall_ = now;
  }
  if (fall_ >= 0 && frame_ - fall_ >= min_silence_) {
    *span = closed(fall_ + padding_, false);
    speaking_ = false;
    forget_levels();
    return true;
  }
  if (frame_ - begin_ < most_) return false;
  // Enough silence to end here is not enough to go on with.
  const bool silent = fall_ >= 0 && frame_ - fall_ > padding_;
  *span = closed(silent ? fall_ + padding_ : quietest(), !silent);
  speaking_ = !silent;
  begin_ = last_end_;
  forget_levels();
  return true;
}

bool Segmenter::finish(int64_t samples, SpeechSpan* span) {
  const bool open = speaking_;
  if (open) {
    const bool silent = fall_ >= 0 && frame_ - fall_ > padding_;
    *span = closed(silent ? fall_ + padding_ : frame_, false);
    if (!silent) span->end = samples;
  }
  frame_ = last_end_ = begin_ = levels_from_ = 0;
  rise_ = fall_ = -1;
  speaking_ = false;
  levels_.clear();
  return open;
}

}  // namespace affectrt

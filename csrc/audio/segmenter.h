// From the likelihood of speech, frame by frame, to segments in which somebody speaks.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "audio/vad.h"

namespace affectrt {

// Times are rounded to whole frames of 10 ms.
struct SegmentOptions {
  float onset = 0.5F;             // speech begins where its probability reaches it
  float offset = 0.35F;           // and goes on until it falls below this one
  double min_speech_ms = 100.0;   // shorter sounds are none
  double min_silence_ms = 300.0;  // shorter silences do not end a segment
  double padding_ms = 100.0;      // of what is around the speech that belongs to the segment
  double max_segment_s = 8.0;     // a longer one is cut where it is quietest in its second half
};

// Samples [begin, end) at kVadRate.
struct SpeechSpan {
  int64_t begin = 0;
  int64_t end = 0;
  bool cut = false;  // it ends where it had to be cut, not where speech ends
};

// One caller at a time.
class Segmenter {
 public:
  // Throws Error(kInput) for options that make no sense.
  explicit Segmenter(const SegmentOptions& options);

  // The next frame. True where it completes a segment, which goes to `span`.
  bool feed(const VadFrame& frame, SpeechSpan* span);
  // The end of the sound, which has `samples` in all, at most one frame more than were fed. True
  // where a segment ends with it. As new after it.
  bool finish(int64_t samples, SpeechSpan* span);

  // The first sample of the segment that is open, -1 where there is none.
  int64_t open_since() const { return speaking_ ? begin_ * kVadShift : -1; }
  // Samples before it will not be part of any further segment.
  int64_t needed_from() const;
  int64_t frames() const { return frame_; }

 private:
  SpeechSpan closed(int64_t end, bool cut);
  int64_t quietest() const;
  void forget_levels();

  float onset_;
  float offset_;
  int64_t min_speech_;
  int64_t min_silence_;
  int64_t padding_;
  int64_t most_;

  int64_t frame_ = 0;         // frames that came
  int64_t last_end_ = 0;      // of the segment before
  int64_t rise_ = -1;         // where what may be speech began; -1: nothing did
  bool speaking_ = false;     // a segment is open
  int64_t begin_ = 0;         // of the open segment
  int64_t fall_ = -1;         // where the silence in it began; -1: there is none
  std::deque<float> levels_;  // of the frames from levels_from_ to frame_, those still needed
  int64_t levels_from_ = 0;
};

}  // namespace affectrt

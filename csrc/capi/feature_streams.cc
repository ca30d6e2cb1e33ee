// Sound as it comes: to rows of features or samples, and to where somebody speaks.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "capi/call.h"
#include "capi/handles.h"

namespace affectrt {
namespace {

constexpr size_t kFirstVoice = sizeof(affectrt_voice_options);

std::unique_ptr<ResampleStream> resampling(int32_t from_rate, int64_t to_rate) {
  if (from_rate == 0 || from_rate == to_rate) return nullptr;
  return std::make_unique<ResampleStream>(std::make_shared<const Resampler>(from_rate, to_rate));
}

// Runs `work`; after a failure in it, which leaves a part of the sound taken, `handle` is of no
// use.
template <class Handle, class Work>
void carefully(Handle* handle, const Work& work) {
  if (handle->failed) {
    throw Error(ErrorKind::kInput, "an earlier call failed in the middle; destroy the handle");
  }
  handle->failed = true;
  work();
  handle->failed = false;
}

// The samples at the rate that the handle works at: those that are certain after [samples, count),
// and the rest where the sound ends. Good until the next call.
template <class Handle>
void at_own_rate(Handle* handle, const float** samples, size_t* count, bool ends) {
  if (handle->resampler == nullptr) return;
  handle->resampled.clear();
  handle->resampler->feed(*samples, *count, &handle->resampled);
  if (ends) handle->resampler->finish(&handle->resampled);
  *samples = handle->resampled.data();
  *count = handle->resampled.size();
}

// ---- rows

void take(affectrt_row_stream* stream, const float* samples, size_t count, bool ends) {
  // What was read makes room before the rest would have to move further.
  std::vector<float>& rows = stream->rows;
  if (stream->read > 0) {
    rows.erase(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(stream->read));
    stream->read = 0;
  }
  at_own_rate(stream, &samples, &count, ends);
  if (stream->frames == nullptr) {
    rows.insert(rows.end(), samples, samples + count);
    return;
  }
  stream->frames->feed(samples, count, &rows);
  if (ends) stream->frames->finish(&rows);
}

void tell_ready(const affectrt_row_stream& stream, size_t* ready) {
  if (ready != nullptr) *ready = (stream.rows.size() - stream.read) / stream.columns;
}

// ---- voice

SegmentOptions options_of(const affectrt_voice_options& from) {
  SegmentOptions options;
  const auto read = [](double value, float* to) {
    if (value != 0.0) *to = value < 0.0 ? 0.0F : static_cast<float>(value);
  };
  read(from.onset, &options.onset);
  read(from.offset, &options.offset);
  read_option(from.min_speech_ms, &options.min_speech_ms);
  read_option(from.min_silence_ms, &options.min_silence_ms);
  read_option(from.padding_ms, &options.padding_ms);
  read_option(from.max_segment_s, &options.max_segment_s);
  return options;
}

void listen(affectrt_voice_detector* to, const float* samples, size_t count, bool ends) {
  at_own_rate(to, &samples, &count, ends);
  to->frames.clear();
  to->vad.feed(samples, count, &to->frames);
  to->samples += static_cast<int64_t>(count);
  if (ends) to->vad.finish(&to->frames);
  SpeechSpan span;
  for (const VadFrame& frame : to->frames) {
    if (to->keeps_probabilities) to->probabilities.push_back(frame.speech);
    if (to->segmenter.feed(frame, &span)) to->spans.push_back(span);
  }
  if (!ends) return;
  if (to->segmenter.finish(to->samples, &span)) to->spans.push_back(span);
  to->samples = 0;
}

void tell_waiting(const affectrt_voice_detector& of, size_t* segments, size_t* probabilities) {
  if (segments != nullptr) *segments = of.spans.size();
  if (probabilities != nullptr) *probabilities = of.probabilities.size();
}

}  // namespace
}  // namespace affectrt

using namespace affectrt;

extern "C" {

affectrt_status affectrt_row_stream_of_features(const affectrt_features* features,
                                                int32_t sample_rate,
                                                affectrt_row_stream** out) noexcept {
  return guarded([&] {
    affectrt_row_stream*& stream = emptied(out);
    const affectrt_features& of = given(features, "features");
    auto made = std::make_unique<affectrt_row_stream>();
    made->resampler = resampling(sample_rate, of.sample_rate);
    made->frames = std::make_unique<FrameStream>(of.features);
    made->columns = of.features->columns();
    stream = made.release();
  });
}

affectrt_status affectrt_row_stream_of_resampler(const affectrt_resampler* resampler,
                                                 affectrt_row_stream** out) noexcept {
  return guarded([&] {
    affectrt_row_stream*& stream = emptied(out);
    auto made = std::make_unique<affectrt_row_stream>();
    made->resampler = std::make_unique<ResampleStream>(given(resampler, "resampler").resampler);
    stream = made.release();
  });
}

void affectrt_row_stream_destroy(affectrt_row_stream* stream) noexcept { delete stream; }

affectrt_status affectrt_row_stream_feed(affectrt_row_stream* stream, const float* samples,
                                         size_t count, size_t* ready) noexcept {
  return guarded([&] {
    affectrt_row_stream& to = given(stream, "stream");
    const Use use(&to.in_use, "stream");
    check_clip(samples, count);
    carefully(&to, [&] { take(&to, samples, count, false); });
    tell_ready(to, ready);
  });
}

affectrt_status affectrt_row_stream_finish(affectrt_row_stream* stream, size_t* ready) noexcept {
  return guarded([&] {
    affectrt_row_stream& to = given(stream, "stream");
    const Use use(&to.in_use, "stream");
    carefully(&to, [&] { take(&to, nullptr, 0, true); });
    tell_ready(to, ready);
  });
}

affectrt_status affectrt_row_stream_read(affectrt_row_stream* stream, float* out, size_t rows,
                                         size_t* read) noexcept {
  return guarded([&] {
    affectrt_row_stream& from = given(stream, "stream");
    const Use use(&from.in_use, "stream");
    size_t& taken = given(read, "read");
    if (rows > 0) given(out, "out");
    taken = std::min(rows, (from.rows.size() - from.read) / from.columns);
    const float* values = from.rows.data() + from.read;
    std::copy_n(values, taken * from.columns, out);
    from.read += taken * from.columns;
  });
}

affectrt_status affectrt_voice_detector_create(const affectrt_voice_options* given_options,
                                               affectrt_voice_detector** out) noexcept {
  return guarded([&] {
    affectrt_voice_detector*& detector = emptied(out);
    const auto from = read_struct(given_options, kFirstVoice, "options");
    auto made = std::make_unique<affectrt_voice_detector>(options_of(from));
    made->resampler = resampling(from.sample_rate, kVadRate);
    made->keeps_probabilities = from.keep_probabilities != 0;
    detector = made.release();
  });
}

void affectrt_voice_detector_destroy(affectrt_voice_detector* detector) noexcept {
  delete detector;
}

affectrt_status affectrt_voice_detector_feed(affectrt_voice_detector* detector,
                                             const float* samples, size_t count, size_t* segments,
                                             size_t* probabilities) noexcept {
  return guarded([&] {
    affectrt_voice_detector& to = given(detector, "detector");
    const Use use(&to.in_use, "detector");
    check_clip(samples, count);
    carefully(&to, [&] { listen(&to, samples, count, false); });
    tell_waiting(to, segments, probabilities);
  });
}

affectrt_status affectrt_voice_detector_finish(affectrt_voice_detector* detector, size_t* segments,
                                               size_t* probabilities) noexcept {
  return guarded([&] {
    affectrt_voice_detector& to = given(detector, "detector");
    const Use use(&to.in_use, "detector");
    carefully(&to, [&] { listen(&to, nullptr, 0, true); });
    tell_waiting(to, segments, probabilities);
  });
}

affectrt_status affectrt_voice_detector_read_segments(affectrt_voice_detector* detector,
                                                      affectrt_voice_segment* out, size_t room,
                                                      size_t* read) noexcept {
  return guarded([&] {
    affectrt_voice_detector& from = given(detector, "detector");
    const Use use(&from.in_use, "detector");
    size_t& taken = given(read, "read");
    if (room > 0) given(out, "out");
    constexpr auto kRate = static_cast<double>(kVadRate);
    for (taken = 0; taken < room && !from.spans.empty(); ++taken) {
      const SpeechSpan& span = from.spans.front();
      out[taken] = {static_cast<double>(span.begin) / kRate, static_cast<double>(span.end) / kRate,
                    span.cut ? 1U : 0U, 0};
      from.spans.pop_front();
    }
  });
}

affectrt_status affectrt_voice_detector_read_probabilities(affectrt_voice_detector* detector,
                                                           float* out, size_t room,
                                                           size_t* read) noexcept {
  return guarded([&] {
    affectrt_voice_detector& from = given(detector, "detector");
    const Use use(&from.in_use, "detector");
    size_t& taken = given(read, "read");
    if (room > 0) given(out, "out");
    taken = std::min(room, from.probabilities.size());
    const auto end = from.probabilities.begin() + static_cast<std::ptrdiff_t>(taken);
    std::copy(from.probabilities.begin(), end, out);
    from.probabilities.erase(from.probabilities.begin(), end);
  });
}

}  // extern "C"

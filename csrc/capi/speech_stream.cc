// Streams of sound.
#include "runtime/speech_stream.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "audio/samples.h"
#include "capi/call.h"
#include "capi/handles.h"
#include "runtime/speech_model.h"

namespace affectrt {
namespace {

constexpr size_t kFirstOptions = sizeof(affectrt_speech_stream_options);
constexpr size_t kFirstSegments = sizeof(affectrt_segments);

SpeechStreamOptions options_of(const affectrt_speech_stream_options& from) {
  SpeechStreamOptions options;
  options.segments.max_segment_s = 0.0;
  read_option(from.max_segment_s, &options.segments.max_segment_s);
  read_option(from.min_silence_ms, &options.segments.min_silence_ms);
  read_option(from.interim_ms, &options.interim_ms);
  read_option(from.smoothing_s, &options.smoothing_s);
  read_option(from.margin, &options.margin);
  return options;
}

affectrt_segment segment_of(const Head& head, const SpeechSegment& segment,
                            const std::vector<affectrt_label_score>& labels,
                            const std::string& json) {
  affectrt_segment made = {};
  made.start_s = segment.start_s;
  made.end_s = segment.end_s;
  made.index = segment.index;
  if (segment.label) {
    const auto label = static_cast<size_t>(*segment.label);
    made.label = head.labels[label].c_str();
    made.score = segment.smoothed[label];
  }
  made.interim = segment.interim ? 1 : 0;
  made.cut = segment.cut ? 1 : 0;
  const HeadScores& scores = segment.prediction.heads.front();
  made.unsure = scores.unsure.empty() ? 0U : scores.unsure.front();
  made.labels = labels.data();
  made.num_labels = static_cast<uint32_t>(labels.size());
  made.json = json.c_str();
  return made;
}

// Replaces what the call before has handed out.
void hand_out(affectrt_speech_stream* stream, const std::vector<SpeechSegment>& found,
              affectrt_segments* segments) {
  affectrt_speech_stream::Answered made;
  const Manifest& manifest = stream->stream->manifest();
  const Head& head = manifest.heads.front();
  // Segments point into these.
  made.labels.reserve(found.size());
  made.json.reserve(found.size());
  for (const SpeechSegment& one : found) {
    made.json.push_back(segment_json(manifest, one));
    const HeadScores& scores = one.prediction.heads.front();
    std::vector<affectrt_label_score>& labels = made.labels.emplace_back();
    for (const uint32_t i : ranked(head, scores, 0)) {
      labels.push_back({head.labels[i].c_str(), scores.scores[i], i, scores.decided[i], 0});
    }
    made.segments.push_back(segment_of(head, one, labels, made.json.back()));
  }
  stream->answered = std::move(made);
  affectrt_segments filled = {};
  filled.segments = stream->answered.segments.data();
  filled.num_segments = stream->answered.segments.size();
  write_struct(segments, filled, kFirstSegments, "segments");
}

// The size of *segments is checked before the sound is taken.
void check_segments(const affectrt_segments* segments) {
  check_struct_size(given(segments, "segments").struct_size, kFirstSegments, "segments");
}

}  // namespace
}  // namespace affectrt

using namespace affectrt;

extern "C" {

affectrt_status affectrt_speech_stream_create(const affectrt_model* model,
                                              const affectrt_speech_stream_options* given_options,
                                              affectrt_speech_stream** out) noexcept {
  return guarded([&] {
    affectrt_speech_stream*& stream = emptied(out);
    const std::shared_ptr<const SpeechModel> with = speech_model(model);
    const affectrt_speech_stream_options from =
        read_struct(given_options, kFirstOptions, "options");
    check_reserved(from.reserved, "options");
    if (from.channels < 0 || from.channels > 64) {
      throw Error(ErrorKind::kInput, "options.channels is " + std::to_string(from.channels) +
                                         "; 1 to 64 are mixed, 0 stands for 1");
    }
    auto made = std::make_unique<affectrt_speech_stream>();
    made->format = sample_format(from.format, "options.format");
    made->channels = from.channels == 0 ? 1 : static_cast<size_t>(from.channels);
    made->stream =
        std::make_unique<SpeechStream>(judge_of(with), from.sample_rate, options_of(from));
    stream = made.release();
  });
}

void affectrt_speech_stream_destroy(affectrt_speech_stream* stream) noexcept { delete stream; }

affectrt_status affectrt_speech_stream_feed(affectrt_speech_stream* stream, const void* samples,
                                            size_t frames, affectrt_segments* segments) noexcept {
  return guarded([&] {
    affectrt_speech_stream& to = given(stream, "stream");
    const Use use(&to.in_use, "stream");
    check_segments(segments);
    if (frames > 0) given(static_cast<const uint8_t*>(samples), "samples");
    const size_t frame_bytes = bytes_per_sample(to.format) * to.channels;
    if (frames > static_cast<size_t>(INT64_MAX) / frame_bytes) {
      throw Error(ErrorKind::kInput, std::to_string(frames) + " frames are too many at once");
    }
    const auto* bytes = static_cast<const uint8_t*>(samples);
    std::vector<float> mono(frames);
    mix_samples(to.format, bytes, frames, to.channels, mono.data());
    std::vector<SpeechSegment> found;
    to.stream->feed(mono.data(), frames, &found);
    hand_out(stream, found, segments);
  });
}

affectrt_status affectrt_speech_stream_flush(affectrt_speech_stream* stream,
                                             affectrt_segments* segments) noexcept {
  return guarded([&] {
    affectrt_speech_stream& to = given(stream, "stream");
    const Use use(&to.in_use, "stream");
    check_segments(segments);
    std::vector<SpeechSegment> found;
    to.stream->flush(&found);
    hand_out(stream, found, segments);
  });
}

}  // extern "C"

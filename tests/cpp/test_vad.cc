// Segments from probabilities, and that any chunking of the sound gives the same.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "audio/segmenter.h"
#include "audio/vad.h"
#include "base/error.h"

using namespace affectrt;

namespace {

struct Found {
  int64_t begin;
  int64_t end;
  bool cut;
  bool operator==(const Found& other) const {
    return begin == other.begin && end == other.end && cut == other.cut;
  }
};

// Frames [begin, end) of segments.
std::vector<Found> segments(const std::vector<VadFrame>& frames, const SegmentOptions& options) {
  Segmenter segmenter(options);
  std::vector<Found> found;
  SpeechSpan span;
  for (const VadFrame& frame : frames) {
    if (segmenter.feed(frame, &span)) {
      found.push_back({span.begin / kVadShift, span.end / kVadShift, span.cut});
    }
    CHECK(segmenter.needed_from() <= segmenter.frames() * kVadShift);
  }
  if (segmenter.finish(static_cast<int64_t>(frames.size()) * kVadShift, &span)) {
    found.push_back({span.begin / kVadShift, span.end / kVadShift, span.cut});
  }
  return found;
}

std::vector<VadFrame> frames_of(const std::vector<std::pair<int, float>>& runs) {
  std::vector<VadFrame> frames;
  for (const auto& [count, speech] : runs) {
    frames.insert(frames.end(), static_cast<size_t>(count), VadFrame{speech, speech - 5.0F});
  }
  return frames;
}

// Bursts of a voice-like tone in noise.
std::vector<float> bursts(size_t count) {
  std::mt19937 engine(5);
  std::normal_distribution<float> normal(0.0F, 1.0F);
  std::vector<float> x(count);
  for (size_t i = 0; i < count; ++i) {
    const double t = static_cast<double>(i) / 16000.0;
    const bool speaks = std::fmod(t, 1.7) > 0.8;
    double voice = 0.0;
    for (int k = 1; k < 20; ++k) voice += std::sin(2 * 3.14159265 * 140.0 * k * t) / k;
    voice *= 0.6 + 0.4 * std::sin(2 * 3.14159265 * 4.0 * t);
    x[i] = 1e-3F * normal(engine) + (speaks ? 0.1F * static_cast<float>(voice) : 0.0F);
  }
  return x;
}

std::vector<VadFrame> answers(const std::vector<float>& samples, size_t most, unsigned seed) {
  std::mt19937 engine(seed);
  VadStream stream;
  std::vector<VadFrame> frames;
  for (size_t at = 0; at < samples.size();) {
    const size_t chunk = std::min<size_t>(samples.size() - at, engine() % (most + 1));
    stream.feed(samples.data() + at, chunk, &frames);
    at += chunk;
  }
  stream.finish(&frames);
  return frames;
}

}  // namespace

TEST_CASE("hysteresis, padding and least lengths") {
  SegmentOptions options;
  // 50 ms of speech are none, 200 ms are; a dip above the offset and a short silence do not end it.
  const auto frames = frames_of({{50, 0.1F},
                                 {5, 0.9F},
                                 {50, 0.1F},
                                 {20, 0.9F},
                                 {20, 0.4F},
                                 {20, 0.1F},
                                 {20, 0.6F},
                                 {60, 0.1F}});
  const std::vector<Found> expected = {{95, 195, false}};
  CHECK(segments(frames, options) == expected);
  options.min_silence_ms = 200.0;
  CHECK(segments(frames, options) == std::vector<Found>{{95, 155, false}, {155, 195, false}});
  options.padding_ms = 0.0;
  CHECK(segments(frames, options) == std::vector<Found>{{105, 145, false}, {165, 185, false}});
}

TEST_CASE("speech to the end of the sound and from its beginning") {
  const auto frames = frames_of({{30, 0.9F}, {40, 0.1F}, {30, 0.9F}});
  CHECK(segments(frames, {}) == std::vector<Found>{{0, 40, false}, {60, 100, false}});
  CHECK(segments(frames_of({{100, 0.2F}}), {}).empty());
  CHECK(segments({}, {}).empty());
}

TEST_CASE("a long segment is cut where it is quietest in its second half") {
  auto frames = frames_of({{1500, 0.9F}});
  for (int i = 640; i < 660; ++i) frames[static_cast<size_t>(i)].level = -9.0F;
  const std::vector<Found> expected = {{0, 642, true}, {642, 1042, true}, {1042, 1500, false}};
  const auto found = segments(frames, {});
  REQUIRE(found.size() == 3);
  CHECK(found[0] == expected[0]);
  CHECK(found[1] == expected[1]);
  CHECK(found[2] == expected[2]);
  for (const Found& one : found) CHECK(one.end - one.begin <= 800);
}

TEST_CASE("segments lie in order, do not overlap and are never too long") {
  std::mt19937 engine(3);
  const auto below = [&](unsigned bound) { return static_cast<double>(engine() % bound); };
  for (int round = 0; round < 40; ++round) {
    SegmentOptions options;
    options.max_segment_s = 0.5 + 0.5 * below(4);
    options.padding_ms = 10.0 * below(10);
    options.min_silence_ms = options.padding_ms + 10.0 * below(20);
    options.min_speech_ms = 10.0 * below(10);
    std::vector<VadFrame> frames;
    float speech = 0.5F;
    for (int i = 0; i < 2000; ++i) {
      if (engine() % 20 == 0) speech = static_cast<float>(engine() % 100) / 100.0F;
      frames.push_back({speech, static_cast<float>(engine() % 1000)});
    }
    int64_t last = 0;
    for (const Found& one : segments(frames, options)) {
      CHECK(one.begin >= last);
      CHECK(one.end > one.begin);
      CHECK(one.end - one.begin <= static_cast<int64_t>(options.max_segment_s * 100));
      last = one.end;
    }
    CHECK(last <= 2000);
  }
}

TEST_CASE("options that make no sense") {
  const auto refused = [](auto change, const char* about) {
    SegmentOptions options;
    change(&options);
    try {
      const Segmenter segmenter(options);
      FAIL("accepted: ", about);
    } catch (const Error& error) {
      CHECK(error.kind() == ErrorKind::kInput);
      CHECK(std::string(error.what()).find(about) != std::string::npos);
    }
  };
  refused([](SegmentOptions* o) { o->onset = 1.5F; }, "onset");
  refused([](SegmentOptions* o) { o->offset = 0.9F; }, "offset");
  refused([](SegmentOptions* o) { o->offset = NAN; }, "offset");
  refused([](SegmentOptions* o) { o->padding_ms = 400.0; }, "padding_ms");
  refused([](SegmentOptions* o) { o->min_silence_ms = -1.0; }, "min_silence_ms");
  refused([](SegmentOptions* o) { o->min_speech_ms = NAN; }, "min_speech_ms");
  refused([](SegmentOptions* o) { o->max_segment_s = 0.1; }, "max_segment_s");
}

TEST_CASE("any chunking gives the same bits") {
  const std::vector<float> samples = bursts(16000 * 5 + 77);
  const std::vector<VadFrame> whole = answers(samples, samples.size() * 2, 0);
  CHECK(whole.size() == samples.size() / kVadShift);
  for (const size_t most : {size_t{37}, size_t{1000}, size_t{30000}}) {
    const std::vector<VadFrame> parts = answers(samples, most, 1);
    REQUIRE(parts.size() == whole.size());
    for (size_t i = 0; i < whole.size(); ++i) {
      CHECK(parts[i].speech == whole[i].speech);
      CHECK(parts[i].level == whole[i].level);
    }
  }
}

TEST_CASE("clips of a few samples, and a stream that is used again") {
  VadStream stream;
  for (const size_t count : {size_t{0}, size_t{1}, size_t{159}, size_t{160}, size_t{320},
                             size_t{2560}, size_t{2720}, size_t{16000}}) {
    const std::vector<float> samples = bursts(count);
    std::vector<VadFrame> frames;
    stream.feed(samples.data(), samples.size(), &frames);
    stream.finish(&frames);
    CHECK(frames.size() == count / kVadShift);
    for (const VadFrame& frame : frames) CHECK((frame.speech >= 0.0F && frame.speech <= 1.0F));
    const std::vector<VadFrame> again = answers(samples, count + 1, 2);
    REQUIRE(again.size() == frames.size());
    for (size_t i = 0; i < frames.size(); ++i) CHECK(again[i].speech == frames[i].speech);
  }
}

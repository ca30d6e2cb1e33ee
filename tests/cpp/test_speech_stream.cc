// Streams of sound with a judge that measures loudness: chunking, timestamps, smoothing, errors.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "runtime/speech_stream.h"

using namespace affectrt;

namespace {

// Two heads: "quiet" or "loud" by the mean square of the clip, and its length in seconds.
struct Fake {
  Fake() {
    Head emotion;
    emotion.name = "emotion";
    emotion.labels = {"quiet", "loud"};
    Head seconds;
    seconds.name = "seconds";
    seconds.task = Task::kRegression;
    seconds.labels = {"seconds"};
    manifest.name = "fake";
    manifest.modality = "speech";
    manifest.heads = {emotion, seconds};
  }

  Prediction operator()(const std::vector<SoundView>& clips) {
    ++calls;
    longest_batch = std::max(longest_batch, clips.size());
    if (fails) throw Error(ErrorKind::kBackend, "no more");
    std::vector<float> logits;
    std::vector<float> seconds;
    for (const SoundView& clip : clips) {
      double squares = 0.0;
      for (size_t i = 0; i < clip.count; ++i) {
        squares += static_cast<double>(clip.samples[i]) * static_cast<double>(clip.samples[i]);
      }
      logits.push_back(0.0F);
      logits.push_back(static_cast<float>(std::log(squares / static_cast<double>(clip.count)) + 6));
      seconds.push_back(static_cast<float>(clip.count) / 16000.0F);
    }
    Prediction made;
    made.answered = {0, 1};
    const auto rows = static_cast<int32_t>(clips.size());
    made.heads = {decode(manifest.heads[0], logits, rows),
                  decode(manifest.heads[1], seconds, rows)};
    made.truncated.assign(clips.size(), 0);
    made.token_counts.assign(clips.size(), 0);
    return made;
  }

  Manifest manifest;
  int calls = 0;
  size_t longest_batch = 0;
  bool fails = false;
};

ClipJudge judge_of(Fake* fake, double max_seconds = 8.0) {
  return {&fake->manifest, max_seconds,
          [fake](const std::vector<SoundView>& clips) { return (*fake)(clips); }};
}

// A voice-like tone that swells in some stretches [from, to) of seconds, at `rate`, in faint noise.
std::vector<float> voice(double seconds, int64_t rate,
                         const std::vector<std::pair<double, double>>& stretches,
                         double loudness = 0.2) {
  std::mt19937 engine(5);
  std::normal_distribution<float> normal(0.0F, 1.0F);
  std::vector<float> x(static_cast<size_t>(seconds * static_cast<double>(rate)));
  for (size_t i = 0; i < x.size(); ++i) {
    const double t = static_cast<double>(i) / static_cast<double>(rate);
    x[i] = 3e-4F * normal(engine);
    const bool speaks = std::any_of(stretches.begin(), stretches.end(),
                                    [&](auto s) { return t >= s.first && t < s.second; });
    if (!speaks) continue;
    const double pitch = 130.0 + 20.0 * std::sin(2 * 3.14159265 * 0.7 * t);
    double tone = 0.0;
    for (int k = 1; k < 25; ++k) {
      const double formant = std::exp(-std::fabs(k * pitch - 600.0) / 500.0) +
                             0.5 * std::exp(-std::fabs(k * pitch - 1700.0) / 600.0);
      tone += formant * std::sin(2 * 3.14159265 * pitch * k * t);
    }
    const double swell = 0.55 + 0.45 * std::sin(2 * 3.14159265 * 4.0 * t);
    x[i] += static_cast<float>(loudness * 0.3 * tone * swell);
  }
  return x;
}

std::vector<SpeechSegment> heard(const std::vector<float>& samples, size_t most, int64_t rate,
                                 const SpeechStreamOptions& options, Fake* fake) {
  std::mt19937 engine(7);
  SpeechStream stream(judge_of(fake), rate, options);
  std::vector<SpeechSegment> found;
  for (size_t at = 0; at < samples.size();) {
    const size_t chunk =
        most == 0 ? samples.size() : std::min<size_t>(samples.size() - at, engine() % most);
    stream.feed(samples.data() + at, chunk, &found);
    at += chunk;
  }
  stream.flush(&found);
  return found;
}

void check_same(const std::vector<SpeechSegment>& a, const std::vector<SpeechSegment>& b) {
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    CHECK(a[i].index == b[i].index);
    CHECK(a[i].start_s == b[i].start_s);
    CHECK(a[i].end_s == b[i].end_s);
    CHECK(a[i].interim == b[i].interim);
    CHECK(a[i].cut == b[i].cut);
    CHECK(a[i].label == b[i].label);
    CHECK(a[i].smoothed == b[i].smoothed);
    CHECK(a[i].prediction.heads[0].scores == b[i].prediction.heads[0].scores);
  }
}

template <class Body>
void check_refused(const Body& body, const std::string& about, ErrorKind kind = ErrorKind::kInput) {
  try {
    body();
    FAIL("accepted: ", about);
  } catch (const Error& error) {
    CHECK(error.kind() == kind);
    CHECK_MESSAGE(std::string(error.what()).find(about) != std::string::npos, error.what());
  }
}

SpeechSegment segment_of(double start_s, double end_s, float first, bool interim = false) {
  SpeechSegment made;
  made.start_s = start_s;
  made.end_s = end_s;
  made.interim = interim;
  HeadScores scores;
  scores.width = 2;
  scores.scores = {first, 1.0F - first};
  made.prediction.heads = {scores};
  return made;
}

}  // namespace

TEST_CASE("segments lie where the voice is, in the input's time, at any rate") {
  const std::vector<std::pair<double, double>> stretches = {{1.0, 2.5}, {4.0, 5.0}, {7.0, 9.0}};
  for (const int64_t rate : {int64_t{16000}, int64_t{48000}, int64_t{44100}, int64_t{8000}}) {
    Fake fake;
    const auto found = heard(voice(10.0, rate, stretches), 0, rate, {}, &fake);
    REQUIRE(found.size() == stretches.size());
    for (size_t i = 0; i < found.size(); ++i) {
      CHECK(found[i].index == static_cast<int64_t>(i));
      CHECK(std::fabs(found[i].start_s - stretches[i].first) < 0.3);
      CHECK(std::fabs(found[i].end_s - stretches[i].second) < 0.5);
      CHECK_FALSE(found[i].cut);
      const float seconds = found[i].prediction.heads[1].scores[0];
      CHECK(seconds == doctest::Approx(found[i].end_s - found[i].start_s));
    }
  }
}

TEST_CASE("any chunking gives the same segments, interim ones too") {
  const auto samples = voice(14.0, 44100, {{0.0, 0.7}, {2.0, 11.5}, {12.5, 14.0}});
  SpeechStreamOptions options;
  options.interim_ms = 250.0;
  options.segments.max_segment_s = 4.0;
  Fake fake;
  const auto whole = heard(samples, 0, 44100, options, &fake);
  CHECK(fake.longest_batch <= 8);
  CHECK(std::any_of(whole.begin(), whole.end(), [](const auto& s) { return s.cut; }));
  CHECK(std::count_if(whole.begin(), whole.end(), [](const auto& s) { return s.interim; }) > 20);
  for (const SpeechSegment& one : whole) CHECK(one.end_s - one.start_s <= 4.0);
  check_same(whole, heard(samples, 50, 44100, options, &fake));
  check_same(whole, heard(samples, 3000, 44100, options, &fake));
  check_same(whole, heard(samples, 200000, 44100, options, &fake));
}

TEST_CASE("interim results are of the open segment and leave no trace") {
  const auto samples = voice(8.0, 16000, {{0.5, 3.0}, {5.0, 7.0}});
  SpeechStreamOptions options;
  Fake fake;
  const auto without = heard(samples, 0, 16000, options, &fake);
  options.interim_ms = 100.0;
  auto with = heard(samples, 0, 16000, options, &fake);
  int64_t index = 0;
  for (const SpeechSegment& one : with) {
    CHECK(one.index == index);
    index += one.interim ? 0 : 1;
  }
  with.erase(std::remove_if(with.begin(), with.end(), [](const auto& s) { return s.interim; }),
             with.end());
  check_same(without, with);
}

TEST_CASE("hours of sound are held in no more memory than minutes") {
  Fake fake;
  SpeechStream stream(judge_of(&fake), 16000, {});
  const auto minute = voice(20.0, 16000, {{1.0, 3.0}, {5.0, 16.0}});
  std::vector<SpeechSegment> found;
  size_t segments = 0;
  for (int i = 0; i < 30; ++i) {
    found.clear();
    stream.feed(minute.data(), minute.size(), &found);
    segments += found.size();
    CHECK(stream.held_samples() < 16000 * 11);
  }
  CHECK(segments >= 60);
}

TEST_CASE("smoothed scores and a label that does not flicker") {
  Head head;
  head.labels = {"a", "b"};
  ScoreSmoother smoother(head, 4.0, 0.1F);
  const auto label = [&](double start_s, double end_s, float first) {
    SpeechSegment one = segment_of(start_s, end_s, first);
    smoother.take(&one);
    return *one.label;
  };
  SpeechSegment first = segment_of(0.0, 2.0, 0.7F);
  smoother.take(&first);
  CHECK(first.smoothed[0] == doctest::Approx(0.7));
  CHECK(*first.label == 0);
  CHECK(label(2.0, 4.0, 0.44F) == 0);  // b is higher in the clip, not by the margin on average
  SpeechSegment interim = segment_of(4.0, 6.0, 0.0F, true);
  smoother.take(&interim);
  CHECK(*interim.label == 1);
  CHECK(label(4.0, 5.0, 0.5F) == 0);    // as if the interim one had not been
  CHECK(label(60.0, 61.0, 0.4F) == 1);  // a minute later the past counts for nothing

  ScoreSmoother alone(head, 0.0, 0.0F);
  SpeechSegment one = segment_of(0.0, 1.0, 0.9F);
  alone.take(&one);
  SpeechSegment two = segment_of(1.0, 2.0, 0.2F);
  alone.take(&two);
  CHECK(two.smoothed[0] == 0.2F);
  CHECK(*two.label == 1);
}

TEST_CASE("values have no label") {
  Head head;
  head.task = Task::kRegression;
  head.labels = {"arousal", "valence"};
  ScoreSmoother smoother(head, 4.0, 0.1F);
  SpeechSegment one = segment_of(0.0, 1.0, 0.9F);
  smoother.take(&one);
  CHECK_FALSE(one.label.has_value());
}

TEST_CASE("nothing, silence, a constant and a few samples") {
  Fake fake;
  for (const size_t count : {size_t{0}, size_t{1}, size_t{100}, size_t{48000}}) {
    CHECK(heard(std::vector<float>(count, 0.0F), 0, 16000, {}, &fake).empty());
    CHECK(heard(std::vector<float>(count, 0.3F), 0, 44100, {}, &fake).empty());
  }
  CHECK(fake.calls == 0);
}

TEST_CASE("bad samples leave the stream as it was") {
  const auto samples = voice(4.0, 16000, {{0.5, 3.0}});
  Fake fake;
  const auto whole = heard(samples, 0, 16000, {}, &fake);
  SpeechStream stream(judge_of(&fake), 16000, {});
  std::vector<SpeechSegment> found;
  stream.feed(samples.data(), 20000, &found);
  auto bad = samples;
  bad[20007] = std::numeric_limits<float>::quiet_NaN();
  check_refused([&] { stream.feed(bad.data() + 20000, 1000, &found); }, "chunk: sample 7 is NaN");
  bad[20007] = std::numeric_limits<float>::infinity();
  check_refused([&] { stream.feed(bad.data() + 20000, 1000, &found); }, "infinite");
  stream.feed(samples.data() + 20000, samples.size() - 20000, &found);
  stream.flush(&found);
  check_same(whole, found);
}

TEST_CASE("what is no way to use a stream") {
  Fake fake;
  std::vector<SpeechSegment> found;
  SpeechStream stream(judge_of(&fake), 16000, {});
  stream.flush(&found);
  const float x = 0.0F;
  check_refused([&] { stream.feed(&x, 1, &found); }, "has ended");
  check_refused([&] { stream.flush(&found); }, "has ended");
  check_refused([&] { SpeechStream(judge_of(&fake), 4000, {}); }, "4000 Hz");
  check_refused([&] { SpeechStream(judge_of(&fake), 0, {}); }, "sample rate 0");
  const auto refused = [&](auto change, const char* about) {
    SpeechStreamOptions options;
    change(&options);
    check_refused([&] { SpeechStream(judge_of(&fake), 16000, options); }, about);
  };
  refused([](auto* o) { o->interim_ms = 10.0; }, "interim_ms");
  refused([](auto* o) { o->interim_ms = NAN; }, "interim_ms");
  refused([](auto* o) { o->smoothing_s = -1.0; }, "smoothing_s");
  refused([](auto* o) { o->margin = 2.0F; }, "margin");
  refused([](auto* o) { o->segments.max_segment_s = -1.0; }, "max_segment_s");
  refused([](auto* o) { o->segments.onset = 0.0F; }, "onset");
}

TEST_CASE("after an error of the model the stream says so") {
  const auto samples = voice(4.0, 16000, {{0.5, 2.0}});
  Fake fake;
  fake.fails = true;
  SpeechStream stream(judge_of(&fake), 16000, {});
  std::vector<SpeechSegment> found;
  check_refused([&] { stream.feed(samples.data(), samples.size(), &found); }, "no more",
                ErrorKind::kBackend);
  check_refused([&] { stream.feed(samples.data(), 1, &found); }, "ended with an error");
}

TEST_CASE("one stream belongs to one thread at a time, streams of one model to many") {
  const auto samples = voice(4.0, 16000, {{0.5, 2.0}});
  Fake fake;
  SpeechStream* inside = nullptr;
  std::string message;
  ClipJudge judge = judge_of(&fake);
  judge.judge = [&](const std::vector<SoundView>& clips) {
    std::vector<SpeechSegment> other;
    try {
      inside->feed(samples.data(), 1, &other);
    } catch (const Error& error) {
      message = error.what();
    }
    return fake(clips);
  };
  SpeechStream stream(judge, 16000, {});
  inside = &stream;
  std::vector<SpeechSegment> found;
  stream.feed(samples.data(), samples.size(), &found);
  stream.flush(&found);
  CHECK(found.size() == 1);
  CHECK(message.find("in use by another call") != std::string::npos);

  const auto expected = heard(samples, 0, 16000, {}, &fake);
  std::vector<std::thread> threads;
  std::atomic<int> same{0};
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      Fake own;
      const auto got = heard(samples, static_cast<size_t>(i) * 777, 16000, {}, &own);
      if (got.size() == expected.size() && got[0].smoothed == expected[0].smoothed) ++same;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(same == 4);
}

TEST_CASE("a segment as JSON") {
  Fake fake;
  const auto found = heard(voice(4.0, 16000, {{0.5, 2.0}}), 0, 16000, {}, &fake);
  REQUIRE(found.size() == 1);
  const std::string json = segment_json(fake.manifest, found[0]);
  CHECK(json.find(R"({"index":0,"start_s":)") == 0);
  for (const char* part : {R"("interim":false,"cut":false,"label":")", R"("smoothed":{"quiet":)",
                           R"("emotions":[{"label":)", R"("heads":{"emotion":{)"}) {
    CHECK_MESSAGE(json.find(part) != std::string::npos, json);
  }
}

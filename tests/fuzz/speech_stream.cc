// A stream of sound: chunks of any size and content, options of any kind. The same sound in one
// chunk gives the same segments, which lie in order and are never longer than they may be.
#include "runtime/speech_stream.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "sound.h"

using namespace affectrt;
using fuzz::extend;
using fuzz::Input;

namespace {

const Manifest& manifest() {
  static const Manifest& made = *[] {
    auto* fake = new Manifest;
    Head head;
    head.name = "emotion";
    head.labels = {"low", "high"};
    fake->heads = {head};
    return fake;
  }();
  return made;
}

Prediction judge(const std::vector<SoundView>& clips) {
  std::vector<float> logits;
  for (const SoundView& clip : clips) {
    AFFECTRT_PROMISED(clip.count > 0 && clip.count <= size_t{16000} * 4);
    float sum = 0.0F;
    for (size_t i = 0; i < clip.count; ++i) sum += std::fabs(clip.samples[i]);
    logits.push_back(0.0F);
    logits.push_back(std::fmin(10.0F, sum / static_cast<float>(clip.count)));
  }
  Prediction made;
  made.answered = {0};
  const auto rows = static_cast<int32_t>(clips.size());
  made.heads = {decode(manifest().heads[0], logits, rows)};
  made.truncated.assign(clips.size(), 0);
  made.token_counts.assign(clips.size(), 0);
  return made;
}

SpeechStreamOptions options_of(Input* input) {
  SpeechStreamOptions options;
  options.segments.onset = static_cast<float>(input->byte()) / 200.0F;
  options.segments.offset = static_cast<float>(input->byte()) / 250.0F;
  options.segments.min_speech_ms = input->byte() * 4.0;
  options.segments.min_silence_ms = input->byte() * 4.0;
  options.segments.padding_ms = input->byte();
  options.segments.max_segment_s = input->byte() / 50.0;
  options.interim_ms = input->byte() * 5.0;
  options.smoothing_s = input->byte() / 20.0;
  options.margin = static_cast<float>(input->byte()) / 200.0F;
  return options;
}

std::vector<SpeechSegment> heard(const std::vector<float>& sound, int64_t rate,
                                 const SpeechStreamOptions& options, std::string_view cuts) {
  SpeechStream stream({&manifest(), 4.0, judge}, rate, options);
  std::vector<SpeechSegment> found;
  size_t at = 0;
  for (const char cut : cuts) {
    const size_t chunk =
        std::min(sound.size() - at, size_t{static_cast<uint8_t>(cut)} * static_cast<uint8_t>(cut));
    stream.feed(sound.data() + at, chunk, &found);
    at += chunk;
  }
  stream.feed(sound.data() + at, sound.size() - at, &found);
  stream.flush(&found);
  return found;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  constexpr int64_t kRates[] = {16000, 16000, 8000, 44100, 48000, 11025, 4000, 192000};
  const int64_t rate = kRates[input.below(8)];
  const SpeechStreamOptions options = options_of(&input);
  const std::string_view cuts = input.take(input.below(16));
  std::vector<float> sound;
  for (int i = 0; i < 40 && !input.empty(); ++i) extend(&input, &sound);
  fuzz::refusing([&] {
    const std::vector<SpeechSegment> whole = heard(sound, rate, options, "");
    const std::vector<SpeechSegment> parts = heard(sound, rate, options, cuts);
    AFFECTRT_PROMISED(whole.size() == parts.size());
    double last = 0.0;
    int64_t index = 0;
    for (size_t i = 0; i < whole.size(); ++i) {
      const SpeechSegment& one = whole[i];
      AFFECTRT_PROMISED(one.index == parts[i].index && one.start_s == parts[i].start_s);
      AFFECTRT_PROMISED(one.end_s == parts[i].end_s && one.smoothed == parts[i].smoothed);
      AFFECTRT_PROMISED(one.index == index && one.start_s >= last && one.end_s > one.start_s);
      AFFECTRT_PROMISED(!segment_json(manifest(), one).empty());
      if (one.interim) continue;
      last = one.end_s;
      ++index;
    }
  });
  return 0;
}

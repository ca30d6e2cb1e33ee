// Sound in, answers out.
#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <utility>

#include "audio/samples.h"
#include "capi/call.h"
#include "capi/handles.h"
#include "capi/sounds.h"
#include "runtime/speech_json.h"

namespace affectrt {
namespace {

constexpr size_t kFirstClip = sizeof(affectrt_clip_info);
constexpr size_t kFirstWindow = sizeof(affectrt_window);
constexpr int32_t kMostChannels = 64;

SpeechPrediction predict(const SpeechModel& model, const affectrt_sound* sounds, size_t count,
                         const affectrt_analyse_options* given_options) {
  const affectrt_analyse_options options = analyse_options(given_options);
  if (options.max_tokens != 0) {
    throw Error(ErrorKind::kInput, "options.max_tokens is " + std::to_string(options.max_tokens) +
                                       "; sound has no tokens, so 0 is needed");
  }
  SpeechWanted wanted;
  wanted.progress = progress_of(options);
  if (count > static_cast<size_t>(INT32_MAX)) {
    throw Error(ErrorKind::kInput, std::to_string(count) + " sounds are too many at once");
  }
  if (count > 0) given(sounds, "sounds");
  Sounds clips;
  for (size_t i = 0; i < count; ++i) clips.add(sounds[i], "sounds[" + std::to_string(i) + "]");
  return model.predict(clips.views(), wanted);
}

const affectrt_result& of_sound(const affectrt_result* result, size_t row) {
  if (given(result, "result").speech == nullptr) {
    throw Error(ErrorKind::kInput, "the result is one of texts, and has no clips");
  }
  const size_t rows = result->clips.facts.size();
  if (row < rows) return *result;
  throw Error(ErrorKind::kInput,
              "no row " + std::to_string(row) + "; the result has " + std::to_string(rows));
}

}  // namespace

void Sounds::add(const affectrt_sound& sound, const std::string& name) {
  const int32_t channels = std::max(sound.channels, 1);
  if (sound.channels < 0 || channels > kMostChannels) {
    throw Error(ErrorKind::kInput, name + ".channels is " + std::to_string(sound.channels) +
                                       "; 0 or 1 (one) to " + std::to_string(kMostChannels) +
                                       " are possible");
  }
  if (sound.count > 0) given(sound.samples, (name + ".samples").c_str());
  if (sound.sample_rate == 0) {
    throw Error(ErrorKind::kInput, name + ".sample_rate is 0; 8000 to 192000 Hz are possible");
  }
  const float* samples = sound.samples;
  if (channels > 1) {
    std::vector<float>& mixed = mixed_.emplace_back(sound.count);
    mix_samples(SampleFormat::kF32, reinterpret_cast<const uint8_t*>(samples), sound.count,
                static_cast<size_t>(channels), mixed.data());
    samples = mixed.data();
  }
  views_.push_back({samples, sound.count, sound.sample_rate, name});
}

}  // namespace affectrt

using namespace affectrt;

extern "C" {

affectrt_status affectrt_model_analyse_sound(const affectrt_model* model,
                                             const affectrt_sound* sounds, size_t count,
                                             const affectrt_analyse_options* options,
                                             affectrt_result** out) noexcept {
  return guarded([&] {
    affectrt_result*& result = emptied(out);
    auto made = std::make_unique<affectrt_result>();
    made->speech = speech_model(model);
    made->clips = predict(*made->speech, sounds, count, options);
    const std::vector<Head>& heads = made->speech->manifest().heads;
    Prediction& prediction = made->prediction;
    prediction.answered = made->clips.answered;
    prediction.heads = std::move(made->clips.heads);
    prediction.token_counts.assign(count, 0);
    prediction.truncated.assign(count, 0);
    for (size_t i = 0; i < prediction.heads.size(); ++i) {
      const Head& head = heads[static_cast<size_t>(prediction.answered[i])];
      made->ranked.push_back(ranked_rows(head, prediction.heads[i], count));
      made->ranked_windows.push_back(
          ranked_rows(head, made->clips.window_heads[i], made->clips.windows.size()));
      made->spans.emplace_back();
    }
    result = made.release();
  });
}

affectrt_status affectrt_model_analyse_sound_json(const affectrt_model* model,
                                                  const affectrt_sound* sounds, size_t count,
                                                  const affectrt_analyse_options* options,
                                                  char** json) noexcept {
  return guarded([&] {
    given(json, "json") = nullptr;
    const SpeechModel& with = *speech_model(model);
    *json = json_copy(sounds_json(with, predict(with, sounds, count, options)));
  });
}

affectrt_status affectrt_result_get_clip(const affectrt_result* result, size_t row,
                                         affectrt_clip_info* info) noexcept {
  return guarded([&] {
    const SpeechPrediction& clips = of_sound(result, row).clips;
    const ClipFacts& facts = clips.facts[row];
    affectrt_clip_info filled = {};
    filled.duration_s = facts.duration_s;
    filled.level_dbfs = facts.level_dbfs;
    filled.clipped_share = facts.clipped_share;
    filled.audible = facts.audible ? 1 : 0;
    filled.num_windows =
        static_cast<uint32_t>(clips.window_begin[row + 1] - clips.window_begin[row]);
    write_struct(info, filled, kFirstClip, "info");
  });
}

affectrt_status affectrt_result_get_window(const affectrt_result* result, size_t row,
                                           uint32_t window, uint32_t head, affectrt_window* bounds,
                                           affectrt_answer* answer) noexcept {
  return guarded([&] {
    const SpeechPrediction& clips = of_sound(result, row).clips;
    const size_t index = answer_index(*result, head);
    const auto count = static_cast<uint32_t>(clips.window_begin[row + 1] - clips.window_begin[row]);
    if (window >= count) {
      throw Error(ErrorKind::kInput, "no window " + std::to_string(window) + "; the clip has " +
                                         std::to_string(count));
    }
    const size_t at = static_cast<size_t>(clips.window_begin[row]) + window;
    const auto rate = static_cast<double>(result->speech->audio().sample_rate);
    affectrt_window filled = {};
    filled.begin_s = static_cast<double>(clips.windows[at].begin) / rate;
    filled.end_s = static_cast<double>(clips.windows[at].end) / rate;
    if (bounds != nullptr) write_struct(bounds, filled, kFirstWindow, "bounds");
    if (answer != nullptr) {
      fill_answer(clips.window_heads[index], result->ranked_windows[index], at, nullptr, answer);
    }
  });
}

}  // extern "C"

// Clips through a whole speech model. What a checkpoint computes is compared with torch in
// tests/test_speech_model.py.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "../capi/tiny_model.h"
#include "../capi/tiny_speech_model.h"
#include "encoder_checks.h"
#include "runtime/speech_model.h"

using namespace affectrt;
using namespace affectrt::testing;

namespace {

using Files = std::map<std::string, std::string>;

std::shared_ptr<const SpeechModel> load(const std::string& image, int threads = 1) {
  ModelOptions options;
  options.backend_options.num_threads = threads;
  return SpeechModel::load(Bundle::from_memory(view(image)), options);
}

const std::string& image() {
  static const std::string made = tiny_speech_model::image(tiny_speech_model::files());
  return made;
}

// A refused model: its weights changed by `change`.
template <class Change>
std::string refused(Change change) {
  SafetensorsImage weights = tiny_speech_model::weights_image();
  change(&weights);
  Files files = tiny_speech_model::files();
  files["weights.safetensors"] = std::string(weights.build().text());
  const std::string changed = tiny_speech_model::image(files);
  return refusal(ErrorKind::kModelFile, [&] { load(changed); });
}

// Swelling noise.
std::vector<float> sound(size_t count, unsigned seed = 1, float level = 0.1F) {
  std::mt19937 random(seed);
  std::vector<float> samples = normals(&random, count, level);
  for (size_t i = 0; i < count; ++i) {
    samples[i] *= 0.6F + 0.4F * std::sin(static_cast<float>(i) * 1e-3F * static_cast<float>(seed));
  }
  return samples;
}

SoundView sound_view(const std::vector<float>& samples, int64_t rate = 0) {
  return {samples.data(), samples.size(), rate};
}

bool same(const HeadScores& a, const HeadScores& b) {
  return a.logits == b.logits && a.scores == b.scores && a.decided == b.decided &&
         a.unsure == b.unsure && a.levels == b.levels;
}

}  // namespace

TEST_CASE("a clip's answer has the same bits alone, in any batch and with any threads") {
  const std::vector<size_t> lengths = {1, 159, 160, 161, 3200, 16000, 31999, 32000, 32001, 70000};
  std::vector<std::vector<float>> samples;
  std::vector<SoundView> clips;
  for (size_t i = 0; i < lengths.size(); ++i) {
    samples.push_back(sound(lengths[i], static_cast<unsigned>(i) + 1));
  }
  for (size_t i = 0; i < lengths.size(); ++i) {
    clips.push_back(sound_view(samples[i], i % 3 == 2 ? 11025 : 16000));
  }
  SpeechWanted wanted;
  wanted.embeddings = true;
  const auto one = load(image(), 1);
  const auto many = load(image(), 3);
  const SpeechPrediction together = many->predict(clips, wanted);
  REQUIRE(together.heads.size() == 4);
  CHECK(together.embedding_width == 36);
  for (size_t i = 0; i < clips.size(); ++i) {
    const SpeechPrediction alone = one->predict({clips[i]}, wanted);
    for (size_t head = 0; head < 4; ++head) {
      const HeadScores& of_all = together.heads[head];
      const HeadScores& own = alone.heads[head];
      const auto width = static_cast<size_t>(own.width);
      for (size_t j = 0; j < width; ++j) {
        CHECK(own.logits[j] == of_all.logits[i * width + j]);
        CHECK(std::isfinite(own.scores[j]));
      }
    }
    for (size_t j = 0; j < 36; ++j) {
      CHECK(alone.embeddings[j] == together.embeddings[i * 36 + j]);
    }
    CHECK(alone.windows.size() ==
          static_cast<size_t>(together.window_begin[i + 1] - together.window_begin[i]));
  }
  std::vector<std::thread> threads;
  std::vector<int> equal(4, 0);
  for (size_t t = 0; t < equal.size(); ++t) {
    threads.emplace_back([&, t] {
      const SpeechPrediction again = many->predict(clips, wanted);
      equal[t] = same(again.heads[0], together.heads[0]) ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(equal == std::vector<int>{1, 1, 1, 1});
}

TEST_CASE("a long clip is windows of equal length, and its logits are the mean of theirs") {
  const auto model = load(image());
  const std::vector<float> samples = sound(70001);
  const SpeechPrediction prediction = model->predict({sound_view(samples)}, {});
  REQUIRE(prediction.windows.size() == 3);
  CHECK(prediction.window_begin == std::vector<int32_t>{0, 3});
  CHECK(prediction.windows[0].begin == 0);
  CHECK(prediction.windows[2].end == 70001);
  std::vector<double> sums(3, 0.0);
  for (size_t w = 0; w < 3; ++w) {
    const ClipWindow& window = prediction.windows[w];
    CHECK(std::abs(window.end - window.begin - 23333) <= 1);
    if (w > 0) CHECK(window.begin == prediction.windows[w - 1].end);
    const SpeechPrediction alone = model->predict(
        {{samples.data() + window.begin, static_cast<size_t>(window.end - window.begin), 0}}, {});
    for (size_t j = 0; j < 3; ++j) {
      CHECK(alone.heads[0].logits[j] == prediction.window_heads[0].logits[w * 3 + j]);
      sums[j] += double{alone.heads[0].logits[j]} * static_cast<double>(window.end - window.begin);
    }
  }
  for (size_t j = 0; j < 3; ++j) {
    CHECK(double{prediction.heads[0].logits[j]} == doctest::Approx(sums[j] / 70001.0));
  }
  CHECK(prediction.heads[1].levels.size() == 1);
  CHECK(prediction.facts[0].duration_s == doctest::Approx(70001.0 / 16000.0));
}

TEST_CASE("restricted labels share all of the score") {
  const auto model = load(image());
  const std::vector<float> samples = sound(9000);
  const SpeechPrediction open = model->predict({sound_view(samples)}, {});
  SpeechWanted wanted;
  wanted.restrictions = {{0, {0, 2}}};
  wanted.heads = {{0, 2}};
  const SpeechPrediction some = model->predict({sound_view(samples)}, wanted);
  REQUIRE(some.heads.size() == 2);
  const std::vector<float>& scores = some.heads[0].scores;
  CHECK(scores[1] == 0.0F);
  CHECK(some.heads[0].logits == open.heads[0].logits);
  CHECK(scores[0] + scores[2] == doctest::Approx(1.0));
  CHECK(double{scores[0]} / double{scores[2]} ==
        doctest::Approx(double{open.heads[0].scores[0]} / double{open.heads[0].scores[2]}));
  for (const Restriction& wrong : std::vector<Restriction>{
           {0, {}}, {0, {3}}, {0, {-1}}, {2, {0}}, {3, {0}}, {4, {0}}, {-1, {0}}}) {
    SpeechWanted none;
    none.restrictions = {wrong};
    CHECK(mentions(refusal(ErrorKind::kInput, [&] { model->predict({sound_view(samples)}, none); }),
                   "restricted"));
  }
}

TEST_CASE("what there is nothing to hear in is unsure") {
  const auto model = load(image());
  std::vector<float> offset(16000, 0.5F);
  std::vector<float> silence(16000, 0.0F);
  std::vector<float> whisper = sound(16000, 1, 0.01F);
  std::vector<float> clipped(16000);
  for (size_t i = 0; i < clipped.size(); ++i) clipped[i] = i / 40 % 2 == 0 ? 1.0F : -1.0F;
  const std::vector<float> brief = sound(800);
  const SpeechPrediction prediction =
      model->predict({sound_view(offset), sound_view(silence), sound_view(whisper),
                      sound_view(clipped), sound_view(brief)},
                     {});
  const std::vector<bool> audible = {false, false, true, true, false};
  for (size_t i = 0; i < audible.size(); ++i) {
    CHECK(prediction.facts[i].audible == audible[i]);
    if (!audible[i]) CHECK(prediction.heads[0].unsure[i] == 1);
    CHECK(prediction.heads[2].unsure[i] == 0);
  }
  CHECK(prediction.facts[1].level_dbfs == kSilenceDbfs);
  CHECK(prediction.facts[3].level_dbfs == doctest::Approx(0.0));
  CHECK(prediction.facts[3].clipped_share == 1.0F);
  CHECK(prediction.facts[2].clipped_share == 0.0F);
}

TEST_CASE("sound that cannot be answered is named") {
  const auto model = load(image());
  const std::vector<float> good = sound(4000);
  const auto of = [&](const SoundView& bad) {
    return refusal(ErrorKind::kInput, [&] { model->predict({sound_view(good), bad}, {}); });
  };
  CHECK(mentions(of({nullptr, 0, 16000}), "clip 1 is empty"));
  for (const float wrong :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -1e20F}) {
    std::vector<float> broken = good;
    broken[77] = wrong;
    CHECK(mentions(of(sound_view(broken)), "clip 1"));
  }
  for (const int64_t rate : {int64_t{-1}, int64_t{1}, int64_t{7999}, int64_t{192001}}) {
    CHECK(mentions(of(sound_view(good, rate)), "8000"));
  }
  SpeechWanted wanted;
  wanted.heads = {{4}};
  CHECK(mentions(refusal(ErrorKind::kInput, [&] { model->predict({sound_view(good)}, wanted); }),
                 "no head 4"));
  wanted = {};
  wanted.progress = [](size_t, size_t) { return false; };
  CHECK(mentions(refusal(ErrorKind::kInput, [&] { model->predict({sound_view(good)}, wanted); }),
                 "interrupted after 1 of 1 clips"));
  CHECK(model->predict({}, {}).heads[0].scores.empty());
}

TEST_CASE("sound of other rates is resampled, with few plans kept") {
  const auto model = load(image());
  const std::vector<float> samples = sound(48000);
  CHECK(model->resampler(16000) == nullptr);
  const auto plan = model->resampler(48000);
  CHECK(model->resampler(48000) == plan);
  CHECK(model->at_model_rate(sound_view(samples, 48000), "it").size() == 16000);
  for (const int64_t rate : {8000, 11025, 22050, 44100, 192000}) {
    const SpeechPrediction prediction = model->predict({sound_view(samples, rate)}, {});
    CHECK(prediction.facts[0].duration_s == doctest::Approx(48000.0 / static_cast<double>(rate)));
  }
  CHECK(model->resampler(48000) != plan);
}

TEST_CASE("a model that is damaged or of another kind is refused") {
  const auto none = [](SafetensorsImage*) {};
  CHECK(refused(none).empty());
  for (const char* name : {"pooling.weight", "heads.mood.bias", "conv1.weight"}) {
    CHECK(mentions(refused([&](SafetensorsImage* weights) { weights->remove(name); }), name));
  }
  const auto pooling = [](const std::vector<size_t>& shape, size_t count) {
    return refused([&](SafetensorsImage* weights) {
      weights->add_f32("pooling.weight", shape, std::vector<float>(count, 0.5F));
    });
  };
  CHECK(mentions(pooling({5, 36}, 180), "5 rows, which do not divide the width 36"));
  CHECK(mentions(pooling({4, 35}, 140), "pooling.weight"));
  CHECK(mentions(pooling({36}, 36), "pooling.weight"));
  CHECK(mentions(pooling({0, 36}, 0), "pooling.weight"));
  CHECK(mentions(refused([](SafetensorsImage* weights) {
                   weights->add_i8("pooling.weight", {4, 36}, std::vector<int8_t>(144, 1));
                 }),
                 "pooling.weight"));
  CHECK(mentions(refused([](SafetensorsImage* weights) {
                   weights->add_f32("heads.loud.weight", {2, 36}, std::vector<float>(72, 0.5F));
                 }),
                 "heads.loud.weight"));

  const auto with = [](const std::string& key, const nlohmann::json& value) {
    nlohmann::json manifest = tiny_speech_model::manifest(tiny_speech_model::files());
    manifest[nlohmann::json::json_pointer(key)] = value;
    return build_image(entries_of(manifest.dump(), tiny_speech_model::files()));
  };
  const auto message = [](const std::string& changed, ErrorKind kind) {
    return refusal(kind, [&] { load(changed); });
  };
  CHECK(mentions(message(with("/input/max_seconds", 2.5), ErrorKind::kModelFile), "positions"));
  CHECK(mentions(message(with("/input/features/num_mels", 80), ErrorKind::kModelFile), "80"));
  CHECK(mentions(message(with("/input/features", {{"kind", "waveform"}, {"normalise", true}}),
                         ErrorKind::kUnsupported),
                 "waveform"));

  const std::string text = tiny_model::image();
  CHECK(mentions(message(text, ErrorKind::kInput), "is a text model"));
  CHECK(mentions(
      refusal(ErrorKind::kInput, [&] { Model::load(Bundle::from_memory(view(image())), {}); }),
      "is a speech model"));
  ModelOptions options;
  options.backend = "tensorrt";
  const auto bundle = Bundle::from_memory(view(image()));
  CHECK(mentions(refusal(ErrorKind::kInput, [&] { SpeechModel::load(bundle, options); }),
                 "tensorrt"));
  options.backend = "auto";
  options.max_batch_tokens = 5;
  CHECK(mentions(refusal(ErrorKind::kInput, [&] { SpeechModel::load(bundle, options); }),
                 "max_batch_tokens"));
}

TEST_CASE("numbers that overflow are an error, not an answer") {
  SafetensorsImage weights = tiny_speech_model::weights_image();
  weights.add_f32("heads.loud.weight", {1, 36}, std::vector<float>(36, 3e38F));
  Files files = tiny_speech_model::files();
  files["weights.safetensors"] = std::string(weights.build().text());
  const std::string changed = tiny_speech_model::image(files);
  const auto model = load(changed);
  const std::vector<float> samples = sound(4000);
  CHECK(mentions(refusal(ErrorKind::kBackend, [&] { model->predict({sound_view(samples)}, {}); }),
                 "overflow"));
}

// The C++ wrapper on sound. Arguments: tiny.affect and tiny_speech.affect.
#include <affectrt.hpp>
#include <affectrt_features.hpp>
#include <cmath>

#include "check.h"

int main(int argc, char** argv) {
  CHECK(argc == 3);
  const affectrt::Model model = affectrt::Model::load(argv[2]);
  std::vector<float> samples(70000);
  for (size_t i = 0; i < samples.size(); ++i) {
    samples[i] = 0.1F * std::sin(0.07F * static_cast<float>(i % 5000));
  }
  const std::vector<affectrt::Sound> sounds = {{samples, 16000}, {samples.data(), 9000, 48000}};
  size_t done = 0;
  const affectrt::Result result = model.analyse_sound(sounds, [&](size_t rows, size_t) {
    done = rows;
    return true;
  });
  CHECK(done == 2 && result.rows() == 2);
  CHECK(result.clip(0).num_windows == 3 && result.clip(1).duration_s == 0.1875);
  const auto [bounds, answer] = result.window(0, 1);
  CHECK(bounds.begin_s > 1.0 && bounds.end_s < 3.0 && answer.decided().size() == 1);
  CHECK(result.answer(1).size() == 3);
  const affectrt::Answer voice = result.answer(1);
  const affectrt_fused heard = affectrt::fuse(nullptr, &voice);
  CHECK(heard.mix[1] == 0.0F && heard.valence < 0.0F && std::string(heard.label) != "joy");
  CHECK(model.analyse_sound({samples.data(), 9000, 48000}).answer()[0].score ==
        result.answer(1)[0].score);
  CHECK(model.analyse_sound_json(sounds).find("\"windows\"") != std::string::npos);
  affectrt_status status = AFFECTRT_OK;
  try {
    model.analyse_sound({samples.data(), 0, 16000});
  } catch (const affectrt::Error& error) {
    status = error.status();
  }
  CHECK(status == AFFECTRT_INPUT);
  try {
    model.analyse_sound(sounds, [](size_t, size_t) { return false; });
  } catch (const affectrt::Error& error) {
    status = error.status();
  }
  CHECK(status == AFFECTRT_CANCELLED);

  const affectrt::Model words = affectrt::Model::load(argv[1]);
  affectrt::Conversation conversation(words, 0, {}, &model);
  const std::string turns =
      conversation.add({{"A", "so happy", nullptr, sounds[0]}, {"B", "", nullptr, sounds[1]}});
  CHECK(turns.find("\"modalities\":[\"speech\"]") != std::string::npos);
  const std::string state = conversation.save();
  affectrt::Conversation again = affectrt::Conversation::restore(words, state, &model);
  CHECK(again.add("B", "so sad") == conversation.add("B", "so sad") && again.save() != state);

  affectrt::SpeechStreamOptions options;
  options.sample_rate = 16000;
  options.interim_ms = 100.0;
  affectrt::SpeechStream stream(model, options);
  std::vector<affectrt::Segment> segments = stream.feed(samples.data(), samples.size());
  for (affectrt::Segment& one : stream.flush()) segments.push_back(one);
  for (const affectrt::Segment& one : segments) {
    CHECK(one.end_s > one.start_s && one.json.find("\"emotions\"") != std::string::npos);
  }
  status = AFFECTRT_OK;
  try {
    stream.flush();
  } catch (const affectrt::Error& error) {
    status = error.status();
  }
  CHECK(status == AFFECTRT_INPUT);
  return 0;
}

// A `.affect` file of a speech model, loaded and asked; as model_file.cc.
#include <vector>

#include "../capi/tiny_speech_model.h"
#include "bundle/bundle.h"
#include "entries.h"
#include "runtime/speech_model.h"

using namespace affectrt;
using namespace affectrt::fuzz;

namespace {

std::string with_entry(const std::string& name, std::string_view bytes) {
  static const auto& files =
      *new std::map<std::string, std::string>(testing::tiny_speech_model::files());
  return with_changed_entry(files, testing::tiny_speech_model::manifest, name, bytes);
}

void open_and_ask(ByteView image, bool verify) {
  const std::shared_ptr<const Bundle> bundle = Bundle::from_memory(image, verify);
  ModelOptions options;
  options.backend = "native";
  options.backend_options.num_threads = 1;
  const auto model = SpeechModel::load(bundle, options);
  std::vector<float> sound(size_t{3} * 800);
  for (size_t i = 0; i < sound.size(); ++i) sound[i] = static_cast<float>(i % 80) / 200.0F;
  const std::vector<SoundView> clips = {{sound.data(), sound.size(), 0}, {sound.data(), 100, 8000}};
  const SpeechPrediction answer = model->predict(clips, {});
  AFFECTRT_PROMISED(answer.heads.size() == model->manifest().heads.size());
  AFFECTRT_PROMISED(answer.facts.size() == clips.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static constexpr const char* kEntries[] = {"affectrt.json", "config.json", "weights.safetensors"};
  Input input(data, size);
  const size_t mode = input.below(5);
  std::string image(input.rest());
  if (mode >= 2) image = with_entry(kEntries[mode - 2], input.rest());
  refusing([&] { open_and_ask(testing::view(image), mode == 1); });
  return 0;
}

// A `.affect` file, loaded and asked. The first byte says whether the rest is the whole image, or
// one entry of an image that is right otherwise: its checksums would stop any change of that.
#include "../capi/tiny_model.h"
#include "bundle/bundle.h"
#include "entries.h"
#include "runtime/model.h"

using namespace affectrt;
using namespace affectrt::fuzz;

namespace {

std::string with_entry(const std::string& name, std::string_view bytes) {
  static const auto& files = *new std::map<std::string, std::string>(testing::tiny_model::files());
  return with_changed_entry(files, testing::tiny_model::manifest, name, bytes);
}

void open_and_ask(ByteView image, bool verify) {
  const std::shared_ptr<const Bundle> bundle = Bundle::from_memory(image, verify);
  size_t sum = 0;
  for (const std::string& name : bundle->names()) {
    const ByteView entry = bundle->entry(name);
    for (size_t i = 0; i < entry.size; ++i) sum += entry.data[i];
  }
  AFFECTRT_PROMISED(sum > 0);
  ModelOptions options;
  options.backend = "native";
  options.backend_options.num_threads = 1;
  const auto model = Model::load(bundle, options);
  const Prediction answer = model->predict({{"I am so happy!", std::nullopt}, {"sad", "so"}}, {});
  AFFECTRT_PROMISED(answer.heads.size() == model->manifest().heads.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static constexpr const char* kEntries[] = {"affectrt.json", "config.json", "tokenizer.json",
                                             "weights.safetensors"};
  Input input(data, size);
  const size_t mode = input.below(6);
  std::string image(input.rest());
  if (mode >= 2) image = with_entry(kEntries[mode - 2], input.rest());
  refusing([&] { open_and_ask(testing::view(image), mode == 1); });
  return 0;
}

// The JSON files of a model, each read alone: affectrt.json, config.json as the native engine and
// as transformers read it. The first byte chooses.
#include "bundle/manifest.h"
#include "encoders/encoder_config.h"
#include "encoders/whisper_config.h"
#include "fuzz.h"

using namespace affectrt;
using namespace affectrt::fuzz;

namespace {

void check(const Manifest& manifest) {
  AFFECTRT_PROMISED(!manifest.heads.empty());
  if (manifest.audio) {
    AFFECTRT_PROMISED(manifest.audio->max_samples() > 0);
    AFFECTRT_PROMISED(manifest.audio->deviation > 0.0F && manifest.audio->scale > 0.0F);
  }
  for (const Head& head : manifest.heads) {
    AFFECTRT_PROMISED(!head.labels.empty());
    AFFECTRT_PROMISED(head.thresholds.empty() || head.thresholds.size() == head.labels.size());
    AFFECTRT_PROMISED(head.temperature > 0.0F);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const size_t reader = input.below(4);
  refusing([&] {
    if (reader == 0) check(parse_manifest(input.rest(), "affectrt.json"));
    if (reader == 1) {
      const EncoderConfig config = parse_encoder_config(input.rest(), "config.json");
      AFFECTRT_PROMISED(config.heads > 0 && config.hidden % config.heads == 0);
      AFFECTRT_PROMISED(config.max_tokens() <= config.positions);
    }
    if (reader == 2) {
      const std::string_view config = input.until('\xff');
      check(manifest_from_hf_config(config, "config.json", input.rest()));
    }
    if (reader == 3) parse_whisper_config(input.rest(), "config.json");
  });
  return 0;
}

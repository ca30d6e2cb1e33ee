#include "encoders/whisper_config.h"

#include <nlohmann/json.hpp>

#include "base/json.h"
#include "bundle/json_fields.h"
#include "encoders/config_fields.h"

namespace affectrt {

WhisperConfig parse_whisper_config(std::string_view config_json, const std::string& origin) {
  const JsonDocument document = parse_json(config_json, origin);
  const JsonField root(document.root(), origin);
  root.object();
  if (const JsonField type = root.at("model_type"); type.text(1, 64) != "whisper") {
    type.fail_value("'whisper'", ErrorKind::kUnsupported);
  }
  WhisperConfig config;
  config.hidden = size_at(root, "d_model", kMaxWidth, std::nullopt);
  config.layers = size_at(root, "encoder_layers", kMaxLayers, std::nullopt);
  config.heads = size_at(root, "encoder_attention_heads", kMaxWidth, std::nullopt);
  config.intermediate = size_at(root, "encoder_ffn_dim", kMaxWidth, std::nullopt);
  config.mels = size_at(root, "num_mel_bins", kMaxWidth, 80);
  config.positions = size_at(root, "max_source_positions", kMaxTable, 1500);
  config.activation = activation_at(root, "activation_function");
  check_heads(root, config.hidden, config.heads);
  if (const auto ours = root.find("affectrt")) {
    if (const auto pooling = ours->find("pooling"); pooling && !pooling->is("attention")) {
      config.statistics = pooling->is("attention_statistics");
      if (!config.statistics) {
        pooling->fail_value("'attention' or 'attention_statistics'", ErrorKind::kUnsupported);
      }
    }
  }
  return config;
}

}  // namespace affectrt

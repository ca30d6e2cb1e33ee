#include "encoders/encoder_config.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json.h"
#include "bundle/json_fields.h"
#include "encoders/config_fields.h"

namespace affectrt {
namespace {

// Buckets of MPNet's relative positions are fixed in its code, not in its config.
constexpr int32_t kMpnetPaddingId = 1;
// Of rotary positions, for which no table in the file vouches.
constexpr int64_t kMaxRotaryPositions = 1 << 16;

constexpr std::pair<std::string_view, EncoderFamily> kFamilies[] = {
    {"bert", EncoderFamily::kBert},
    {"electra", EncoderFamily::kElectra},
    {"roberta", EncoderFamily::kRoberta},
    {"xlm-roberta", EncoderFamily::kRoberta},
    {"distilbert", EncoderFamily::kDistilbert},
    {"mpnet", EncoderFamily::kMpnet},
    {"modernbert", EncoderFamily::kModernBert},
};

void refuse_flag(const JsonField& root, const char* key) {
  const std::optional<JsonField> field = root.find(key);
  if (field && field->value().is_boolean() && field->boolean()) {
    field->fail_value("false for the native engine", ErrorKind::kUnsupported);
  }
}

// The base of a kind of layer: in newer files at rope_parameters.KIND, in older ones at `old_key`.
double theta_at(const JsonField& root, const char* kind, const char* old_key, double absent) {
  constexpr double kMost = 1e12;
  if (const auto field = root.find(old_key); field && !field->is_null()) {
    absent = field->number(1.0, kMost);
  }
  const auto all = root.find("rope_parameters");
  if (!all || all->is_null()) return absent;
  const auto own = all->find(kind);
  if (!own || own->is_null()) return absent;
  if (const auto type = own->find("rope_type"); type && type->text(1, 64) != "default") {
    type->fail_value("'default' for the native engine", ErrorKind::kUnsupported);
  }
  const auto theta = own->find("rope_theta");
  return theta && !theta->is_null() ? theta->number(1.0, kMost) : absent;
}

std::vector<bool> local_layers(const JsonField& root, size_t layers) {
  std::vector<bool> is_local;
  if (const auto types = root.find("layer_types"); types && !types->is_null()) {
    for (const JsonField& type : types->items(layers, layers, "layer types")) {
      const std::string& name = type.text(1, 64);
      if (name != "sliding_attention" && name != "full_attention") {
        type.fail_value("'sliding_attention' or 'full_attention'", ErrorKind::kUnsupported);
      }
      is_local.push_back(name == "sliding_attention");
    }
    return is_local;
  }
  const size_t every = size_at(root, "global_attn_every_n_layers", kMaxLayers, 3);
  for (size_t i = 0; i < layers; ++i) is_local.push_back(i % every != 0);
  return is_local;
}

void read_modernbert(const JsonField& root, EncoderConfig* config) {
  if (config->head_width() % 2 != 0) {
    root.fail("rotary positions turn pairs of columns, but a head has " +
              std::to_string(config->head_width()));
  }
  if (const auto scaling = root.find("rope_scaling"); scaling && !scaling->is_null()) {
    scaling->fail_value("null for the native engine", ErrorKind::kUnsupported);
  }
  config->norm_eps = 1e-5F;
  if (const auto eps = root.find("norm_eps")) {
    config->norm_eps = static_cast<float>(eps->number(1e-30, 1.0));
  }
  if (const auto pooling = root.find("classifier_pooling")) {
    const std::string& name = pooling->text(1, 64);
    if (name != "cls" && name != "mean") {
      pooling->fail_value("'cls' or 'mean'", ErrorKind::kUnsupported);
    }
    if (name == "mean") config->pooling = Pooling::kMean;
  }
  ModernBertConfig& own = config->modernbert;
  own.attention_bias = flag_at(root, "attention_bias", false);
  own.mlp_bias = flag_at(root, "mlp_bias", false);
  own.norm_bias = flag_at(root, "norm_bias", false);
  own.head_bias = flag_at(root, "classifier_bias", false);
  own.head_activation = activation_at(root, "classifier_activation");
  own.global_theta = theta_at(root, "full_attention", "global_rope_theta", 160000.0);
  own.local_theta = theta_at(root, "sliding_attention", "local_rope_theta", 10000.0);
  own.is_local = local_layers(root, config->layers);
  own.reach = size_at(root, "local_attention", kMaxTable, 128) / 2;
}

}  // namespace

size_t EncoderConfig::max_tokens() const {
  if (!padding_id) return positions;
  const size_t skipped = static_cast<size_t>(*padding_id) + 1;
  return positions > skipped ? positions - skipped : 0;
}

std::optional<EncoderFamily> encoder_family(std::string_view model_type) {
  for (const auto& [name, family] : kFamilies) {
    if (name == model_type) return family;
  }
  return std::nullopt;
}

EncoderConfig parse_encoder_config(std::string_view config_json, const std::string& origin) {
  const JsonDocument document = parse_json(config_json, origin);
  const JsonField root(document.root(), origin);
  root.object();
  EncoderConfig config;
  const JsonField model_type = root.at("model_type");
  const std::optional<EncoderFamily> family = encoder_family(model_type.text(1, 64));
  if (!family) {
    model_type.fail_value(
        "bert, electra, roberta, xlm-roberta, distilbert, mpnet or modernbert for the native "
        "engine",
        ErrorKind::kUnsupported);
  }
  config.family = *family;
  const bool distilbert = config.family == EncoderFamily::kDistilbert;
  config.hidden = size_at(root, distilbert ? "dim" : "hidden_size", kMaxWidth, std::nullopt);
  config.layers =
      size_at(root, distilbert ? "n_layers" : "num_hidden_layers", kMaxLayers, std::nullopt);
  config.depth = config.layers;
  config.heads =
      size_at(root, distilbert ? "n_heads" : "num_attention_heads", kMaxWidth, std::nullopt);
  config.intermediate =
      size_at(root, distilbert ? "hidden_dim" : "intermediate_size", kMaxWidth, std::nullopt);
  config.vocabulary = size_at(root, "vocab_size", kMaxTable, std::nullopt);
  const bool rotary = config.family == EncoderFamily::kModernBert;
  config.positions = size_at(root, "max_position_embeddings",
                             rotary ? kMaxRotaryPositions : kMaxTable, rotary ? 8192 : 512);
  const char* activation = distilbert ? "activation" : rotary ? "hidden_activation" : "hidden_act";
  config.activation = activation_at(root, activation);
  config.embedding = config.hidden;
  check_heads(root, config.hidden, config.heads);
  // DistilBERT's is fixed in its code.
  config.norm_eps = 1e-12F;
  if (const auto eps = root.find("layer_norm_eps"); eps && !distilbert) {
    config.norm_eps = static_cast<float>(eps->number(1e-30, 1.0));
  }
  switch (config.family) {
    case EncoderFamily::kElectra:
      config.embedding = size_at(root, "embedding_size", kMaxWidth, int64_t{128});
      [[fallthrough]];
    case EncoderFamily::kBert:
      config.types = size_at(root, "type_vocab_size", kMaxTable, int64_t{2});
      config.reads_types = true;
      break;
    case EncoderFamily::kRoberta:
      config.types = size_at(root, "type_vocab_size", kMaxTable, int64_t{2});
      config.padding_id = 1;
      if (const auto id = root.find("pad_token_id")) {
        config.padding_id = static_cast<int32_t>(id->integer(0, kMaxTable));
      }
      break;
    case EncoderFamily::kDistilbert:
      break;
    case EncoderFamily::kMpnet:
      config.padding_id = kMpnetPaddingId;
      config.has_relative_bias = true;
      break;
    case EncoderFamily::kModernBert:
      read_modernbert(root, &config);
      break;
  }
  if (config.max_tokens() == 0) {
    root.at("max_position_embeddings")
        .fail_value("more than the " + std::to_string(*config.padding_id + 1) +
                    " positions that padding takes");
  }
  if (const auto kind = root.find("position_embedding_type");
      kind && !kind->is_null() && kind->text(1, 64) != "absolute") {
    kind->fail_value("'absolute' for the native engine", ErrorKind::kUnsupported);
  }
  refuse_flag(root, "is_decoder");
  refuse_flag(root, "add_cross_attention");
  if (const auto ours = root.find("affectrt")) {
    config.has_own_heads = true;
    config.pooling = Pooling::kMean;
    if (const auto pooling = ours->find("pooling")) {
      const std::optional<Pooling> known = pooling_named(pooling->text(1, 64));
      if (!known) {
        pooling->fail_value("'mean', 'cls', 'mean_first', 'attention' or 'attention_first'",
                            ErrorKind::kUnsupported);
      }
      if (reads_first_segment(*known) && !config.reads_types) {
        pooling->fail_value("'mean', 'cls' or 'attention' for a family without token types",
                            ErrorKind::kUnsupported);
      }
      config.pooling = *known;
    }
  }
  return config;
}

}  // namespace affectrt

#include "encoders/encoder_config.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json.h"
#include "bundle/json_fields.h"

namespace affectrt {
namespace {

// Bounds that no sensible checkpoint comes near; they keep every later product within 64 bits.
constexpr int64_t kMaxWidth = 1 << 16;
constexpr int64_t kMaxLayers = 1 << 10;
constexpr int64_t kMaxTable = 1 << 24;
// Buckets of MPNet's relative positions are fixed in its code, not in its config.
constexpr int32_t kMpnetPaddingId = 1;

constexpr std::pair<std::string_view, EncoderFamily> kFamilies[] = {
    {"bert", EncoderFamily::kBert},
    {"electra", EncoderFamily::kElectra},
    {"roberta", EncoderFamily::kRoberta},
    {"xlm-roberta", EncoderFamily::kRoberta},
    {"distilbert", EncoderFamily::kDistilbert},
    {"mpnet", EncoderFamily::kMpnet},
};

size_t size_at(const JsonField& root, const char* key, int64_t most,
               std::optional<int64_t> absent) {
  const std::optional<JsonField> field = root.find(key);
  if (!field && absent) return static_cast<size_t>(*absent);
  return static_cast<size_t>(root.at(key).integer(1, most));
}

Activation activation_at(const JsonField& root, const char* key) {
  const std::optional<JsonField> field = root.find(key);
  if (!field) return Activation::kGelu;
  const std::string& name = field->text(1, 64);
  if (name == "gelu") return Activation::kGelu;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh") return Activation::kGeluTanh;
  if (name == "relu") return Activation::kRelu;
  field->fail_value("'gelu', 'gelu_new', 'gelu_pytorch_tanh' or 'relu' for the native engine",
                    ErrorKind::kUnsupported);
}

void refuse_flag(const JsonField& root, const char* key) {
  const std::optional<JsonField> field = root.find(key);
  if (field && field->value().is_boolean() && field->boolean()) {
    field->fail_value("false for the native engine", ErrorKind::kUnsupported);
  }
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
  const nlohmann::json json = parse_json(config_json, origin);
  const JsonField root(json, origin);
  root.object();
  EncoderConfig config;
  const JsonField model_type = root.at("model_type");
  const std::optional<EncoderFamily> family = encoder_family(model_type.text(1, 64));
  if (!family) {
    model_type.fail_value(
        "bert, electra, roberta, xlm-roberta, distilbert or mpnet for the native engine",
        ErrorKind::kUnsupported);
  }
  config.family = *family;
  const bool distilbert = config.family == EncoderFamily::kDistilbert;
  config.hidden = size_at(root, distilbert ? "dim" : "hidden_size", kMaxWidth, std::nullopt);
  config.layers =
      size_at(root, distilbert ? "n_layers" : "num_hidden_layers", kMaxLayers, std::nullopt);
  config.heads =
      size_at(root, distilbert ? "n_heads" : "num_attention_heads", kMaxWidth, std::nullopt);
  config.intermediate =
      size_at(root, distilbert ? "hidden_dim" : "intermediate_size", kMaxWidth, std::nullopt);
  config.vocabulary = size_at(root, "vocab_size", kMaxTable, std::nullopt);
  config.positions = size_at(root, "max_position_embeddings", kMaxTable, 512);
  config.activation = activation_at(root, distilbert ? "activation" : "hidden_act");
  config.embedding = config.hidden;
  if (config.hidden % config.heads != 0) {
    root.fail("a hidden size of " + std::to_string(config.hidden) + " does not divide into " +
              std::to_string(config.heads) + " attention heads");
  }
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
    config.pooling = Pooling::kMean;
    if (const auto pooling = ours->find("pooling")) {
      const std::string& name = pooling->text(1, 64);
      if (name == "cls") {
        config.pooling = Pooling::kFirstToken;
      } else if (name != "mean") {
        pooling->fail_value("'mean' or 'cls'", ErrorKind::kUnsupported);
      }
    }
  }
  return config;
}

}  // namespace affectrt

// config.json of a Hugging Face checkpoint, read as transformers (5.x, PreTrainedConfig and the
// text-classification pipeline) reads it.
#include <algorithm>
#include <charconv>
#include <map>
#include <optional>

#include "base/json.h"
#include "bundle/json_fields.h"
#include "bundle/manifest.h"

namespace affectrt {
namespace {

constexpr int64_t kMaxLabels = kManifestMaxLabels;
constexpr int64_t kMaxTokens = kManifestMaxTokens;
constexpr int64_t kDefaultTokens = 512;

// How a family's positions bound the length of its input.
struct PositionRule {
  std::string_view family;
  enum Kind {
    kTable,         // one embedding per token: max_position_embeddings tokens
    kAfterPadding,  // token i has position i + pad_token_id + 1 of the table
    kAfterPadOne,   // the same with the padding id fixed to 1, whatever pad_token_id says
    kRelative,      // no bound of its own
  } kind;
  const char* key = "max_position_embeddings";
  int64_t default_positions = kDefaultTokens;
};

constexpr PositionRule kRules[] = {
    {"roberta", PositionRule::kAfterPadding},
    {"roberta-prelayernorm", PositionRule::kAfterPadding},
    {"xlm-roberta", PositionRule::kAfterPadding},
    {"xlm-roberta-xl", PositionRule::kAfterPadding, "max_position_embeddings", 514},
    {"camembert", PositionRule::kAfterPadding},
    {"xmod", PositionRule::kAfterPadding},
    {"ibert", PositionRule::kAfterPadding},
    {"longformer", PositionRule::kAfterPadding},
    {"luke", PositionRule::kAfterPadding},
    {"data2vec-text", PositionRule::kAfterPadding},
    {"esm", PositionRule::kAfterPadding, "max_position_embeddings", 1026},
    {"mpnet", PositionRule::kAfterPadOne},
    {"modernbert", PositionRule::kTable, "max_position_embeddings", 8192},
    {"eurobert", PositionRule::kTable, "max_position_embeddings", 8192},
    {"nomic_bert", PositionRule::kTable, "max_position_embeddings", 2048},
    {"big_bird", PositionRule::kTable, "max_position_embeddings", 4096},
    {"yoso", PositionRule::kTable, "max_position_embeddings", 4096},
    {"nystromformer", PositionRule::kTable, "max_position_embeddings", 510},
    {"bart", PositionRule::kTable, "max_position_embeddings", 1024},
    {"gpt2", PositionRule::kTable, "n_positions", 1024},
    {"openai-gpt", PositionRule::kTable, "n_positions", 512},
    {"roformer", PositionRule::kTable, "max_position_embeddings", 1536},
    {"t5", PositionRule::kRelative},
    {"mt5", PositionRule::kRelative},
    {"umt5", PositionRule::kRelative},
    {"xlnet", PositionRule::kRelative},
    {"funnel", PositionRule::kRelative},
};

// Absent and null are the same here: the class's default.
std::optional<JsonField> find_set(const JsonField& object, std::string_view key) {
  auto field = object.find(key);
  if (field && field->is_null()) return std::nullopt;
  return field;
}

bool flag(const JsonField& config, std::string_view key, bool otherwise) {
  const auto field = find_set(config, key);
  return field ? field->boolean() : otherwise;
}

int64_t encoder_tokens(const JsonField& config, const std::string& family) {
  PositionRule rule{family, PositionRule::kTable};
  for (const PositionRule& known : kRules) {
    if (known.family == family) rule = known;
  }
  // DeBERTa adds absolute positions to its input only where position_biased_input says so; relative
  // distances beyond the table share its last entry.
  const bool deberta = family == "deberta" || family == "deberta-v2";
  if (deberta && !flag(config, "position_biased_input", true)) rule.kind = PositionRule::kRelative;
  if (rule.kind == PositionRule::kRelative) return kMaxTokens;

  int64_t positions = rule.default_positions;
  if (const auto field = find_set(config, rule.key)) positions = field->integer(1, kMaxTokens);
  int64_t skipped = 0;
  if (rule.kind == PositionRule::kAfterPadOne) skipped = 2;
  if (rule.kind == PositionRule::kAfterPadding) {
    const auto pad = find_set(config, "pad_token_id");
    skipped = (pad ? pad->integer(0, kMaxTokens) : 1) + 1;
  }
  if (positions - skipped < 2) {
    config.fail("the " + std::to_string(positions) + " positions of '" + rule.key +
                "' leave no room for tokens, since the family " + family + " skips the first " +
                std::to_string(skipped));
  }
  return positions - skipped;
}

// model_max_length, where it is a length: transformers writes 1e30 for "no limit".
std::optional<int64_t> tokenizer_tokens(std::string_view tokenizer_config_json,
                                        const std::string& origin) {
  if (tokenizer_config_json.empty()) return std::nullopt;
  const JsonDocument document = parse_json(tokenizer_config_json, origin);
  const JsonField config(document.root(), origin);
  const auto field = find_set(config, "model_max_length");
  if (!field || !field->value().is_number()) return std::nullopt;
  const auto length = field->value().get<double>();
  if (!(length >= 2 && length <= static_cast<double>(kMaxTokens))) return std::nullopt;
  return static_cast<int64_t>(length);
}

std::vector<std::string> numbered_labels(int64_t count) {
  std::vector<std::string> labels;
  labels.reserve(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) labels.push_back("LABEL_" + std::to_string(i));
  return labels;
}

std::vector<std::string> listed_labels(const JsonField& id2label) {
  std::map<int64_t, std::string> by_id;
  const auto count = static_cast<int64_t>(id2label.object().value().size());
  if (count < 1 || count > kMaxLabels) {
    id2label.fail("has " + std::to_string(count) + " labels; 1 to " + std::to_string(kMaxLabels) +
                  " are possible");
  }
  for (const auto& [key, unused] : id2label.value().items()) {
    const JsonField label = id2label.at(key);
    int64_t id = -1;
    const auto [end, status] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (status != std::errc() || end != key.data() + key.size() || id < 0) {
      label.fail("the key must be the number of a logit, 0 to " + std::to_string(count - 1));
    }
    if (id >= count) {
      label.fail("the keys must be 0 to " + std::to_string(count - 1) +
                 " without gaps, since the " + "model has one logit for each of its " +
                 std::to_string(count) + " labels");
    }
    if (!label.value().is_string()) label.fail_value("a string, the name of the label");
    if (!by_id.emplace(id, label.value().get<std::string>()).second) {
      label.fail("stands for the number " + std::to_string(id) + " a second time");
    }
  }
  std::vector<std::string> labels;
  labels.reserve(by_id.size());
  for (auto& [id, label] : by_id) labels.push_back(std::move(label));
  return labels;
}

std::vector<std::string> read_labels(const JsonField& config, const std::string& family) {
  const auto id2label = find_set(config, "id2label");
  std::optional<int64_t> count;
  if (const auto field = config.find("num_labels")) count = field->integer(1, kMaxLabels);
  if (!id2label) return numbered_labels(count.value_or(family == "bart" ? 3 : 2));
  std::vector<std::string> labels = listed_labels(*id2label);
  // num_labels is set last in transformers; where it disagrees, id2label is thrown away.
  if (count && *count != static_cast<int64_t>(labels.size())) return numbered_labels(*count);
  return labels;
}

Task read_task(const JsonField& config, size_t labels) {
  const auto field = find_set(config, "problem_type");
  if (!field) return labels == 1 ? Task::kRegression : Task::kSingleLabel;
  if (field->is("regression")) return Task::kRegression;
  if (field->is("multi_label_classification")) return Task::kMultiLabel;
  if (field->is("single_label_classification")) {
    if (labels == 1) field->fail("a single-label classifier needs two labels or more, not 1");
    return Task::kSingleLabel;
  }
  field->fail_value(
      "\"regression\", \"single_label_classification\", "
      "\"multi_label_classification\" or null");
}

}  // namespace

Manifest manifest_from_hf_config(std::string_view config_json, const std::string& origin,
                                 std::string_view tokenizer_config_json) {
  const JsonDocument document = parse_json(config_json, origin);
  const JsonField config(document.root(), origin);
  config.object();
  Manifest manifest;
  if (const auto family = find_set(config, "model_type")) manifest.family = family->line(0, 64);
  Head head;
  head.name = "default";
  head.labels = read_labels(config, manifest.family);
  head.task = read_task(config, head.labels.size());
  if (head.task == Task::kMultiLabel) head.thresholds.assign(head.labels.size(), 0.5F);
  manifest.heads.push_back(std::move(head));

  const int64_t encoder = encoder_tokens(config, manifest.family);
  const auto tokenizer =
      tokenizer_tokens(tokenizer_config_json, "tokenizer_config.json of " + origin);
  int64_t tokens = std::min(encoder, tokenizer.value_or(encoder));
  // Neither says a bound: the length that such encoders are trained with.
  if (tokens == kMaxTokens) {
    const auto positions = find_set(config, "max_position_embeddings");
    tokens = positions ? positions->integer(2, kMaxTokens) : kDefaultTokens;
  }
  manifest.max_tokens = static_cast<uint32_t>(tokens);
  return manifest;
}

}  // namespace affectrt

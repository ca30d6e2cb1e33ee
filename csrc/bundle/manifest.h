// What a model file says of itself: heads, labels, decisions, input limits.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace affectrt {

// Bounds of FORMAT.md, section 3.
constexpr int64_t kManifestMaxTokens = 1'048'576;
constexpr int64_t kManifestMaxLabels = 10'000;

enum class Task { kSingleLabel, kMultiLabel, kRegression };

struct Head {
  std::string name;
  Task task = Task::kSingleLabel;
  std::string output = "logits";      // the backend output that carries it, [rows, labels]
  std::vector<std::string> labels;    // one per logit
  std::vector<float> thresholds;      // multi-label: one per label, a probability in [0, 1]
  float temperature = 1.0F;           // score = activation(logit / temperature)
  std::optional<float> unsure_below;  // bound on the confidence of the top answer
};

// An entry that the manifest vouches for.
struct ManifestFile {
  std::string name;
  uint64_t bytes = 0;
  std::string sha256;  // 64 lower-case hexadecimal digits
};

struct Manifest {
  std::string name;
  std::string modality;        // "text"; "" where synthesised
  std::string family;          // "bert", "roberta", ... ; "" where unknown
  std::string precision;       // "fp32", "int8", ...
  uint32_t max_tokens = 0;     // longest row that the encoder takes, special tokens included
  std::vector<Head> heads;     // at least one; names are unique
  bool has_onnx = false;       // "model.onnx" is an entry
  bool has_weights = false;    // "weights.safetensors" is an entry
  std::string licence;         // of the weights; "" where the file does not say
  std::string licence_notice;  // "" where there is none
  bool non_commercial = false;
  std::vector<ManifestFile> files;  // every entry but affectrt.json; empty if synthesised
  std::string json;                 // affectrt.json as it stands in the file, or "" if synthesised
};

// `affectrt_json` -> Manifest; throws Error(kModelFile) naming the JSON path of what is wrong.
Manifest parse_manifest(std::string_view affectrt_json, const std::string& origin);

// For a plain Hugging Face / optimum export: id2label, num_labels and problem_type of config.json
// decide, exactly as transformers reads them. max_tokens is what the encoder's positions allow, or
// less where model_max_length of tokenizer_config.json ("" where there is none) says so.
Manifest manifest_from_hf_config(std::string_view config_json, const std::string& origin,
                                 std::string_view tokenizer_config_json = {});

}  // namespace affectrt

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
constexpr int64_t kManifestMaxLayers = 1024;

enum class Task {
  kSingleLabel,
  kMultiLabel,
  kOrdinal,
  kRegression,
  // Logits for [CLS] and each token of the text, not for the text.
  kSpan,
  kTokenLabels,
  kTokenFlags
};
const char* task_name(Task task);  // as the manifest has it
constexpr bool reads_tokens(Task task) {
  return task == Task::kSpan || task == Task::kTokenLabels || task == Task::kTokenFlags;
}

// What stands beside the text that is judged, as `affectrt.export.recipes.multitask` has it, or a
// question to it, which then stands first; or, of every head of a speech model, a clip of sound.
enum class HeadInput { kText, kTurn, kCause, kReply, kQuestion, kAudio };
const char* input_name(HeadInput input);

// What a speech model reads of a clip.
enum class FeatureKind {
  kWhisperLogMel,  // Whisper's log-mel bands of the clip alone
  kFbank,          // Kaldi's log-mel bands
  kWaveform,       // the samples
};
const char* feature_name(FeatureKind kind);

struct AudioInput {
  uint32_t sample_rate = 0;  // Hz
  float max_seconds = 0.0F;  // longest clip that the encoder takes at once
  FeatureKind kind = FeatureKind::kWhisperLogMel;
  uint32_t num_mels = 0;  // not of a waveform
  // To mean 0 and variance 1 of each clip; of log-mels with the silence that it is filled up with.
  bool normalise = false;
  bool silence_first = false;  // log-mels: the silence stands before the clip
  // Log-mels of the clip filled with silence or cut to so many frames, fbank itself filled with
  // zeros or cut; 0: as it is.
  uint32_t frames = 0;
  // Fbank: Kaldi's options of these names, and then (x - mean) / deviation.
  std::string window = "povey";
  float scale = 1.0F;
  float mean = 0.0F;
  float deviation = 1.0F;

  int64_t max_samples() const {
    return static_cast<int64_t>(double{max_seconds} * static_cast<double>(sample_rate));
  }
};

// What a row is pooled from: its first token, the mean of all tokens, or means that learnt weights
// make (`affectrt.export.attention_pooling`); "first": of the tokens of the first segment, of type
// 0.
enum class Pooling { kFirstToken, kMean, kMeanFirst, kAttention, kAttentionFirst };
const char* pooling_name(Pooling pooling);
std::optional<Pooling> pooling_named(std::string_view name);
constexpr bool reads_first_segment(Pooling pooling) {
  return pooling == Pooling::kMeanFirst || pooling == Pooling::kAttentionFirst;
}
constexpr bool has_attention(Pooling pooling) {
  return pooling == Pooling::kAttention || pooling == Pooling::kAttentionFirst;
}

struct ValueRange {
  float low;
  float high;
};

struct Head {
  std::string name;
  Task task = Task::kSingleLabel;
  HeadInput input = HeadInput::kText;
  // The backend output that carries it: [rows, labels] or, of token tasks, [tokens, labels].
  std::string output = "logits";
  std::vector<std::string> labels;  // one per logit
  // One per label. Multi-label and flags: what a score must reach. Single-label and ordinal: what
  // scores are divided by before the highest is taken; empty: all 1.
  std::vector<float> thresholds;
  float temperature = 1.0F;           // score = activation(logit / temperature)
  std::optional<float> unsure_below;  // bound on the confidence of the top answer
  std::vector<ValueRange> ranges;     // regression: one per label, or empty
  float margin = 0.0F;                // span: by how much it must beat "no answer"
  // How many layers of the encoder it reads behind, 0: the embeddings; empty: all of them.
  std::optional<int32_t> layer;
  std::optional<Pooling> pooling;  // empty: the model's own; never of heads that read tokens
};

// An entry that the manifest vouches for.
struct ManifestFile {
  std::string name;
  uint64_t bytes = 0;
  std::string sha256;  // 64 lower-case hexadecimal digits
};

struct Manifest {
  std::string name;
  std::string modality;             // "text" or "speech"; "" where synthesised
  std::string family;               // "bert", "roberta", ... ; "" where unknown
  std::string precision;            // "fp32", "int8", ...
  uint32_t max_tokens = 0;          // text: longest row of the encoder, special tokens included
  std::optional<AudioInput> audio;  // speech alone
  std::vector<Head> heads;          // at least one; names are unique
  std::string embedding;       // output of the graph with the pooled vectors; "" where it has none
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

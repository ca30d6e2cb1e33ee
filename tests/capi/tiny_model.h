// The model that the tests of the C interface and the fuzz targets use: a random two-layer BERT
// over seven words, heads "emotion" (three labels, multi-label) and "vad" (two values), maximum 64
// tokens.
#pragma once

#include <map>
#include <random>
#include <string>

#include "../cpp/bundle_image.h"
#include "../cpp/safetensors_image.h"

namespace affectrt::testing::tiny_model {

constexpr size_t kHidden = 36;
constexpr size_t kInner = 50;

inline std::string weights() {
  std::mt19937 random(17);
  const auto normals = [&](size_t count, float scale, float mean) {
    std::normal_distribution<float> normal(mean, scale);
    std::vector<float> values(count);
    for (float& value : values) value = normal(random);
    return values;
  };
  SafetensorsImage image;
  const auto matrix = [&](const std::string& name, size_t outputs, size_t inputs) {
    image.add_f32(name + ".weight", {outputs, inputs}, normals(outputs * inputs, 0.2F, 0.0F));
    image.add_f32(name + ".bias", {outputs}, normals(outputs, 0.1F, 0.0F));
  };
  const auto norm = [&](const std::string& name) {
    image.add_f32(name + ".weight", {kHidden}, normals(kHidden, 0.1F, 1.0F));
    image.add_f32(name + ".bias", {kHidden}, normals(kHidden, 0.1F, 0.0F));
  };
  const auto table = [&](const std::string& name, size_t rows) {
    image.add_f32("encoder.embeddings." + name + ".weight", {rows, kHidden},
                  normals(rows * kHidden, 1.0F, 0.0F));
  };
  table("word_embeddings", 11);
  table("position_embeddings", 64);
  table("token_type_embeddings", 2);
  norm("encoder.embeddings.LayerNorm");
  for (const char* index : {"0", "1"}) {
    const std::string layer = std::string("encoder.encoder.layer.") + index + ".";
    for (const char* part : {"query", "key", "value"}) {
      matrix(layer + "attention.self." + part, kHidden, kHidden);
    }
    matrix(layer + "attention.output.dense", kHidden, kHidden);
    norm(layer + "attention.output.LayerNorm");
    matrix(layer + "intermediate.dense", kInner, kHidden);
    matrix(layer + "output.dense", kHidden, kInner);
    norm(layer + "output.LayerNorm");
  }
  matrix("heads.emotion", 3, kHidden);
  matrix("heads.vad", 2, kHidden);
  return std::string(image.build().text());
}

constexpr const char* kConfig = R"({"model_type": "bert", "hidden_size": 36,
  "num_attention_heads": 3, "intermediate_size": 50, "num_hidden_layers": 2, "vocab_size": 11,
  "max_position_embeddings": 64, "type_vocab_size": 2, "hidden_act": "gelu",
  "layer_norm_eps": 1e-12, "affectrt": {"pooling": "mean"}})";

constexpr const char* kTokenizer = R"({
  "version": "1.0", "truncation": null, "padding": null, "decoder": null,
  "added_tokens": [
    {"id": 2, "content": "[CLS]", "single_word": false, "lstrip": false, "rstrip": false,
     "normalized": false, "special": true},
    {"id": 3, "content": "[SEP]", "single_word": false, "lstrip": false, "rstrip": false,
     "normalized": false, "special": true}],
  "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                 "strip_accents": null, "lowercase": true},
  "pre_tokenizer": {"type": "BertPreTokenizer"},
  "post_processor": {"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}},
               {"Sequence": {"id": "A", "type_id": 0}},
               {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
    "pair": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}},
             {"Sequence": {"id": "A", "type_id": 0}},
             {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
             {"Sequence": {"id": "B", "type_id": 1}},
             {"SpecialToken": {"id": "[SEP]", "type_id": 1}}],
    "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
                       "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}}},
  "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "i": 4, "am": 5, "so": 6,
                      "happy": 7, "sad": 8, "!": 9, "😀": 10}}})";

inline std::map<std::string, std::string> files() {
  return {
      {"config.json", kConfig}, {"tokenizer.json", kTokenizer}, {"weights.safetensors", weights()}};
}

// The right affectrt.json for these files.
inline nlohmann::json manifest(const std::map<std::string, std::string>& of_files) {
  nlohmann::json manifest = tiny_manifest(of_files);
  manifest["model"] = {
      {"family", "bert"}, {"precision", "fp32"}, {"weights", "weights.safetensors"}};
  manifest["input"]["max_tokens"] = 64;
  manifest["licence"] = {{"weights", "CC0-1.0"}, {"non_commercial", false}, {"notice", "Made up."}};
  manifest["heads"] = nlohmann::json::parse(R"([
    {"name": "emotion", "task": "multi_label", "output": "emotion",
     "labels": ["joy", "sadness", "anger"], "thresholds": [0.25, 0.5, 0.75], "unsure_below": 0.3},
    {"name": "vad", "task": "regression", "output": "vad", "labels": ["valence", "arousal"]}])");
  return manifest;
}

inline std::string image() { return build_image(entries_of(manifest(files()).dump(), files())); }

}  // namespace affectrt::testing::tiny_model

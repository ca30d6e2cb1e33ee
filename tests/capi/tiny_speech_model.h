// The speech model that tests and fuzz targets use: a random two-layer Whisper encoder of ten mel
// bands, heads "emotion" (three labels), "level" (ordinal, two), "mood" (two values within -1 and
// 1) and "loud" (one label, multi-label), clips of up to 2 s.
#pragma once

#include <map>
#include <random>
#include <string>

#include "../cpp/bundle_image.h"
#include "../cpp/safetensors_image.h"

namespace affectrt::testing::tiny_speech_model {

constexpr size_t kHidden = 36;
constexpr size_t kInner = 22;
constexpr size_t kMels = 10;
constexpr size_t kPositions = 100;
constexpr size_t kPoolingHeads = 4;

inline SafetensorsImage weights_image() {
  std::mt19937 random(29);
  const auto normals = [&](size_t count, float scale, float mean) {
    std::normal_distribution<float> normal(mean, scale);
    std::vector<float> values(count);
    for (float& value : values) value = normal(random);
    return values;
  };
  SafetensorsImage image;
  const auto matrix = [&](const std::string& name, const std::vector<size_t>& shape, bool bias) {
    size_t count = 1;
    for (const size_t size : shape) count *= size;
    image.add_f32(name + ".weight", shape, normals(count, 0.2F, 0.0F));
    if (bias) image.add_f32(name + ".bias", {shape[0]}, normals(shape[0], 0.1F, 0.0F));
  };
  const auto norm = [&](const std::string& name) {
    image.add_f32(name + ".weight", {kHidden}, normals(kHidden, 0.1F, 1.0F));
    image.add_f32(name + ".bias", {kHidden}, normals(kHidden, 0.1F, 0.0F));
  };
  matrix("conv1", {kHidden, kMels, 3}, true);
  matrix("conv2", {kHidden, kHidden, 3}, true);
  image.add_f32("embed_positions.weight", {kPositions, kHidden},
                normals(kPositions * kHidden, 1.0F, 0.0F));
  for (const char* index : {"0", "1"}) {
    const std::string layer = std::string("layers.") + index + ".";
    norm(layer + "self_attn_layer_norm");
    for (const char* part : {"q_proj", "k_proj", "v_proj", "out_proj"}) {
      matrix(layer + "self_attn." + part, {kHidden, kHidden}, part[0] != 'k');
    }
    norm(layer + "final_layer_norm");
    matrix(layer + "fc1", {kInner, kHidden}, true);
    matrix(layer + "fc2", {kHidden, kInner}, true);
  }
  norm("layer_norm");
  matrix("pooling", {kPoolingHeads, kHidden}, false);
  matrix("heads.emotion", {3, kHidden}, true);
  matrix("heads.level", {2, kHidden}, true);
  matrix("heads.mood", {2, kHidden}, true);
  matrix("heads.loud", {1, kHidden}, true);
  return image;
}

constexpr const char* kConfig = R"({"model_type": "whisper", "d_model": 36, "encoder_layers": 2,
  "encoder_attention_heads": 3, "encoder_ffn_dim": 22, "num_mel_bins": 10,
  "max_source_positions": 100, "affectrt": {"modality": "speech", "pooling": "attention"}})";

inline std::map<std::string, std::string> files() {
  return {{"config.json", kConfig},
          {"weights.safetensors", std::string(weights_image().build().text())}};
}

inline nlohmann::json manifest(const std::map<std::string, std::string>& files) {
  nlohmann::json manifest = nlohmann::json::parse(R"({
    "format": "affectrt-model", "format_version": 1, "name": "tiny speech", "modality": "speech",
    "model": {"family": "whisper", "precision": "fp32", "weights": "weights.safetensors"},
    "input": {"sample_rate": 16000, "max_seconds": 2,
              "features": {"kind": "whisper_log_mel", "num_mels": 10}},
    "heads": [
      {"name": "emotion", "task": "single_label", "input": "audio", "output": "emotion",
       "labels": ["anger", "calm", "fear"], "calibration": {"temperature": 1.5}},
      {"name": "level", "task": "ordinal", "input": "audio", "output": "level",
       "labels": ["normal", "strong"]},
      {"name": "mood", "task": "regression", "input": "audio", "output": "mood",
       "labels": ["arousal", "valence"], "ranges": [[-1, 1], [-1, 1]]},
      {"name": "loud", "task": "multi_label", "input": "audio", "output": "loud",
       "labels": ["loud"]}]})");
  manifest["files"] = nlohmann::json::object();
  for (const auto& [name, data] : files) {
    manifest["files"][name] = {{"bytes", data.size()}, {"sha256", sha256_hex(view(data))}};
  }
  return manifest;
}

inline std::string image(const std::map<std::string, std::string>& files) {
  return build_image(entries_of(manifest(files).dump(), files));
}

}  // namespace affectrt::testing::tiny_speech_model

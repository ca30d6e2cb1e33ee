// The native backend under many callers at once, as the thread sanitizer sees it.
#include "engine/native_backend.h"

#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <atomic>
#include <map>
#include <random>
#include <thread>

#include "safetensors_image.h"

using namespace affectrt;

namespace {

constexpr size_t kHidden = 16;
constexpr size_t kVocabulary = 12;
constexpr size_t kPositions = 64;
constexpr size_t kLabels = 3;

SafetensorsImage weights() {
  std::mt19937 random(5);
  SafetensorsImage image;
  const auto add = [&](const std::string& name, const std::vector<size_t>& shape, float mean) {
    std::normal_distribution<float> normal(mean, 0.3F);
    std::vector<float> values(shape[0] * (shape.size() == 2 ? shape[1] : 1));
    for (float& value : values) value = normal(random);
    image.add_f32(name, shape, values);
  };
  const auto matrix = [&](const std::string& name, size_t outputs) {
    add(name + ".weight", {outputs, kHidden}, 0.0F);
    add(name + ".bias", {outputs}, 0.0F);
  };
  const auto norm = [&](const std::string& name) {
    add(name + ".weight", {kHidden}, 1.0F);
    add(name + ".bias", {kHidden}, 0.0F);
  };
  add("encoder.embeddings.word_embeddings.weight", {kVocabulary, kHidden}, 0.0F);
  add("encoder.embeddings.position_embeddings.weight", {kPositions, kHidden}, 0.0F);
  add("encoder.embeddings.token_type_embeddings.weight", {2, kHidden}, 0.0F);
  norm("encoder.embeddings.LayerNorm");
  const std::string layer = "encoder.encoder.layer.0.";
  for (const char* part : {"self.query", "self.key", "self.value", "output.dense"}) {
    matrix(layer + "attention." + part, kHidden);
  }
  norm(layer + "attention.output.LayerNorm");
  matrix(layer + "intermediate.dense", kHidden);
  matrix(layer + "output.dense", kHidden);
  norm(layer + "output.LayerNorm");
  matrix("heads.emotion", kLabels);
  return image;
}

class FakeBundle final : public Bundle {
 public:
  FakeBundle() {
    Head head;
    head.name = "emotion";
    head.output = "emotion";
    head.labels.assign(kLabels, "label");
    manifest_.heads = {head};
    manifest_.max_tokens = kPositions;
  }
  const std::string& path() const override { return path_; }
  const Manifest& manifest() const override { return manifest_; }
  bool has(std::string_view name) const override {
    return name == "config.json" || name == "weights.safetensors";
  }
  std::vector<std::string> names() const override { return {"config.json", "weights.safetensors"}; }
  ByteView entry(std::string_view name) const override {
    if (name == "weights.safetensors") return built_;
    return {reinterpret_cast<const uint8_t*>(config_.data()), config_.size()};
  }

 private:
  std::string path_ = "memory";
  Manifest manifest_;
  std::string config_ =
      R"({"model_type":"bert","hidden_size":16,"num_attention_heads":2,"intermediate_size":16,)"
      R"("num_hidden_layers":1,"vocab_size":12,"max_position_embeddings":64,"type_vocab_size":2,)"
      R"("hidden_act":"gelu","layer_norm_eps":1e-12,"affectrt":{"pooling":"mean"}})";
  SafetensorsImage image_ = weights();
  ByteView built_ = image_.build();
};

// Rows of mixed lengths.
struct Rows {
  std::vector<int32_t> ids, types, begin = {0};

  explicit Rows(unsigned seed, size_t rows) {
    std::mt19937 random(seed);
    for (size_t i = 0; i < rows; ++i) {
      for (auto left = random() % kPositions + 1; left > 0; --left) {
        ids.push_back(static_cast<int32_t>(random() % kVocabulary));
      }
      begin.push_back(static_cast<int32_t>(ids.size()));
    }
    types.assign(ids.size(), 0);
  }
  TokenBatch batch() const {
    return {ids.data(), types.data(), begin.data(), static_cast<int32_t>(begin.size() - 1)};
  }
};

}  // namespace

TEST_CASE("many callers of one backend get the bits that one caller gets") {
  const auto bundle = std::make_shared<FakeBundle>();
  BackendOptions options;
  options.num_threads = 1;
  const auto alone = make_native_backend(bundle, options);
  options.num_threads = 4;
  const auto shared = make_native_backend(bundle, options);
  std::atomic<int> wrong{0};
  std::vector<std::thread> callers;
  for (unsigned caller = 0; caller < 6; ++caller) {
    callers.emplace_back([&, caller] {
      for (unsigned turn = 0; turn < 6; ++turn) {
        const Rows rows(caller * 100 + turn, 1 + (caller + turn) * 3);
        std::vector<std::vector<float>> expected;
        std::vector<std::vector<float>> actual;
        alone->run(rows.batch(), &expected);
        shared->run(rows.batch(), &actual);
        if (expected != actual || expected[0].empty()) ++wrong;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(wrong == 0);
}

// The native backend under many callers at once, as the thread sanitizer sees it.
#include <doctest/doctest.h>

#include <atomic>
#include <cstring>
#include <map>
#include <random>
#include <thread>

#include "base/error.h"
#include "engine/native_backend.h"
#include "safetensors_image.h"

using namespace affectrt;

namespace {

constexpr size_t kHidden = 16;
constexpr size_t kVocabulary = 12;
constexpr size_t kPositions = 64;
constexpr size_t kLabels = 3;

// `integers`: the matrices of the layer are int8 codes.
SafetensorsImage weights(bool integers = false) {
  std::mt19937 random(5);
  SafetensorsImage image;
  const auto add = [&](const std::string& name, const std::vector<size_t>& shape, float mean) {
    std::normal_distribution<float> normal(mean, 0.3F);
    std::vector<float> values(shape[0] * (shape.size() == 2 ? shape[1] : 1));
    for (float& value : values) value = normal(random);
    image.add_f32(name, shape, values);
  };
  const auto matrix = [&](const std::string& name, size_t outputs) {
    if (integers && name.rfind("heads.", 0) != 0) {
      std::vector<int8_t> codes(outputs * kHidden);
      for (int8_t& code : codes) {
        code = static_cast<int8_t>(static_cast<int32_t>(random() % 127U) - 63);
      }
      image.add_i8(name + ".weight", {outputs, kHidden}, codes);
      image.add_f32(name + ".weight.scale", {outputs}, std::vector<float>(outputs, 0.01F));
    } else {
      add(name + ".weight", {outputs, kHidden}, 0.0F);
    }
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
  matrix("heads.words", 2);
  return image;
}

std::string config_json(const std::string& pooling) {
  return R"({"model_type":"bert","hidden_size":16,"num_attention_heads":2,"intermediate_size":16,)"
         R"("num_hidden_layers":1,"vocab_size":12,"max_position_embeddings":64,)"
         R"("type_vocab_size":2,"hidden_act":"gelu","layer_norm_eps":1e-12,"affectrt":{"pooling":")" +
         pooling + "\"}}";
}

class FakeBundle final : public Bundle {
 public:
  explicit FakeBundle(const std::string& pooling = "mean", bool integers = false)
      : config_(config_json(pooling)), image_(weights(integers)) {
    Head head;
    head.name = "emotion";
    head.output = "emotion";
    head.labels.assign(kLabels, "label");
    Head words;
    words.name = words.output = "words";
    words.task = Task::kTokenFlags;
    words.labels = {"a", "b"};
    manifest_.heads = {head, words};
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
  std::string config_;
  SafetensorsImage image_;
  ByteView built_ = image_.build();
};

// Rows of mixed lengths, some with a second segment, and of which some tokens are judged.
struct Rows {
  std::vector<int32_t> ids, types, judged, begin = {0};

  explicit Rows(unsigned seed, size_t rows) {
    std::mt19937 random(seed);
    for (size_t i = 0; i < rows; ++i) {
      const auto length = random() % kPositions + 1;
      const auto first = random() % 3 == 0 ? length : random() % length + 1;
      for (unsigned long k = 0; k < length; ++k) {
        ids.push_back(static_cast<int32_t>(random() % kVocabulary));
        types.push_back(k < first ? 0 : 1);
      }
      judged.push_back(static_cast<int32_t>(first > 1 ? first - 1 : 1));
      begin.push_back(static_cast<int32_t>(ids.size()));
    }
  }
  TokenBatch batch() const {
    return {ids.data(), types.data(), begin.data(), static_cast<int32_t>(begin.size() - 1),
            judged.data()};
  }
  TokenBatch row(size_t i) const {
    return {ids.data(), types.data(), begin.data() + i, 1, judged.data() + i};
  }
};

}  // namespace

TEST_CASE("many callers of one backend get the bits that one caller gets") {
  const std::vector<size_t> wanted[] = {{0, 1, 2}, {0}, {2, 1}};
  for (const bool integers : {false, true}) {
    CAPTURE(integers);
    const auto bundle = std::make_shared<FakeBundle>("mean", integers);
    BackendOptions options;
    options.num_threads = 1;
    const auto alone = make_native_backend(bundle, options);
    options.num_threads = 4;
    const auto shared = make_native_backend(bundle, options);
    std::atomic<int> wrong{0};
    std::vector<std::thread> callers;
    for (unsigned caller = 0; caller < 16; ++caller) {
      callers.emplace_back([&, caller] {
        for (unsigned turn = 0; turn < 4; ++turn) {
          const Rows rows(caller * 100 + turn, 1 + (caller + turn * 5) % 16);
          const std::vector<size_t>& outputs = wanted[(caller + turn) % 3];
          std::vector<std::vector<float>> expected;
          std::vector<std::vector<float>> actual;
          alone->run(rows.batch(), outputs, &expected);
          shared->run(rows.batch(), outputs, &actual);
          if (expected != actual || expected[0].empty()) ++wrong;
        }
      });
    }
    for (std::thread& caller : callers) caller.join();
    CHECK(wrong == 0);
  }
}

TEST_CASE("what is wanted of a row has the same bits, whatever else is wanted and beside whom") {
  const Rows rows(9, 12);
  for (const auto& [pooling, integers] :
       {std::pair("mean", false), std::pair("cls", false), std::pair("mean_first", false),
        std::pair("mean", true), std::pair("cls", true)}) {
    CAPTURE(pooling);
    CAPTURE(integers);
    const auto backend = make_native_backend(std::make_shared<FakeBundle>(pooling, integers), {});
    REQUIRE(backend->outputs().size() == 3);
    CHECK(backend->outputs()[1].kind == OutputKind::kToken);
    CHECK(backend->outputs()[2].kind == OutputKind::kEmbedding);
    std::vector<std::vector<float>> all;
    backend->run(rows.batch(), {0, 1, 2}, &all);
    CHECK(all[0].size() == 12 * kLabels);
    CHECK(all[1].size() == rows.batch().judged_tokens() * 2);
    CHECK(all[2].size() == 12 * kHidden);
    std::vector<std::vector<float>> alone(3);
    for (size_t row = 0; row < 12; ++row) {
      for (const size_t output : {2U, 0U, 1U}) {
        std::vector<std::vector<float>> one;
        backend->run(rows.row(row), {output}, &one);
        alone[output].insert(alone[output].end(), one[0].begin(), one[0].end());
      }
    }
    CHECK(alone == all);
  }
}

TEST_CASE("mean_first pools the first segment alone") {
  const Rows rows(9, 12);
  const auto backend = make_native_backend(std::make_shared<FakeBundle>("mean_first"), {});
  // A bundle of one layer: the pooled vector is the mean of what token heads read.
  std::vector<std::vector<float>> values;
  std::vector<int32_t> whole = rows.judged;
  for (size_t row = 0; row < whole.size(); ++row) {
    whole[row] = 0;
    for (int32_t i = rows.begin[row]; i < rows.begin[row + 1]; ++i) {
      if (rows.types[static_cast<size_t>(i)] == 0) ++whole[row];
    }
  }
  TokenBatch batch = rows.batch();
  batch.judged = whole.data();
  backend->run(batch, {1, 2}, &values);
  // Heads are linear: the mean of the tokens' logits is the head's answer to the mean.
  const SafetensorsImage image = weights();
  const auto floats = [&](const std::string& name) {
    const SafetensorsImage::Item& item = image.items().at(name);
    std::vector<float> read(item.bytes.size() / sizeof(float));
    std::memcpy(read.data(), item.bytes.data(), item.bytes.size());
    return read;
  };
  const std::vector<float> weight = floats("heads.words.weight");
  const std::vector<float> bias = floats("heads.words.bias");
  const float* logits = values[0].data();
  for (size_t row = 0; row < whole.size(); ++row) {
    const auto count = static_cast<size_t>(whole[row]);
    for (size_t label = 0; label < 2; ++label) {
      double mean = 0.0;
      for (size_t i = 0; i < count; ++i) mean += double{logits[2 * i + label]};
      double expected = double{bias[label]};
      for (size_t c = 0; c < kHidden; ++c) {
        expected += double{weight[label * kHidden + c]} * double{values[1][row * kHidden + c]};
      }
      CHECK(mean / static_cast<double>(count) == doctest::Approx(expected).epsilon(1e-4));
    }
    logits += 2 * count;
  }
}

TEST_CASE("rows that cannot be judged or pooled are refused") {
  Rows rows(9, 3);
  const auto backend = make_native_backend(std::make_shared<FakeBundle>("mean_first"), {});
  std::vector<std::vector<float>> values;
  rows.judged[1] = 0;
  CHECK_THROWS_AS(backend->run(rows.batch(), {1}, &values), Error);
  rows.judged[1] = rows.begin[2] - rows.begin[1] + 1;
  CHECK_THROWS_AS(backend->run(rows.batch(), {1}, &values), Error);
  TokenBatch batch = rows.batch();
  batch.judged = nullptr;
  CHECK_THROWS_AS(backend->run(batch, {1}, &values), Error);
  backend->run(batch, {0, 2}, &values);  // nothing of tokens is asked
  rows.types[static_cast<size_t>(rows.begin[1])] = 1;
  CHECK_THROWS_AS(backend->run(batch, {0}, &values), Error);
}

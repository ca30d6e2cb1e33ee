#include <doctest/doctest.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "base/error.h"
#include "onnx_image.h"
#include "runtime/model.h"
#include "runtime/token_rows.h"

using affectrt::Error;
using affectrt::ErrorKind;
using affectrt::Model;
using affectrt::ModelOptions;
using affectrt::Prediction;
using affectrt::TextInput;
using affectrt::Tokenizer;
using affectrt::TokenRow;
using affectrt::Wanted;

namespace {

constexpr const char* kTokenizer = R"({
  "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
  "pre_tokenizer": {"type": "WhitespaceSplit"}, "post_processor": null, "decoder": null,
  "model": {"type": "WordLevel", "unk_token": "x",
            "vocab": {"x": 0, "a": 1, "b": 2, "c": 3, "d": 4}}})";

std::string library() {
  const char* path = std::getenv("AFFECTRT_ONNXRUNTIME");
  return path == nullptr ? "" : path;
}

bool skipped() {
  if (!library().empty()) return false;
  MESSAGE("skipped: AFFECTRT_ONNXRUNTIME names no library");
  return true;
}

// A Hugging Face export whose logits are the sum of the ids and the number of tokens.
class ModelFolder {
 public:
  ModelFolder() {
    char name[] = "/tmp/affectrt-runtime-XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    path_ = name;
    write("tokenizer.json", kTokenizer);
    write("config.json", R"({"model_type": "bert", "max_position_embeddings": 6,
                             "problem_type": "regression",
                             "id2label": {"0": "sum", "1": "count"}})");
    using onnx_image::node;
    onnx_image::Graph graph;
    graph.constants = {onnx_image::tensor<float>("table", onnx_image::kFloat, {5, 2},
                                                 {0, 1, 1, 1, 2, 1, 3, 1, 4, 1}),
                       onnx_image::tensor<int64_t>("last", onnx_image::kInt64, {1}, {2}),
                       onnx_image::tensor<int64_t>("axis", onnx_image::kInt64, {1}, {1})};
    for (const char* input : {"input_ids", "attention_mask"}) {
      graph.inputs.push_back(onnx_image::value_info(input, onnx_image::kInt64, {"r", "t"}));
    }
    graph.nodes = {
        node("Gather", {"table", "input_ids"}, "values"),
        node("Cast", {"attention_mask"}, "mask", {onnx_image::attribute("to", onnx_image::kFloat)}),
        node("Unsqueeze", {"mask", "last"}, "mask3"), node("Mul", {"values", "mask3"}, "kept"),
        node("ReduceSum", {"kept", "axis"}, "logits", {onnx_image::attribute("keepdims", 0)})};
    graph.outputs = {onnx_image::value_info("logits", onnx_image::kFloat, {"r", "2"})};
    write("model.onnx", onnx_image::model(graph));
  }
  ~ModelFolder() { std::filesystem::remove_all(path_); }
  ModelFolder(const ModelFolder&) = delete;
  ModelFolder& operator=(const ModelFolder&) = delete;

  std::shared_ptr<const Model> load(int32_t max_batch_tokens = 0) const {
    ModelOptions options;
    options.backend_options.num_threads = 2;
    options.backend_options.onnxruntime_library = library();
    options.max_batch_tokens = max_batch_tokens;
    return Model::load(path_, options);
  }

 private:
  void write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path_ + "/" + name, std::ios::binary) << bytes;
  }
  std::string path_;
};

std::vector<TextInput> inputs_of(const std::vector<std::string>& texts) {
  std::vector<TextInput> inputs;
  for (const std::string& text : texts) inputs.push_back({text, std::nullopt});
  return inputs;
}

const std::vector<std::string> kTexts = {"a b c", "d", "a a a a a", "nothing known",
                                         "b b b b b b b d"};
const std::vector<float> kLogits = {6, 3, 4, 1, 5, 5, 0, 2, 12, 6};  // the last cut at 6 tokens

Wanted with_progress(std::function<bool(size_t, size_t)> progress) {
  Wanted wanted;
  wanted.progress = std::move(progress);
  return wanted;
}

}  // namespace

TEST_CASE("texts to logits in the caller's order, whatever the budget") {
  if (skipped()) return;
  const ModelFolder folder;
  for (const int32_t budget : {0, 1, 7, 12}) {
    const Prediction result = folder.load(budget)->predict(inputs_of(kTexts), {});
    REQUIRE(result.heads.size() == 1);
    CHECK(result.heads[0].logits == kLogits);
    CHECK(result.heads[0].scores == kLogits);
    CHECK(result.token_counts == std::vector<int32_t>{3, 1, 5, 2, 8});
    CHECK(result.truncated == std::vector<uint8_t>{0, 0, 0, 0, 1});
  }
}

TEST_CASE("one model, many callers") {
  if (skipped()) return;
  const ModelFolder folder;
  const auto model = folder.load(12);
  std::vector<std::string> texts;
  std::vector<float> expected;
  for (int i = 0; i < 40; ++i) {
    texts.insert(texts.end(), kTexts.begin(), kTexts.end());
    expected.insert(expected.end(), kLogits.begin(), kLogits.end());
  }
  const std::vector<TextInput> inputs = inputs_of(texts);
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&] {
      for (int turn = 0; turn < 5; ++turn) {
        if (model->predict(inputs, {}).heads[0].logits == expected) ++right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(right == 30);
}

TEST_CASE("progress ends a call, and what it throws passes through") {
  if (skipped()) return;
  const ModelFolder folder;
  const auto model = folder.load(6);
  const std::vector<TextInput> inputs = inputs_of(kTexts);
  size_t last = 0;
  model->predict(inputs, with_progress([&](size_t done, size_t total) {
                   CHECK(total == kTexts.size());
                   CHECK(done >= last);
                   last = done;
                   return true;
                 }));
  CHECK(last == kTexts.size());
  for (const size_t stop_at : {size_t{0}, size_t{2}}) {
    try {
      model->predict(inputs, with_progress([&](size_t done, size_t) { return done < stop_at; }));
      FAIL("no error");
    } catch (const Error& error) {
      CHECK(error.kind() == ErrorKind::kInput);
      CHECK(std::string(error.what()).find("interrupted") == 0);
    }
  }
  struct Mine {};
  CHECK_THROWS_AS(
      model->predict(inputs, with_progress([](size_t, size_t) -> bool { throw Mine(); })), Mine);
}

TEST_CASE("rows are encoded alike on any number of threads") {
  const auto tokenizer = Tokenizer::from_json(kTokenizer, "test");
  std::vector<std::string> texts;
  for (int i = 0; i < 1500; ++i) {
    texts.emplace_back();
    for (int word = 0; word <= i % 150; ++word) texts.back() += word % 3 == 0 ? "a " : "b ";
  }
  const std::vector<TextInput> inputs = inputs_of(texts);
  const std::vector<TokenRow> one =
      affectrt::tokenize_rows(*tokenizer, inputs, {100, false, 1}, nullptr);
  const std::vector<TokenRow> many =
      affectrt::tokenize_rows(*tokenizer, inputs, {100, false, 4}, nullptr);
  REQUIRE(one.size() == texts.size());
  bool same = true;
  bool full = true;
  for (size_t i = 0; i < texts.size(); ++i) {
    same = same && one[i].ids == many[i].ids && one[i].full_count == many[i].full_count;
    full = full && one[i].full_count == static_cast<int32_t>(i % 150) + 1 &&
           one[i].ids.size() == static_cast<size_t>(std::min(one[i].full_count, 100));
  }
  CHECK(same);
  CHECK(full);
}

TEST_CASE("of many bad texts the first is named, on any number of threads") {
  const auto tokenizer = Tokenizer::from_json(kTokenizer, "test");
  std::vector<std::string> texts(4000, "a b c d a b c d a b c d a b c d a b c d a b c d a b c d");
  for (const size_t bad : {size_t{3999}, size_t{1777}, size_t{2500}}) texts[bad] = "a \xff";
  const std::vector<TextInput> inputs = inputs_of(texts);
  for (const int threads : {1, 4}) {
    try {
      affectrt::tokenize_rows(*tokenizer, inputs, {0, false, threads}, nullptr);
      FAIL("no error");
    } catch (const Error& error) {
      CHECK(error.kind() == ErrorKind::kInput);
      CHECK(std::string(error.what()).find("text 1777: ") == 0);
    }
  }
}

TEST_CASE("encoding stops when told to") {
  const auto tokenizer = Tokenizer::from_json(kTokenizer, "test");
  const std::vector<std::string> texts(4000, std::string(200, 'a'));
  const std::vector<TextInput> inputs = inputs_of(texts);
  for (const int threads : {1, 4}) {
    int asked = 0;
    const auto stop = [&] { return ++asked < 1; };
    CHECK_THROWS_AS(affectrt::tokenize_rows(*tokenizer, inputs, {0, false, threads}, stop), Error);
    CHECK(asked == 1);
  }
}

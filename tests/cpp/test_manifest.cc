#include <doctest/doctest.h>

#include <functional>
#include <random>

#include "bundle/manifest.h"
#include "bundle_image.h"

using namespace affectrt;
using namespace affectrt::testing;

namespace {

using Change = std::function<void(nlohmann::json*)>;

Manifest parse(const Change& change) {
  nlohmann::json manifest = tiny_manifest(tiny_files());
  change(&manifest);
  return parse_manifest(manifest.dump(), "file");
}

std::string error_of(const Change& change, ErrorKind kind = ErrorKind::kModelFile) {
  try {
    parse(change);
  } catch (const Error& error) {
    CHECK(error.kind() == kind);
    return error.what();
  }
  return "";
}

// `path` is a JSON pointer.
Change put(const std::string& path, const nlohmann::json& value) {
  return [=](nlohmann::json* m) { (*m)[nlohmann::json::json_pointer(path)] = value; };
}

Change drop(const std::string& path, const std::string& key) {
  return [=](nlohmann::json* m) { (*m)[nlohmann::json::json_pointer(path)].erase(key); };
}

// Adds a head of another task.
Change of(const std::string& task, const std::vector<std::string>& labels,
          const nlohmann::json& more = nlohmann::json::object()) {
  return [=](nlohmann::json* m) {
    nlohmann::json head = {
        {"name", "other"}, {"task", task}, {"output", "other"}, {"labels", labels}};
    head.update(more);
    (*m)["heads"].push_back(head);
  };
}

Change best(const std::string& task, const std::vector<double>& thresholds) {
  return of(task, {"low", "high"}, {{"thresholds", thresholds}});
}

Manifest hf(const std::string& config, const std::string& tokenizer_config = "") {
  return manifest_from_hf_config(config, "config.json", tokenizer_config);
}

std::string hf_error(const std::string& config) {
  try {
    hf(config);
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::kModelFile);
    return error.what();
  }
  return "";
}

std::vector<std::string> hf_labels(const std::string& config) {
  return hf(config).heads.at(0).labels;
}

using Labels = std::vector<std::string>;

}  // namespace

TEST_CASE("affectrt.json: what is right") {
  const Manifest manifest = parse([](nlohmann::json* m) {
    (*m)["heads"].push_back({{"name", "mood"},
                             {"task", "single_label"},
                             {"output", "mood"},
                             {"labels", {"low", "caf\xC3\xA9"}},
                             {"calibration", {{"temperature", 1.5}}},
                             {"unsure_below", 0.5}});
    (*m)["heads"].push_back({{"name", "vad"},
                             {"task", "regression"},
                             {"output", "vad"},
                             {"labels", {"valence"}},
                             {"unsure_below", nullptr}});
    (*m)["description"] = "two\nlines";
    (*m)["parity"] = nullptr;
    (*m)["licence"] = {{"weights", "Apache-2.0"}, {"non_commercial", false}};
    (*m)["from-the-future"] = {1, 2};
    (*m)["input"]["max_tokens"] = 512.0;
  });
  CHECK(manifest.name == "tiny");
  CHECK(manifest.modality == "text");
  CHECK(manifest.family == "bert");
  CHECK(manifest.precision == "fp32");
  CHECK(manifest.max_tokens == 512);
  CHECK(manifest.has_onnx);
  CHECK(!manifest.has_weights);
  CHECK(manifest.files.size() == 3);
  REQUIRE(manifest.heads.size() == 3);
  CHECK(manifest.heads[0].task == Task::kMultiLabel);
  CHECK(manifest.heads[1].temperature == 1.5F);
  CHECK(manifest.heads[1].unsure_below == 0.5F);
  CHECK(manifest.heads[1].thresholds.empty());
  CHECK(manifest.heads[2].task == Task::kRegression);
  CHECK(!manifest.heads[2].unsure_below);
  CHECK(parse(drop("/heads/0", "thresholds")).heads[0].thresholds == std::vector<float>{.5F, .5F});
}

TEST_CASE("affectrt.json: heads of every task and input") {
  const Manifest manifest = parse([](nlohmann::json* m) {
    best("ordinal", {0.5, 1.0})(m);
    (*m)["heads"][1]["name"] = "level";
    of("span", {"start", "end"}, {{"margin", -0.5}, {"input", "cause"}})(m);
    (*m)["heads"][2]["name"] = "cause_span";
    of("token_labels", {"O", "B-x", "I-x", "B-y y", "I-y y"}, {{"input", "turn"}})(m);
    (*m)["heads"][3]["name"] = "slots";
    of("token_flags", {"a", "b"}, {{"input", "reply"}})(m);
    (*m)["heads"][4]["name"] = "words";
    of("regression", {"v", "a"}, {{"ranges", {{1, 5}, {-1, 1.5}}}})(m);
    (*m)["heads"][5]["name"] = "values";
    of("single_label", {"x", "y"}, {{"layer", 3.0}, {"pooling", "attention_first"}})(m);
    (*m)["heads"][6]["output"] = "deep";
    (*m)["model"]["embedding"] = "pooled";
  });
  CHECK(manifest.embedding == "pooled");
  REQUIRE(manifest.heads.size() == 7);
  CHECK(manifest.heads[0].input == HeadInput::kText);
  CHECK(manifest.heads[1].task == Task::kOrdinal);
  CHECK(manifest.heads[1].thresholds == std::vector<float>{0.5F, 1.0F});
  CHECK(manifest.heads[2].task == Task::kSpan);
  CHECK(manifest.heads[2].input == HeadInput::kCause);
  CHECK(manifest.heads[2].margin == -0.5F);
  CHECK(manifest.heads[3].task == Task::kTokenLabels);
  CHECK(manifest.heads[3].input == HeadInput::kTurn);
  CHECK(manifest.heads[4].task == Task::kTokenFlags);
  CHECK(manifest.heads[4].input == HeadInput::kReply);
  CHECK(manifest.heads[4].thresholds == std::vector<float>{0.5F, 0.5F});
  REQUIRE(manifest.heads[5].ranges.size() == 2);
  CHECK(manifest.heads[5].ranges[1].high == 1.5F);
  CHECK_FALSE(manifest.heads[5].layer);
  CHECK_FALSE(manifest.heads[5].pooling);
  CHECK(manifest.heads[6].layer == 3);
  CHECK(manifest.heads[6].pooling == Pooling::kAttentionFirst);
}

TEST_CASE("affectrt.json: every error names its place") {
  struct Case {
    Change change;
    const char* expected;
  };
  const std::string sha = std::string(64, 'a');
  const std::vector<Case> cases = {
      {[](auto* m) { *m = nlohmann::json::array(); }, "file: is an array of 0 items"},
      {drop("", "format"), "file: the key 'format' is missing"},
      {put("/format", "zip"), "format: is \"zip\"; it must be \"affectrt-model\""},
      {put("/format_version", "1"), "format_version: is \"1\""},
      {put("/format_version", 0), "format_version: is 0"},
      {put("/format_version", true), "format_version: is true"},
      {put("/name", ""), "name: is \"\""},
      {put("/name", 5), "name: is 5"},
      {put("/name", "a\nb"), "without control characters"},
      {put("/name", std::string(257, 'x')), "1 to 256 characters"},
      {put("/model", nullptr), "model: is null; it must be an object"},
      {drop("/model", "family"), "model: the key 'family' is missing"},
      {put("/model/family", "BERT"), "model.family: is \"BERT\""},
      {put("/model/family", "../x"), "model.family"},
      {drop("/model", "onnx"), "neither the key 'onnx' nor 'weights'"},
      {put("/model/onnx", "/etc/passwd"),
       "model.onnx: is \"/etc/passwd\"; it must be \"model.onnx\""},
      {put("/model/onnx", nullptr), "model.onnx: is null"},
      {put("/model/weights", "weights.safetensors"),
       "'weights.safetensors' is not listed but needed"},
      {put("/input/max_tokens", 1), "input.max_tokens: is 1; it must be an integer from 2 to"},
      {put("/input/max_tokens", 1048577), "input.max_tokens"},
      {put("/input/max_tokens", 12.5), "input.max_tokens: is 12.5"},
      {put("/input/max_tokens", 1e300), "input.max_tokens"},
      {put("/input/max_tokens", -1), "input.max_tokens: is -1"},
      {put("/input/max_tokens", UINT64_MAX), "input.max_tokens"},
      {put("/heads", nlohmann::json::array()), "heads: is an array of 0 items"},
      {put("/heads", {{"a", 1}}), "heads: is an object"},
      {[](auto* m) { (*m)["heads"].push_back((*m)["heads"][0]); }, "two heads are named 'emotion'"},
      {put("/heads/0", 5), "heads[0]: is 5; it must be an object"},
      {put("/heads/0/name", ""), "heads[0].name"},
      {put("/heads/0/name", "a b"), "heads[0].name: is \"a b\""},
      {put("/heads/0/output", ""), "heads[0].output"},
      {put("/heads/0/labels", nlohmann::json::array()), "heads[0].labels: is an array of 0 items"},
      {put("/heads/0/labels/1", "joy"), "heads[0].labels[1]: is \"joy\"; it must be unlike every"},
      {put("/heads/0/labels/1", ""), "heads[0].labels[1]: is \"\""},
      {put("/heads/0/labels/1", 3), "heads[0].labels[1]: is 3"},
      {put("/heads/0/labels/1", std::string("a\0b", 3)), "heads[0].labels[1]"},
      {put("/heads/0/labels/2", "third"), "there are 2 thresholds for 3 labels"},
      {put("/heads/0/thresholds", nlohmann::json::array()), "there are 0 thresholds for 2 labels"},
      {put("/heads/0/thresholds/1", 1.5), "heads[0].thresholds[1]: is 1.5; it must be a number"},
      {put("/heads/0/thresholds/1", -0.1), "heads[0].thresholds[1]"},
      {put("/heads/0/thresholds/1", "0.5"), "heads[0].thresholds[1]"},
      {put("/heads/0/thresholds/1", true), "heads[0].thresholds[1]: is true"},
      {put("/heads/0/thresholds", 0.5), "heads[0].thresholds: is 0.5"},
      {put("/heads/0/task", "regression"), "a regression head has no thresholds"},
      {put("/heads/0/input", nullptr), "heads[0].input: is null"},
      {put("/heads/0/ranges", {{0, 1}, {0, 1}}), "only a regression head has ranges"},
      {put("/heads/0/margin", 1), "only a span head has a margin"},
      {put("/heads/0/layer", -1), "heads[0].layer: is -1; it must be an integer from 0 to 1024"},
      {put("/heads/0/layer", nullptr), "heads[0].layer: is null"},
      {put("/heads/0/pooling", 1), "heads[0].pooling: is 1"},
      {of("token_flags", {"a"}, {{"pooling", "cls"}}), "reads every token; leave it out"},
      {of("regression", {"v"}, {{"output", "logits"}, {"layer", 1}}), "have one output"},
      {best("ordinal", {0.0, 1.0}), "heads[1].thresholds[0]: is 0.0; it must be a number from 1"},
      {best("ordinal", {0.5}), "there are 1 thresholds for 2 labels"},
      {of("regression", {"v"}, {{"ranges", {{1, 1}}}}), "lowest value is not below its highest"},
      {of("regression", {"v"}, {{"ranges", {{0, 1}, {0, 1}}}}), "there are 2 ranges for 1 labels"},
      {of("regression", {"v"}, {{"ranges", {{0, 1, 2}}}}), "heads[1].ranges[0]: is an array of 3"},
      {of("regression", {"v"}, {{"ranges", {{0, 1e10}}}}), "heads[1].ranges[0][1]: is"},
      {of("span", {"start", "end", "x"}), "heads[1].labels: is an array of 3 items"},
      {of("span", {"start", "end"}, {{"margin", "1"}}), "heads[1].margin: is \"1\""},
      {of("span", {"start", "end"}, {{"unsure_below", 0.5}}), "a span head has no confidence"},
      {of("token_labels", {"O", "B-x"}), "heads[1].labels: is an array of 2 items"},
      {of("token_labels", {"B-x", "I-x", "O"}), "heads[1].labels[0]: is \"B-x\"; it must be \"O\""},
      {of("token_labels", {"O", "I-x", "B-x"}),
       "heads[1].labels[1]: is \"I-x\"; it must be \"B-\""},
      {of("token_labels", {"O", "B-x", "I-y"}), "must be \"I-x\", since it follows B-x"},
      {of("token_labels", {"O", "B-", "I-"}), "the name of a kind of span"},
      {of("token_labels", {"O", "B-x", "I-x", "B-y"}), "is not followed by its I- label"},
      {put("/heads/0/calibration", 1.0), "heads[0].calibration"},
      {put("/heads/0/calibration/x", 1.0), "the key 'temperature' is missing"},
      {put("/heads/0/calibration/temperature", 0.0), "heads[0].calibration.temperature: is 0.0"},
      {put("/heads/0/calibration/temperature", -1), "heads[0].calibration.temperature"},
      {put("/heads/0/calibration/temperature", 1e-30), "heads[0].calibration.temperature"},
      {put("/heads/0/unsure_below", 1.01), "heads[0].unsure_below"},
      {put("/heads/0/metrics", 1), "heads[0].metrics"},
      {put("/heads/0/metrics/0", nlohmann::json::object()), ""},
      {put("/heads/0/licence", 1), "heads[0].licence"},
      {put("/data", "goemotions"), "data: is \"goemotions\""},
      {put("/parity", "good"), "parity: is \"good\""},
      {put("/licence/non_commercial", 0), "licence.non_commercial: is 0; it must be true or false"},
      {put("/source/sha256", "abc"), "source.sha256"},
      {put("/source/sha256", std::string(64, 'A')), "source.sha256"},
      {drop("", "files"), "the key 'files' is missing"},
      {put("/files", nlohmann::json::array()), "files: is an array"},
      {drop("/files", "config.json"), "files: 'config.json' is not listed but needed"},
      {drop("/files", "model.onnx"), "files: 'model.onnx' is not listed but needed"},
      {put("/files/weights.safetensors", {{"bytes", 1}, {"sha256", sha}}),
       "'weights.safetensors' is listed, but 'model' does not name it"},
      {put("/files/affectrt.json", {{"bytes", 1}, {"sha256", sha}}), "does not list itself"},
      {put("/files/a\\b", {{"bytes", 1}, {"sha256", sha}}), "holds '\\'"},
      {put("/files/CONFIG.json", {{"bytes", 1}, {"sha256", sha}}), "stands twice"},
      {put("/files/config.json/bytes", -1), "files.config.json.bytes: is -1"},
      {put("/files/config.json/bytes", 1e18), "files.config.json.bytes"},
      {put("/files/config.json/sha256", 5), "files.config.json.sha256"},
      {put("/files/config.json", 5), "files.config.json: is 5"},
  };
  for (const Case& each : cases) {
    const std::string error = error_of(each.change);
    CAPTURE(error);
    CAPTURE(each.expected);
    CHECK(contains(error, each.expected));
    if (*each.expected == '\0') CHECK(error.empty());
  }
  CHECK(contains(error_of(put("/format_version", 2), ErrorKind::kUnsupported), "newer affectrt"));
  CHECK(contains(error_of(put("/modality", "smell"), ErrorKind::kUnsupported), "modality"));
  CHECK(contains(error_of(put("/heads/0/input", "title"), ErrorKind::kUnsupported),
                 "heads[0].input: is \"title\"; it must be one of \"text\""));
  CHECK(contains(error_of(put("/heads/0/pooling", "max"), ErrorKind::kUnsupported),
                 "heads[0].pooling: is \"max\"; it must be one of \"mean\""));
  CHECK(contains(error_of(put("/heads/0/task", "rank"), ErrorKind::kUnsupported), "heads[0].task"));
}

TEST_CASE("affectrt.json: duplicate keys and depth") {
  std::string text = tiny_manifest(tiny_files()).dump();
  text.insert(1, R"("format": "other",)");
  CHECK_THROWS_WITH_AS(parse_manifest(text, "file"), doctest::Contains("'format' stands twice"),
                       Error);
  const std::string deep = R"({"x-a": )" + std::string(100'000, '[');
  CHECK_THROWS_WITH_AS(parse_manifest(deep, "file"), doctest::Contains("32 levels deep"), Error);
  const std::string large(size_t{5} << 20U, ' ');
  CHECK_THROWS_WITH_AS(parse_manifest(large, "file"), doctest::Contains("bytes of JSON"), Error);
}

// Expectations are what transformers 5.23 does with the same config.json.
TEST_CASE("config.json: labels") {
  CHECK(hf_labels(R"({"model_type": "bert"})") == Labels{"LABEL_0", "LABEL_1"});
  CHECK(hf_labels(R"({"model_type": "bart"})") == Labels{"LABEL_0", "LABEL_1", "LABEL_2"});
  CHECK(hf_labels(R"({"num_labels": 3})") == Labels{"LABEL_0", "LABEL_1", "LABEL_2"});
  CHECK(hf_labels(R"({"id2label": null})") == Labels{"LABEL_0", "LABEL_1"});
  CHECK(hf_labels(R"({"id2label": {"2": "c", "0": "a", "1": "b"}})") == Labels{"a", "b", "c"});
  CHECK(hf_labels(R"({"id2label": {"0": "a", "1": "b"}, "num_labels": 2})") == Labels{"a", "b"});
  CHECK(hf_labels(R"({"id2label": {"0": "a", "1": "b"}, "num_labels": 3})") ==
        Labels{"LABEL_0", "LABEL_1", "LABEL_2"});
  CHECK(hf_labels(R"({"_num_labels": 5})").size() == 2);
  std::string many;
  for (int i = 0; i < 28; ++i) {
    many +=
        (many.empty() ? "\"" : ", \"") + std::to_string(i) + "\": \"l" + std::to_string(i) + "\"";
  }
  CHECK(hf_labels("{\"id2label\": {" + many + "}}").at(10) == "l10");

  CHECK(contains(hf_error(R"({"id2label": {"0": "a", "2": "b"}})"),
                 "id2label.2: the keys must be 0 to 1"));
  CHECK(contains(hf_error(R"({"id2label": {"0": "a", "x": "b"}})"), "id2label.x: the key must be"));
  CHECK(contains(hf_error(R"({"id2label": {"-1": "a", "0": "b"}})"), "id2label.-1"));
  CHECK(contains(hf_error(R"({"id2label": {"0": "a", "00": "b"}})"), "a second time"));
  CHECK(contains(hf_error(R"({"id2label": {"0": 1}})"), "id2label.0: is 1"));
  CHECK(contains(hf_error(R"({"id2label": {}})"), "has 0 labels"));
  CHECK(contains(hf_error(R"({"id2label": ["a", "b"]})"), "id2label: is an array"));
  for (const char* count : {"0", "-1", "\"3\"", "2.5", "null", "1000000000"}) {
    CHECK(contains(hf_error(std::string(R"({"num_labels": )") + count + "}"), "num_labels"));
  }
  CHECK(contains(hf_error("[]"), "config.json: is an array"));
  CHECK(contains(hf_error("{"), "config.json, byte 2"));
}

TEST_CASE("config.json: tasks") {
  const auto task = [](const std::string& config) { return hf(config).heads.at(0).task; };
  CHECK(task("{}") == Task::kSingleLabel);
  CHECK(task(R"({"problem_type": null})") == Task::kSingleLabel);
  CHECK(task(R"({"num_labels": 1})") == Task::kRegression);
  CHECK(task(R"({"problem_type": "regression"})") == Task::kRegression);
  CHECK(task(R"({"problem_type": "single_label_classification"})") == Task::kSingleLabel);
  const Manifest multi = hf(R"({"problem_type": "multi_label_classification"})");
  CHECK(multi.heads.at(0).task == Task::kMultiLabel);
  CHECK(multi.heads.at(0).thresholds == std::vector<float>{0.5F, 0.5F});
  CHECK(multi.heads.at(0).name == "default");
  CHECK(task(R"({"problem_type": "multi_label_classification", "num_labels": 1})") ==
        Task::kMultiLabel);
  CHECK(contains(hf_error(R"({"problem_type": "multilabel"})"), "problem_type: is \"multilabel\""));
  CHECK(contains(hf_error(R"({"problem_type": "single_label_classification", "num_labels": 1})"),
                 "needs two labels or more"));
}

TEST_CASE("config.json: the longest row") {
  const auto tokens = [](const std::string& config, const std::string& tokenizer = "") {
    return hf(config, tokenizer).max_tokens;
  };
  CHECK(tokens(R"({"model_type": "bert"})") == 512);
  CHECK(tokens(R"({"model_type": "bert", "max_position_embeddings": 128})") == 128);
  CHECK(tokens(R"({"model_type": "roberta", "max_position_embeddings": 514})") == 512);
  CHECK(tokens(R"({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 0})") ==
        513);
  CHECK(
      tokens(
          R"({"model_type": "xlm-roberta", "max_position_embeddings": 514, "pad_token_id": 1})") ==
      512);
  CHECK(tokens(R"({"model_type": "camembert", "max_position_embeddings": 514})") == 512);
  CHECK(tokens(R"({"model_type": "mpnet", "max_position_embeddings": 514, "pad_token_id": 7})") ==
        512);
  CHECK(tokens(R"({"model_type": "modernbert"})") == 8192);
  CHECK(tokens(R"({"model_type": "gpt2", "n_positions": 100})") == 100);
  CHECK(tokens(R"({"model_type": "unheard-of", "max_position_embeddings": 64})") == 64);
  CHECK(tokens("{}") == 512);
  const std::string deberta =
      R"({"model_type": "deberta-v2", "max_position_embeddings": 512, "relative_attention": true,
          "position_biased_input": false})";
  CHECK(tokens(deberta) == 512);
  CHECK(tokens(deberta, R"({"model_max_length": 1024})") == 1024);
  CHECK(tokens(deberta, R"({"model_max_length": 1000000000000000019884624838656})") == 512);
  CHECK(tokens(R"({"model_type": "deberta-v2", "max_position_embeddings": 512})",
               R"({"model_max_length": 1024})") == 512);
  CHECK(tokens(R"({"model_type": "t5"})") == 512);
  CHECK(tokens("{}", R"({"model_max_length": 128})") == 128);
  CHECK(tokens("{}", R"({"model_max_length": 1e30})") == 512);
  CHECK(tokens("{}", R"({"model_max_length": 0})") == 512);
  CHECK(tokens("{}", R"({"model_max_length": null})") == 512);
  CHECK(tokens("{}", R"({})") == 512);
  CHECK(contains(hf_error(R"({"model_type": "roberta", "max_position_embeddings": 3})"),
                 "leave no room for tokens"));
  CHECK(contains(hf_error(R"({"max_position_embeddings": "many"})"), "max_position_embeddings"));
}

TEST_CASE("config.json: whatever it holds, the outcome is a manifest or an Error") {
  const std::string right =
      R"({"model_type": "roberta", "id2label": {"0": "a", "1": "b"}, "num_labels": 2,
          "problem_type": null, "max_position_embeddings": 514, "pad_token_id": 1})";
  std::mt19937 random(5);
  size_t refused = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string text = right;
    for (auto changes = random() % 3 + 1; changes > 0; --changes) {
      const size_t at = random() % text.size();
      switch (random() % 3) {
        case 0:
          text[at] = static_cast<char>(random());
          break;
        case 1:
          text.erase(at, random() % 8);
          break;
        default:
          text.insert(at, 1, "{}[]\",:0-e9"[random() % 12]);
          break;
      }
    }
    try {
      const Manifest manifest = hf(text, R"({"model_max_length": )" + text + "}");
      CHECK(manifest.heads.size() == 1);
      CHECK(manifest.max_tokens >= 2);
    } catch (const Error&) {
      ++refused;
    }
  }
  CHECK(refused > 10000);
}

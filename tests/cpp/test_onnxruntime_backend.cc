#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
#include <string>
#include <thread>

#include "base/error.h"
#include "engine/float16.h"
#include "engine/onnxruntime_backend.h"
#include "onnx_image.h"

using affectrt::Backend;
using affectrt::BackendOptions;
using affectrt::Bundle;
using affectrt::ByteView;
using affectrt::Error;
using affectrt::ErrorKind;
using affectrt::Head;
using affectrt::Manifest;
using affectrt::TokenBatch;

namespace {

constexpr int32_t kVocabulary = 10;

// Entries in memory, and a manifest that nobody parsed.
class FakeBundle final : public Bundle {
 public:
  FakeBundle(std::map<std::string, std::string, std::less<>> entries, Manifest manifest)
      : entries_(std::move(entries)), manifest_(std::move(manifest)) {}
  const std::string& path() const override { return path_; }
  const Manifest& manifest() const override { return manifest_; }
  std::vector<std::string> names() const override { return {}; }
  bool has(std::string_view name) const override { return entries_.find(name) != entries_.end(); }
  ByteView entry(std::string_view name) const override {
    const std::string& data = entries_.find(name)->second;
    return {reinterpret_cast<const uint8_t*>(data.data()), data.size()};
  }

 private:
  std::map<std::string, std::string, std::less<>> entries_;
  Manifest manifest_;
  std::string path_ = "fake.affect";
};

struct GraphSettings {
  std::string rows = "rows";
  std::string tokens = "tokens";
  std::string width = "2";
  uint64_t input_type = onnx_image::kInt64;
  bool has_mask = true;
  std::string extra_input;
  std::string output = "logits";
};

// logits[row] = sum over unmasked tokens of (id, 1), so that every answer is known exactly and
// padding that counts shows.
std::string graph_of(const GraphSettings& settings) {
  using onnx_image::node;
  onnx_image::Graph graph;
  std::vector<float> table;
  for (int32_t id = 0; id < kVocabulary; ++id) {
    table.push_back(static_cast<float>(id));
    table.push_back(1.0F);
  }
  graph.constants = {
      onnx_image::tensor<float>("table", onnx_image::kFloat, {kVocabulary, 2}, table),
      onnx_image::tensor<int64_t>("last", onnx_image::kInt64, {1}, {2}),
      onnx_image::tensor<int64_t>("axis", onnx_image::kInt64, {1}, {1})};
  const std::vector<std::string> shape = {settings.rows, settings.tokens};
  graph.inputs = {onnx_image::value_info("input_ids", settings.input_type, shape)};
  graph.nodes.push_back(node("Gather", {"table", "input_ids"}, "values"));
  std::string kept = "values";
  if (settings.has_mask) {
    graph.inputs.push_back(onnx_image::value_info("attention_mask", settings.input_type, shape));
    graph.nodes.push_back(node("Cast", {"attention_mask"}, "mask",
                               {onnx_image::attribute("to", onnx_image::kFloat)}));
    graph.nodes.push_back(node("Unsqueeze", {"mask", "last"}, "mask3"));
    graph.nodes.push_back(node("Mul", {"values", "mask3"}, "kept"));
    kept = "kept";
  }
  if (!settings.extra_input.empty()) {
    graph.inputs.push_back(
        onnx_image::value_info(settings.extra_input, settings.input_type, shape));
  }
  graph.nodes.push_back(
      node("ReduceSum", {kept, "axis"}, settings.output, {onnx_image::attribute("keepdims", 0)}));
  graph.outputs = {
      onnx_image::value_info(settings.output, onnx_image::kFloat, {settings.rows, settings.width})};
  return onnx_image::model(graph);
}

std::shared_ptr<const Bundle> bundle_of(const std::string& graph, uint32_t max_tokens = 8) {
  Head head;
  head.name = "sum";
  head.labels = {"total", "count"};
  Manifest manifest;
  manifest.max_tokens = max_tokens;
  manifest.heads = {head};
  std::map<std::string, std::string, std::less<>> entries;
  entries["model.onnx"] = graph;
  entries["config.json"] = R"({"pad_token_id": 9})";
  return std::make_shared<FakeBundle>(entries, manifest);
}

// "" where there is no library to test with.
std::string library() {
  const char* path = std::getenv("AFFECTRT_ONNXRUNTIME");
  return path == nullptr ? "" : path;
}

std::unique_ptr<Backend> backend_of(const std::shared_ptr<const Bundle>& bundle,
                                    std::vector<std::string> providers = {}) {
  BackendOptions options;
  options.num_threads = 2;
  options.providers = std::move(providers);
  options.onnxruntime_library = library();
  return affectrt::make_onnxruntime_backend(bundle, options);
}

const std::vector<int32_t> kIds = {1, 2, 3, 4, 5, 6, 7, 8, 9};
const std::vector<int32_t> kTypes(9, 0);
const std::vector<int32_t> kRowBegin = {0, 5, 6, 9};
const std::vector<float> kSums = {15.0F, 5.0F, 6.0F, 1.0F, 24.0F, 3.0F};

std::vector<float> run(const Backend& backend) {
  std::vector<std::vector<float>> logits;
  backend.run({kIds.data(), kTypes.data(), kRowBegin.data(), 3}, &logits);
  REQUIRE(logits.size() == 1);
  return logits[0];
}

// The error's message, after a check of its kind.
std::string refusal(ErrorKind kind, const std::shared_ptr<const Bundle>& bundle,
                    std::vector<std::string> providers = {}) {
  try {
    backend_of(bundle, std::move(providers));
  } catch (const Error& error) {
    CHECK(error.kind() == kind);
    return error.what();
  }
  FAIL("no error");
  return "";
}

bool contains(const std::string& text, const std::string& part) {
  CAPTURE(text);
  return text.find(part) != std::string::npos;
}

// True, and says so, where the test cannot run.
bool skipped() {
  if (!library().empty()) return false;
  MESSAGE("skipped: AFFECTRT_ONNXRUNTIME names no library");
  return true;
}

}  // namespace

TEST_CASE("float16 to float32 is exact") {
  CHECK(affectrt::float_from_float16(0x0000) == 0.0F);
  CHECK(std::signbit(affectrt::float_from_float16(0x8000)));
  CHECK(affectrt::float_from_float16(0x3c00) == 1.0F);
  CHECK(affectrt::float_from_float16(0xc000) == -2.0F);
  CHECK(affectrt::float_from_float16(0x7bff) == 65504.0F);
  CHECK(affectrt::float_from_float16(0x0001) == std::ldexp(1.0F, -24));
  CHECK(affectrt::float_from_float16(0x03ff) == std::ldexp(1023.0F, -24));
  CHECK(affectrt::float_from_float16(0x0400) == std::ldexp(1.0F, -14));
  CHECK(affectrt::float_from_float16(0x3555) == 0.333251953125F);
  CHECK(affectrt::float_from_float16(0x7c00) == std::numeric_limits<float>::infinity());
  CHECK(std::isnan(affectrt::float_from_float16(0x7e00)));
}

TEST_CASE("a library that is missing or is another is an error that says so") {
  BackendOptions options;
  for (const char* path : {"/nowhere/libonnxruntime.so", "/", "/dev/null"}) {
    options.onnxruntime_library = path;
    try {
      affectrt::make_onnxruntime_backend(bundle_of(graph_of({})), options);
      FAIL("no error");
    } catch (const Error& error) {
      CHECK(error.kind() == ErrorKind::kBackend);
      CHECK(contains(error.what(), path));
      CHECK(contains(error.what(), "1.22"));
    }
  }
}

TEST_CASE("rows of different lengths, padded, masked and answered in order") {
  if (skipped()) return;
  for (const uint64_t type : {onnx_image::kInt64, onnx_image::kInt32}) {
    GraphSettings settings;
    settings.input_type = type;
    const auto backend = backend_of(bundle_of(graph_of(settings)));
    CHECK(backend->name() == "onnxruntime");
    CHECK(contains(backend->detail(), "CPUExecutionProvider, 2 threads"));
    REQUIRE(backend->outputs().size() == 1);
    CHECK(backend->outputs()[0].name == "logits");
    CHECK(backend->outputs()[0].width == 2);
    CHECK(run(*backend) == kSums);
  }
}

TEST_CASE("shapes that the graph fixes, or leaves open, or a mask that it lacks") {
  if (skipped()) return;
  GraphSettings settings;
  SUBCASE("two rows at a time") { settings.rows = "2"; }
  SUBCASE("four rows at a time") { settings.rows = "4"; }
  SUBCASE("eight tokens") { settings.tokens = "8"; }
  SUBCASE("two rows of eight tokens") {
    settings.rows = "2";
    settings.tokens = "8";
  }
  SUBCASE("a width that only a trial row tells") { settings.width = "width"; }
  SUBCASE("no mask: rows of one length only go together") { settings.has_mask = false; }
  CHECK(run(*backend_of(bundle_of(graph_of(settings)))) == kSums);
}

TEST_CASE("a graph that does not fit the manifest is refused at load") {
  if (skipped()) return;
  GraphSettings settings;
  settings.extra_input = "position_ids";
  std::string message = refusal(ErrorKind::kModelFile, bundle_of(graph_of(settings)));
  CHECK(contains(message, "'position_ids'"));
  CHECK(contains(message, "input_ids (int64 [?, ?])"));

  settings = {};
  settings.output = "scores";
  message = refusal(ErrorKind::kModelFile, bundle_of(graph_of(settings)));
  CHECK(contains(message, "no output 'logits'"));
  CHECK(contains(message, "scores (float32 [?, 2])"));

  settings = {};
  settings.tokens = "4";
  message = refusal(ErrorKind::kModelFile, bundle_of(graph_of(settings)));
  CHECK(contains(message, "exactly 4 tokens where the manifest allows 8"));

  settings.has_mask = false;
  message = refusal(ErrorKind::kModelFile, bundle_of(graph_of(settings), 4));
  CHECK(contains(message, "no attention_mask"));

  settings = {};
  settings.input_type = onnx_image::kFloat;
  // ONNX Runtime itself refuses float indices before we can.
  CHECK(!refusal(ErrorKind::kModelFile, bundle_of(graph_of(settings))).empty());
}

TEST_CASE("label count against width") {
  if (skipped()) return;
  for (const char* width : {"2", "open"}) {
    Head head;
    head.name = "mood";
    head.labels = {"a", "b", "c"};
    Manifest manifest;
    manifest.max_tokens = 8;
    manifest.heads = {head};
    GraphSettings settings;
    settings.width = width;
    std::map<std::string, std::string, std::less<>> entries;
    entries["model.onnx"] = graph_of(settings);
    const std::string message =
        refusal(ErrorKind::kModelFile, std::make_shared<FakeBundle>(entries, manifest));
    CHECK(contains(message, "2 values"));
    CHECK(contains(message, "3 labels"));
    CHECK(contains(message, "'mood'"));
  }
}

TEST_CASE("damaged graphs are errors of the model file") {
  if (skipped()) return;
  const std::string whole = graph_of({});
  for (size_t size : {size_t{0}, size_t{1}, whole.size() / 2, whole.size() - 1}) {
    CAPTURE(size);
    try {
      backend_of(bundle_of(whole.substr(0, size)));
      FAIL("no error");
    } catch (const Error& error) {
      CHECK((error.kind() == ErrorKind::kModelFile || error.kind() == ErrorKind::kBackend));
      CHECK(contains(error.what(), "fake.affect"));
    }
  }
}

TEST_CASE("an unknown provider lists what there is") {
  if (skipped()) return;
  const std::string message =
      refusal(ErrorKind::kBackend, bundle_of(graph_of({})), {"NoSuchExecutionProvider"});
  CHECK(contains(message, "'NoSuchExecutionProvider'"));
  CHECK(contains(message, "offers"));
  CHECK(contains(message, "CPUExecutionProvider"));
}

TEST_CASE("options that cannot be") {
  if (skipped()) return;
  BackendOptions options;
  options.onnxruntime_library = library();
  for (const int threads : {-1, 100000}) {
    options.num_threads = threads;
    CHECK_THROWS_AS(affectrt::make_onnxruntime_backend(bundle_of(graph_of({})), options), Error);
  }
}

TEST_CASE("what fails in a run is an error with the library's message, and the next run works") {
  if (skipped()) return;
  const auto backend = backend_of(bundle_of(graph_of({})));
  const int32_t ids[] = {kVocabulary + 5};
  const int32_t types[] = {0};
  const int32_t row_begin[] = {0, 1};
  const int32_t no_tokens[] = {0, 0};
  std::vector<std::vector<float>> logits;
  try {
    backend->run({ids, types, row_begin, 1}, &logits);
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::kBackend);
    CHECK(contains(error.what(), "Gather"));
  }
  CHECK_THROWS_AS(backend->run({ids, types, no_tokens, 1}, &logits), Error);
  CHECK(run(*backend) == kSums);
}

TEST_CASE("concurrent callers share a session") {
  if (skipped()) return;
  const auto backend = backend_of(bundle_of(graph_of({})));
  std::vector<int> right(8, 0);
  std::vector<std::thread> threads;
  for (int& count : right) {
    threads.emplace_back([&backend, &count] {
      for (int i = 0; i < 50; ++i) {
        std::vector<std::vector<float>> logits;
        backend->run({kIds.data(), kTypes.data(), kRowBegin.data(), 3}, &logits);
        count += logits[0] == kSums ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(right == std::vector<int>(8, 50));
}

TEST_CASE("many models of one library come and go") {
  if (skipped()) return;
  const auto bundle = bundle_of(graph_of({}));
  const auto kept = backend_of(bundle);
  for (int i = 0; i < 5; ++i) CHECK(run(*backend_of(bundle)) == kSums);
  CHECK(run(*kept) == kSums);
}

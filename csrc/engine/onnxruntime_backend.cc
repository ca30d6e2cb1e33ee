#include "engine/onnxruntime_backend.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/cpu.h"
#include "base/error.h"
#include "engine/float16.h"
#include "engine/onnxruntime_session.h"

namespace affectrt {
namespace {

using Matrix = OnnxRuntimeSession::Matrix;

constexpr const char* kModelEntry = "model.onnx";
constexpr int kMostThreads = 1024;

enum class Role { kIds, kMask, kTypes };

struct GraphInput {
  Role role;
  std::string name;
  int element_type;  // ort::kInt64 or ort::kInt32
};

struct GraphOutput {
  std::string name;
  int element_type;  // ort::kFloat or ort::kFloat16
};

// What a graph that fits looks like to us.
struct Graph {
  std::vector<GraphInput> inputs;
  std::vector<GraphOutput> outputs;  // in the order of Backend::outputs()
  std::optional<int64_t> rows;       // where the graph takes one number of rows only
  std::optional<int64_t> tokens;     // where the graph takes one number of tokens only
  bool has_mask = false;
};

std::string listed(const std::vector<TensorSpec>& specs) {
  std::string text;
  for (const TensorSpec& spec : specs) text += (text.empty() ? "" : ", ") + to_string(spec);
  return text.empty() ? "none" : text;
}

// The tokenizer's padding id as the checkpoint's config.json has it. Masked positions count for
// nothing in an encoder whatever they hold, but some graphs find the end of a row by this id.
int64_t padding_id(const Bundle& bundle) {
  if (!bundle.has("config.json")) return 0;
  const std::string_view text = bundle.entry("config.json").text();
  const nlohmann::json config = nlohmann::json::parse(text.begin(), text.end(), nullptr, false);
  if (!config.is_object()) return 0;
  const auto found = config.find("pad_token_id");
  if (found == config.end() || !found->is_number_unsigned()) return 0;
  const uint64_t id = found->get<uint64_t>();
  return id <= INT32_MAX ? static_cast<int64_t>(id) : 0;
}

int thread_count(int wanted) {
  if (wanted < 0 || wanted > kMostThreads) {
    throw Error(ErrorKind::kInput, "num_threads is " + std::to_string(wanted) +
                                       "; 0 (as many as the CPU quota allows) to " +
                                       std::to_string(kMostThreads) + " is possible");
  }
  return wanted == 0 ? usable_cpus() : wanted;
}

// Sets *fixed where a dimension of the graph is fixed; false where two inputs disagree.
bool merge_dimension(int64_t size, std::optional<int64_t>* fixed) {
  if (size < 0) return true;
  if (*fixed && **fixed != size) return false;
  *fixed = size;
  return true;
}

class OnnxRuntimeBackend final : public Backend {
 public:
  OnnxRuntimeBackend(std::shared_ptr<const Bundle> bundle, const BackendOptions& options)
      : bundle_(std::move(bundle)),
        origin_(std::string(kModelEntry) + " of '" + bundle_->path() + "'"),
        library_(OnnxRuntimeLibrary::get(options.onnxruntime_library)),
        session_(library_, {origin_, bundle_->entry(kModelEntry)},
                 {thread_count(options.num_threads), options.providers}),
        padding_id_(padding_id(*bundle_)) {
    read_inputs(session_.get());
    read_outputs(session_.get());
  }

  std::string name() const override { return "onnxruntime"; }

  std::string detail() const override {
    std::string providers;
    for (const std::string& provider : session_.settings().providers) providers += provider + ", ";
    if (providers.find("CPUExecutionProvider") == std::string::npos) {
      providers += "CPUExecutionProvider, ";
    }
    return library_.describe() + ", " + providers +
           std::to_string(session_.settings().num_threads) +
           (session_.settings().num_threads == 1 ? " thread" : " threads");
  }

  const std::vector<OutputInfo>& outputs() const override { return outputs_; }
  const OnnxRuntimeSession* session() const override { return &session_.get(); }

  using Backend::run;
  void run(const TokenBatch& batch, const std::vector<size_t>& wanted,
           std::vector<std::vector<float>>* values) const override {
    const OnnxRuntimeSession& session = session_.get();
    Call call{batch, wanted, values, {0}};
    values->resize(wanted.size());
    for (size_t i = 0; i < wanted.size(); ++i) {
      const OutputInfo& output = outputs_[wanted[i]];
      if (output.kind == OutputKind::kToken && call.judged_begin.size() == 1) {
        check_judged(batch);
        for (int32_t row = 0; row < batch.rows; ++row) {
          call.judged_begin.push_back(call.judged_begin.back() +
                                      static_cast<size_t>(batch.judged[row]));
        }
      }
      const size_t rows = output.kind == OutputKind::kToken ? call.judged_begin.back()
                                                            : static_cast<size_t>(batch.rows);
      (*values)[i].resize(rows * static_cast<size_t>(output.width));
    }
    if (wanted.empty()) return;
    for (int32_t begin = 0; begin < batch.rows;) {
      const int32_t end = chunk_end(batch, begin);
      run_chunk(session, call, begin, end);
      begin = end;
    }
  }

 private:
  struct Call {
    const TokenBatch& batch;
    const std::vector<size_t>& wanted;
    std::vector<std::vector<float>>* values;
    std::vector<size_t> judged_begin;  // [rows + 1] where outputs of tokens are wanted
  };

  void read_inputs(const OnnxRuntimeSession& session) {
    const auto refuse = [&](const std::string& why) {
      return Error(ErrorKind::kModelFile,
                   origin_ + " " + why + "; the graph wants " + listed(session.inputs()) +
                       "; a text model is given input_ids, attention_mask and token_type_ids, "
                       "each (int64 or int32 [rows, tokens]), those of them that it names");
    };
    for (const TensorSpec& spec : session.inputs()) {
      GraphInput input{Role::kIds, spec.name, spec.element_type};
      if (spec.name == "attention_mask") {
        input.role = Role::kMask;
        graph_.has_mask = true;
      } else if (spec.name == "token_type_ids") {
        input.role = Role::kTypes;
      } else if (spec.name != "input_ids") {
        throw refuse("has an input '" + spec.name + "' that we cannot give");
      }
      const bool is_integer = spec.element_type == ort::kInt64 || spec.element_type == ort::kInt32;
      if (!is_integer || (!spec.shape.empty() && spec.shape.size() != 2)) {
        throw refuse("has an input '" + spec.name + "' of a type or shape that we cannot give");
      }
      if (!spec.shape.empty() && (!merge_dimension(spec.shape[0], &graph_.rows) ||
                                  !merge_dimension(spec.shape[1], &graph_.tokens))) {
        throw refuse("has inputs of different fixed shapes");
      }
      graph_.inputs.push_back(input);
    }
    const bool has_ids =
        std::any_of(graph_.inputs.begin(), graph_.inputs.end(),
                    [](const GraphInput& input) { return input.role == Role::kIds; });
    if (!has_ids) throw refuse("has no input 'input_ids'");
    if (graph_.rows.value_or(1) < 1 || graph_.tokens.value_or(1) < 1) {
      throw refuse("has an input without room");
    }
    if (graph_.tokens && !graph_.has_mask) {
      throw refuse("takes a fixed number of tokens but no attention_mask to tell padding");
    }
    const int64_t max_tokens = bundle_->manifest().max_tokens;
    if (graph_.tokens && *graph_.tokens < max_tokens) {
      throw refuse("takes exactly " + std::to_string(*graph_.tokens) +
                   " tokens where the manifest allows " + std::to_string(max_tokens));
    }
  }

  void read_outputs(const OnnxRuntimeSession& session) {
    std::vector<FoundOutput> found;
    for (const Head& head : bundle_->manifest().heads) {
      const std::string reader = "head '" + head.name + "'";
      const TensorSpec& spec = output_of(session, head.output, reader);
      const bool of_tokens = reads_tokens(head.task);
      const bool known = std::any_of(found.begin(), found.end(), [&](const FoundOutput& one) {
        return one.spec.name == spec.name;
      });
      if (!known) {
        found.push_back({of_tokens ? OutputKind::kToken : OutputKind::kRow, spec, reader,
                         (of_tokens ? "[rows, tokens, " : "[rows, ") +
                             std::to_string(head.labels.size()) + "]"});
      }
    }
    if (const std::string& embedding = bundle_->manifest().embedding; !embedding.empty()) {
      found.push_back({OutputKind::kEmbedding, output_of(session, embedding, "the embedding"),
                       "the embedding", "[rows, values]"});
    }
    resolve_shapes(session, &found);
    for (const FoundOutput& one : found) {
      const std::vector<int64_t>& shape = one.spec.shape;
      if (shape.size() != (one.kind == OutputKind::kToken ? 3 : 2) || shape.back() < 1 ||
          shape.back() > kManifestMaxLabels) {
        throw Error(ErrorKind::kModelFile, origin_ + " has output " + to_string(one.spec) +
                                               " for " + one.reader + "; " + one.needed +
                                               " is needed");
      }
      graph_.outputs.push_back({one.spec.name, one.spec.element_type});
      outputs_.push_back({one.spec.name, static_cast<int32_t>(shape.back()), one.kind});
    }
    for (const Head& head : bundle_->manifest().heads) {
      for (const FoundOutput& one : found) {
        if (one.spec.name == head.output) check_width(head, one.spec);
      }
    }
  }

  struct FoundOutput {
    OutputKind kind;
    TensorSpec spec;
    std::string reader;
    std::string needed;  // its shape
  };

  const TensorSpec& output_of(const OnnxRuntimeSession& session, const std::string& name,
                              const std::string& reader) const {
    const auto spec = std::find_if(session.outputs().begin(), session.outputs().end(),
                                   [&](const TensorSpec& one) { return one.name == name; });
    if (spec == session.outputs().end()) {
      throw Error(ErrorKind::kModelFile, origin_ + " has no output '" + name + "', which " +
                                             reader + " reads; it has " +
                                             listed(session.outputs()));
    }
    if (spec->element_type != ort::kFloat && spec->element_type != ort::kFloat16) {
      throw Error(ErrorKind::kModelFile, origin_ + " has output " + to_string(*spec) + " for " +
                                             reader + "; float32 or float16 is needed");
    }
    return *spec;
  }

  // A graph may leave the width of an output open: one row tells it.
  void resolve_shapes(const OnnxRuntimeSession& session, std::vector<FoundOutput>* found) const {
    const auto is_open = [](const FoundOutput& one) {
      return one.spec.shape.empty() || one.spec.shape.back() < 0;
    };
    if (std::none_of(found->begin(), found->end(), is_open)) return;
    const int32_t ids[2] = {static_cast<int32_t>(padding_id_), static_cast<int32_t>(padding_id_)};
    const int32_t types[2] = {0, 0};
    const int32_t row_begin[2] = {0, 2};
    Inputs inputs;
    fill_inputs({ids, types, row_begin, 1}, 0, 1, &inputs);
    std::vector<const char*> names;
    for (const FoundOutput& one : *found) names.push_back(one.spec.name.c_str());
    const std::vector<TensorSpec> probed = session.probe(inputs.matrices, names);
    for (size_t i = 0; i < probed.size(); ++i) {
      if (is_open((*found)[i])) (*found)[i].spec.shape = probed[i].shape;
    }
  }

  void check_width(const Head& head, const TensorSpec& spec) const {
    if (spec.shape.back() == static_cast<int64_t>(head.labels.size())) return;
    throw Error(ErrorKind::kModelFile, origin_ + " gives " + std::to_string(spec.shape.back()) +
                                           " values a row in output '" + spec.name +
                                           "', but head '" + head.name + "' has " +
                                           std::to_string(head.labels.size()) + " labels");
  }

  // Rows that go into one call of the session.
  int32_t chunk_end(const TokenBatch& batch, int32_t begin) const {
    const int64_t most = graph_.rows.value_or(batch.rows);
    int32_t end = begin;
    const auto length = [&](int32_t row) {
      return batch.row_begin[row + 1] - batch.row_begin[row];
    };
    // Without a mask the graph takes padding for text.
    while (end < batch.rows && end - begin < most &&
           (graph_.has_mask || length(end) == length(begin))) {
      ++end;
    }
    return end;
  }

  struct Inputs {
    std::vector<std::vector<int64_t>> wide;
    std::vector<std::vector<int32_t>> narrow;
    std::vector<Matrix> matrices;
  };

  template <typename T>
  void fill_matrix(const TokenBatch& batch, int32_t begin, int32_t end, Role role, int64_t tokens,
                   T* out) const {
    for (int32_t row = begin; row < end; ++row, out += tokens) {
      const int32_t from = batch.row_begin[row];
      const int32_t count = batch.row_begin[row + 1] - from;
      switch (role) {
        case Role::kIds:
          std::copy_n(batch.input_ids + from, count, out);
          std::fill(out + count, out + tokens, static_cast<T>(padding_id_));
          break;
        case Role::kTypes:
          std::copy_n(batch.type_ids + from, count, out);
          std::fill(out + count, out + tokens, T{0});
          break;
        case Role::kMask:
          std::fill_n(out, count, T{1});
          std::fill(out + count, out + tokens, T{0});
          break;
      }
    }
  }

  void fill_inputs(const TokenBatch& batch, int32_t begin, int32_t end, Inputs* inputs) const {
    int64_t tokens = graph_.tokens.value_or(0);
    for (int32_t row = begin; row < end; ++row) {
      const int64_t count = batch.row_begin[row + 1] - batch.row_begin[row];
      if (count < 1) throw Error(ErrorKind::kInput, "a row without tokens cannot be run");
      if (graph_.tokens && count > *graph_.tokens) {
        throw Error(ErrorKind::kInput, "a row of " + std::to_string(count) + " tokens, but " +
                                           origin_ + " takes " + std::to_string(tokens));
      }
      tokens = std::max(tokens, count);
    }
    const int64_t rows = graph_.rows.value_or(end - begin);
    const size_t size = static_cast<size_t>(rows) * static_cast<size_t>(tokens);
    for (const GraphInput& input : graph_.inputs) {
      // Rows beyond the batch attend to one padding token: a softmax over nothing is not a number.
      const int64_t beyond =
          input.role == Role::kIds ? padding_id_ : (input.role == Role::kMask ? 1 : 0);
      void* data = nullptr;
      if (input.element_type == ort::kInt32) {
        inputs->narrow.emplace_back(size, static_cast<int32_t>(beyond));
        data = inputs->narrow.back().data();
        fill_matrix(batch, begin, end, input.role, tokens, inputs->narrow.back().data());
      } else {
        inputs->wide.emplace_back(size, beyond);
        data = inputs->wide.back().data();
        fill_matrix(batch, begin, end, input.role, tokens, inputs->wide.back().data());
      }
      inputs->matrices.push_back({input.name.c_str(), input.element_type, rows, tokens, data});
    }
  }

  void run_chunk(const OnnxRuntimeSession& session, const Call& call, int32_t begin,
                 int32_t end) const {
    Inputs inputs;
    fill_inputs(call.batch, begin, end, &inputs);
    const int64_t rows = inputs.matrices.front().rows;
    const int64_t tokens = inputs.matrices.front().columns;
    std::vector<Matrix> outputs;
    const size_t count = call.wanted.size();
    std::vector<std::vector<float>> wide(count);
    std::vector<std::vector<uint16_t>> half(count);
    for (size_t i = 0; i < count; ++i) {
      const GraphOutput& graph_output = graph_.outputs[call.wanted[i]];
      const OutputInfo& output = outputs_[call.wanted[i]];
      const bool of_tokens = output.kind == OutputKind::kToken;
      const auto width = static_cast<size_t>(output.width);
      const size_t size = static_cast<size_t>(rows * (of_tokens ? tokens : 1)) * width;
      void* data = nullptr;
      if (graph_output.element_type == ort::kFloat16) {
        half[i].resize(size);
        data = half[i].data();
      } else if (of_tokens || rows != end - begin) {
        wide[i].resize(size);
        data = wide[i].data();
      } else {
        data = (*call.values)[i].data() + static_cast<size_t>(begin) * width;
      }
      outputs.push_back({graph_output.name.c_str(), graph_output.element_type, rows,
                         of_tokens ? tokens : output.width, data, of_tokens ? output.width : 0});
    }
    session.run(inputs.matrices, outputs);
    for (size_t i = 0; i < count; ++i) {
      if (!half[i].empty()) {
        wide[i].resize(half[i].size());
        std::transform(half[i].begin(), half[i].end(), wide[i].begin(), float_from_float16);
      }
      if (!wide[i].empty()) copy_rows(call, i, begin, end, tokens, wide[i].data());
    }
  }

  // What is wanted of output call.wanted[i] of rows [begin, end), from a padded chunk.
  void copy_rows(const Call& call, size_t i, int32_t begin, int32_t end, int64_t tokens,
                 const float* from) const {
    const OutputInfo& output = outputs_[call.wanted[i]];
    const auto width = static_cast<size_t>(output.width);
    float* to = (*call.values)[i].data();
    if (output.kind != OutputKind::kToken) {
      std::copy_n(from, static_cast<size_t>(end - begin) * width,
                  to + static_cast<size_t>(begin) * width);
      return;
    }
    for (int32_t row = begin; row < end; ++row, from += static_cast<size_t>(tokens) * width) {
      const size_t first = call.judged_begin[static_cast<size_t>(row)];
      std::copy_n(from, static_cast<size_t>(call.batch.judged[row]) * width, to + first * width);
    }
  }

  const std::shared_ptr<const Bundle> bundle_;
  const std::string origin_;
  const OnnxRuntimeLibrary& library_;
  const SessionOfProcess session_;
  const int64_t padding_id_;
  Graph graph_;
  std::vector<OutputInfo> outputs_;
};

}  // namespace

std::unique_ptr<Backend> make_onnxruntime_backend(std::shared_ptr<const Bundle> bundle,
                                                  const BackendOptions& options) {
  if (!bundle->has(kModelEntry)) {
    throw Error(ErrorKind::kModelFile, "'" + bundle->path() + "' has no " + kModelEntry +
                                           ", which the onnxruntime backend needs");
  }
  return std::make_unique<OnnxRuntimeBackend>(std::move(bundle), options);
}

}  // namespace affectrt

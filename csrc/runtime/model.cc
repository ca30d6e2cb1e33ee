#include "runtime/model.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/cpu.h"
#include "base/error.h"
#include "base/json.h"
#include "bundle/json_fields.h"
#include "engine/native_backend.h"
#include "engine/onnxruntime_backend.h"
#include "runtime/batch_plan.h"
#include "runtime/token_rows.h"

namespace affectrt {
namespace {

constexpr const char* kTokenizerEntry = "tokenizer.json";
constexpr const char* kOnnxEntry = "model.onnx";
constexpr const char* kWeightsEntry = "weights.safetensors";

// What a batch is by default. MiniLM-L6 in ONNX Runtime on two threads answers as many texts a
// second at 512 as at 2048 tokens a batch and fewer above, while the memory for texts of 512 tokens
// grows from 270 over 530 (2048) to 910 MB (4096): small batches, and more tokens only for more
// threads.
constexpr int32_t kBatchTokensPerThread = 512;
constexpr int32_t kLeastBatchTokens = 1024;
// Accelerators answer long batches almost as fast as short ones.
constexpr int32_t kAcceleratorBatchTokens = 16'384;

int32_t default_batch_tokens(const BackendOptions& options, int num_threads) {
  const auto is_accelerator = [](const std::string& name) {
    return name != "CPUExecutionProvider";
  };
  if (std::any_of(options.providers.begin(), options.providers.end(), is_accelerator)) {
    return kAcceleratorBatchTokens;
  }
  return std::max(kLeastBatchTokens, kBatchTokensPerThread * num_threads);
}

// The one place that knows which backends there are.
std::unique_ptr<const Backend> make_backend(const std::shared_ptr<const Bundle>& bundle,
                                            const ModelOptions& options) {
  const std::string& wanted = options.backend;
  const BackendOptions& backend_options = options.backend_options;
  const bool wants_provider = !backend_options.providers.empty();
  if (wanted != "auto" && wanted != "native" && wanted != "onnxruntime") {
    throw Error(ErrorKind::kInput,
                "no backend '" + wanted + "'; there are 'auto', 'native' and 'onnxruntime'");
  }
  if (wanted == "native" && wants_provider) {
    throw Error(ErrorKind::kInput,
                "execution providers belong to the backend 'onnxruntime'; leave them out for "
                "'native'");
  }
  if (wanted == "native") return make_native_backend(bundle, backend_options);
  if (wanted == "onnxruntime") return make_onnxruntime_backend(bundle, backend_options);
  if (!wants_provider && native_backend_supports(*bundle)) {
    return make_native_backend(bundle, backend_options);
  }
  // Without a graph the native backend says what it lacks.
  if (!wants_provider && !bundle->has(kOnnxEntry) && bundle->has(kWeightsEntry)) {
    return make_native_backend(bundle, backend_options);
  }
  return make_onnxruntime_backend(bundle, backend_options);
}

std::unique_ptr<const Tokenizer> make_tokenizer(const Bundle& bundle) {
  if (!bundle.has(kTokenizerEntry)) {
    throw Error(ErrorKind::kModelFile, "'" + bundle.path() + "' has no " + kTokenizerEntry +
                                           "; a text model needs its checkpoint's tokenizer, as "
                                           "`tokenizer.save_pretrained` writes it for a fast one");
  }
  return Tokenizer::from_json(bundle.entry(kTokenizerEntry).text(),
                              std::string(kTokenizerEntry) + " of '" + bundle.path() + "'");
}

// transformers cuts where tokenizer_config.json says, whatever tokenizer.json has stored.
bool truncates_left(const Bundle& bundle, const Tokenizer& tokenizer) {
  constexpr const char* kEntry = "tokenizer_config.json";
  if (!bundle.has(kEntry)) return tokenizer.file_truncation().truncate_left;
  const std::string origin = kEntry;
  try {
    const JsonDocument config = parse_json(bundle.entry(kEntry).text(), origin);
    const auto side = JsonField(config.root(), origin).object().find("truncation_side");
    return side && side->is("left");
  } catch (const Error&) {
    return false;  // as transformers does where the file says nothing
  }
}

// Rows of a batch one behind the other, as the backend wants them.
struct PackedBatch {
  std::vector<int32_t> ids;
  std::vector<int32_t> type_ids;
  std::vector<int32_t> row_begin;

  void clear() {
    ids.clear();
    type_ids.clear();
    row_begin.assign(1, 0);
  }
  void add(const TokenRow& row) {
    ids.insert(ids.end(), row.ids.begin(), row.ids.end());
    type_ids.insert(type_ids.end(), row.type_ids.begin(), row.type_ids.end());
    row_begin.push_back(static_cast<int32_t>(ids.size()));
  }
  TokenBatch view() const {
    return {ids.data(), type_ids.data(), row_begin.data(),
            static_cast<int32_t>(row_begin.size() - 1)};
  }
};

}  // namespace

std::shared_ptr<const Model> Model::load(const std::string& path, const ModelOptions& options) {
  return load(Bundle::open(path), options);
}

std::shared_ptr<const Model> Model::load(std::shared_ptr<const Bundle> bundle,
                                         const ModelOptions& options) {
  if (options.max_batch_tokens < 0) {
    throw Error(ErrorKind::kInput, "max_batch_tokens is " +
                                       std::to_string(options.max_batch_tokens) +
                                       "; 0 (the default) or more is possible");
  }
  std::shared_ptr<Model> model(new Model());
  model->bundle_ = std::move(bundle);
  model->tokenizer_ = make_tokenizer(*model->bundle_);
  model->backend_ = make_backend(model->bundle_, options);
  model->truncate_left_ = truncates_left(*model->bundle_, *model->tokenizer_);
  const BackendOptions& backend_options = options.backend_options;
  model->num_threads_ =
      backend_options.num_threads == 0 ? usable_cpus() : backend_options.num_threads;
  model->max_batch_tokens_ = options.max_batch_tokens == 0
                                 ? default_batch_tokens(backend_options, model->num_threads_)
                                 : options.max_batch_tokens;
  const std::vector<OutputInfo>& outputs = model->backend_->outputs();
  for (const Head& head : model->manifest().heads) {
    const auto output = std::find_if(outputs.begin(), outputs.end(), [&](const OutputInfo& one) {
      return one.name == head.output;
    });
    if (output == outputs.end() || static_cast<size_t>(output->width) != head.labels.size()) {
      throw Error(ErrorKind::kModelFile, "head '" + head.name + "' of '" + model->bundle_->path() +
                                             "' has " + std::to_string(head.labels.size()) +
                                             " labels, but the backend has no output '" +
                                             head.output + "' of that width");
    }
    model->head_outputs_.push_back(static_cast<size_t>(output - outputs.begin()));
  }
  return model;
}

Prediction Model::predict(const std::vector<TextInput>& inputs, const std::vector<int32_t>& heads,
                          const std::function<bool(size_t, size_t)>& progress,
                          int32_t max_tokens) const {
  std::vector<size_t> wanted;
  for (const int32_t head : heads) {
    if (head < 0 || static_cast<size_t>(head) >= manifest().heads.size()) {
      throw Error(ErrorKind::kInput, "no head " + std::to_string(head) + "; this model has " +
                                         std::to_string(manifest().heads.size()));
    }
    wanted.push_back(static_cast<size_t>(head));
  }
  if (heads.empty()) {
    wanted.resize(manifest().heads.size());
    std::iota(wanted.begin(), wanted.end(), size_t{0});
  }
  if (inputs.size() > static_cast<size_t>(INT32_MAX)) {
    throw Error(ErrorKind::kInput, std::to_string(inputs.size()) + " texts are too many at once");
  }

  uint32_t row_limit = manifest().max_tokens;
  if (max_tokens != 0) {
    if (max_tokens < 0 || (row_limit != 0 && static_cast<uint32_t>(max_tokens) > row_limit)) {
      throw Error(ErrorKind::kInput, "max_tokens is " + std::to_string(max_tokens) +
                                         "; this model takes 1 to " + std::to_string(row_limit));
    }
    row_limit = static_cast<uint32_t>(max_tokens);
  }

  std::function<bool()> keep_going;
  if (progress) keep_going = [&] { return progress(0, inputs.size()); };
  const std::vector<TokenRow> rows =
      tokenize_rows(*tokenizer_, inputs, {row_limit, truncate_left_, num_threads_}, keep_going);

  Prediction prediction;
  std::vector<int32_t> lengths;
  lengths.reserve(rows.size());
  for (const TokenRow& row : rows) {
    const int32_t length = static_cast<int32_t>(row.ids.size());
    lengths.push_back(length);
    prediction.token_counts.push_back(row.full_count);
    prediction.truncated.push_back(length < row.full_count ? 1 : 0);
  }

  std::vector<std::vector<float>> all_logits;
  all_logits.reserve(wanted.size());
  for (const size_t head : wanted) {
    all_logits.emplace_back(inputs.size() * manifest().heads[head].labels.size());
  }
  const BatchPlan plan = plan_batches(lengths, max_batch_tokens_);
  PackedBatch packed;
  std::vector<std::vector<float>> batch_logits;
  for (size_t batch = 0; batch < plan.batches(); ++batch) {
    const size_t begin = plan.batch_begin[batch];
    const size_t end = plan.batch_begin[batch + 1];
    packed.clear();
    for (size_t i = begin; i < end; ++i) packed.add(rows[plan.order[i]]);
    backend_->run(packed.view(), &batch_logits);
    for (size_t k = 0; k < wanted.size(); ++k) {
      const std::vector<float>& from = batch_logits[head_outputs_[wanted[k]]];
      const size_t width = manifest().heads[wanted[k]].labels.size();
      for (size_t i = begin; i < end; ++i) {
        std::copy_n(from.data() + (i - begin) * width, width,
                    all_logits[k].data() + plan.order[i] * width);
      }
    }
    if (progress && !progress(end, inputs.size())) {
      throw Error(ErrorKind::kInput, "interrupted after " + std::to_string(end) + " of " +
                                         std::to_string(inputs.size()) + " texts");
    }
  }
  for (size_t k = 0; k < wanted.size(); ++k) {
    prediction.heads.push_back(decode(manifest().heads[wanted[k]], std::move(all_logits[k]),
                                      static_cast<int32_t>(inputs.size())));
  }
  return prediction;
}

}  // namespace affectrt

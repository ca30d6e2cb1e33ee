#include "runtime/model.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "base/cpu.h"
#include "base/error.h"
#include "base/json.h"
#include "base/utf8.h"
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
  std::vector<int32_t> judged;

  void clear() {
    ids.clear();
    type_ids.clear();
    row_begin.assign(1, 0);
    judged.clear();
  }
  void add(const TokenRow& row) {
    ids.insert(ids.end(), row.ids.begin(), row.ids.end());
    type_ids.insert(type_ids.end(), row.type_ids.begin(), row.type_ids.end());
    row_begin.push_back(static_cast<int32_t>(ids.size()));
    judged.push_back(row.a_first + row.a_tokens);
  }
  TokenBatch view() const {
    return {ids.data(), type_ids.data(), row_begin.data(),
            static_cast<int32_t>(row_begin.size() - 1), judged.data()};
  }
};

// What the backend gives, brought from the order of the batches into that of the rows.
class Collected {
 public:
  // `begin` [rows + 1]: where each row's values begin, in units of `width`.
  Collected(const std::vector<int32_t>& begin, size_t width)
      : begin_(begin), width_(width), values_(static_cast<size_t>(begin.back()) * width) {}

  // Rows order[from, to), as they lie in `batch` one behind the other.
  void add(const std::vector<float>& batch, const std::vector<size_t>& order, size_t from,
           size_t to) {
    const float* source = batch.data();
    for (size_t i = from; i < to; ++i) {
      const auto first = static_cast<size_t>(begin_[order[i]]);
      const size_t count = (static_cast<size_t>(begin_[order[i] + 1]) - first) * width_;
      std::copy_n(source, count, values_.data() + first * width_);
      source += count;
    }
  }
  std::vector<float> take() { return std::move(values_); }

 private:
  const std::vector<int32_t>& begin_;
  size_t width_;
  std::vector<float> values_;
};

void check_pass(const TokenRow& pass, size_t row, uint32_t max_tokens) {
  const auto fail = [&](const std::string& what) {
    throw Error(ErrorKind::kInput, "pass " + std::to_string(row) + " has " + what);
  };
  const std::string ids = std::to_string(pass.ids.size());
  if (pass.ids.empty() || pass.ids.size() > max_tokens) {
    fail(ids + " tokens; 1 to " + std::to_string(max_tokens) + " are possible");
  }
  if (pass.type_ids.size() != pass.ids.size()) {
    fail(ids + " tokens, but " + std::to_string(pass.type_ids.size()) + " token types");
  }
  if (pass.a_first < 1 || pass.a_tokens < 0 ||
      int64_t{pass.a_first} + int64_t{pass.a_tokens} > static_cast<int64_t>(pass.ids.size())) {
    fail(ids + " tokens; " + std::to_string(pass.a_tokens) +
         (pass.a_first == 1 ? " of them behind the first"
                            : " of them from number " + std::to_string(pass.a_first)) +
         " cannot be those of its text");
  }
  if (!pass.a_offsets.empty() && pass.a_offsets.size() != static_cast<size_t>(pass.a_tokens)) {
    fail(std::to_string(pass.a_offsets.size()) + " offsets for the " +
         std::to_string(pass.a_tokens) + " tokens of its text");
  }
}

// Of logits of the first tokens of each row, up to A's last, those of [CLS] and A.
std::vector<float> without_question(const std::vector<TokenRow>& rows, size_t width,
                                    const std::vector<float>& logits) {
  std::vector<float> own;
  const float* row_logits = logits.data();
  for (const TokenRow& row : rows) {
    const size_t first = static_cast<size_t>(row.a_first) * width;
    const size_t end = first + static_cast<size_t>(row.a_tokens) * width;
    own.insert(own.end(), row_logits, row_logits + width);
    own.insert(own.end(), row_logits + first, row_logits + end);
    row_logits += end;
  }
  return own;
}

// Where the spans' characters are.
void place_spans(const std::vector<TokenRow>& rows, HeadScores* scores) {
  for (size_t row = 0; row < rows.size(); ++row) {
    const std::vector<Offset>& offsets = rows[row].a_offsets;
    if (offsets.empty()) continue;
    for (int32_t i = scores->span_begin[row]; i < scores->span_begin[row + 1]; ++i) {
      TokenSpan& span = scores->spans[static_cast<size_t>(i)];
      span.begin = static_cast<int32_t>(offsets[static_cast<size_t>(span.first)].begin);
      span.end = static_cast<int32_t>(offsets[static_cast<size_t>(span.last)].end);
    }
  }
}

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
  if (bundle->manifest().audio) {
    throw Error(ErrorKind::kInput,
                "'" + bundle->path() + "' is a speech model, and a text model is needed here");
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
    const OutputKind kind =
        affectrt::reads_tokens(head.task) ? OutputKind::kToken : OutputKind::kRow;
    if (output == outputs.end() || static_cast<size_t>(output->width) != head.labels.size() ||
        output->kind != kind) {
      throw Error(ErrorKind::kModelFile, "head '" + head.name + "' of '" + model->bundle_->path() +
                                             "' has " + std::to_string(head.labels.size()) +
                                             " labels, but the backend has no output '" +
                                             head.output + "' of that width for each " +
                                             (kind == OutputKind::kToken ? "token" : "row"));
    }
    if (head.input == HeadInput::kText || head.input == HeadInput::kTurn) {
      model->text_heads_.push_back(static_cast<int32_t>(model->head_outputs_.size()));
    }
    if (head.input == HeadInput::kQuestion) {
      model->question_heads_.push_back(static_cast<int32_t>(model->head_outputs_.size()));
    }
    model->head_outputs_.push_back(static_cast<size_t>(output - outputs.begin()));
  }
  return model;
}

int32_t Model::embedding_width() const {
  const OutputInfo& last = backend_->outputs().back();
  return last.kind == OutputKind::kEmbedding ? last.width : 0;
}

bool Model::reads_tokens(const std::vector<int32_t>& heads) const {
  return std::any_of(heads.begin(), heads.end(), [&](int32_t head) {
    return affectrt::reads_tokens(manifest().heads[static_cast<size_t>(head)].task);
  });
}

std::vector<int32_t> Model::checked_heads(const Wanted& wanted,
                                          const std::vector<int32_t>& otherwise) const {
  const std::vector<int32_t>& heads = wanted.heads ? *wanted.heads : otherwise;
  for (const int32_t head : heads) {
    if (head < 0 || static_cast<size_t>(head) >= manifest().heads.size()) {
      throw Error(ErrorKind::kInput, "no head " + std::to_string(head) + "; this model has " +
                                         std::to_string(manifest().heads.size()));
    }
  }
  if (wanted.embeddings && embedding_width() == 0) {
    throw Error(ErrorKind::kUnsupported, "'" + bundle_->path() +
                                             "' gives no embeddings on the backend '" +
                                             backend_->name() +
                                             "'; the native one does, and a file that "
                                             "`affectrt export` made of a pooled checkpoint");
  }
  return heads;
}

Prediction Model::predict(const std::vector<TextInput>& inputs, const Wanted& wanted) const {
  std::vector<int32_t> heads =
      checked_heads(wanted, text_heads_.empty() ? question_heads_ : text_heads_);
  if (heads.empty() && !wanted.embeddings) {
    throw Error(ErrorKind::kInput, "no head of '" + bundle_->path() +
                                       "' reads a text alone; its heads read turns of a "
                                       "conversation");
  }
  const auto input_of = [&](int32_t head) {
    return manifest().heads[static_cast<size_t>(head)].input;
  };
  const auto asks = [&](int32_t head) { return input_of(head) == HeadInput::kQuestion; };
  const bool pair_first = std::any_of(heads.begin(), heads.end(), asks);
  for (const int32_t index : heads) {
    const Head& head = manifest().heads[static_cast<size_t>(index)];
    if (pair_first && !asks(index)) {
      throw Error(ErrorKind::kInput,
                  "head '" + head.name +
                      "' reads no questions, as others that are asked with it do; ask it in a call "
                      "of its own");
    }
    if (head.input == HeadInput::kText || head.input == HeadInput::kTurn) continue;
    const auto lone = std::find_if(inputs.begin(), inputs.end(),
                                   [](const TextInput& input) { return !input.pair; });
    if (lone == inputs.end()) continue;
    throw Error(ErrorKind::kInput,
                "text " + std::to_string(lone - inputs.begin()) + ": head '" + head.name + "' " +
                    (pair_first ? "looks in a text for the answer to a question"
                                : "judges a text in the light of a conversation") +
                    " (input '" + input_name(head.input) +
                    "'), so a text alone cannot be answered" +
                    (pair_first ? "; give the question as its pair" : ""));
  }
  if (inputs.size() > static_cast<size_t>(INT32_MAX)) {
    throw Error(ErrorKind::kInput, std::to_string(inputs.size()) + " texts are too many at once");
  }

  uint32_t row_limit = manifest().max_tokens;
  if (wanted.max_tokens != 0) {
    if (wanted.max_tokens < 0 ||
        (row_limit != 0 && static_cast<uint32_t>(wanted.max_tokens) > row_limit)) {
      throw Error(ErrorKind::kInput, "max_tokens is " + std::to_string(wanted.max_tokens) +
                                         "; this model takes 1 to " + std::to_string(row_limit));
    }
    row_limit = static_cast<uint32_t>(wanted.max_tokens);
  }

  std::function<bool()> keep_going;
  if (wanted.progress) keep_going = [&] { return wanted.progress(0, inputs.size()); };
  const TokenRowOptions options = {row_limit, truncate_left_, num_threads_, reads_tokens(heads),
                                   pair_first};
  return answer(tokenize_rows(*tokenizer_, inputs, options, keep_going), std::move(heads), wanted);
}

Prediction Model::predict_passes(const std::vector<TokenRow>& passes, const Wanted& wanted) const {
  std::vector<int32_t> all(manifest().heads.size());
  std::iota(all.begin(), all.end(), 0);
  for (size_t row = 0; row < passes.size(); ++row) {
    check_pass(passes[row], row, manifest().max_tokens);
  }
  return answer(passes, checked_heads(wanted, all), wanted);
}

void Model::fail_absent(size_t row, int32_t token) const {
  const std::string& path = bundle_->path();
  throw Error(ErrorKind::kInput,
              "text " + std::to_string(row) + " has the token '" +
                  printable(tokenizer_->id_to_token(static_cast<uint32_t>(token)), 64) + "' (id " +
                  std::to_string(token) + "), which the pruned vocabulary of '" + path +
                  "' leaves out; it is answered exactly where '" + path +
                  ".rows' of the same export lies beside the file");
}

Prediction Model::answer(const std::vector<TokenRow>& rows, std::vector<int32_t> heads,
                         const Wanted& wanted) const {
  Prediction prediction;
  std::vector<int32_t> lengths;
  lengths.reserve(rows.size());
  std::vector<int32_t> row_begin(1, 0);
  std::vector<int32_t> judged_begin(1, 0);  // of what the backend gives: tokens up to A's last
  std::vector<int32_t> token_begin(1, 0);   // of [CLS] and A
  for (const TokenRow& row : rows) {
    if (const auto absent = backend_->absent_token(row.ids)) {
      fail_absent(static_cast<size_t>(&row - rows.data()), *absent);
    }
    const auto length = static_cast<int32_t>(row.ids.size());
    lengths.push_back(length);
    prediction.token_counts.push_back(std::max(row.full_count, length));
    prediction.truncated.push_back(length < row.full_count ? 1 : 0);
    row_begin.push_back(row_begin.back() + 1);
    judged_begin.push_back(judged_begin.back() + row.a_first + row.a_tokens);
    token_begin.push_back(token_begin.back() + 1 + row.a_tokens);
  }

  // Heads may share an output.
  std::vector<size_t> outputs;
  std::vector<size_t> of_head;  // index into `outputs`
  std::vector<Collected> collected;
  const auto want = [&](size_t output) {
    const auto known = std::find(outputs.begin(), outputs.end(), output);
    const auto index = static_cast<size_t>(known - outputs.begin());
    if (known == outputs.end()) {
      const OutputInfo& info = backend_->outputs()[output];
      outputs.push_back(output);
      collected.emplace_back(info.kind == OutputKind::kToken ? judged_begin : row_begin,
                             static_cast<size_t>(info.width));
    }
    return index;
  };
  for (const int32_t head : heads)
    of_head.push_back(want(head_outputs_[static_cast<size_t>(head)]));
  if (wanted.embeddings) of_head.push_back(want(backend_->outputs().size() - 1));

  const BatchPlan plan = plan_batches(lengths, max_batch_tokens_);
  PackedBatch packed;
  std::vector<std::vector<float>> values;
  for (size_t batch = 0; batch < plan.batches(); ++batch) {
    const size_t begin = plan.batch_begin[batch];
    const size_t end = plan.batch_begin[batch + 1];
    packed.clear();
    for (size_t i = begin; i < end; ++i) packed.add(rows[plan.order[i]]);
    backend_->run(packed.view(), outputs, &values);
    for (size_t k = 0; k < outputs.size(); ++k) {
      collected[k].add(values[k], plan.order, begin, end);
    }
    if (wanted.progress && !wanted.progress(end, rows.size())) {
      throw Error(ErrorKind::kInput, "interrupted after " + std::to_string(end) + " of " +
                                         std::to_string(rows.size()) + " texts");
    }
  }

  std::vector<std::vector<float>> logits;
  for (size_t k = 0; k < collected.size(); ++k) {
    logits.push_back(collected[k].take());
    const OutputInfo& info = backend_->outputs()[outputs[k]];
    if (info.kind == OutputKind::kToken && judged_begin.back() != token_begin.back()) {
      logits.back() = without_question(rows, static_cast<size_t>(info.width), logits.back());
    }
  }
  for (size_t k = 0; k < heads.size(); ++k) {
    const Head& head = manifest().heads[static_cast<size_t>(heads[k])];
    std::vector<float>& own = logits[of_head[k]];
    if (affectrt::reads_tokens(head.task)) {
      prediction.heads.push_back(decode_tokens(head, own, token_begin));
      place_spans(rows, &prediction.heads.back());
    } else {
      prediction.heads.push_back(decode(head, own, static_cast<int32_t>(rows.size())));
    }
  }
  if (wanted.embeddings) {
    prediction.embedding_width = embedding_width();
    prediction.embeddings = std::move(logits[of_head.back()]);
  }
  prediction.answered = std::move(heads);
  return prediction;
}

}  // namespace affectrt

// Texts in, answers out.
#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <utility>

#include "capi/call.h"
#include "capi/handles.h"
#include "runtime/model_json.h"

namespace affectrt {
namespace {

constexpr size_t kFirstAnswer = offsetof(affectrt_answer, level);
constexpr size_t kFirstSpans = sizeof(affectrt_spans);
constexpr size_t kFirstMatrices = sizeof(affectrt_matrices);
constexpr size_t kFirstBuffers = sizeof(affectrt_buffers);

std::vector<TextInput> inputs_of(const affectrt_text* texts, size_t count) {
  if (count > static_cast<size_t>(INT32_MAX)) {
    throw Error(ErrorKind::kInput, std::to_string(count) + " texts are too many at once");
  }
  if (count > 0) given(texts, "texts");
  std::vector<TextInput> inputs;
  inputs.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    inputs.push_back(text_argument(texts[i], "texts[" + std::to_string(i) + "]"));
  }
  return inputs;
}

Prediction predict(const Model& model, const std::vector<TextInput>& inputs,
                   std::optional<std::vector<int32_t>> heads,
                   const affectrt_analyse_options* given_options) {
  const affectrt_analyse_options options = analyse_options(given_options);
  Wanted wanted;
  wanted.heads = std::move(heads);
  wanted.max_tokens = options.max_tokens;
  wanted.progress = progress_of(options);
  return model.predict(inputs, wanted);
}

void refuse_tokens(const Head& head) {
  if (!reads_tokens(head.task)) return;
  throw Error(ErrorKind::kInput, "head '" + head.name + "' (" + task_name(head.task) +
                                     ") answers with spans, not with a score for each label; "
                                     "affectrt_result_get_spans() gives them");
}

// The kinds of token labels are named behind "B-".
const char* span_label(const Head& head, const TokenSpan& span) {
  const auto label = static_cast<size_t>(span.label);
  if (head.task == Task::kSpan) return nullptr;
  if (head.task == Task::kTokenFlags) return head.labels[label].c_str();
  return head.labels[2 * label + 1].c_str() + 2;
}

std::vector<affectrt_span> spans_of(const Head& head, const HeadScores& scores) {
  std::vector<affectrt_span> spans;
  for (const TokenSpan& span : scores.spans) {
    spans.push_back({span_label(head, span), static_cast<uint32_t>(span.begin),
                     static_cast<uint32_t>(span.end), span.score, span.decided ? 1U : 0U});
  }
  return spans;
}

void check_row(const Prediction& prediction, size_t row) {
  if (row < prediction.token_counts.size()) return;
  throw Error(ErrorKind::kInput, "no row " + std::to_string(row) + "; the result has " +
                                     std::to_string(prediction.token_counts.size()));
}

template <class T>
void copy_to(T* buffer, const std::vector<T>& values) {
  if (buffer != nullptr) std::copy(values.begin(), values.end(), buffer);
}

}  // namespace

std::vector<affectrt_label_score> ranked_rows(const Head& head, const HeadScores& scores,
                                              size_t rows) {
  std::vector<affectrt_label_score> labels;
  if (reads_tokens(head.task)) return labels;
  labels.reserve(rows * head.labels.size());
  for (size_t row = 0; row < rows; ++row) {
    for (const uint32_t i : ranked(head, scores, row)) {
      const size_t at = row * head.labels.size() + i;
      labels.push_back({head.labels[i].c_str(), scores.scores[at], i, scores.decided[at], 0});
    }
  }
  return labels;
}

size_t answer_index(const affectrt_result& result, uint32_t head) {
  const auto wanted = static_cast<int32_t>(checked_head(manifest_of(result), head));
  const std::vector<int32_t>& answered = result.prediction.answered;
  const auto found = std::find(answered.begin(), answered.end(), wanted);
  if (found != answered.end()) return static_cast<size_t>(found - answered.begin());
  const Head& of = manifest_of(result).heads[head];
  throw Error(ErrorKind::kInput, "head '" + of.name + "' did not answer: its input is '" +
                                     input_name(of.input) + "', and texts alone were asked");
}

void fill_answer(const HeadScores& scores, const std::vector<affectrt_label_score>& ranked,
                 size_t row, const Prediction* texts, affectrt_answer* answer) {
  const size_t width = static_cast<size_t>(scores.width);
  const uint8_t* decided = scores.decided.data() + row * width;
  affectrt_answer filled = {};
  filled.labels = ranked.data() + row * width;
  filled.num_labels = static_cast<uint32_t>(width);
  filled.num_decided = static_cast<uint32_t>(std::count(decided, decided + width, 1));
  filled.unsure = scores.unsure[row];
  if (texts != nullptr) {
    filled.truncated = texts->truncated[row];
    filled.token_count = static_cast<uint32_t>(texts->token_counts[row]);
  }
  if (!scores.levels.empty()) filled.level = scores.levels[row];
  write_struct(answer, filled, kFirstAnswer, "answer");
}

}  // namespace affectrt

using namespace affectrt;

extern "C" {

affectrt_status affectrt_model_analyse(const affectrt_model* model, const affectrt_text* texts,
                                       size_t count, const affectrt_analyse_options* options,
                                       affectrt_result** out) noexcept {
  return guarded([&] {
    affectrt_result*& result = emptied(out);
    auto made = std::make_unique<affectrt_result>();
    made->text = text_model(model);
    made->prediction = predict(*made->text, inputs_of(texts, count), std::nullopt, options);
    const std::vector<Head>& heads = made->text->manifest().heads;
    for (size_t i = 0; i < made->prediction.heads.size(); ++i) {
      const Head& head = heads[static_cast<size_t>(made->prediction.answered[i])];
      made->ranked.push_back(ranked_rows(head, made->prediction.heads[i], count));
      made->spans.push_back(spans_of(head, made->prediction.heads[i]));
    }
    result = made.release();
  });
}

void affectrt_result_destroy(affectrt_result* result) noexcept { delete result; }

affectrt_status affectrt_result_get_answer(const affectrt_result* result, size_t row, uint32_t head,
                                           affectrt_answer* answer) noexcept {
  return guarded([&] {
    const Prediction& prediction = given(result, "result").prediction;
    const size_t index = answer_index(*result, head);
    refuse_tokens(manifest_of(*result).heads[head]);
    const HeadScores& scores = prediction.heads[index];
    check_row(prediction, row);
    fill_answer(scores, result->ranked[index], row, &prediction, answer);
  });
}

affectrt_status affectrt_result_get_spans(const affectrt_result* result, size_t row, uint32_t head,
                                          affectrt_spans* spans) noexcept {
  return guarded([&] {
    const Prediction& prediction = given(result, "result").prediction;
    const size_t index = answer_index(*result, head);
    const HeadScores& scores = prediction.heads[index];
    if (scores.span_begin.empty()) {
      const Head& of = manifest_of(*result).heads[head];
      throw Error(ErrorKind::kInput, "head '" + of.name + "' (" + task_name(of.task) +
                                         ") answers with labels or values, not with spans; "
                                         "affectrt_result_get_answer() gives them");
    }
    check_row(prediction, row);
    const auto begin = static_cast<size_t>(scores.span_begin[row]);
    const auto end = static_cast<size_t>(scores.span_begin[row + 1]);
    affectrt_spans filled = {};
    filled.spans = result->spans[index].data() + begin;
    filled.num_spans = static_cast<uint32_t>(end - begin);
    for (size_t i = begin; i < end; ++i) filled.num_decided += result->spans[index][i].decided;
    filled.truncated = prediction.truncated[row];
    filled.token_count = static_cast<uint32_t>(prediction.token_counts[row]);
    write_struct(spans, filled, kFirstSpans, "spans");
  });
}

affectrt_status affectrt_result_get_matrices(const affectrt_result* result, uint32_t head,
                                             affectrt_matrices* matrices) noexcept {
  return guarded([&] {
    const Prediction& prediction = given(result, "result").prediction;
    const HeadScores& scores = prediction.heads[answer_index(*result, head)];
    refuse_tokens(manifest_of(*result).heads[head]);
    affectrt_matrices filled = {};
    filled.rows = prediction.token_counts.size();
    filled.labels = static_cast<size_t>(scores.width);
    filled.logits = scores.logits.data();
    filled.scores = scores.scores.data();
    filled.decided = scores.decided.data();
    filled.unsure = scores.unsure.data();
    filled.token_counts = prediction.token_counts.data();
    filled.truncated = prediction.truncated.data();
    write_struct(matrices, filled, kFirstMatrices, "matrices");
  });
}

affectrt_status affectrt_model_analyse_json(const affectrt_model* model, const affectrt_text* texts,
                                            size_t count, const affectrt_analyse_options* options,
                                            char** json) noexcept {
  return guarded([&] {
    given(json, "json") = nullptr;
    const Model& with = *text_model(model);
    const std::vector<TextInput> inputs = inputs_of(texts, count);
    const std::string text =
        answers_json(with.manifest(), inputs, predict(with, inputs, std::nullopt, options));
    *json = json_copy(text);
  });
}

void affectrt_json_destroy(char* json) noexcept { delete[] json; }

affectrt_status affectrt_model_predict(const affectrt_model* model, const affectrt_text* texts,
                                       size_t count, const affectrt_analyse_options* options,
                                       uint32_t head, const affectrt_buffers* buffers) noexcept {
  return guarded([&] {
    const Model& with = *text_model(model);
    refuse_tokens(with.manifest().heads[checked_head(with.manifest(), head)]);
    const size_t labels = with.manifest().heads[head].labels.size();
    const affectrt_buffers to = read_struct(&given(buffers, "buffers"), kFirstBuffers, "buffers");
    if (to.rows != count || to.labels != labels) {
      throw Error(ErrorKind::kInput, "the buffers have " + std::to_string(to.rows) + " rows of " +
                                         std::to_string(to.labels) + " labels; " +
                                         std::to_string(count) + " rows of " +
                                         std::to_string(labels) + " are needed");
    }
    const Prediction prediction = predict(
        with, inputs_of(texts, count), std::vector<int32_t>{static_cast<int32_t>(head)}, options);
    const HeadScores& scores = prediction.heads.front();
    copy_to(to.scores, scores.scores);
    copy_to(to.logits, scores.logits);
    copy_to(to.decided, scores.decided);
    copy_to(to.unsure, scores.unsure);
    copy_to(to.token_counts, prediction.token_counts);
    copy_to(to.truncated, prediction.truncated);
  });
}

}  // extern "C"

// Texts in, answers out.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

#include "capi/call.h"
#include "capi/handles.h"
#include "runtime/model_json.h"

namespace affectrt {
namespace {

constexpr size_t kFirstOptions = sizeof(affectrt_analyse_options);
constexpr size_t kFirstAnswer = sizeof(affectrt_answer);
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
                   const std::vector<int32_t>& heads,
                   const affectrt_analyse_options* given_options) {
  const affectrt_analyse_options options = read_struct(given_options, kFirstOptions, "options");
  check_reserved(options.reserved, "options");
  std::function<bool(size_t, size_t)> progress;
  if (options.progress != nullptr) {
    progress = [&options](size_t done, size_t total) {
      if (options.progress(options.user, done, total) != 0) throw Cancelled();
      return true;
    };
  }
  return model.predict(inputs, heads, progress, options.max_tokens);
}

std::vector<affectrt_label_score> ranked_rows(const Head& head, const HeadScores& scores,
                                              size_t rows) {
  std::vector<affectrt_label_score> labels;
  labels.reserve(rows * head.labels.size());
  for (size_t row = 0; row < rows; ++row) {
    for (const uint32_t i : ranked(head, scores, row)) {
      const size_t at = row * head.labels.size() + i;
      labels.push_back({head.labels[i].c_str(), scores.scores[at], i, scores.decided[at], 0});
    }
  }
  return labels;
}

template <class T>
void copy_to(T* buffer, const std::vector<T>& values) {
  if (buffer != nullptr) std::copy(values.begin(), values.end(), buffer);
}

}  // namespace
}  // namespace affectrt

using namespace affectrt;

extern "C" {

affectrt_status affectrt_model_analyse(const affectrt_model* model, const affectrt_text* texts,
                                       size_t count, const affectrt_analyse_options* options,
                                       affectrt_result** out) noexcept {
  return guarded([&] {
    affectrt_result*& result = emptied(out);
    auto made = std::make_unique<affectrt_result>();
    made->model = given(model, "model").model;
    made->prediction = predict(*made->model, inputs_of(texts, count), {}, options);
    const std::vector<Head>& heads = made->model->manifest().heads;
    for (size_t i = 0; i < heads.size(); ++i) {
      made->ranked.push_back(ranked_rows(heads[i], made->prediction.heads[i], count));
    }
    result = made.release();
  });
}

void affectrt_result_destroy(affectrt_result* result) noexcept { delete result; }

affectrt_status affectrt_result_get_answer(const affectrt_result* result, size_t row, uint32_t head,
                                           affectrt_answer* answer) noexcept {
  return guarded([&] {
    const Prediction& prediction = given(result, "result").prediction;
    const HeadScores& scores = prediction.heads[checked_head(*result->model, head)];
    if (row >= prediction.token_counts.size()) {
      throw Error(ErrorKind::kInput, "no row " + std::to_string(row) + "; the result has " +
                                         std::to_string(prediction.token_counts.size()));
    }
    const size_t width = static_cast<size_t>(scores.width);
    const uint8_t* decided = scores.decided.data() + row * width;
    affectrt_answer filled = {};
    filled.labels = result->ranked[head].data() + row * width;
    filled.num_labels = static_cast<uint32_t>(width);
    filled.num_decided = static_cast<uint32_t>(std::count(decided, decided + width, 1));
    filled.unsure = scores.unsure[row];
    filled.truncated = prediction.truncated[row];
    filled.token_count = static_cast<uint32_t>(prediction.token_counts[row]);
    write_struct(answer, filled, kFirstAnswer, "answer");
  });
}

affectrt_status affectrt_result_get_matrices(const affectrt_result* result, uint32_t head,
                                             affectrt_matrices* matrices) noexcept {
  return guarded([&] {
    const Prediction& prediction = given(result, "result").prediction;
    const HeadScores& scores = prediction.heads[checked_head(*result->model, head)];
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
    const Model& with = *given(model, "model").model;
    const std::vector<TextInput> inputs = inputs_of(texts, count);
    const std::string text =
        answers_json(with.manifest(), inputs, predict(with, inputs, {}, options));
    *json = new char[text.size() + 1];
    std::memcpy(*json, text.c_str(), text.size() + 1);
  });
}

void affectrt_json_destroy(char* json) noexcept { delete[] json; }

affectrt_status affectrt_model_predict(const affectrt_model* model, const affectrt_text* texts,
                                       size_t count, const affectrt_analyse_options* options,
                                       uint32_t head, const affectrt_buffers* buffers) noexcept {
  return guarded([&] {
    const Model& with = *given(model, "model").model;
    const size_t labels = with.manifest().heads[checked_head(with, head)].labels.size();
    const affectrt_buffers to = read_struct(&given(buffers, "buffers"), kFirstBuffers, "buffers");
    if (to.rows != count || to.labels != labels) {
      throw Error(ErrorKind::kInput, "the buffers have " + std::to_string(to.rows) + " rows of " +
                                         std::to_string(to.labels) + " labels; " +
                                         std::to_string(count) + " rows of " +
                                         std::to_string(labels) + " are needed");
    }
    const Prediction prediction =
        predict(with, inputs_of(texts, count), {static_cast<int32_t>(head)}, options);
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

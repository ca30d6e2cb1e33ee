// A model and its answers as JSON, the same from every language.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "runtime/json_writer.h"
#include "runtime/model.h"

namespace affectrt {

// Name, family, precision, max_tokens (of a speech model modality, sample_rate and max_seconds) and
// heads. Floats are the shortest decimals that still are the float32 of the manifest.
std::string manifest_json(const Manifest& manifest);

// The same with licence, path and backend, and affectrt.json itself under "manifest" (null where
// the model has none).
struct ModelFacts {
  std::string path;
  std::string backend;
  std::string backend_detail;
};
std::string info_json(const Manifest& manifest, const ModelFacts& facts);

// An array of one object a row, with the keys of Result.to_dict() in Python: text, emotions,
// decided, unsure; pair, truncated and heads where there are such. `prediction` is that of at least
// one head for `inputs`, which are valid UTF-8.
std::string answers_json(const Manifest& manifest, const std::vector<TextInput>& inputs,
                         const Prediction& prediction);

// Of one of these objects what follows its text: emotions, decided, unsure; truncated, heads.
struct AnsweredRow {
  std::string_view text;
  size_t row;
  bool truncated;
};
void write_answers(const Manifest& manifest, const std::vector<int32_t>& answered,
                   const std::vector<HeadScores>& heads, const AnsweredRow& of, JsonWriter* out);

// Parts of it: the labels of a row as "emotions", "decided" and, where wanted, "unsure"; and what a
// head says, under its name. `text` is that of the row where the head reads tokens.
void write_emotions(const Head& head, const HeadScores& scores, size_t row, bool unsure,
                    JsonWriter* out);
void write_head_answer(const Head& head, const HeadScores& scores, size_t row,
                       std::string_view text, JsonWriter* out);

}  // namespace affectrt

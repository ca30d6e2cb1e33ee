// A model and its answers as JSON, the same from every language.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "runtime/json_writer.h"
#include "runtime/model.h"

namespace affectrt {

// Name, family, precision, max_tokens and heads. Floats are the shortest decimals that still are
// the float32 of the manifest.
std::string manifest_json(const Manifest& manifest);

// The same with licence, path and backend, and affectrt.json itself under "manifest" (null where
// the model has none).
std::string info_json(const Model& model);

// An array of one object a row, with the keys of Result.to_dict() in Python: text, emotions,
// decided, unsure; pair, truncated and heads where there are such. `prediction` is that of at least
// one head for `inputs`, which are valid UTF-8.
std::string answers_json(const Manifest& manifest, const std::vector<TextInput>& inputs,
                         const Prediction& prediction);

// Of one of these objects what follows its text: emotions, decided, unsure; truncated, heads.
void write_answers(const Manifest& manifest, std::string_view text, const Prediction& prediction,
                   size_t row, JsonWriter* out);

}  // namespace affectrt

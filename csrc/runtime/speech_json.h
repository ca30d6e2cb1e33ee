// Answers to sound as JSON, the same from every language.
#pragma once

#include <string>

#include "runtime/json_writer.h"
#include "runtime/speech_model.h"

namespace affectrt {

// An array of one object a clip, with the keys of SpeechResult.to_dict() in Python: duration_s,
// emotions, decided, unsure; the other heads in short; level_dbfs, clipped_share, audible; heads;
// windows where there are several. `prediction` is that of at least one head.
std::string sounds_json(const SpeechModel& model, const SpeechPrediction& prediction);
// One of these objects.
void write_sound(const SpeechModel& model, const SpeechPrediction& prediction, size_t clip,
                 JsonWriter* out);

// Of one of these objects what it says of row `row` of `heads`, which answer as `answered` says:
// emotions, decided, with `unsure` that too, and the other heads in short, values of a regression
// under the names of its labels, decided labels under that of the head. Names that are in `taken`
// already are left out.
void write_short_answers(const Manifest& manifest, const std::vector<int32_t>& answered,
                         const std::vector<HeadScores>& heads, size_t row, bool unsure,
                         std::vector<std::string> taken, JsonWriter* out);

}  // namespace affectrt

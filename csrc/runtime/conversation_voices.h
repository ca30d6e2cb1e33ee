// The voices of the turns of a conversation.
#pragma once

#include <cstddef>
#include <string_view>

#include "runtime/speech_model.h"
#include "tasks/emotion_families.h"

namespace affectrt {

class JsonField;
class JsonWriter;

// What a speech model says of the sound of a turn, a clip of `prediction`.
struct HeardTurn {
  const SpeechModel* model = nullptr;
  const SpeechPrediction* prediction = nullptr;
  size_t clip = 0;
};

// For NewTurn::voice, by the first head.
FamilyShares voice_shares(const HeardTurn& heard);

// Error(kInput) where the first head of a model does not name emotions.
void check_hears_emotions(const SpeechModel& model);

// The emotion of a voice alone, one of kToldEmotions.
std::string_view told_by(const FamilyShares& voice);

// "mix": the part of each family.
void write_mix(const FamilyShares& mix, JsonWriter* out);
FamilyShares read_mix(const JsonField& mix);

}  // namespace affectrt

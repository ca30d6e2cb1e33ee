// Conversations.
#include "runtime/conversation.h"

#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "capi/call.h"
#include "capi/handles.h"
#include "capi/sounds.h"
#include "runtime/conversation_voices.h"

namespace affectrt {
namespace {

constexpr size_t kFirstOptions = offsetof(affectrt_conversation_options, speech);

std::vector<int32_t> heads_of(const Model& model, const affectrt_conversation_options& options) {
  std::vector<int32_t> heads;
  if (options.num_heads > 0) given(options.heads, "options.heads");
  for (size_t i = 0; i < options.num_heads; ++i) {
    const char* name = &given(options.heads[i], "options.heads[i]");
    heads.push_back(static_cast<int32_t>(head_named(model.manifest(), name)));
  }
  return heads;
}

const Conversation& inside(const affectrt_conversation* conversation) {
  return *given(conversation, "conversation").conversation;
}

std::shared_ptr<const SpeechModel> heard_with(const affectrt_model* speech) {
  return speech == nullptr ? nullptr : speech_model(speech);
}

std::string turn_name(size_t index) { return "turns[" + std::to_string(index) + "]"; }

Conversation::Addition addition_of(const affectrt_turn& turn, size_t index, bool spoken) {
  const std::string where = turn_name(index);
  Conversation::Addition addition;
  addition.to = given(turn.conversation, (where + ".conversation").c_str()).conversation.get();
  addition.turn.speaker =
      text_argument(turn.speaker, turn.speaker_size, (where + ".speaker").c_str());
  addition.turn.has_words = !spoken || turn.text != nullptr;
  if (addition.turn.has_words) {
    addition.turn.text = text_argument(turn.text, turn.text_size, (where + ".text").c_str());
  }
  if (turn.emotion != nullptr) addition.turn.emotion = turn.emotion;
  return addition;
}

// What is heard in the voices of turns.
class Voices {
 public:
  using Progress = std::function<bool(size_t, size_t)>;

  // One batch for each speech model.
  Voices(const affectrt_sound* sounds, const Progress& progress,
         std::vector<Conversation::Addition>* additions)
      : heard_(additions->size()), shares_(additions->size()) {
    std::map<const SpeechModel*, Batch> batches;
    for (size_t i = 0; i < additions->size(); ++i) {
      const Conversation::Addition& addition = (*additions)[i];
      const std::string where = turn_name(i);
      if (sounds[i].samples == nullptr && sounds[i].count == 0) {
        if (addition.turn.has_words) continue;
        throw Error(ErrorKind::kInput, where + " has neither text nor sound; give one, or both");
      }
      const SpeechModel* model = addition.to->speech();
      if (model == nullptr) {
        throw Error(ErrorKind::kInput, where +
                                           " has sound, but its conversation was made without "
                                           "a speech model (affectrt_conversation_options)");
      }
      Batch& batch = batches[model];
      batch.turns.push_back(i);
      batch.sounds.add(sounds[i], "sounds[" + std::to_string(i) + "]");
    }
    for (auto& [model, batch] : batches) hear(*model, batch, progress, additions);
  }

  // Of a turn; null where nothing was heard.
  const HeardTurn* heard(size_t turn) const {
    return heard_[turn].model == nullptr ? nullptr : &heard_[turn];
  }

 private:
  struct Batch {
    std::vector<size_t> turns;
    Sounds sounds;
  };

  void hear(const SpeechModel& model, const Batch& batch, const Progress& progress,
            std::vector<Conversation::Addition>* additions) {
    SpeechWanted wanted;
    wanted.progress = [&](size_t, size_t) { return !progress || progress(0, additions->size()); };
    const SpeechPrediction& prediction =
        predictions_.emplace_back(model.predict(batch.sounds.views(), wanted));
    for (size_t clip = 0; clip < batch.turns.size(); ++clip) {
      const size_t turn = batch.turns[clip];
      NewTurn& said = (*additions)[turn].turn;
      if (prediction.facts[clip].audible) {
        heard_[turn] = {&model, &prediction, clip};
        shares_[turn] = voice_shares(heard_[turn]);
        said.voice = &shares_[turn];
      } else if (!said.has_words) {
        throw Error(ErrorKind::kInput, turn_name(turn) +
                                           " has no text, and nothing can be heard "
                                           "in its sound");
      }
    }
  }

  std::deque<SpeechPrediction> predictions_;
  std::vector<HeardTurn> heard_;      // of each turn; without a model where nothing was heard
  std::vector<FamilyShares> shares_;  // likewise
};

// `sounds` may be null: of no turn.
void add(const affectrt_turn* turns, const affectrt_sound* sounds, size_t count,
         const affectrt_analyse_options* given_options, char** json) {
  given(json, "json") = nullptr;
  const affectrt_analyse_options options = analyse_options(given_options);
  if (options.max_tokens != 0) {
    throw Error(ErrorKind::kInput,
                "options.max_tokens is " + std::to_string(options.max_tokens) +
                    "; turns are read as the model was trained to, so 0 is needed");
  }
  if (count > static_cast<size_t>(INT32_MAX)) {
    throw Error(ErrorKind::kInput, std::to_string(count) + " turns are too many at once");
  }
  if (count > 0) given(turns, "turns");
  std::vector<Conversation::Addition> additions;
  for (size_t i = 0; i < count; ++i) {
    additions.push_back(addition_of(turns[i], i, sounds != nullptr));
  }
  const Voices::Progress progress = progress_of(options);
  std::optional<Voices> voices;
  if (sounds != nullptr) voices.emplace(sounds, progress, &additions);
  std::string text = "[";
  char* made = nullptr;
  Conversation::add(additions, progress, [&](std::vector<TurnAnswer>& answers) {
    for (size_t i = 0; i < answers.size(); ++i) {
      if (i > 0) text += ',';
      text += turn_json(additions[i].to->plan(), answers[i], voices ? voices->heard(i) : nullptr);
    }
    made = json_copy(text + "]");
  });
  *json = made == nullptr ? json_copy("[]") : made;
}

}  // namespace
}  // namespace affectrt

using namespace affectrt;

extern "C" {

affectrt_status affectrt_conversation_create(const affectrt_model* model,
                                             const affectrt_conversation_options* given_options,
                                             affectrt_conversation** out) noexcept {
  return guarded([&] {
    affectrt_conversation*& conversation = emptied(out);
    const std::shared_ptr<const Model>& with = text_model(model);
    const affectrt_conversation_options from = read_struct(given_options, kFirstOptions, "options");
    check_reserved(from.reserved, "options");
    ConversationOptions options;
    if (from.max_turns != 0) options.max_turns = from.max_turns;
    options.heads = heads_of(*with, from);
    options.speech = heard_with(from.speech);
    auto made = std::make_unique<affectrt_conversation>();
    made->conversation = Conversation::create(with, options);
    conversation = made.release();
  });
}

void affectrt_conversation_destroy(affectrt_conversation* conversation) noexcept {
  delete conversation;
}

affectrt_status affectrt_conversation_add(const affectrt_turn* turns, size_t count,
                                          const affectrt_analyse_options* options,
                                          char** json) noexcept {
  return guarded([&] { add(turns, nullptr, count, options, json); });
}

affectrt_status affectrt_conversation_add_spoken(const affectrt_turn* turns,
                                                 const affectrt_sound* sounds, size_t count,
                                                 const affectrt_analyse_options* options,
                                                 char** json) noexcept {
  return guarded([&] {
    if (count > 0) given(sounds, "sounds");
    add(turns, sounds, count, options, json);
  });
}

affectrt_status affectrt_conversation_arc_json(const affectrt_conversation* conversation,
                                               char** json) noexcept {
  return guarded([&] {
    given(json, "json") = nullptr;
    *json = json_copy(arc_json(inside(conversation)));
  });
}

affectrt_status affectrt_conversation_save(const affectrt_conversation* conversation,
                                           char** json) noexcept {
  return guarded([&] {
    given(json, "json") = nullptr;
    *json = json_copy(inside(conversation).state_json());
  });
}

affectrt_status affectrt_conversation_restore(const affectrt_model* model, const char* json,
                                              size_t size, affectrt_conversation** out) noexcept {
  return affectrt_conversation_restore_spoken(model, nullptr, json, size, out);
}

affectrt_status affectrt_conversation_restore_spoken(const affectrt_model* model,
                                                     const affectrt_model* speech, const char* json,
                                                     size_t size,
                                                     affectrt_conversation** out) noexcept {
  return guarded([&] {
    affectrt_conversation*& conversation = emptied(out);
    auto made = std::make_unique<affectrt_conversation>();
    made->conversation = Conversation::restore(text_model(model), text_argument(json, size, "json"),
                                               heard_with(speech));
    conversation = made.release();
  });
}

}  // extern "C"

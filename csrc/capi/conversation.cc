// Conversations.
#include "runtime/conversation.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "capi/call.h"
#include "capi/handles.h"

namespace affectrt {
namespace {

constexpr size_t kFirstOptions = sizeof(affectrt_conversation_options);

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

Conversation::Addition addition_of(const affectrt_turn& turn, size_t index) {
  const std::string where = "turns[" + std::to_string(index) + "]";
  Conversation::Addition addition;
  addition.to = given(turn.conversation, (where + ".conversation").c_str()).conversation.get();
  addition.turn.speaker =
      text_argument(turn.speaker, turn.speaker_size, (where + ".speaker").c_str());
  addition.turn.text = text_argument(turn.text, turn.text_size, (where + ".text").c_str());
  if (turn.emotion != nullptr) addition.turn.emotion = turn.emotion;
  return addition;
}

std::string array_of(const std::vector<Conversation::Addition>& additions,
                     const std::vector<TurnAnswer>& answers) {
  std::string text = "[";
  for (size_t i = 0; i < answers.size(); ++i) {
    if (i > 0) text += ',';
    text += turn_json(additions[i].to->plan(), answers[i]);
  }
  return text + "]";
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
    auto made = std::make_unique<affectrt_conversation>();
    made->conversation = Conversation::create(with, options);
    conversation = made.release();
  });
}

void affectrt_conversation_destroy(affectrt_conversation* conversation) noexcept {
  delete conversation;
}

affectrt_status affectrt_conversation_add(const affectrt_turn* turns, size_t count,
                                          const affectrt_analyse_options* given_options,
                                          char** json) noexcept {
  return guarded([&] {
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
    for (size_t i = 0; i < count; ++i) additions.push_back(addition_of(turns[i], i));
    char* made = nullptr;
    Conversation::add(additions, progress_of(options), [&](std::vector<TurnAnswer>& answers) {
      made = json_copy(array_of(additions, answers));
    });
    *json = made == nullptr ? json_copy("[]") : made;
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
  return guarded([&] {
    affectrt_conversation*& conversation = emptied(out);
    auto made = std::make_unique<affectrt_conversation>();
    made->conversation =
        Conversation::restore(text_model(model), text_argument(json, size, "json"));
    conversation = made.release();
  });
}

}  // extern "C"

#include "runtime/conversation_voices.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "bundle/json_fields.h"
#include "runtime/conversation.h"
#include "runtime/json_writer.h"
#include "tasks/fusion.h"

namespace affectrt {
namespace {

size_t best_of(const FamilyShares& mix) {
  return static_cast<size_t>(std::max_element(mix.begin(), mix.end()) - mix.begin());
}

bool names_labels(const Head& head) {
  return head.task == Task::kSingleLabel || head.task == Task::kMultiLabel;
}

}  // namespace

void check_hears_emotions(const SpeechModel& model) {
  const Head& head = model.manifest().heads.front();
  const std::vector<float> ones(head.labels.size(), 1.0F);
  if (names_labels(head) && family_shares(head.labels, ones, true)) return;
  throw Error(ErrorKind::kInput, "speech: the first head of '" + model.manifest().name + "' is '" +
                                     head.name + "' (" + task_name(head.task) +
                                     "), which names no emotions of a known family");
}

FamilyShares voice_shares(const HeardTurn& heard) {
  const Head& head = heard.model->manifest().heads.front();
  const HeadScores& all = heard.prediction->heads.front();
  std::vector<std::string> labels;
  std::vector<float> scores;
  for (const uint32_t label : ranked(head, all, heard.clip)) {
    labels.push_back(head.labels[label]);
    scores.push_back(all.scores[heard.clip * head.labels.size() + label]);
  }
  const std::optional<FamilyShares> shares = family_shares(labels, scores, true);
  if (!shares) throw Error(ErrorKind::kBackend, "no emotion of a voice has a score");
  return *shares;
}

std::string_view told_by(const FamilyShares& voice) {
  return kEmotionFamilies[best_of(fuse(nullptr, &voice))].name;  // of love a voice says nothing
}

// ----------------------------------------------------------------------------------- conversation

ArcPoint Conversation::point_of(const PastTurn& turn) const {
  ArcPoint point = turn.point;
  if (speech_ == nullptr) return point;
  point.of_words = turn.has_words && plan_->mood.has_value();
  point.of_voice = turn.voice.has_value();
  if (!point.is_fused()) return point;
  point.mix =
      fuse(point.of_words ? &turn.point.mix : nullptr, point.of_voice ? &*turn.voice : nullptr);
  point.emotion = static_cast<int32_t>(best_of(point.mix));
  point.score = point.mix[best_of(point.mix)];
  point.valence = valence_of(point.mix);
  return point;
}

void Conversation::write_voices(JsonWriter* out) const {
  out->key("voices").begin('{');
  write_origin(speech_->bundle(), out);
  out->key("turns").begin('[');
  for (size_t i = past_.size() - std::min(past_.size(), kept_turns()); i < past_.size(); ++i) {
    const PastTurn& turn = past_[i];
    if (!turn.voice) continue;
    out->begin('{');
    out->key("turn").integer(turn.point.turn);
    out->key("has_words").boolean(turn.has_words);
    write_mix(*turn.voice, out);
    out->end('}');
  }
  out->end(']');
  out->end('}');
}

// After all else of the state.
void Conversation::read_voices(const JsonField& root) {
  const std::optional<JsonField> voices = root.find("voices");
  if (!voices) return;
  const JsonField model = voices->at("model");
  const std::string& name = model.at("name").text(0, SIZE_MAX);
  if (speech_ == nullptr) {
    voices->fail("it was held with the speech model '" + name + "', which is needed here, too");
  }
  check_origin(model, speech_->bundle());
  const int64_t first = turns_ - static_cast<int64_t>(past_.size()) + 1;
  for (const JsonField& field : voices->at("turns").items(0, SIZE_MAX, "turns")) {
    const int64_t number = field.at("turn").integer(1, turns_);
    const bool has_words = field.at("has_words").boolean();
    const FamilyShares mix = read_mix(field.at("mix"));
    if (number < first) continue;
    PastTurn& turn = past_[static_cast<size_t>(number - first)];
    turn.voice = mix;
    turn.has_words = has_words;
  }
}

}  // namespace affectrt

// A conversation's state and a turn's answer as JSON.
#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "base/sha256.h"
#include "bundle/json_fields.h"
#include "runtime/conversation.h"
#include "runtime/conversation_voices.h"
#include "runtime/json_writer.h"
#include "runtime/model_json.h"
#include "runtime/speech_json.h"

namespace affectrt {
namespace {

constexpr const char* kFormat = "affectrt-conversation";
constexpr int64_t kVersion = 1;
constexpr int64_t kMostTurnsEver = int64_t{1} << 53U;  // exact in every JSON reader
constexpr size_t kMostTextBytes = size_t{1} << 30U;

ByteView bytes_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

const Head* mood_head(const ConversationPlan& plan) {
  if (!plan.mood) return nullptr;
  return &plan.all_heads()[static_cast<size_t>(plan.heads[*plan.mood])];
}

void write_point(const ConversationPlan& plan, const ArcPoint& point, JsonWriter* out) {
  if (plan.has_valence(point)) out->key("valence").number(double{point.valence});
  if (!plan.has_emotion(point)) return;
  out->key("emotion").string(plan.emotion_of(point));
  out->key("score").number(double{point.score});
  write_mix(point.mix, out);
}

float unit(const JsonField& field, double least) {
  return static_cast<float>(field.number(least, 1.0));
}

ArcPoint read_point(const ConversationPlan& plan, const JsonField& turn) {
  ArcPoint point;
  if (plan.has_valence(point)) point.valence = unit(turn.at("valence"), -1.0);
  const Head* mood = mood_head(plan);
  if (mood == nullptr) return point;
  const JsonField emotion = turn.at("emotion");
  const auto label = std::find_if(mood->labels.begin(), mood->labels.end(),
                                  [&](const std::string& name) { return emotion.is(name); });
  if (label == mood->labels.end()) emotion.fail_value("a label of head '" + mood->name + "'");
  point.emotion = static_cast<int32_t>(label - mood->labels.begin());
  point.score = unit(turn.at("score"), 0.0);
  point.mix = read_mix(turn.at("mix"));
  return point;
}

void check_format(const JsonField& root) {
  if (!root.at("format").is(kFormat)) {
    root.at("format").fail_value("\"" + std::string(kFormat) + "\"");
  }
  const int64_t version = root.at("version").integer(1, kMostTurnsEver);
  if (version > kVersion) {
    root.at("version").fail("is " + std::to_string(version) +
                                ", of a later affectrt; this one reads version " +
                                std::to_string(kVersion),
                            ErrorKind::kUnsupported);
  }
}

std::vector<int32_t> read_heads(const Model& model, const JsonField& field) {
  const std::vector<Head>& all = model.manifest().heads;
  std::vector<int32_t> heads;
  for (const JsonField& item : field.items(1, all.size(), "names of heads")) {
    const auto head =
        std::find_if(all.begin(), all.end(), [&](const Head& one) { return item.is(one.name); });
    if (head == all.end()) item.fail_value("the name of a head of this model");
    heads.push_back(static_cast<int32_t>(head - all.begin()));
  }
  return heads;
}

}  // namespace

void write_mix(const FamilyShares& mix, JsonWriter* out) {
  out->key("mix").begin('{');
  for (size_t i = 0; i < kFamilies; ++i) {
    out->key(kEmotionFamilies[i].name).number(double{mix[i]});
  }
  out->end('}');
}

FamilyShares read_mix(const JsonField& mix) {
  FamilyShares shares = {};
  for (size_t i = 0; i < kFamilies; ++i) {
    shares[i] = unit(mix.at(kEmotionFamilies[i].name), 0.0);
  }
  return shares;
}

// affectrt.json, which has the hashes of all else, or of a model without
// one its small files and the sizes of the large ones.
std::string identity_of(const Bundle& bundle) {
  if (!bundle.manifest().json.empty()) return sha256_hex(bytes_of(bundle.manifest().json));
  Sha256 hash;
  std::vector<std::string> names = bundle.names();
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    const ByteView entry = bundle.entry(name);
    const std::string head = name + " " + std::to_string(entry.size) + "\n";
    hash.update(bytes_of(head));
    if (name == "config.json" || name == "tokenizer.json") hash.update(entry);
  }
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const uint8_t byte : hash.finish()) {
    text += kDigits[byte >> 4U];
    text += kDigits[byte & 15U];
  }
  return text;
}

void write_origin(const Bundle& bundle, JsonWriter* out) {
  out->key("model").begin('{');
  out->key("name").string(bundle.manifest().name);
  out->key("sha256").string(identity_of(bundle));
  out->end('}');
}

void check_origin(const JsonField& own, const Bundle& bundle) {
  if (own.at("sha256").is(identity_of(bundle))) return;
  own.fail("is '" + own.at("name").text(0, kMostTextBytes) +
           "' with other weights or labels than '" + bundle.manifest().name +
           "'; restore with the model that the conversation was held with");
}

std::string Conversation::state_json() const {
  const Use use(this);
  JsonWriter out;
  out.begin('{');
  out.key("format").string(kFormat);
  out.key("version").integer(kVersion);
  write_origin(plan_->model().bundle(), &out);
  out.key("heads").begin('[');
  for (const int32_t head : plan_->heads) {
    out.string(plan_->all_heads()[static_cast<size_t>(head)].name);
  }
  out.end(']');
  out.key("max_turns").integer(max_turns_);
  out.key("turns").integer(turns_);
  out.key("remembered").begin('[');
  for (size_t i = past_.size() - std::min(past_.size(), kept_turns()); i < past_.size(); ++i) {
    const PastTurn& turn = past_[i];
    out.begin('{');
    out.key("turn").integer(turn.point.turn);
    out.key("speaker").string(turn.speaker);
    out.key("text").string(turn.text);
    write_point(*plan_, turn.point, &out);
    out.end('}');
  }
  out.end(']');
  if (speech_) write_voices(&out);
  out.end('}');
  return out.take();
}

std::unique_ptr<Conversation> Conversation::restore(std::shared_ptr<const Model> model,
                                                    std::string_view state,
                                                    std::shared_ptr<const SpeechModel> speech) {
  const std::string origin = "the saved conversation";
  try {
    const JsonDocument document = parse_json(state, origin, ErrorKind::kInput);
    const JsonField root(document.root(), origin);
    check_format(root.object());
    check_origin(root.at("model"), model->bundle());
    ConversationOptions options;
    options.speech = std::move(speech);
    options.max_turns = static_cast<int32_t>(root.at("max_turns").integer(1, kMostTurns));
    options.heads = read_heads(*model, root.at("heads"));
    std::unique_ptr<Conversation> made = create(std::move(model), options);
    made->turns_ = root.at("turns").integer(0, kMostTurnsEver);
    const JsonField remembered = root.at("remembered");
    const auto most =
        static_cast<size_t>(std::min(made->turns_, static_cast<int64_t>(made->kept_turns())));
    const std::vector<JsonField> turns = remembered.items(most, most, "turns");
    int64_t number = made->turns_ - static_cast<int64_t>(turns.size());
    for (const JsonField& field : turns) {
      PastTurn turn;
      turn.point = read_point(*made->plan_, field);
      ++number;
      turn.point.turn = field.at("turn").integer(number, number);
      turn.speaker = field.at("speaker").text(1, kMostTextBytes);
      turn.text = field.at("text").text(1, kMostTextBytes);
      if (made->plan_->passes)
        turn.tokens = turn_tokens(made->plan_->model().tokenizer(), turn.text);
      made->past_.push_back(std::move(turn));
    }
    made->read_voices(root);
    return made;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kModelFile) throw;
    throw Error(ErrorKind::kInput, error.what());
  }
}

std::string arc_json(const Conversation& conversation) {
  JsonWriter out;
  out.begin('[');
  for (const ArcPoint& point : conversation.arc()) {
    out.begin('{');
    out.key("turn").integer(point.turn);
    write_point(conversation.plan(), point, &out);
    out.end('}');
  }
  out.end(']');
  return out.take();
}

std::string turn_json(const ConversationPlan& plan, const TurnAnswer& answer,
                      const HeardTurn* heard) {
  const ArcPoint& point = answer.point;
  JsonWriter out;
  out.begin('{');
  out.key("turn").integer(point.turn);
  out.key("speaker").string(answer.speaker);
  out.key("text").string(answer.text);
  if (heard != nullptr && answer.text.empty()) {
    write_answers(heard->model->manifest(), heard->prediction->answered, heard->prediction->heads,
                  {{}, heard->clip, false}, &out);
  } else {
    write_answers(plan.model().manifest(), answer.prediction.answered, answer.prediction.heads,
                  {answer.text, 0, answer.prediction.truncated[0] != 0}, &out);
  }
  out.key("is_reply").boolean(answer.is_reply);
  if (plan.has_valence(point)) out.key("valence").number(double{point.valence});
  if (plan.has_emotion(point)) write_mix(point.mix, &out);
  if (answer.tells_causes) {
    out.key("causes").begin('[');
    for (const CausePair& cause : answer.causes) {
      if (!cause.decided) continue;
      out.begin('{');
      out.key("turn").integer(cause.turn);
      if (cause.end >= 0) {
        out.key("start").integer(cause.begin);
        out.key("end").integer(cause.end);
        out.key("text").string(cause.text);
      }
      out.key("score").number(double{cause.score});
      out.end('}');
    }
    out.end(']');
  }
  if (point.is_fused()) {
    out.key("modalities").begin('[');
    if (point.of_words) out.string("text");
    if (point.of_voice) out.string("speech");
    out.end(']');
    out.key("fused").begin('{');
    out.key("label").string(plan.emotion_of(point));
    out.key("score").number(double{point.score});
    out.end('}');
  }
  if (heard != nullptr)
    write_sound(*heard->model, *heard->prediction, heard->clip, &out.key("voice"));
  out.end('}');
  return out.take();
}

}  // namespace affectrt

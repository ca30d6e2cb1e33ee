// A conversation: turns one after the other, each judged in the light of those before it.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "runtime/model.h"
#include "runtime/passes.h"
#include "runtime/speech_model.h"
#include "tasks/emotion_families.h"

namespace affectrt {

class JsonField;
class JsonWriter;
struct HeardTurn;

constexpr int32_t kMostTurns = 1'000'000;

struct ConversationOptions {
  // Turns that are remembered: what arc() and state_json() hold. Memory is bounded by them. What is
  // said of new turns does not depend on it.
  int32_t max_turns = 200;
  std::vector<int32_t> heads;  // indices into manifest().heads; empty: all that judge turns
  // With one, turns may have a voice, and the arc is of words and voice together. Its first head
  // names emotions, else Error(kInput).
  std::shared_ptr<const SpeechModel> speech = nullptr;
};

// A turn that is added. Views must outlive the call.
struct NewTurn {
  std::string_view speaker;
  std::string_view text;
  std::string_view emotion;  // one of kToldEmotions where it is known; "": as the model says
  const FamilyShares* voice = nullptr;  // what was heard of it, as of voice_shares(); null: nothing
  // False: there is a voice alone, and `text` counts for nothing. Later turns see that something
  // was said, and causes are looked for in the light of the voice.
  bool has_words = true;
};

// Whether an earlier turn, or the turn itself, caused the emotion of a turn.
struct CausePair {
  int64_t turn = 0;      // from 1: the turn that is the cause, or not
  float score = 0.0F;    // probability of the head "cause"; without one, of the span
  bool decided = false;  // part of the answer
  int32_t begin = -1;    // code points of that turn's text: the words that are the cause
  int32_t end = -1;      // exclusive; -1, -1 where no words were found
  float span_score = 0.0F;
  std::string text;  // those words
};

// A point of the arc: what is remembered of a turn beside its words.
struct ArcPoint {
  int64_t turn = 0;     // from 1
  int32_t emotion = 0;  // index into the labels of the mood's head; -1 where there is no such head
  float score = 0.0F;   // of that emotion
  // In [-1, 1]: pleasant minus unpleasant part of `mix`; without a mood, that of a head of values,
  // which hardly ever leaves the middle of its range. 0 where there is neither.
  float valence = 0.0F;
  FamilyShares mix = {};
  // What was fused, where there is a speech model: `emotion` is then an index into
  // kEmotionFamilies, and the numbers are those of words and voice together.
  bool of_words = false;
  bool of_voice = false;
  bool is_fused() const { return of_words || of_voice; }
};

struct TurnAnswer {
  std::string speaker;
  std::string text;  // "" of a turn without words, of which `prediction` says nothing
  ArcPoint point;
  bool is_reply = false;          // the turn before was another speaker's
  bool tells_causes = false;      // whether causes could be looked for
  std::string told_emotion;       // what causes were looked for with; "": they were not
  std::vector<CausePair> causes;  // of every turn that was looked at, oldest first
  Prediction prediction;          // one row
};

// What conversations of one model share. Immutable: concurrent calls are safe.
class ConversationPlan {
 public:
  // Throws Error(kInput) for heads that do not exist or do not judge turns.
  static std::shared_ptr<const ConversationPlan> make(std::shared_ptr<const Model> model,
                                                      const std::vector<int32_t>& heads);

  const Model& model() const { return *model_; }
  const std::vector<Head>& all_heads() const { return model_->manifest().heads; }
  // Of a point of the arc: what it has an emotion and a mix, or a valence by.
  bool has_emotion(const ArcPoint& point) const { return mood || point.is_fused(); }
  bool has_valence(const ArcPoint& point) const { return vad || has_emotion(point); }
  std::string_view emotion_of(const ArcPoint& point) const {
    const auto emotion = static_cast<size_t>(point.emotion);
    if (point.is_fused()) return kEmotionFamilies[emotion].name;
    return all_heads()[static_cast<size_t>(heads[*mood])].labels[emotion];
  }

  std::vector<int32_t> heads;         // that answer for a turn
  bool reads_context = false;         // some of the above, or causes, read the turns before
  std::optional<size_t> told;         // position in `heads`: the emotion that causes are asked with
  std::vector<size_t> told_emotions;  // index into kToldEmotions of each of its labels
  std::vector<int32_t> cause_heads;   // "cause" and "cause_span", those that there are
  std::optional<size_t> vad;          // position in `heads` of values with a "valence" in a range
  size_t valence_label = 0;
  std::optional<size_t> mood;  // position in `heads` of the head that the families are read from
  std::optional<MoodReader> mood_reader;
  std::optional<PassMaker> passes;  // where context is read

 private:
  std::shared_ptr<const Model> model_;
};

// One conversation belongs to one call at a time: a second call that comes meanwhile is refused
// with Error(kInput). Different conversations may be used from any number of threads at once.
class Conversation {
 public:
  static std::unique_ptr<Conversation> create(std::shared_ptr<const Model> model,
                                              const ConversationOptions& options);
  // From state_json(). Throws Error(kInput) for what is no such state or is that of another model,
  // and Error(kUnsupported) for one of a later version. `speech` as of ConversationOptions, needed
  // where voices are remembered.
  static std::unique_ptr<Conversation> restore(std::shared_ptr<const Model> model,
                                               std::string_view state,
                                               std::shared_ptr<const SpeechModel> speech = nullptr);

  struct Addition {
    Conversation* to;
    NewTurn turn;
  };
  // Adds turns to one conversation or many, in order, all in one batch. Either all of them are
  // added or, where something is thrown, none: Error(kInput) that names the turn for a turn without
  // speaker or words, whatever Model::predict() throws, and what `finish` throws, which gets the
  // answers before anything is changed. All conversations are of one model and have the same heads.
  // `embeddings`: answers also have the pooled vector of their turn's pass.
  static void add(const std::vector<Addition>& additions,
                  const std::function<bool(size_t, size_t)>& progress,
                  const std::function<void(std::vector<TurnAnswer>&)>& finish,
                  bool embeddings = false);

  // Who will answer the last turn.
  struct Replier {
    std::string_view speaker;
    std::string_view emotion;      // of their own last turn, one of kToldEmotions; "": not told
    std::string_view personality;  // a line such as "openness 5 extraversion 7"; "": none
  };
  // What `head`, whose input is a reply, says of the answer to the last turn before it is given.
  // Error(kInput) where nothing was said yet, or the replier said the last turn.
  HeadScores expect(const Replier& replier, int32_t head,
                    const std::function<bool(size_t, size_t)>& progress = nullptr) const;

  // What `head`, one of the plan's, would answer to each of `turns` as turn number `at`, in place
  // of what was said there or as the next one, after the turns before it. Adds nothing.
  // Error(kInput) where the turns before `at` are forgotten, or not yet said.
  HeadScores judge(const std::vector<NewTurn>& turns, int64_t at, int32_t head,
                   const std::function<bool(size_t, size_t)>& progress = nullptr) const;

  // Of the last `most` of the max_turns turns that are remembered, oldest first.
  std::vector<ArcPoint> arc(size_t most = SIZE_MAX) const;
  int64_t turns() const;  // that were added in all
  // Who said what in the turns that are remembered, oldest first; "" without words.
  struct Said {
    int64_t turn;
    std::string speaker;
    std::string text;
  };
  std::vector<Said> said() const;
  std::string state_json() const;
  const ConversationPlan& plan() const { return *plan_; }
  int32_t max_turns() const { return max_turns_; }
  const SpeechModel* speech() const { return speech_.get(); }  // or null

 private:
  struct PastTurn {
    std::string speaker;
    std::string text;  // what passes read
    TurnTokens tokens;
    ArcPoint point;                     // of the words alone
    std::optional<FamilyShares> voice;  // where one was heard
    bool has_words = true;
  };
  // Holds a conversation for one call.
  class Use {
   public:
    explicit Use(const Conversation* of) : of_(of) {
      if (!of->in_use_.exchange(true)) return;
      throw Error(ErrorKind::kInput,
                  "the conversation is in use by another call; one conversation belongs to one "
                  "thread at a time");
    }
    ~Use() {
      if (of_ != nullptr) of_->in_use_.store(false);
    }
    Use(Use&& other) noexcept : of_(std::exchange(other.of_, nullptr)) {}
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
    Use& operator=(Use&&) = delete;

   private:
    const Conversation* of_;
  };
  class Batch;

  Conversation(std::shared_ptr<const ConversationPlan> plan, const ConversationOptions& options)
      : plan_(std::move(plan)), speech_(options.speech), max_turns_(options.max_turns) {}
  ArcPoint point_of(const PastTurn& turn) const;
  void write_voices(JsonWriter* out) const;
  void read_voices(const JsonField& root);
  std::vector<const PastTurn*> before(int64_t at) const;
  size_t kept_turns() const;
  size_t first_shown() const;
  void make_room(size_t turns);
  void forget_oldest() noexcept;

  std::shared_ptr<const ConversationPlan> plan_;
  std::shared_ptr<const SpeechModel> speech_;
  int32_t max_turns_;
  int64_t turns_ = 0;
  std::vector<PastTurn> past_;  // oldest first
  mutable std::atomic<bool> in_use_{false};
};

// What tells models apart: 64 hexadecimal digits.
std::string identity_of(const Bundle& bundle);
// Of a saved conversation "model": name and identity; Error where they are not those of `bundle`.
void write_origin(const Bundle& bundle, JsonWriter* out);
void check_origin(const JsonField& own, const Bundle& bundle);

// conv.arc() as a JSON array.
std::string arc_json(const Conversation& conversation);

// A turn's answer as a JSON object, with the keys of Turn.to_dict() in Python; `heard` where its
// voice was.
std::string turn_json(const ConversationPlan& plan, const TurnAnswer& answer,
                      const HeardTurn* heard = nullptr);

}  // namespace affectrt

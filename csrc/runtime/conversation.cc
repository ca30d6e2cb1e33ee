#include "runtime/conversation.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "base/utf8.h"
#include "runtime/conversation_voices.h"

namespace affectrt {
namespace {

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\n\r\f\v") == std::string_view::npos;
}

// What passes read of a turn without words.
constexpr std::string_view kUnheard = "...";

// These say how a turn answers the one before it.
bool judges_replies(const Head& head) {
  return head.name.rfind("empathy_", 0) == 0 || head.name == "reply_fit";
}

size_t told_place(std::string_view emotion) {
  return static_cast<size_t>(std::find(kToldEmotions.begin(), kToldEmotions.end(), emotion) -
                             kToldEmotions.begin());
}

// The turn as passes read it, where it is one that can be.
NewTurn as_read(NewTurn turn, const std::string& where) {
  if (!turn.has_words) {
    if (turn.voice == nullptr)
      throw Error(ErrorKind::kInput, where + " has neither words nor voice");
    turn.text = kUnheard;
    if (turn.emotion.empty()) turn.emotion = told_by(*turn.voice);
  }
  const std::pair<std::string_view, const char*> parts[] = {{turn.speaker, "speaker"},
                                                            {turn.text, "text"}};
  for (const auto& [part, name] : parts) {
    if (const auto bad = find_invalid_utf8(part)) {
      throw Error(ErrorKind::kInput,
                  where + ": its " + name + " is not valid UTF-8 at byte " + std::to_string(*bad));
    }
  }
  if (is_blank(turn.speaker)) {
    throw Error(ErrorKind::kInput, where + " has no speaker; give a name, such as \"A\"");
  }
  if (is_blank(turn.text)) {
    throw Error(ErrorKind::kInput, where +
                                       (turn.text.empty() ? " is empty" : " is only white space") +
                                       "; give a text with at least one visible character");
  }
  if (!turn.emotion.empty() && told_place(turn.emotion) == kNoEmotion) {
    std::string names;
    for (const std::string_view name : kToldEmotions) {
      names.append(names.empty() ? "" : ", ").append(name);
    }
    throw Error(ErrorKind::kInput, where + ": there is no emotion '" + printable(turn.emotion, 40) +
                                       "'; give one of: " + names);
  }
  return turn;
}

}  // namespace

// -------------------------------------------------------------------------------------------batch

// The turns of one call until they are committed.
class Conversation::Batch {
 public:
  using Progress = std::function<bool(size_t, size_t)>;

  Batch(const ConversationPlan& plan, size_t turns, const Progress& progress)
      : plan_(plan), progress_(progress), staged_(turns), answers_(turns) {
    places_.reserve(turns);
    told_.reserve(turns);
  }

  // The next turn of a conversation.
  void stage(const Addition& addition) {
    Conversation* to = addition.to;
    if (&to->plan_->model() != &plan_.model() || to->plan_->heads != plan_.heads) {
      throw Error(ErrorKind::kInput,
                  "addition " + std::to_string(places_.size()) +
                      " is to a conversation of another model or with other heads; turns that are "
                      "added together need the same");
    }
    auto found = chains_.find(to);
    if (found == chains_.end()) {
      found = chains_.emplace(to, Use(to)).first;
      found->second.turns = to->before(to->turns_ + 1);
    }
    Chain& chain = found->second;
    const int64_t number = to->turns_ + static_cast<int64_t>(++chain.added);
    if (addition.turn.voice != nullptr && to->speech_ == nullptr) {
      throw Error(ErrorKind::kInput, "turn " + std::to_string(number) +
                                         " has a voice, but the conversation has no speech model");
    }
    stage(addition.turn, &chain.turns, number);
    chain.turns.push_back(&staged_[places_.size() - 1]);
    to_.push_back(to);
  }

  // A turn after those of `chain`, with the number `number`.
  void stage(const NewTurn& turn, const std::vector<const PastTurn*>* chain, int64_t number) {
    const NewTurn read = as_read(turn, "turn " + std::to_string(number));
    PastTurn& made = staged_[places_.size()];
    made.speaker = read.speaker;
    made.text = read.text;
    made.point.turn = number;
    if (read.voice != nullptr) made.voice = *read.voice;
    made.has_words = read.has_words;
    if (plan_.passes) made.tokens = turn_tokens(plan_.model().tokenizer(), read.text);
    places_.emplace_back(chain, chain->size());
    told_.push_back(read.emotion.empty() ? kUntold : told_place(read.emotion));
  }

  Prediction predict(std::vector<int32_t> heads, bool embeddings = false) const {
    Wanted wanted;
    wanted.heads = std::move(heads);
    wanted.embeddings = embeddings;
    wanted.progress = [this](size_t done, size_t) {
      return !progress_ || progress_(done, staged_.size());
    };
    if (plan_.reads_context) {
      std::vector<TokenRow> passes;
      for (size_t i = 0; i < staged_.size(); ++i) {
        const size_t k = places_[i].second;
        const size_t first = k - std::min(k, kHistoryTurns);
        passes.push_back(
            plan_.passes->make(staged_[i].tokens, lines(i, first, k, staged_[i].speaker)));
      }
      return plan_.model().predict_passes(passes, wanted);
    }
    std::vector<TextInput> texts;
    for (const PastTurn& turn : staged_) texts.push_back({turn.text, std::nullopt});
    return plan_.model().predict(texts, wanted);
  }

  void judge(bool embeddings) {
    const Prediction all = predict(plan_.heads, embeddings);
    for (size_t i = 0; i < staged_.size(); ++i) answer(i, all);
  }

  // Every turn with an emotion against the turns up to it.
  void find_causes() {
    if (plan_.cause_heads.empty()) return;
    std::vector<TokenRow> passes;
    std::vector<std::pair<size_t, const PastTurn*>> pairs;  // of each pass: whose cause, and where
    const size_t neutral = told_place("neutral");
    for (size_t i = 0; i < staged_.size(); ++i) {
      if (told_[i] >= kNoEmotion || told_[i] == neutral) continue;
      answers_[i].told_emotion = kToldEmotions[told_[i]];
      const auto& [chain, target] = places_[i];
      const size_t first = target + 1 - std::min(target + 1, kHistoryTurns);
      for (size_t k = first; k <= target; ++k) {
        const PastTurn& candidate = *(*chain)[k];
        std::vector<ContextLine> context = lines(i, first, target + 1, candidate.speaker);
        context[k - first].text = &plan_.passes->self_reference();
        context.back().tag = &plan_.passes->tag(staged_[i].speaker == candidate.speaker, told_[i]);
        passes.push_back(plan_.passes->make(candidate.tokens, context));
        pairs.emplace_back(i, &candidate);
      }
    }
    Wanted wanted;
    wanted.heads = plan_.cause_heads;
    wanted.progress = [this](size_t, size_t) {
      return !progress_ || progress_(staged_.size(), staged_.size());
    };
    const Prediction all = plan_.model().predict_passes(passes, wanted);
    for (size_t row = 0; row < pairs.size(); ++row) {
      const auto& [i, candidate] = pairs[row];
      answers_[i].causes.push_back(read_cause(all, row, *candidate));
    }
  }

  std::vector<TurnAnswer>& answers() { return answers_; }

  void make_room() {
    for (auto& [to, chain] : chains_) to->make_room(chain.added);
  }

  // After make_room().
  void commit() noexcept {
    for (size_t i = 0; i < staged_.size(); ++i) {
      to_[i]->past_.push_back(std::move(staged_[i]));
      ++to_[i]->turns_;
    }
    for (auto& [to, chain] : chains_) to->forget_oldest();
  }

 private:
  static constexpr size_t kUntold = kNoEmotion + 1;

  // The turns of a conversation that passes look at, the new ones among them.
  struct Chain {
    explicit Chain(Use held) : use(std::move(held)) {}

    Use use;
    std::vector<const PastTurn*> turns;
    size_t added = 0;
  };

  // Turns first .. end of the chain of staged turn i, as `speaker` sees them.
  std::vector<ContextLine> lines(size_t i, size_t first, size_t end,
                                 const std::string& speaker) const {
    std::vector<ContextLine> context;
    for (size_t k = first; k < end; ++k) {
      const PastTurn& said = *(*places_[i].first)[k];
      context.push_back({&plan_.passes->tag(said.speaker == speaker), &said.tokens.ids});
    }
    return context;
  }

  void answer(size_t i, const Prediction& all) {
    PastTurn& turn = staged_[i];
    TurnAnswer& made = answers_[i];
    const auto& [chain, k] = places_[i];
    made.speaker = turn.speaker;
    if (turn.has_words) made.text = turn.text;
    made.is_reply = k > 0 && (*chain)[k - 1]->speaker != turn.speaker;
    made.prediction.token_counts = {all.token_counts[i]};
    made.prediction.truncated = {all.truncated[i]};
    if (plan_.reads_context) {  // what counts is the turn, not what stands beside it
      made.prediction.token_counts = {turn.tokens.full_count};
      made.prediction.truncated = {static_cast<uint8_t>(turn.tokens.full_count > kMostOfA)};
    }
    for (size_t h = 0; h < plan_.heads.size(); ++h) {
      const Head& head = plan_.all_heads()[static_cast<size_t>(plan_.heads[h])];
      HeadScores scores = row_of(all.heads[h], i);
      read_point(h, head, scores, &turn.point);
      if (plan_.told == h && told_[i] == kUntold) {
        const auto place = std::find(scores.decided.begin(), scores.decided.end(), 1);
        told_[i] = plan_.told_emotions[static_cast<size_t>(place - scores.decided.begin())];
      }
      if (h > 0 && judges_replies(head) && !made.is_reply) continue;
      made.prediction.answered.push_back(plan_.heads[h]);
      made.prediction.heads.push_back(std::move(scores));
    }
    if (all.embedding_width > 0) {
      const auto width = static_cast<size_t>(all.embedding_width);
      made.prediction.embedding_width = all.embedding_width;
      const float* own = all.embeddings.data() + i * width;
      made.prediction.embeddings.assign(own, own + width);
    }
    made.point = to_[i]->point_of(turn);
    made.tells_causes = !plan_.cause_heads.empty() && told_[i] <= kNoEmotion;
  }

  void read_point(size_t h, const Head& head, const HeadScores& scores, ArcPoint* point) const {
    if (plan_.mood == h) {
      const std::vector<uint32_t> order = ranked(head, scores, 0);
      const auto best = std::find_if(order.begin(), order.end(),
                                     [&](uint32_t label) { return scores.decided[label] != 0; });
      point->emotion = static_cast<int32_t>(best == order.end() ? order.front() : *best);
      point->score = scores.scores[static_cast<size_t>(point->emotion)];
      point->mix = plan_.mood_reader->shares(scores.scores.data());
      point->valence = valence_of(point->mix);
    }
    if (plan_.vad == h && !plan_.mood) {
      const ValueRange range = head.ranges[plan_.valence_label];
      const float middle = (range.low + range.high) / 2;
      point->valence = (scores.scores[plan_.valence_label] - middle) / (range.high - middle);
    }
  }

  CausePair read_cause(const Prediction& all, size_t row, const PastTurn& candidate) const {
    CausePair pair;
    pair.turn = candidate.point.turn;
    bool judged = false;
    for (size_t h = 0; h < plan_.cause_heads.size(); ++h) {
      const Head& head = plan_.all_heads()[static_cast<size_t>(plan_.cause_heads[h])];
      const HeadScores scores = row_of(all.heads[h], row);
      if (head.task == Task::kSpan && !scores.spans.empty()) {
        const TokenSpan& best = scores.spans.front();
        if (candidate.has_words) {
          pair.begin = best.begin;
          pair.end = best.end;
          pair.span_score = best.score;
          pair.text = characters(candidate.text, static_cast<size_t>(best.begin),
                                 static_cast<size_t>(best.end));
        }
        if (judged) continue;
        pair.score = best.score;
        pair.decided = best.decided;
      } else if (head.task != Task::kSpan) {
        judged = true;
        pair.score = scores.scores.front();
        pair.decided = scores.decided.front() != 0;
      }
    }
    return pair;
  }

  const ConversationPlan& plan_;
  const Progress& progress_;
  std::unordered_map<Conversation*, Chain> chains_;
  std::vector<Conversation*> to_;  // of each staged turn
  std::vector<PastTurn> staged_;
  // Of each: the turns of its conversation, and where it stands among them.
  std::vector<std::pair<const std::vector<const PastTurn*>*, size_t>> places_;
  std::vector<size_t> told_;  // of each: index into kToldEmotions
  std::vector<TurnAnswer> answers_;
};

// ------------------------------------------------------------------------------------conversation

std::unique_ptr<Conversation> Conversation::create(std::shared_ptr<const Model> model,
                                                   const ConversationOptions& options) {
  if (options.max_turns < 1 || options.max_turns > kMostTurns) {
    throw Error(ErrorKind::kInput, "max_turns is " + std::to_string(options.max_turns) + "; 1 to " +
                                       std::to_string(kMostTurns) + " are possible");
  }
  if (options.speech) check_hears_emotions(*options.speech);
  return std::unique_ptr<Conversation>(
      new Conversation(ConversationPlan::make(std::move(model), options.heads), options));
}

void Conversation::add(const std::vector<Addition>& additions,
                       const std::function<bool(size_t, size_t)>& progress,
                       const std::function<void(std::vector<TurnAnswer>&)>& finish,
                       bool embeddings) {
  if (additions.empty()) return;
  Batch batch(*additions.front().to->plan_, additions.size(), progress);
  for (const Addition& addition : additions) batch.stage(addition);
  batch.judge(embeddings);
  batch.find_causes();
  batch.make_room();
  finish(batch.answers());
  batch.commit();
}

HeadScores Conversation::expect(const Replier& replier, int32_t head,
                                const std::function<bool(size_t, size_t)>& progress) const {
  const Use use(this);
  const std::vector<Head>& heads = plan_->all_heads();
  const auto index = static_cast<size_t>(head);
  if (head < 0 || index >= heads.size() || heads[index].input != HeadInput::kReply) {
    throw Error(ErrorKind::kInput, "head " + std::to_string(head) + " does not judge replies");
  }
  as_read({replier.speaker, "reply", replier.emotion}, "the reply");
  if (past_.empty()) {
    throw Error(ErrorKind::kInput, "nothing was said yet; add the turn that is replied to first");
  }
  const PastTurn& last = past_.back();
  if (last.speaker == replier.speaker) {
    throw Error(ErrorKind::kInput, "'" + printable(replier.speaker, 40) +
                                       "' said the last turn; give somebody who can answer it");
  }
  const auto own = std::find_if(past_.rbegin(), past_.rend(), [&](const PastTurn& turn) {
    return turn.speaker == replier.speaker;
  });
  std::vector<ContextLine> context;
  if (own != past_.rend()) {
    const size_t emotion = replier.emotion.empty() ? kNoEmotion : told_place(replier.emotion);
    context.push_back({&plan_->passes->tag(false, emotion), &own->tokens.ids});
  }
  const TurnTokens personality = turn_tokens(plan_->model().tokenizer(), replier.personality);
  if (!replier.personality.empty()) {
    context.push_back({&plan_->passes->personality_tag(), &personality.ids});
  }
  Wanted wanted;
  wanted.heads = {head};
  wanted.progress = progress;
  const TokenRow pass = plan_->passes->make(last.tokens, context);
  return std::move(plan_->model().predict_passes({pass}, wanted).heads.front());
}

HeadScores Conversation::judge(const std::vector<NewTurn>& turns, int64_t at, int32_t head,
                               const std::function<bool(size_t, size_t)>& progress) const {
  const Use use(this);
  if (std::find(plan_->heads.begin(), plan_->heads.end(), head) == plan_->heads.end()) {
    throw Error(ErrorKind::kInput,
                "head " + std::to_string(head) + " does not judge the turns of this conversation");
  }
  if (at < 1 || at > turns_ + 1) {
    throw Error(ErrorKind::kInput, "no turn " + std::to_string(at) + "; there are turns 1 to " +
                                       std::to_string(turns_) + ", and the next one");
  }
  const std::vector<const PastTurn*> chain = before(at);
  if (chain.size() < std::min(static_cast<size_t>(at - 1), kHistoryTurns)) {
    throw Error(ErrorKind::kInput, "the turns before turn " + std::to_string(at) +
                                       " are forgotten; a larger max_turns keeps them");
  }
  Batch batch(*plan_, turns.size(), progress);
  for (const NewTurn& turn : turns) batch.stage(turn, &chain, at);
  return std::move(batch.predict({head}).heads.front());
}

// The turns before turn `at` that passes look at, those that are not forgotten.
std::vector<const Conversation::PastTurn*> Conversation::before(int64_t at) const {
  const int64_t first = turns_ - static_cast<int64_t>(past_.size()) + 1;  // of past_.front()
  std::vector<const PastTurn*> turns;
  for (int64_t turn = std::max(first, at - static_cast<int64_t>(kHistoryTurns)); turn < at;
       ++turn) {
    turns.push_back(&past_[static_cast<size_t>(turn - first)]);
  }
  return turns;
}

// Passes look back at some turns, however few are to be remembered.
size_t Conversation::kept_turns() const {
  return std::max(static_cast<size_t>(max_turns_), kHistoryTurns);
}

void Conversation::make_room(size_t turns) {
  const size_t needed = past_.size() + turns;
  if (needed > past_.capacity()) past_.reserve(std::max(needed, 2 * past_.capacity()));
}

// Now and then, so that it costs each turn little.
void Conversation::forget_oldest() noexcept {
  const size_t kept = kept_turns();
  if (past_.size() <= kept + kept / 4) return;
  past_.erase(past_.begin(), past_.end() - static_cast<std::ptrdiff_t>(kept));
}

size_t Conversation::first_shown() const {
  return past_.size() - std::min(past_.size(), static_cast<size_t>(max_turns_));
}

std::vector<ArcPoint> Conversation::arc(size_t most) const {
  const Use use(this);
  std::vector<ArcPoint> points;
  const size_t first = past_.size() - std::min(past_.size() - first_shown(), most);
  for (size_t i = first; i < past_.size(); ++i) points.push_back(point_of(past_[i]));
  return points;
}

std::vector<Conversation::Said> Conversation::said() const {
  const Use use(this);
  std::vector<Said> turns;
  for (size_t i = first_shown(); i < past_.size(); ++i) {
    const PastTurn& turn = past_[i];
    turns.push_back({turn.point.turn, turn.speaker, turn.has_words ? turn.text : ""});
  }
  return turns;
}

int64_t Conversation::turns() const {
  const Use use(this);
  return turns_;
}

}  // namespace affectrt

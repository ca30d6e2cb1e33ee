// Which heads answer for a turn, and what they read.
#include <algorithm>

#include "base/error.h"
#include "runtime/conversation.h"

namespace affectrt {
namespace {

bool judges_turns(const Head& head) {
  return head.input == HeadInput::kText || head.input == HeadInput::kTurn;
}

std::string names_of_turn_heads(const std::vector<Head>& heads) {
  std::string names;
  for (const Head& head : heads) {
    if (judges_turns(head)) names += (names.empty() ? "" : ", ") + head.name;
  }
  return names;
}

std::vector<int32_t> checked_heads(const std::vector<Head>& all,
                                   const std::vector<int32_t>& given) {
  std::vector<int32_t> heads = given;
  if (given.empty()) {
    for (size_t i = 0; i < all.size(); ++i) {
      if (judges_turns(all[i])) heads.push_back(static_cast<int32_t>(i));
    }
  }
  for (size_t i = 0; i < heads.size(); ++i) {
    const int32_t head = heads[i];
    if (head < 0 || static_cast<size_t>(head) >= all.size()) {
      throw Error(ErrorKind::kInput, "no head " + std::to_string(head) + "; this model has " +
                                         std::to_string(all.size()));
    }
    const Head& one = all[static_cast<size_t>(head)];
    if (!judges_turns(one)) {
      throw Error(ErrorKind::kInput, "head '" + one.name + "' reads a " + input_name(one.input) +
                                         ", not a turn; choose of: " + names_of_turn_heads(all));
    }
    if (std::find(heads.begin(), heads.begin() + static_cast<std::ptrdiff_t>(i), head) !=
        heads.begin() + static_cast<std::ptrdiff_t>(i)) {
      throw Error(ErrorKind::kInput, "head '" + one.name + "' is named twice");
    }
  }
  if (heads.empty()) {
    throw Error(ErrorKind::kUnsupported,
                "no head of this model judges the turns of a conversation");
  }
  return heads;
}

// Of each label, where it stands among kToldEmotions; empty where the head has others.
std::vector<size_t> told_emotions_of(const Head& head) {
  if (head.task != Task::kSingleLabel || head.labels.size() != kToldEmotions.size()) return {};
  std::vector<size_t> places;
  for (const std::string& label : head.labels) {
    const auto* place = std::find(kToldEmotions.begin(), kToldEmotions.end(), label);
    if (place == kToldEmotions.end()) return {};
    places.push_back(static_cast<size_t>(place - kToldEmotions.begin()));
  }
  return places;
}

}  // namespace

std::shared_ptr<const ConversationPlan> ConversationPlan::make(std::shared_ptr<const Model> model,
                                                               const std::vector<int32_t>& heads) {
  auto plan = std::make_shared<ConversationPlan>();
  const std::vector<Head>& all = model->manifest().heads;
  plan->model_ = std::move(model);
  plan->heads = checked_heads(all, heads);
  std::vector<Head> answering;
  for (size_t i = 0; i < plan->heads.size(); ++i) {
    const Head& head = all[static_cast<size_t>(plan->heads[i])];
    answering.push_back(head);
    plan->reads_context = plan->reads_context || head.input == HeadInput::kTurn;
    if (!plan->told) {
      plan->told_emotions = told_emotions_of(head);
      if (!plan->told_emotions.empty()) plan->told = i;
    }
    const auto valence = std::find(head.labels.begin(), head.labels.end(), "valence");
    if (!plan->vad && head.task == Task::kRegression && valence != head.labels.end() &&
        !head.ranges.empty()) {
      plan->vad = i;
      plan->valence_label = static_cast<size_t>(valence - head.labels.begin());
    }
  }
  MoodReader reader(answering);
  plan->mood = reader.head();
  if (plan->mood) plan->mood_reader = std::move(reader);
  bool has_replies = false;
  for (size_t i = 0; i < all.size(); ++i) {
    has_replies = has_replies || all[i].input == HeadInput::kReply;
    const bool is_cause = all[i].input == HeadInput::kCause &&
                          ((all[i].task == Task::kMultiLabel && all[i].labels.size() == 1) ||
                           all[i].task == Task::kSpan);
    if (is_cause) plan->cause_heads.push_back(static_cast<int32_t>(i));
  }
  if (plan->reads_context || !plan->cause_heads.empty() || has_replies) {
    const uint32_t most = plan->model_->manifest().max_tokens;
    if (most < static_cast<uint32_t>(kPassTokens)) {
      throw Error(ErrorKind::kUnsupported,
                  "heads that read a conversation need a model that takes " +
                      std::to_string(kPassTokens) + " tokens; this one takes " +
                      std::to_string(most));
    }
    plan->passes.emplace(plan->model_->tokenizer());
  }
  return plan;
}

}  // namespace affectrt

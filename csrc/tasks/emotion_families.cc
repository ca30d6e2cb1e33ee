#include "tasks/emotion_families.h"

#include <algorithm>

namespace affectrt {

// GoEmotions' own families (Demszky et al. 2020, sections 3.2 and 4.3: sentiment and Ekman groups),
// with the pleasant one split in two, and the names that other label sets use for the same.
const std::array<EmotionFamily, kFamilies> kEmotionFamilies = {{
    {"joy", 1,
     "happiness happy amusement excitement optimism pride proud relief approval admiration joyful "
     "content hopeful confident impressed anticipating"},
    {"love", 1, "affection caring desire gratitude grateful trusting faithful"},
    {"surprise", 0, "realization confusion curiosity surprised"},
    {"neutral", 0, "others no_emotion"},
    {"sadness", -1, "sad disappointment embarrassment grief remorse guilt shame lonely"},
    {"fear", -1, "nervousness afraid terrified anxious apprehensive"},
    {"anger", -1, "angry annoyance disapproval annoyed furious disgust disgusted"},
}};

namespace {

std::string lowered(std::string_view label) {
  const char* blank = " \t\n\r";
  const size_t begin = label.find_first_not_of(blank);
  if (begin == std::string_view::npos) return "";
  std::string name(label.substr(begin, label.find_last_not_of(blank) + 1 - begin));
  std::transform(name.begin(), name.end(), name.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return name;
}

bool lists(std::string_view names, std::string_view name) {
  while (!names.empty()) {
    const size_t end = std::min(names.find(' '), names.size());
    if (names.substr(0, end) == name) return true;
    names.remove_prefix(std::min(end + 1, names.size()));
  }
  return false;
}

}  // namespace

std::optional<size_t> family_of(std::string_view label) {
  const std::string name = lowered(label);
  for (size_t i = 0; i < kFamilies; ++i) {
    if (name == kEmotionFamilies[i].name || lists(kEmotionFamilies[i].labels, name)) return i;
  }
  return std::nullopt;
}

MoodReader::MoodReader(const std::vector<Head>& heads) {
  for (size_t i = 0; i < heads.size() && !head_; ++i) {
    if (heads[i].task != Task::kSingleLabel && heads[i].task != Task::kMultiLabel) continue;
    family_.clear();
    bool pleasant = false;
    bool unpleasant = false;
    for (const std::string& label : heads[i].labels) {
      family_.push_back(family_of(label));
      if (!family_.back()) continue;
      const int valence = kEmotionFamilies[*family_.back()].valence;
      pleasant = pleasant || valence > 0;
      unpleasant = unpleasant || valence < 0;
    }
    if (pleasant && unpleasant) head_ = i;
  }
}

FamilyShares MoodReader::shares(const float* scores) const {
  FamilyShares sums = {};
  float total = 0.0F;
  for (size_t i = 0; i < family_.size(); ++i) {
    if (!family_[i]) continue;
    sums[*family_[i]] += scores[i];
    total += scores[i];
  }
  if (total > 0.0F) {
    for (float& sum : sums) sum /= total;
  }
  return sums;
}

float valence_of(const FamilyShares& shares) {
  float valence = 0.0F;
  for (size_t i = 0; i < kFamilies; ++i) {
    valence += static_cast<float>(kEmotionFamilies[i].valence) * shares[i];
  }
  return valence;
}

}  // namespace affectrt

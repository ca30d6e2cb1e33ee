#include "tasks/emotion_families.h"

#include "tasks/label_map.h"

namespace affectrt {

// GoEmotions' Ekman groups (Demszky et al. 2020, section 3.2), with the pleasant one split in two
// and disgust beside anger. What belongs to them stands in label_map.cc.
const std::array<EmotionFamily, kFamilies> kEmotionFamilies = {{
    {"joy", 1},
    {"love", 1},
    {"surprise", 0},
    {"neutral", 0},
    {"sadness", -1},
    {"fear", -1},
    {"anger", -1},
}};

std::optional<size_t> family_of(std::string_view label) {
  return LabelMap::named("families")->find(label);
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

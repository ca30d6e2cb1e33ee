// Families of emotions, by the names of labels: which are pleasant, and which belong together.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/manifest.h"

namespace affectrt {

struct EmotionFamily {
  const char* name;  // a label itself
  int valence;       // 1 pleasant, -1 unpleasant, 0 neither
};

constexpr size_t kFamilies = 7;
// In the order in which they are shown.
extern const std::array<EmotionFamily, kFamilies> kEmotionFamilies;

// The index of the family of `label`, as LabelMap "families" has it.
std::optional<size_t> family_of(std::string_view label);

// What a head says of each family.
using FamilyShares = std::array<float, kFamilies>;

// Immutable: concurrent calls are safe.
class MoodReader {
 public:
  // The first head that names feelings on both sides, in the order of the manifest; where there is
  // none, index() is empty.
  explicit MoodReader(const std::vector<Head>& heads);
  std::optional<size_t> head() const { return head_; }

  // Each family's part of all scores, summing to 1, from the scores of one row of head().
  FamilyShares shares(const float* scores) const;

 private:
  std::optional<size_t> head_;
  std::vector<std::optional<size_t>> family_;  // of each label
};

// Pleasant minus unpleasant share, in [-1, 1].
float valence_of(const FamilyShares& shares);

}  // namespace affectrt

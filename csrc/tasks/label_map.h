// Label sets mapped onto one another: words onto 28 emotions, these onto Ekman's seven, onto
// sentiments, and onto families that pictures show.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/manifest.h"

namespace affectrt {

// One of GoEmotions' labels: where it stands in each map, and further words for it, our own, apart
// by one space.
struct Emotion {
  const char* name;
  const char* ekman;
  const char* family;  // one of kEmotionFamilies
  const char* words;
};

constexpr size_t kEmotions = 28;
// In GoEmotions' order. Ekman groups and sentiments as its authors give them (Demszky et al. 2020,
// sections 3.2 and 4.3).
extern const std::array<Emotion, kEmotions> kEmotionWords;

// Of a label or word: lower case, "_" for blanks and hyphens.
std::string normalised_word(std::string_view word);

// Labels, each with the labels and words that belong to it. Immutable: concurrent calls are safe.
class LabelMap {
 public:
  // "goemotions", "ekman", "sentiment" or "families"; null for another name. Lives as long as the
  // program.
  static const LabelMap* named(std::string_view name);
  static std::vector<std::string_view> names();

  const std::vector<std::string>& labels() const { return labels_; }
  // The index of the label that `word` belongs to, one of the map's own labels or a word of
  // kEmotionWords.
  std::optional<size_t> find(std::string_view word) const;

 private:
  friend struct LabelMaps;
  std::vector<std::string> labels_;
  std::array<size_t, kEmotions> of_emotion_ = {};
};

// Throws Error(kInput), which lists the maps, for another name.
const LabelMap& known_label_map(std::string_view name);

// A row of scores onto groups of its labels: `group` [width] is where each label belongs.
// - The score of a group is the probability that any of its labels holds: of a head whose labels
//   exclude one another (single-label, ordinal) their sum; of others 1 - prod(1 - score), as if
//   they were independent, which fits better than the highest (bench/results/label_maps.md).
// - A group is decided where one of its labels is.
struct GroupScores {
  std::vector<float> scores;     // [groups]
  std::vector<uint8_t> decided;  // [groups]
};
GroupScores group_scores(Task task, const std::vector<size_t>& group, size_t groups,
                         const float* scores, const uint8_t* decided);

}  // namespace affectrt

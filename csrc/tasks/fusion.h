// What the words and the voice of one turn say together.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tasks/emotion_families.h"

namespace affectrt {

// Each family's part of the scores of a head, summing to 1; none where no label belongs to a
// family. Of a voice "calm" counts as neutral: what is meant is a tone, not a joy.
std::optional<FamilyShares> family_shares(const std::vector<std::string>& labels,
                                          const std::vector<float>& scores, bool voice);

// Late fusion: the probability of family k is proportional to
//   exp(bias[k] + text_weight * ln text[k] + voice_weight * ln voice[k]),
// with weights that `affectrt.export.recipes.fusion` has learned, others where one of the two is
// missing (null). At least one is there. All families are taken to be as frequent. Joy and love are
// one family to it, since voices do not tell them apart: `text` says how the two share it.
FamilyShares fuse(const FamilyShares* text, const FamilyShares* voice);

}  // namespace affectrt

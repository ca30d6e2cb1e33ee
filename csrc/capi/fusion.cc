// The words and the voice of one turn.
#include "tasks/fusion.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "capi/affectrt_features.h"
#include "capi/call.h"

namespace affectrt {
namespace {

constexpr size_t kFirstAnswer = offsetof(affectrt_answer, level);
constexpr size_t kFirstFused = sizeof(affectrt_fused);
static_assert(sizeof(affectrt_fused::mix) == sizeof(FamilyShares));

std::optional<FamilyShares> shares_of(const affectrt_answer* pointer, bool voice,
                                      const char* name) {
  if (pointer == nullptr) return std::nullopt;
  const affectrt_answer answer = read_struct(pointer, kFirstAnswer, name);
  std::vector<std::string> labels;
  std::vector<float> scores;
  if (answer.num_labels > 0) given(answer.labels, name);
  for (size_t i = 0; i < answer.num_labels; ++i) {
    labels.emplace_back(answer.labels[i].label);
    scores.push_back(answer.labels[i].score);
  }
  std::optional<FamilyShares> shares = family_shares(labels, scores, voice);
  if (!shares) {
    throw Error(ErrorKind::kInput, std::string(name) +
                                       " is of a head whose labels name no emotions of a known "
                                       "family; give the answer of a head that does");
  }
  return shares;
}

}  // namespace
}  // namespace affectrt

using namespace affectrt;

extern "C" affectrt_status affectrt_fuse(const affectrt_answer* words, const affectrt_answer* voice,
                                         affectrt_fused* fused) noexcept {
  return guarded([&] {
    const std::optional<FamilyShares> text = shares_of(words, false, "words");
    const std::optional<FamilyShares> heard = shares_of(voice, true, "voice");
    if (!text && !heard) {
      throw Error(ErrorKind::kInput, "words and voice are both NULL; at least one is needed");
    }
    const FamilyShares mix = fuse(text ? &*text : nullptr, heard ? &*heard : nullptr);
    affectrt_fused filled = {};
    std::copy(mix.begin(), mix.end(), filled.mix);
    filled.valence = valence_of(mix);
    const auto* const best = std::max_element(mix.begin(), mix.end());
    filled.label = kEmotionFamilies[static_cast<size_t>(best - mix.begin())].name;
    write_struct(fused, filled, kFirstFused, "fused");
  });
}

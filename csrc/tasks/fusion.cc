#include "tasks/fusion.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace affectrt {
namespace {

// Families but for love, which is the second, as part of joy, the first.
constexpr size_t kGroups = kFamilies - 1;
constexpr float kLeastShare = 1e-3F;  // below, a share says no more

using GroupShares = std::array<float, kGroups>;

struct Weights {
  float text;
  float voice;
  GroupShares bias;
};

struct AllWeights {
  Weights both;
  Weights text_alone;
  Weights voice_alone;
};

constexpr AllWeights kWeights =
#include "tasks/fusion_weights.inc"
    ;

GroupShares groups_of(const FamilyShares& shares) {
  GroupShares groups;
  groups[0] = shares[0] + shares[1];
  std::copy(shares.begin() + 2, shares.end(), groups.begin() + 1);
  return groups;
}

void add(const FamilyShares& shares, float weight, GroupShares* logits) {
  const GroupShares groups = groups_of(shares);
  for (size_t i = 0; i < kGroups; ++i) {
    (*logits)[i] += weight * std::log(std::max(groups[i], kLeastShare));
  }
}

}  // namespace

std::optional<FamilyShares> family_shares(const std::vector<std::string>& labels,
                                          const std::vector<float>& scores, bool voice) {
  FamilyShares shares = {};
  float total = 0.0F;
  for (size_t i = 0; i < labels.size(); ++i) {
    const std::optional<size_t> family =
        family_of(voice && labels[i] == "calm" ? "neutral" : labels[i]);
    if (!family) continue;
    shares[*family] += scores[i];
    total += scores[i];
  }
  if (!(total > 0.0F)) return std::nullopt;
  for (float& share : shares) share /= total;
  return shares;
}

FamilyShares fuse(const FamilyShares* text, const FamilyShares* voice) {
  const Weights& weights = voice == nullptr  ? kWeights.text_alone
                           : text == nullptr ? kWeights.voice_alone
                                             : kWeights.both;
  GroupShares logits = weights.bias;
  if (text != nullptr) add(*text, weights.text, &logits);
  if (voice != nullptr) add(*voice, weights.voice, &logits);
  const float highest = *std::max_element(logits.begin(), logits.end());
  float total = 0.0F;
  for (float& x : logits) total += x = std::exp(x - highest);
  FamilyShares fused = {};
  const float joy = text == nullptr ? 1.0F : (*text)[0];
  const float love = text == nullptr ? 0.0F : (*text)[1];
  const float love_part = joy + love > 0.0F ? love / (joy + love) : 0.0F;
  fused[0] = logits[0] / total * (1.0F - love_part);
  fused[1] = logits[0] / total * love_part;
  for (size_t i = 1; i < kGroups; ++i) fused[i + 1] = logits[i] / total;
  return fused;
}

}  // namespace affectrt

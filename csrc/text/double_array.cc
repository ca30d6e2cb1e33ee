#include "text/double_array.h"

#include <string>

#include "base/error.h"

namespace affectrt {
namespace {

constexpr uint32_t kBlock = 256;
// Only the youngest blocks are searched for room, which keeps construction linear: older ones are
// nearly full.
constexpr uint32_t kOpenBlocks = 16;

}  // namespace

class DoubleArray::Builder {
 public:
  Builder(const std::vector<std::string_view>& keys, std::vector<Unit>* units)
      : keys_(keys), units_(*units) {}

  void build() {
    add_block();
    take(kRoot);
    struct Pending {
      uint32_t node;
      uint32_t begin, end;  // keys below this node
      uint32_t depth;
    };
    std::vector<Pending> pending;
    if (!keys_.empty()) pending.push_back({kRoot, 0, static_cast<uint32_t>(keys_.size()), 0});
    std::vector<uint8_t> labels;
    std::vector<uint32_t> starts;
    while (!pending.empty()) {
      Pending at = pending.back();
      pending.pop_back();
      if (keys_[at.begin].size() == at.depth) {
        Unit& unit = units_[at.node];
        unit.label_and_value = (unit.label_and_value & kLabelMask) | (at.begin << kLabelBits);
        ++at.begin;
      }
      labels.clear();
      starts.clear();
      for (uint32_t i = at.begin; i < at.end; ++i) {
        const uint8_t label = static_cast<uint8_t>(keys_[i][at.depth]);
        if (labels.empty() || labels.back() != label) {
          labels.push_back(label);
          starts.push_back(i);
        }
      }
      if (labels.empty()) continue;
      const uint32_t base = find_base(labels);
      base_taken_[base] = 1;
      units_[at.node].base = base;
      starts.push_back(at.end);
      for (size_t i = 0; i < labels.size(); ++i) {
        const uint32_t next = base ^ labels[i];
        take(next);
        units_[next].label_and_value = labels[i] | (kNoValue << kLabelBits);
      }
      // The first child is handled next, so that a path lies close together.
      for (size_t i = labels.size(); i-- > 0;) {
        pending.push_back({base ^ labels[i], starts[i], starts[i + 1], at.depth + 1});
      }
    }
  }

 private:
  uint32_t find_base(const std::vector<uint8_t>& labels) {
    for (uint32_t slot = first_free_; slot != kDead; slot = next_free_[slot]) {
      const uint32_t base = slot ^ labels[0];
      if (base == 0 || base_taken_[base] != 0) continue;
      bool fits = true;
      for (uint8_t label : labels) fits = fits && free_[base ^ label] != 0;
      if (fits) return base;
    }
    const uint32_t start = static_cast<uint32_t>(units_.size());
    add_block();
    return start;  // never 0: the first block exists already
  }

  void add_block() {
    const size_t start = units_.size();
    if (start > UINT32_MAX - 2 * kBlock) {
      throw Error(ErrorKind::kTokenizer, "the vocabulary is too large for its trie");
    }
    const size_t end = start + kBlock;
    units_.resize(end);
    free_.resize(end, 1);
    base_taken_.resize(end, 0);
    next_free_.resize(end, kDead);
    previous_free_.resize(end, kDead);
    for (size_t slot = start; slot < end; ++slot) {
      const uint32_t s = static_cast<uint32_t>(slot);
      previous_free_[s] = last_free_;
      if (last_free_ == kDead) {
        first_free_ = s;
      } else {
        next_free_[last_free_] = s;
      }
      last_free_ = s;
    }
    if (end > kOpenBlocks * kBlock) {
      const size_t closed = end - (kOpenBlocks + 1) * kBlock;
      for (size_t slot = closed; slot < closed + kBlock && slot < start; ++slot) {
        if (free_[slot] != 0) take(static_cast<uint32_t>(slot));
      }
    }
  }

  void take(uint32_t slot) {
    free_[slot] = 0;
    const uint32_t before = previous_free_[slot];
    const uint32_t after = next_free_[slot];
    (before == kDead ? first_free_ : next_free_[before]) = after;
    (after == kDead ? last_free_ : previous_free_[after]) = before;
  }

  const std::vector<std::string_view>& keys_;
  std::vector<Unit>& units_;
  std::vector<uint8_t> free_, base_taken_;  // flags
  std::vector<uint32_t> next_free_, previous_free_;
  uint32_t first_free_ = kDead;
  uint32_t last_free_ = kDead;
};

DoubleArray::DoubleArray(const std::vector<std::string_view>& keys) {
  if (keys.size() >= kNoValue) {
    throw Error(ErrorKind::kTokenizer, "the vocabulary has " + std::to_string(keys.size()) +
                                           " tokens; at most " + std::to_string(kNoValue - 1) +
                                           " are supported");
  }
  Builder(keys, &units_).build();
  units_.shrink_to_fit();
}

uint32_t DoubleArray::walk(uint32_t node, std::string_view bytes) const {
  for (char byte : bytes) {
    node = child(node, static_cast<uint8_t>(byte));
    if (node == kDead) break;
  }
  return node;
}

}  // namespace affectrt

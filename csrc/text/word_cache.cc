#include "text/word_cache.h"

#include <cstring>

namespace affectrt {

WordCache::WordCache(size_t slot_count_log2)
    : mask_((size_t{1} << slot_count_log2) - 1), slots_(new Slot[mask_ + 1]) {}

bool WordCache::find(std::string_view word, uint64_t hash, std::vector<ModelToken>* out) const {
  if (word.empty() || word.size() > kMaxBytes) return false;
  uint64_t key[kKeyWords] = {};
  std::memcpy(key, word.data(), word.size());
  const size_t key_words = (word.size() + 7) / 8;
  for (size_t way = 0; way < 2; ++way) {
    const Slot& slot = slots_[(hash & mask_) ^ way];
    const uint64_t sequence = slot.sequence.load(std::memory_order_acquire);
    if (sequence == 0 || (sequence & 1) != 0) continue;
    if (slot.hash.load(std::memory_order_acquire) != hash) continue;
    const uint64_t sizes = slot.sizes.load(std::memory_order_acquire);
    const size_t count = sizes >> 8;
    if ((sizes & 0xff) != word.size() || count > kMaxTokens) continue;
    bool same = true;
    for (size_t i = 0; i < key_words; ++i) {
      same = same && slot.key[i].load(std::memory_order_acquire) == key[i];
    }
    if (!same) continue;
    uint64_t ids[kIdWords];
    uint64_t ends[kEndWords];
    for (size_t i = 0; i < (count + 1) / 2; ++i)
      ids[i] = slot.ids[i].load(std::memory_order_acquire);
    for (size_t i = 0; i < (count + 7) / 8; ++i) {
      ends[i] = slot.ends[i].load(std::memory_order_acquire);
    }
    if (slot.sequence.load(std::memory_order_relaxed) != sequence) continue;
    uint32_t begin = 0;
    for (size_t i = 0; i < count; ++i) {
      const uint32_t id = static_cast<uint32_t>(ids[i / 2] >> (32 * (i % 2)));
      const uint32_t end = static_cast<uint32_t>(ends[i / 8] >> (8 * (i % 8)) & 0xff);
      out->push_back({id, begin, end});
      begin = end;
    }
    return true;
  }
  return false;
}

void WordCache::insert(std::string_view word, uint64_t hash, const ModelToken* tokens,
                       size_t count) const {
  if (word.empty() || word.size() > kMaxBytes || count > kMaxTokens) return;
  uint64_t key[kKeyWords] = {};
  uint64_t ids[kIdWords] = {};
  uint64_t ends[kEndWords] = {};
  std::memcpy(key, word.data(), word.size());
  uint32_t begin = 0;
  for (size_t i = 0; i < count; ++i) {
    if (tokens[i].begin != begin || tokens[i].end > kMaxBytes) return;
    begin = tokens[i].end;
    ids[i / 2] |= uint64_t{tokens[i].id} << (32 * (i % 2));
    ends[i / 8] |= uint64_t{tokens[i].end} << (8 * (i % 8));
  }
  // An empty way first, then either one by a bit of the hash that the index does not use.
  Slot* slot = &slots_[hash & mask_];
  Slot* other = &slots_[(hash & mask_) ^ 1];
  if (slot->sequence.load(std::memory_order_relaxed) != 0 &&
      (other->sequence.load(std::memory_order_relaxed) == 0 || (hash >> 63) != 0)) {
    slot = other;
  }
  uint64_t sequence = slot->sequence.load(std::memory_order_relaxed);
  if ((sequence & 1) != 0 ||
      !slot->sequence.compare_exchange_strong(sequence, sequence + 1, std::memory_order_acq_rel,
                                              std::memory_order_relaxed)) {
    return;
  }
  slot->hash.store(hash, std::memory_order_release);
  slot->sizes.store(word.size() | count << 8, std::memory_order_release);
  for (size_t i = 0; i < kKeyWords; ++i) slot->key[i].store(key[i], std::memory_order_release);
  for (size_t i = 0; i < kIdWords; ++i) slot->ids[i].store(ids[i], std::memory_order_release);
  for (size_t i = 0; i < kEndWords; ++i) slot->ends[i].store(ends[i], std::memory_order_release);
  slot->sequence.store(sequence + 2, std::memory_order_release);
}

}  // namespace affectrt

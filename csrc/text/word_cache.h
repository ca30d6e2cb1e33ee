// A bounded cache of word -> tokens, shared by threads without locks.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "text/token_model.h"

namespace affectrt {

// A fixed table of 128-byte slots, each guarded by a sequence number that is odd while somebody
// writes (a seqlock). A reader that meets a writer, and a writer that meets another, give up: a
// cache may forget. All words of a slot are atomic, so there is no data race; readers load them
// with acquire and writers store them with release, so a reader that saw any new word also sees
// that the sequence number moved.
class WordCache {
 public:
  static constexpr size_t kMaxBytes = 40;
  static constexpr size_t kMaxTokens = 12;

  explicit WordCache(size_t slot_count_log2 = 13);  // 2^13 slots: 1 MiB

  // Appends the tokens of `word` and returns true, or returns false. `hash` is hash_bytes(word).
  bool find(std::string_view word, uint64_t hash, std::vector<ModelToken>* out) const;

  // Remembers tokens that tile the word from its first byte on, each beginning where the one before
  // ends; ignores everything else, and what does not fit a slot.
  void insert(std::string_view word, uint64_t hash, const ModelToken* tokens, size_t count) const;

 private:
  static constexpr size_t kKeyWords = kMaxBytes / 8;
  static constexpr size_t kIdWords = kMaxTokens / 2;
  static constexpr size_t kEndWords = 2;

  struct alignas(64) Slot {
    std::atomic<uint64_t> sequence{0};  // 0: never written
    std::atomic<uint64_t> hash{0};
    std::atomic<uint64_t> sizes{0};  // bytes of the word | tokens << 8
    std::atomic<uint64_t> key[kKeyWords]{};
    std::atomic<uint64_t> ids[kIdWords]{};
    std::atomic<uint64_t> ends[kEndWords]{};  // one byte each
  };
  static_assert(sizeof(Slot) == 128, "two cache lines");

  size_t mask_;
  std::unique_ptr<Slot[]> slots_;
};

}  // namespace affectrt

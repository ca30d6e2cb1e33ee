// Byte-pair encoding, byte-level or over characters.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "text/token_model.h"
#include "text/vocabulary.h"
#include "text/word_cache.h"

namespace affectrt {

// Immutable but for its cache; concurrent calls are safe. A piece of n characters takes
// O(n log n).
class Bpe final : public TokenModel {
 public:
  // `model` is the "model" object of a tokenizer.json.
  explicit Bpe(const nlohmann::json& model);

  void tokenize(std::string_view piece, std::vector<ModelToken>* out) const override;
  std::optional<uint32_t> token_to_id(std::string_view token) const override {
    return vocabulary_.find(token);
  }
  std::string_view id_to_token(uint32_t id) const override { return vocabulary_.id_to_token(id); }
  size_t vocab_size() const override { return vocabulary_.size(); }

 private:
  struct Symbol {
    uint32_t id;
    uint32_t size;  // bytes; 0 once merged into its left neighbour
  };
  struct Merge {
    uint32_t rank;
    uint32_t new_id;
  };
  struct MergeSlot {
    uint64_t pair;  // left id << 32 | right id; kNoPair: empty
    Merge merge;
  };
  static constexpr uint64_t kNoPair = UINT64_MAX;
  static constexpr uint32_t kTableChars = 0x800;
  static constexpr uint32_t kUnknownChar = UINT32_MAX;

  void read_merges(const nlohmann::json& merges);
  void add_merge(std::string_view left, std::string_view right, uint32_t rank,
                 const std::string& path);
  const Merge* find_merge(uint32_t left, uint32_t right) const;

  void split(std::string_view piece, std::vector<Symbol>* symbols) const;
  std::optional<uint32_t> char_id(std::string_view text, bool first, bool last) const;
  bool add_bytes(std::string_view bytes, std::vector<Symbol>* symbols) const;
  void merge_short(std::vector<Symbol>* symbols) const;
  void merge_long(std::vector<Symbol>* symbols) const;

  Vocabulary vocabulary_;
  std::vector<MergeSlot> merges_;
  std::optional<std::string> unknown_token_;
  std::optional<uint32_t> unknown_id_;
  std::string prefix_;  // of every character but the first
  std::string suffix_;  // of the last character
  bool fuse_unknown_ = false;
  bool byte_fallback_ = false;
  bool ignore_merges_ = false;
  std::array<uint32_t, kTableChars> char_ids_;  // where neither prefix nor suffix applies
  std::array<uint32_t, 256> byte_ids_;          // of "<0x00>" and so on
  WordCache cache_;
};

}  // namespace affectrt

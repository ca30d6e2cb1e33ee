// WordPiece: greedy longest match, as in BERT.
#pragma once

#include <optional>
#include <string>

#include "text/double_array.h"
#include "text/token_model.h"
#include "text/vocabulary.h"

namespace affectrt {

// Immutable; concurrent calls are safe.
class WordPiece final : public TokenModel {
 public:
  // `model` is the "model" object of a tokenizer.json.
  explicit WordPiece(const nlohmann::json& model);

  void tokenize(std::string_view piece, std::vector<ModelToken>* out) const override;
  std::optional<uint32_t> token_to_id(std::string_view token) const override {
    return vocabulary_.find(token);
  }
  std::string_view id_to_token(uint32_t id) const override { return vocabulary_.id_to_token(id); }
  size_t vocab_size() const override { return vocabulary_.size(); }
  const Vocabulary& vocabulary() const { return vocabulary_; }

  // The same without a virtual call or an allocation, for callers with their own buffer: `out` must
  // have room for max(1, size) tokens. Returns how many were written. Throws Error(kTokenizer)
  // where the unknown token is needed and the vocabulary lacks it.
  size_t tokenize_word(const char* word, size_t size, ModelToken* out) const {
    if (size > max_chars_ && count_chars(word, size) > max_chars_) return unknown(size, out);
    size_t count = 0;
    uint32_t node = DoubleArray::kRoot;
    for (size_t begin = 0; begin < size;) {
      uint32_t best = DoubleArray::kNoValue;
      size_t end = begin;
      for (size_t i = begin; i < size && node != DoubleArray::kDead;) {
        node = trie_.child(node, static_cast<uint8_t>(word[i++]));
        if (node == DoubleArray::kDead) break;
        const uint32_t entry = trie_.value(node);
        if (entry != DoubleArray::kNoValue) {
          best = entry;
          end = i;
        }
      }
      if (best == DoubleArray::kNoValue) return unknown(size, out);
      out[count++] = {vocabulary_.id(best), static_cast<uint32_t>(begin),
                      static_cast<uint32_t>(end)};
      begin = end;
      node = continuation_;
    }
    return count;
  }

 private:
  static size_t count_chars(const char* word, size_t size);
  size_t unknown(size_t size, ModelToken* out) const;

  Vocabulary vocabulary_;
  DoubleArray trie_;
  uint32_t continuation_;  // the node after the continuing prefix
  size_t max_chars_;
  std::string unknown_token_;
  std::optional<uint32_t> unknown_id_;
};

}  // namespace affectrt

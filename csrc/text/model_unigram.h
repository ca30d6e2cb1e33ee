// Unigram: the likeliest segmentation, as in SentencePiece.
#pragma once

#include <array>
#include <optional>

#include "text/double_array.h"
#include "text/token_model.h"
#include "text/vocabulary.h"
#include "text/word_cache.h"

namespace affectrt {

// Immutable but for its cache; concurrent calls are safe.
class Unigram final : public TokenModel {
 public:
  // `model` is the "model" object of a tokenizer.json.
  explicit Unigram(const nlohmann::json& model);

  void tokenize(std::string_view piece, std::vector<ModelToken>* out) const override;
  std::optional<uint32_t> token_to_id(std::string_view token) const override {
    return vocabulary_.find(token);
  }
  std::string_view id_to_token(uint32_t id) const override { return vocabulary_.id_to_token(id); }
  size_t vocab_size() const override { return vocab_size_; }

 private:
  struct Node;

  void search(std::string_view piece, std::vector<Node>* ends) const;
  // A run of unknown characters, as one piece.
  void add_unknown(std::string_view piece, uint32_t begin, uint32_t end,
                   std::vector<ModelToken>* out) const;

  size_t vocab_size_ = 0;       // repeated pieces count, as in HF
  Vocabulary vocabulary_;       // pieces to the last id that each has
  std::vector<double> scores_;  // by entry of vocabulary_
  DoubleArray trie_;
  std::optional<uint32_t> unknown_id_;
  double unknown_score_ = 0;
  bool byte_fallback_ = false;
  std::array<std::optional<uint32_t>, 256> byte_ids_;  // of "<0x00>" and so on
  WordCache cache_;
};

// A JSON number as serde_json reads it without its float_roundtrip feature, which is how tokenizers
// reads scores: decimal digits as an integer, rounded to a double, then scaled by a power of ten
// and rounded again. That is off by one unit in the last place for about one score in eight, and
// decides ties. `exact` is the correctly rounded number; its shortest decimal form is what files
// hold.
double serde_number(double exact);

}  // namespace affectrt

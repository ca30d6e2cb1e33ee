// WordLevel: one token a word.
#pragma once

#include <optional>
#include <string>

#include "text/token_model.h"
#include "text/vocabulary.h"

namespace affectrt {

// Immutable; concurrent calls are safe.
class WordLevel final : public TokenModel {
 public:
  // `model` is the "model" object of a tokenizer.json.
  explicit WordLevel(const nlohmann::json& model);

  void tokenize(std::string_view piece, std::vector<ModelToken>* out) const override;
  std::optional<uint32_t> token_to_id(std::string_view token) const override {
    return vocabulary_.find(token);
  }
  std::string_view id_to_token(uint32_t id) const override { return vocabulary_.id_to_token(id); }
  size_t vocab_size() const override { return vocabulary_.size(); }

 private:
  Vocabulary vocabulary_;
  std::string unknown_token_;
  std::optional<uint32_t> unknown_id_;
};

}  // namespace affectrt

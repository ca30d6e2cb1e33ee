// The vocabulary model of a tokenizer: one pre-tokenised piece to token ids.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace affectrt {

struct ModelToken {
  uint32_t id;
  uint32_t begin;  // byte range within the piece
  uint32_t end;
};

// Immutable after construction except for internal caches, which are bounded and thread-safe:
// concurrent calls are safe.
class TokenModel {
 public:
  virtual ~TokenModel() = default;

  // Appends the tokens of `piece` (valid UTF-8, normalised) to `out`.
  virtual void tokenize(std::string_view piece, std::vector<ModelToken>* out) const = 0;

  virtual std::optional<uint32_t> token_to_id(std::string_view token) const = 0;
  // Empty where no token has this id.
  virtual std::string_view id_to_token(uint32_t id) const = 0;
  virtual size_t vocab_size() const = 0;
};

// Builds WordPiece, WordLevel, BPE or Unigram from the "model" object of a tokenizer.json.
// Throws Error(kTokenizer) naming the component for anything that it does not do exactly.
std::unique_ptr<TokenModel> make_token_model(const nlohmann::json& model);

}  // namespace affectrt

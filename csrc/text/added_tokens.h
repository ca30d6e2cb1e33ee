// The "added_tokens" of a tokenizer.json: found in the text before anything else looks at it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/component.h"
#include "text/normalized.h"
#include "text/normalizer.h"
#include "text/token_model.h"

namespace affectrt {

// Finds strings in a text: the leftmost first, of those that start together the longest; in time
// linear in the text whatever the strings are. Immutable: concurrent calls are safe.
class StringMatcher {
 public:
  struct Match {
    uint32_t begin;
    uint32_t end;
    uint32_t value;
  };

  // Empty strings never match; of equal ones the smallest value counts.
  explicit StringMatcher(const std::vector<std::pair<std::string, uint32_t>>& strings);
  bool empty() const { return nodes_.size() == 1; }
  // Whether find() would find nothing.
  bool matches_nowhere(std::string_view text) const;
  // Replaces `*matches`, which come out ascending and disjoint.
  void find(std::string_view text, std::vector<Match>* matches) const;

 private:
  // Aho-Corasick over the reversed strings: going through the text from its end, the longest
  // string that begins at a byte is known when that byte has been read.
  struct Node {
    uint32_t failure = 0;
    uint32_t length = 0;  // of the longest string that ends here, over failures; 0 for none
    uint32_t value = 0;
  };
  uint32_t child(uint32_t node, uint8_t byte) const;
  // A quick way to see that most texts have no match.
  bool lacks_last_bytes(std::string_view text) const;

  static constexpr size_t kFewBytes = 3;

  std::string last_bytes_;  // that any string ends with
  std::vector<Node> nodes_;
  std::array<uint32_t, 256> root_{};
  std::unordered_map<uint64_t, uint32_t> children_;  // node * 256 + byte
};

// Immutable: concurrent calls are safe.
class AddedTokens {
 public:
  // Ids follow HF tokenizers: those of the model's vocabulary where it has the token, else the
  // next free one; the "id" of the file is what that comes to in any file that it wrote.
  AddedTokens(const std::optional<Component>& json, const TokenModel& model,
              const Normalizer* normalizer);

  // Cuts `pieces` (one piece, the text) at the tokens that are matched before normalisation,
  // normalises the rest, and cuts that at the tokens matched after it.
  void extract(Pieces* pieces, TextScratch* scratch, const Normalizer* normalizer) const;

  // Whether `text` has no token that is matched before normalisation.
  bool absent_before_normalization(std::string_view text) const;
  bool any_normalized() const { return !normalized_.empty(); }

  std::optional<uint32_t> token_to_id(std::string_view token) const;
  // Null where no added token has this id.
  const std::string* id_to_token(uint32_t id) const;
  const std::unordered_map<std::string, uint32_t>& ids() const { return ids_; }

 private:
  struct Token {
    std::string content;
    bool single_word, lstrip, rstrip, normalized, special;
  };
  void cut(const StringMatcher& matcher, Pieces* pieces, TextScratch* scratch) const;

  std::unordered_map<std::string, uint32_t> ids_;
  std::unordered_map<uint32_t, Token> tokens_;
  StringMatcher verbatim_{{}};
  StringMatcher normalized_{{}};
};

}  // namespace affectrt

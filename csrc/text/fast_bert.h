// BertNormalizer, BertPreTokenizer and WordPiece in one pass over the text: what BERT, DistilBERT,
// ELECTRA and MPNet use. Gives what the general path gives, or nothing.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "text/component.h"
#include "text/model_wordpiece.h"
#include "text/normalizer.h"
#include "text/post_processor.h"
#include "text/tokenizer.h"

namespace affectrt {

// Immutable: concurrent calls are safe. Refers to the model and the plan,
// which must outlive it.
class FastBert {
 public:
  // Offsets are not trimmed: the vocabulary must have no token with white space at an end.
  FastBert(const WordPiece& model, const BertNormalizerOptions& options, const PostPlan& plan);

  // The encoding of valid UTF-8 without added tokens; nothing when the text has marks that must be
  // put in canonical order, or the options ask for more than cutting off the end of one text.
  std::optional<Encoding> encode(std::string_view text, std::optional<std::string_view> pair,
                                 const EncodeOptions& options) const;

 private:
  struct Word;  // under construction
  bool tokenize(std::string_view text, size_t most, Word* memory, TokenRun* out) const;
  // Adds a character beyond ASCII; false when it needs the general path.
  bool add_character(char32_t c, uint32_t index, Word* word, TokenRun* out) const;
  void finish_word(Word* word, TokenRun* out) const;

  // What becomes of an ASCII byte: itself or its lower case within a word, or one of these.
  static constexpr uint8_t kSpace = 0x80;
  static constexpr uint8_t kPunctuation = 0x81;
  static constexpr uint8_t kRemoved = 0x82;

  const WordPiece& model_;
  const PostPlan& plan_;
  BertNormalizerOptions options_;
  std::array<uint8_t, 128> ascii_{};
};

}  // namespace affectrt

// What the encoder sees of a turn in its conversation, "[CLS] A [SEP]" or "[CLS] A [SEP] B [SEP]".
// The contract is the docstring of export/recipes/multitask; inputs.py there is the reference.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "runtime/token_rows.h"
#include "text/tokenizer.h"

namespace affectrt {

constexpr int32_t kPassTokens = 256;  // of a whole pass
constexpr int32_t kContextTokens =
    128;                              // a pass with a B grows no longer while A leaves B its room
constexpr int32_t kLeastRoom = 32;    // tokens that B always has
constexpr size_t kHistoryTurns = 12;  // earlier turns that are looked at

// The emotions that the tag of a turn may tell.
constexpr std::array<std::string_view, 7> kToldEmotions = {"anger",   "disgust",  "fear",   "joy",
                                                           "sadness", "surprise", "neutral"};
constexpr size_t kNoEmotion = kToldEmotions.size();

// The first tokens of one text, without special ones: as many as any pass could hold.
struct TurnTokens {
  std::vector<int32_t> ids;
  std::vector<Offset> offsets;  // code points of the text
  int32_t full_count = 0;       // tokens of the whole text
};

// Throws Error(kInput) for ill-formed UTF-8.
TurnTokens turn_tokens(const Tokenizer& tokenizer, std::string_view text);

// A line of B, "tag: text". Refers to tokens that must outlive it.
struct ContextLine {
  const std::vector<int32_t>* tag = nullptr;
  const std::vector<int32_t>* text = nullptr;
};

// Immutable: concurrent calls are safe.
class PassMaker {
 public:
  // Throws Error(kUnsupported) where the tokenizer does not put a text between two special tokens.
  explicit PassMaker(const Tokenizer& tokenizer);

  // "self:" or "other:", with an index into kToldEmotions "self fear:".
  const std::vector<int32_t>& tag(bool same_speaker, size_t emotion = kNoEmotion) const {
    return tags_[same_speaker ? 1 : 0][emotion];
  }
  // "personality:", of what is told of who will reply.
  const std::vector<int32_t>& personality_tag() const { return personality_; }
  // What stands in A's own place in B.
  const std::vector<int32_t>& self_reference() const { return this_; }

  // A = `turn`, cut at its end where it is too long. B = the newest lines of `context`, oldest
  // first, that fit whole; where not even the last one does, its beginning.
  TokenRow make(const TurnTokens& turn, const std::vector<ContextLine>& context) const;

 private:
  int32_t cls_ = 0;
  int32_t sep_ = 0;
  std::vector<int32_t> this_;
  std::vector<int32_t> personality_;
  std::vector<int32_t> tags_[2][kNoEmotion + 1];
};

// Tokens of A that a pass holds.
constexpr int32_t kMostOfA = kPassTokens - kLeastRoom - 3;

}  // namespace affectrt

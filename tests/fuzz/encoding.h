// What is true of every encoding.
#pragma once

#include <algorithm>

#include "fuzz.h"
#include "text/tokenizer.h"

namespace affectrt::fuzz {

inline uint32_t code_points(std::string_view utf8) {
  return static_cast<uint32_t>(
      std::count_if(utf8.begin(), utf8.end(), [](char byte) { return (byte & 0xC0) != 0x80; }));
}

inline bool same(const Encoding& a, const Encoding& b) {
  const auto same_offset = [](Offset x, Offset y) { return x.begin == y.begin && x.end == y.end; };
  return a.ids == b.ids && a.type_ids == b.type_ids && a.sequence_ids == b.sequence_ids &&
         a.special_tokens_mask == b.special_tokens_mask &&
         std::equal(a.offsets.begin(), a.offsets.end(), b.offsets.begin(), b.offsets.end(),
                    same_offset) &&
         std::equal(a.overflowing.begin(), a.overflowing.end(), b.overflowing.begin(),
                    b.overflowing.end(), same);
}

// Windows that truncation cut off may be longer than its bound: where nothing of the text is kept,
// all of it is one window, as in HF tokenizers.
inline void check(const Encoding& tokens, const TextInput& input, const EncodeOptions& options) {
  const size_t size = tokens.ids.size();
  AFFECTRT_PROMISED(tokens.type_ids.size() == size && tokens.sequence_ids.size() == size);
  AFFECTRT_PROMISED(tokens.special_tokens_mask.size() == size);
  AFFECTRT_PROMISED(tokens.offsets.size() == (options.with_offsets ? size : 0));
  // Where windows of a pair hold nothing of its first text, HF's sequence ids name the wrong one.
  const uint32_t longest = std::max(code_points(input.text), code_points(input.pair.value_or("")));
  for (size_t i = 0; i < tokens.offsets.size(); ++i) {
    const Offset offset = tokens.offsets[i];
    AFFECTRT_PROMISED(offset.begin <= offset.end && offset.end <= longest);
    AFFECTRT_PROMISED(tokens.sequence_ids[i] >= -1 && tokens.sequence_ids[i] <= 1);
  }
  for (const Encoding& window : tokens.overflowing) check(window, input, options);
}

// Encodes by the short cut and by the general way, which have to agree.
inline void encode_and_check(const Tokenizer& tokenizer, const TextInput& input,
                             const EncodeOptions& options) {
  const Encoding tokens = tokenizer.encode(input.text, input.pair, options);
  if (options.truncation != Truncation::kNone) {
    AFFECTRT_PROMISED(tokens.ids.size() <= options.max_tokens);
  }
  check(tokens, input, options);
  AFFECTRT_PROMISED(same(tokens, tokenizer.encode_general(input.text, input.pair, options)));
}

}  // namespace affectrt::fuzz

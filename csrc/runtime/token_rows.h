// Texts to token rows, on several threads where there are many.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "text/tokenizer.h"

namespace affectrt {

// One pass of the encoder: [CLS] A [SEP], or [CLS] A [SEP] B [SEP]; with a question in B,
// [CLS] B [SEP] A [SEP].
struct TokenRow {
  std::vector<int32_t> ids;
  std::vector<int32_t> type_ids;
  int32_t full_count = 0;  // tokens before truncation; 0: as many as there are
  // Of A, for heads that read tokens: its tokens stand at a_first .. a_first + a_tokens.
  int32_t a_first = 1;
  int32_t a_tokens = 0;
  std::vector<Offset> a_offsets;  // [a_tokens], or empty: spans then have no characters
};

struct TokenRowOptions {
  uint32_t max_tokens = 0;  // longest_first truncation to this; 0: none
  bool truncate_left = false;
  int num_threads = 1;
  bool with_a = false;      // fill a_first, a_tokens and a_offsets
  bool pair_first = false;  // every input has a pair, and it stands before the text
};

// One row an input, in order. `keep_going` is asked now and then on the calling thread; when it
// says false the work stops with Error(kInput, "interrupted ..."). An input that cannot be encoded
// throws the error of the tokenizer with the number of the first such input.
std::vector<TokenRow> tokenize_rows(const Tokenizer& tokenizer,
                                    const std::vector<TextInput>& inputs,
                                    const TokenRowOptions& options,
                                    const std::function<bool()>& keep_going);

}  // namespace affectrt

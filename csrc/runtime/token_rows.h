// Texts to token rows, on several threads where there are many.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "text/tokenizer.h"

namespace affectrt {

struct TokenRow {
  std::vector<int32_t> ids;
  std::vector<int32_t> type_ids;
  int32_t full_count = 0;  // tokens before truncation
};

struct TokenRowOptions {
  uint32_t max_tokens = 0;  // longest_first truncation to this; 0: none
  bool truncate_left = false;
  int num_threads = 1;
};

// One row an input, in order. `keep_going` is asked now and then on the calling thread; when it
// says false the work stops with Error(kInput, "interrupted ..."). An input that cannot be encoded
// throws the error of the tokenizer with the number of the first such input.
std::vector<TokenRow> tokenize_rows(const Tokenizer& tokenizer,
                                    const std::vector<TextInput>& inputs,
                                    const TokenRowOptions& options,
                                    const std::function<bool()>& keep_going);

}  // namespace affectrt

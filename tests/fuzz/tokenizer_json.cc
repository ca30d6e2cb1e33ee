// A tokenizer.json, and what it makes of some texts.
#include "encoding.h"

using namespace affectrt;
using namespace affectrt::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static constexpr std::string_view kTexts[] = {
      "", "I am so happy!", "  [CLS] na\u00efve CAF\u00c9\t \U0001f600 12,345.67 \u6771\u4eac ab\n",
      "\u0130\u1e9e\ufb01\u0301 x"};
  const Input input(data, size);
  refusing([&] {
    const auto tokenizer = Tokenizer::from_json(input.rest(), "tokenizer.json");
    const size_t known = tokenizer->vocab_size();
    for (uint32_t id = 0; id < 3; ++id) {
      const std::string_view token = tokenizer->id_to_token(id);
      if (!token.empty()) AFFECTRT_PROMISED(known > 0);
    }
    refusing([&] { (void)tokenizer->file_truncation(); });
    EncodeOptions options;
    for (const std::string_view text : kTexts) {
      refusing([&] { encode_and_check(*tokenizer, {text, std::nullopt}, options); });
      refusing([&] { encode_and_check(*tokenizer, {text, "so !"}, options); });
    }
    options.truncation = Truncation::kLongestFirst;
    options.max_tokens = 5;
    options.stride = 1;
    options.keep_overflowing = true;
    refusing([&] { encode_and_check(*tokenizer, {kTexts[2], kTexts[1]}, options); });
  });
  return 0;
}

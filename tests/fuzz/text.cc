// A text, and behind a byte 0xFF its pair, to tokens: by each kind of tokenizer (those that are
// seeds of tokenizer_json.cc), whole and cut.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <set>
#include <vector>

#include "base/utf8.h"
#include "encoding.h"

using namespace affectrt;
using namespace affectrt::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto& tokenizers = *[] {
    std::set<std::filesystem::path> seeds;
    for (const auto& file : std::filesystem::directory_iterator(AFFECTRT_FUZZ_TOKENIZERS)) {
      if (file.path().extension() == ".json") seeds.insert(file.path());
    }
    auto* made = new std::vector<std::unique_ptr<const Tokenizer>>;
    for (const std::filesystem::path& file : seeds) {
      std::ifstream in(file, std::ios::binary);
      const std::string json(std::istreambuf_iterator<char>(in), {});
      made->push_back(Tokenizer::from_json(json, file.filename()));
    }
    return made;
  }();
  Input input(data, size);
  const Tokenizer& tokenizer = *tokenizers[input.below(tokenizers.size())];
  EncodeOptions options;
  const uint8_t flags = input.byte();
  options.add_special_tokens = (flags & 1U) == 0;
  options.with_offsets = (flags & 2U) == 0;
  options.truncation = static_cast<Truncation>((flags >> 2U) & 3U);
  options.keep_overflowing = (flags & 16U) != 0;
  options.truncate_left = (flags & 32U) != 0;
  const uint8_t sizes = input.byte();
  options.max_tokens = sizes % 32U;
  options.stride = sizes / 32U;
  TextInput texts;
  texts.text = input.until('\xff');
  if (!input.empty()) texts.pair = input.rest();
  const bool valid =
      !find_invalid_utf8(texts.text) && !(texts.pair && find_invalid_utf8(*texts.pair));
  bool refused = true;
  refusing([&] {
    encode_and_check(tokenizer, texts, options);
    refused = false;
  });
  AFFECTRT_PROMISED(valid || refused);
  AFFECTRT_PROMISED(!refused || !valid || options.truncation != Truncation::kNone);
  return 0;
}

// SentencePiece's precompiled normalisation map (a Darts double array and its replacement strings).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace affectrt {

class PrecompiledCharsmap {
 public:
  // `base64` as in tokenizer.json. Throws Error(kTokenizer) when it is damaged; every index read
  // later is bounds-checked.
  explicit PrecompiledCharsmap(std::string_view base64);

  // The replacement of `chunk` (one grapheme or one code point) exactly as the `spm_precompiled`
  // crate that HF tokenizers uses gives it; nothing when the map leaves it alone. The view lives as
  // long as the map.
  std::optional<std::string_view> transform(std::string_view chunk) const;

 private:
  std::vector<uint32_t> trie_;
  std::string replacements_;
};

}  // namespace affectrt

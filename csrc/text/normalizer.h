// The "normalizer" of a tokenizer.json.
#pragma once

#include <memory>

#include "text/component.h"
#include "text/normalized.h"

namespace affectrt {

// Immutable: concurrent calls are safe.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  // Rewrites every piece that is no added token. `scratch` is for its use.
  virtual void apply(Pieces* pieces, TextScratch* scratch) const = 0;
};

// Throws Error(kTokenizer) naming the component for whatever it does not do exactly.
std::unique_ptr<const Normalizer> make_normalizer(const Component& json);

struct BertNormalizerOptions {
  bool clean_text;
  bool handle_chinese_chars;
  bool strip_accents;
  bool lowercase;
};
// The options when `json` is a BertNormalizer and nothing else.
std::optional<BertNormalizerOptions> bert_normalizer_options(const Component& json);

// The byte-level alphabet of GPT-2: the character that stands for each byte.
char32_t byte_character(uint8_t byte);
// Changes that spell `text` in it.
void byte_level_changes(std::string_view text, std::vector<Change>* changes);

}  // namespace affectrt

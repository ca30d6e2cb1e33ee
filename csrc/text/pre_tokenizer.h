// The "pre_tokenizer" of a tokenizer.json: cuts pieces into smaller ones.
#pragma once

#include <memory>

#include "text/component.h"
#include "text/normalized.h"

namespace affectrt {

// Immutable: concurrent calls are safe.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  // Splits every piece that is no added token. `scratch` is for its use.
  virtual void apply(Pieces* pieces, TextScratch* scratch) const = 0;
};

// Throws Error(kTokenizer) naming the component for whatever it does not do exactly.
std::unique_ptr<const PreTokenizer> make_pre_tokenizer(const Component& json);

}  // namespace affectrt

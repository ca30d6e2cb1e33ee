// The "post_processor" of a tokenizer.json: special tokens, type ids and trimmed offsets.
#pragma once

#include <memory>
#include <vector>

#include "text/component.h"
#include "text/draft.h"

namespace affectrt {

// Immutable: concurrent calls are safe.
class PostProcessor {
 public:
  virtual ~PostProcessor() = default;
  // Tokens that it adds to one text, or to a pair.
  virtual size_t added_tokens(bool is_pair) const = 0;
  // Whether it reads Draft::spaces.
  virtual bool trims_offsets() const { return false; }
  // `drafts` are the texts in order, or what an earlier processor made of them.
  virtual void process(std::vector<Draft>* drafts, bool add_special_tokens) const = 0;
};

// Throws Error(kTokenizer) naming the component for whatever it does not do exactly.
std::unique_ptr<const PostProcessor> make_post_processor(const Component& json);

// A special token or a sequence (0 the text, 1 the pair) in the result.
struct TemplatePart {
  bool is_sequence;
  uint32_t sequence;
  std::vector<uint32_t> ids;
  uint32_t type_id;
};
// What `json` makes of one text or a pair, when it does nothing but put special tokens around them
// and trim white space; null for no post-processor.
std::optional<std::vector<TemplatePart>> simple_template(const std::optional<Component>& json,
                                                         bool is_pair);

}  // namespace affectrt

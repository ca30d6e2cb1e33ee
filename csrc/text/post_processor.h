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

// A post-processor that trims offsets or not, and then puts special tokens around the texts.
struct PostPlan {
  std::vector<TemplatePart> single, pair;
  bool trims_offsets = false;
  bool add_prefix_space = false;

  const std::vector<TemplatePart>& parts(bool is_pair) const { return is_pair ? pair : single; }
};

// The plan that does what `json` does, null standing for no post-processor; nothing where none can.
std::optional<PostPlan> make_post_plan(const std::optional<Component>& json);

// The encoding of texts that nothing was cut from, and whose offsets are trimmed already.
// `second` is null for a single text.
Encoding assemble(const PostPlan& plan, const TokenRun& first, const TokenRun* second,
                  const EncodeOptions& options);

// What ByteLevel and RobertaProcessing do to offsets; `spaces` has the white space of each token.
void trim_offsets(const std::vector<TokenSpace>& spaces, bool add_prefix_space,
                  std::vector<Offset>* offsets);

}  // namespace affectrt

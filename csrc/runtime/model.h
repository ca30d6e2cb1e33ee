// A loaded model: texts in, decoded scores of every head out.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bundle/bundle.h"
#include "engine/backend.h"
#include "runtime/token_rows.h"
#include "tasks/decode.h"
#include "text/tokenizer.h"

namespace affectrt {

struct ModelOptions {
  std::string backend = "auto";  // "auto", "native", "onnxruntime"
  BackendOptions backend_options;
  int32_t max_batch_tokens = 0;  // padded tokens of one backend call; 0: the default
};

struct Prediction {
  std::vector<int32_t> answered;      // indices into manifest().heads of the heads that answer
  std::vector<HeadScores> heads;      // one for each of them
  std::vector<int32_t> token_counts;  // [rows], before truncation
  std::vector<uint8_t> truncated;     // [rows]
  int32_t embedding_width = 0;
  std::vector<float> embeddings;  // [rows, embedding_width]: the pooled vectors, where asked for
};

// What to answer.
struct Wanted {
  std::optional<std::vector<int32_t>> heads;  // indices into manifest().heads; perhaps none
  // Called as (rows done, rows in all) on the calling thread while texts are encoded and after each
  // batch; false stops the work with Error(kInput, "interrupted ..."). What it throws passes
  // through.
  std::function<bool(size_t, size_t)> progress;
  int32_t max_tokens =
      0;  // rows of texts are cut at it, special tokens included; 0: at the model's
  bool embeddings = false;
};

// Immutable: concurrent calls are safe and share one backend session.
class Model {
 public:
  // Throws Error(kNotFound | kModelFile | kTokenizer | kBackend | kUnsupported), and Error(kInput)
  // for options that cannot be.
  static std::shared_ptr<const Model> load(const std::string& path, const ModelOptions& options);
  static std::shared_ptr<const Model> load(std::shared_ptr<const Bundle> bundle,
                                           const ModelOptions& options);

  // Rows are answered in the caller's order; inside they are sorted by length into batches of at
  // most max_batch_tokens. Without wanted.heads, the heads of text_heads() answer. An error that
  // lies in one text names it as "text <row>: ...". Heads whose input is a cause or a reply answer
  // for pairs alone, whose second text is then what they are judged in the light of, and those that
  // look for the answer to a question for texts with that question as their pair; the latter answer
  // where none are wanted and no head reads texts.
  Prediction predict(const std::vector<TextInput>& inputs, const Wanted& wanted) const;

  // The same for passes that are ready. Without wanted.heads all answer. Error(kInput) names the
  // pass that has more tokens than the model takes, or contradicts itself.
  Prediction predict_passes(const std::vector<TokenRow>& passes, const Wanted& wanted) const;

  // The heads that a text alone is answered by, as indices: those whose input is a text or a turn.
  const std::vector<int32_t>& text_heads() const { return text_heads_; }
  // Values of an embedding; 0 where the model gives none.
  int32_t embedding_width() const;

  const Bundle& bundle() const { return *bundle_; }
  const Manifest& manifest() const { return bundle_->manifest(); }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const Backend& backend() const { return *backend_; }

 private:
  Model() = default;
  std::vector<int32_t> checked_heads(const Wanted& wanted,
                                     const std::vector<int32_t>& otherwise) const;
  Prediction answer(const std::vector<TokenRow>& rows, std::vector<int32_t> heads,
                    const Wanted& wanted) const;
  bool reads_tokens(const std::vector<int32_t>& heads) const;
  [[noreturn]] void fail_absent(size_t row, int32_t token) const;

  std::shared_ptr<const Bundle> bundle_;
  std::unique_ptr<const Tokenizer> tokenizer_;
  std::unique_ptr<const Backend> backend_;
  std::vector<size_t> head_outputs_;  // index into backend().outputs() of each head
  std::vector<int32_t> text_heads_;
  std::vector<int32_t> question_heads_;
  int32_t max_batch_tokens_ = 0;
  int num_threads_ = 1;  // for encoding texts
  bool truncate_left_ = false;
};

}  // namespace affectrt

// A loaded model: texts in, decoded scores of every head out.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bundle/bundle.h"
#include "engine/backend.h"
#include "tasks/decode.h"
#include "text/tokenizer.h"

namespace affectrt {

struct ModelOptions {
  std::string backend = "auto";  // "auto", "native", "onnxruntime"
  BackendOptions backend_options;
  int32_t max_batch_tokens = 0;  // padded tokens of one backend call; 0: the default
};

struct Prediction {
  std::vector<HeadScores> heads;      // one per wanted head
  std::vector<int32_t> token_counts;  // [rows], before truncation
  std::vector<uint8_t> truncated;     // [rows]
};

// Immutable: concurrent calls of predict() are safe and share one backend session.
class Model {
 public:
  // Throws Error(kNotFound | kModelFile | kTokenizer | kBackend | kUnsupported), and Error(kInput)
  // for options that cannot be.
  static std::shared_ptr<const Model> load(const std::string& path, const ModelOptions& options);
  static std::shared_ptr<const Model> load(std::shared_ptr<const Bundle> bundle,
                                           const ModelOptions& options);

  // Rows are answered in the caller's order; inside they are sorted by length into batches of at
  // most max_batch_tokens. `heads` are indices into manifest().heads, all of them when empty.
  // `progress(done, total)` counts rows; it is called on the calling thread while texts are encoded
  // and after each batch, and false stops the work with Error(kInput, "interrupted ..."). What it
  // throws passes through. An error that lies in one text names it as "text <row>: ...".
  // Rows are cut at `max_tokens`, special tokens included; 0: at what the model takes.
  Prediction predict(const std::vector<TextInput>& inputs, const std::vector<int32_t>& heads,
                     const std::function<bool(size_t, size_t)>& progress = nullptr,
                     int32_t max_tokens = 0) const;

  const Bundle& bundle() const { return *bundle_; }
  const Manifest& manifest() const { return bundle_->manifest(); }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const Backend& backend() const { return *backend_; }

 private:
  Model() = default;
  std::shared_ptr<const Bundle> bundle_;
  std::unique_ptr<const Tokenizer> tokenizer_;
  std::unique_ptr<const Backend> backend_;
  std::vector<size_t> head_outputs_;  // index into backend().outputs() of each head
  int32_t max_batch_tokens_ = 0;
  int num_threads_ = 1;  // for encoding texts
  bool truncate_left_ = false;
};

}  // namespace affectrt

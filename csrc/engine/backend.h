// One interface for inference: packed token rows in, one matrix per wanted output out.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bundle/bundle.h"

namespace affectrt {

class OnnxRuntimeSession;

// Rows of different lengths, one behind the other, without padding.
struct TokenBatch {
  const int32_t* input_ids = nullptr;  // [row_begin[rows]]
  const int32_t* type_ids = nullptr;   // the same shape
  const int32_t* row_begin = nullptr;  // [rows + 1], ascending from 0
  int32_t rows = 0;
  // [rows]: the first tokens of each row that outputs of tokens are computed for, at least 1: [CLS]
  // and the text that is judged. May be null where no such output is wanted.
  const int32_t* judged = nullptr;

  // Rows of an output of tokens, all of the batch one behind the other.
  size_t judged_tokens() const;
};

enum class OutputKind {
  kRow,       // [rows, width]: logits of each row
  kToken,     // [TokenBatch::judged_tokens(), width]: logits of its first tokens
  kEmbedding  // [rows, width]: the pooled vector that heads read
};

struct OutputInfo {
  std::string name;
  int32_t width = 0;  // values per row
  OutputKind kind = OutputKind::kRow;
};

struct BackendOptions {
  int num_threads = 0;                 // intra-op threads; 0: as many as the CPU quota allows
  std::vector<std::string> providers;  // onnxruntime execution providers, in order of preference
  std::string onnxruntime_library;     // path of libonnxruntime; "" where not known
  std::string isa;  // instruction set of the native kernels; "": AFFECTRT_ISA or the best
};

// Concurrent calls of run() are safe. A backend keeps the bundle that it was made from alive, since
// weights may be used in place.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string name() const = 0;  // "onnxruntime", "native"
  // For people: version, providers, threads, instruction set.
  virtual std::string detail() const = 0;
  // One per distinct output that the manifest's heads read, in the order of the heads; then, where
  // the model can give it, that of kEmbedding.
  virtual const std::vector<OutputInfo>& outputs() const = 0;
  // That of this process, where the backend is ONNX Runtime.
  virtual const OnnxRuntimeSession* session() const { return nullptr; }
  // `values` gets one buffer for each index into outputs() in `wanted`, which are all different.
  // What is not wanted is not computed. Throws Error(kBackend), and Error(kInput) for rows that the
  // model cannot take.
  virtual void run(const TokenBatch& batch, const std::vector<size_t>& wanted,
                   std::vector<std::vector<float>>* values) const = 0;

  // The first of `ids` that the model has no embedding of, since its vocabulary was pruned.
  virtual std::optional<int32_t> absent_token(const std::vector<int32_t>& ids) const;

  // All outputs but that of kEmbedding.
  void run(const TokenBatch& batch, std::vector<std::vector<float>>* logits) const;
};

// Error(kInput) unless every row has as many tokens as are judged of it.
void check_judged(const TokenBatch& batch);

}  // namespace affectrt

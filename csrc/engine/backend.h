// One interface for inference: packed token rows in, one logits matrix per output out.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bundle/bundle.h"

namespace affectrt {

// Rows of different lengths, one behind the other, without padding.
struct TokenBatch {
  const int32_t* input_ids = nullptr;  // [row_begin[rows]]
  const int32_t* type_ids = nullptr;   // the same shape
  const int32_t* row_begin = nullptr;  // [rows + 1], ascending from 0
  int32_t rows = 0;
};

struct OutputInfo {
  std::string name;
  int32_t width = 0;  // values per row
};

struct BackendOptions {
  int num_threads = 0;                 // intra-op threads; 0: as many as the CPU quota allows
  std::vector<std::string> providers;  // onnxruntime execution providers, in order of preference
  std::string onnxruntime_library;     // path of libonnxruntime; "" where not known
};

// Concurrent calls of run() are safe.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string name() const = 0;  // "onnxruntime", "native"
  virtual const std::vector<OutputInfo>& outputs() const = 0;
  // `logits` gets one buffer per output, each [rows, width]. Throws Error(kBackend).
  virtual void run(const TokenBatch& batch, std::vector<std::vector<float>>* logits) const = 0;
};

// The bundle must outlive the backend (weights may be used in place).
std::unique_ptr<Backend> make_onnxruntime_backend(std::shared_ptr<const Bundle> bundle,
                                                  const BackendOptions& options);

}  // namespace affectrt

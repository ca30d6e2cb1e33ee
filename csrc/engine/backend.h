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
  // One per distinct output that the manifest's heads read, in the order of the heads.
  virtual const std::vector<OutputInfo>& outputs() const = 0;
  // `logits` gets one buffer per output, each [rows, width]. Throws Error(kBackend).
  virtual void run(const TokenBatch& batch, std::vector<std::vector<float>>* logits) const = 0;
};

}  // namespace affectrt

// A table of kernels that does what another does and counts where the time goes. One per process,
// for one thread.
#pragma once

#include <cstdint>

#include "kernels/kernels.h"

namespace affectrt::bench {

enum class Part : size_t {
  kGemm,       // of layers, with bias and residual
  kGemmGelu,   // of layers, with bias and GELU
  kAttention,  // products of queries, keys, scores and values
  kSoftmax,
  kPackKeys,
  kQuantize,
  kLayerNorm,
  kEmbedding,   // and other sums of rows
  kActivation,  // where it is not part of a GEMM
  kCount
};
constexpr size_t kParts = static_cast<size_t>(Part::kCount);
const char* name_of(Part part);

struct Tally {
  uint64_t ticks[kParts] = {};
  uint64_t calls[kParts] = {};
  double macs_int = 0;        // multiply-adds of layers in integers
  double macs_float = 0;      // of floats
  double macs_attention = 0;  // of attention in 16-bit integers
};

// Ticks of a clock that costs little to read.
uint64_t ticks();

// `plain`, counted into `*tally` until the next call.
const Kernels& timed_kernels(const Kernels& plain, Tally* tally);

}  // namespace affectrt::bench

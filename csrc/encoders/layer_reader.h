// What looks at hidden states on their way through an encoder.
#pragma once

#include <cstddef>

#include "encoders/rows.h"

namespace affectrt {

// Belongs to one pass of one chunk.
class LayerReader {
 public:
  virtual ~LayerReader() = default;
  // How many layers are run, at most as many as are loaded.
  virtual size_t depth() const = 0;
  // The states behind `layer` layers, x [spans.tokens(), stride]: of all tokens or, behind the last
  // layer that is run, of those that the chunk keeps. Called for each layer from 0 (embeddings) to
  // depth(), on one thread. Must not throw.
  virtual void read(size_t layer, const float* x, const RowSpans& spans) = 0;
};

}  // namespace affectrt

// The rows of embeddings that a model of a pruned vocabulary was made without.
#pragma once

#include <memory>
#include <string>

#include "base/mapped_file.h"
#include "bundle/bundle.h"
#include "bundle/safetensors.h"

namespace affectrt {

// "MODEL.affect.rows", which lies beside "MODEL.affect" or does not.
std::string other_rows_path(const Bundle& bundle);

// That file, mapped: the system reads a row when a text first needs it.
struct OtherRows {
  MappedFile file;
  SafeTensors tensors;
};

// Null where `weights` has a row for every token, or there is no such file. Throws
// Error(kModelFile) for one that was not made with this model.
std::unique_ptr<const OtherRows> open_other_rows(const Bundle& bundle, const SafeTensors& weights);

}  // namespace affectrt

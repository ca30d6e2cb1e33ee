// What each family calls its tensors.
#pragma once

#include <string>

#include "bundle/safetensors.h"
#include "encoders/encoder_config.h"

namespace affectrt {

// Of the families with PostLnEncoder. Names relative to the encoder's prefix; those of a layer
// relative to "<layers><index>.".
struct TensorNames {
  const char* layers;
  const char* query;
  const char* key;
  const char* value;
  const char* out;
  const char* out_norm;
  const char* up;
  const char* down;
  const char* down_norm;
};

const TensorNames& tensor_names(EncoderFamily family);

// What stands before "embeddings.word_embeddings.weight" (ModernBERT: "...tok_embeddings..."): "",
// "bert.", "encoder.", ... Throws Error(kModelFile) when no tensor, or more than one, ends so.
std::string encoder_prefix(const SafeTensors& weights, EncoderFamily family);

}  // namespace affectrt

#include "encoders/tensor_names.h"

#include <string_view>

#include "base/error.h"

namespace affectrt {

const TensorNames& tensor_names(EncoderFamily family) {
  static constexpr TensorNames kBert = {
      "encoder.layer.",       "attention.self.query",   "attention.self.key",
      "attention.self.value", "attention.output.dense", "attention.output.LayerNorm",
      "intermediate.dense",   "output.dense",           "output.LayerNorm",
  };
  static constexpr TensorNames kDistilbert = {
      "transformer.layer.", "attention.q_lin",   "attention.k_lin",
      "attention.v_lin",    "attention.out_lin", "sa_layer_norm",
      "ffn.lin1",           "ffn.lin2",          "output_layer_norm",
  };
  static constexpr TensorNames kMpnet = {
      "encoder.layer.",     "attention.attn.q", "attention.attn.k",
      "attention.attn.v",   "attention.attn.o", "attention.LayerNorm",
      "intermediate.dense", "output.dense",     "output.LayerNorm",
  };
  switch (family) {
    case EncoderFamily::kDistilbert:
      return kDistilbert;
    case EncoderFamily::kMpnet:
      return kMpnet;
    case EncoderFamily::kBert:
    case EncoderFamily::kElectra:
    case EncoderFamily::kRoberta:
    case EncoderFamily::kModernBert:  // its layers are made otherwise
      break;
  }
  return kBert;
}

std::string encoder_prefix(const SafeTensors& weights, EncoderFamily family) {
  const std::string_view suffix = family == EncoderFamily::kModernBert
                                      ? "embeddings.tok_embeddings.weight"
                                      : "embeddings.word_embeddings.weight";
  const std::string* found = nullptr;
  for (const auto& [name, tensor] : weights.tensors()) {
    if (name.size() < suffix.size()) continue;
    const size_t prefix = name.size() - suffix.size();
    if (name.compare(prefix, suffix.size(), suffix) != 0) continue;
    if (prefix > 0 && name[prefix - 1] != '.') continue;
    if (found != nullptr) {
      throw Error(ErrorKind::kModelFile, weights.origin() + ": both '" + *found + "' and '" + name +
                                             "' end in '" + std::string(suffix) +
                                             "'; one encoder is expected");
    }
    found = &name;
  }
  if (found == nullptr) {
    throw Error(ErrorKind::kModelFile, weights.origin() + ": no tensor ends in '" +
                                           std::string(suffix) +
                                           "'; the weights of an encoder are expected");
  }
  return found->substr(0, found->size() - suffix.size());
}

}  // namespace affectrt

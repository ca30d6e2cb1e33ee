// The shape of an encoder of tokens, as its checkpoint's config.json gives it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/manifest.h"
#include "kernels/kernels.h"

namespace affectrt {

enum class EncoderFamily { kBert, kElectra, kRoberta, kDistilbert, kMpnet, kModernBert };

// What ModernBERT alone has.
struct ModernBertConfig {
  bool attention_bias = false;
  bool mlp_bias = false;
  bool norm_bias = false;
  bool head_bias = false;
  Activation head_activation = Activation::kGelu;
  double global_theta = 0.0;
  double local_theta = 0.0;
  std::vector<bool> is_local;  // one a layer: it sees tokens at most `reach` away
  size_t reach = 0;
};

struct EncoderConfig {
  EncoderFamily family = EncoderFamily::kBert;
  size_t hidden = 0;
  size_t embedding = 0;  // width of the tables; unlike `hidden` only in ELECTRA
  size_t layers = 0;
  size_t depth = 0;  // layers that any head reads behind: those after it are neither loaded nor run
  size_t heads = 0;
  size_t intermediate = 0;
  size_t vocabulary = 0;
  size_t positions = 0;  // rows of the position table, or as many as rotary positions go
  size_t types = 0;      // rows of the token type table; 0: there is none
  float norm_eps = 0.0F;
  Activation activation = Activation::kGelu;
  // RoBERTa and MPNet count only tokens other than this one, beginning behind it.
  std::optional<int32_t> padding_id;
  bool reads_types = false;  // false: every token is of type 0
  bool has_relative_bias = false;
  Pooling pooling = Pooling::kFirstToken;  // of heads that do not say otherwise
  // Of our own checkpoints ("affectrt" in config.json): the heads are linear layers on pooled rows;
  // otherwise the family's own classification head reads them.
  bool has_own_heads = false;
  ModernBertConfig modernbert;

  size_t head_width() const { return hidden / heads; }
  // The longest row that the positions allow.
  size_t max_tokens() const;
};

// The families that the native engine knows, by the model_type of config.json.
std::optional<EncoderFamily> encoder_family(std::string_view model_type);

// Throws Error(kModelFile) naming the key of what is damaged or out of bounds, and
// Error(kUnsupported) for a family, activation or kind of positions that we do not compute.
EncoderConfig parse_encoder_config(std::string_view config_json, const std::string& origin);

}  // namespace affectrt

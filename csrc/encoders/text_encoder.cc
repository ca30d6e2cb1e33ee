#include "encoders/text_encoder.h"

#include <algorithm>
#include <string>

#include "base/error.h"
#include "encoders/modernbert_encoder.h"
#include "encoders/post_ln_encoder.h"
#include "kernels/pack.h"

namespace affectrt {

TextEncoder::TextEncoder(const EncoderConfig& config, const Kernels& kernels)
    : config_(config), kernels_(kernels), stride_(round_up(config.hidden, kPanelColumns)) {}

void TextEncoder::check(const TokenRows& rows) const {
  const size_t most = config_.max_tokens();
  for (size_t row = 0; row < rows.rows; ++row) {
    const size_t length = rows.length(row);
    if (length == 0 || length > most) {
      throw Error(ErrorKind::kInput, "row " + std::to_string(row) + " has " +
                                         std::to_string(length) + " tokens; 1 to " +
                                         std::to_string(most) + " are possible");
    }
  }
  const auto begin = static_cast<size_t>(rows.row_begin[0]);
  for (size_t i = begin; i < begin + rows.tokens(); ++i) {
    if (rows.ids[i] < 0 || static_cast<size_t>(rows.ids[i]) >= config_.vocabulary) {
      throw Error(ErrorKind::kInput, "token id " + std::to_string(rows.ids[i]) +
                                         " is not one of the " +
                                         std::to_string(config_.vocabulary) +
                                         " of the model; tokenizer.json and the weights differ");
    }
    if (!words_.has(static_cast<size_t>(rows.ids[i]))) {
      throw Error(ErrorKind::kInput, "token id " + std::to_string(rows.ids[i]) +
                                         " is one of those that the model was made without");
    }
    if (config_.reads_types &&
        (rows.type_ids[i] < 0 || static_cast<size_t>(rows.type_ids[i]) >= config_.types)) {
      throw Error(ErrorKind::kInput, "token type " + std::to_string(rows.type_ids[i]) +
                                         " is not one of the " + std::to_string(config_.types) +
                                         " of the model");
    }
  }
}

void TextEncoder::prepare(const TokenRows& rows, bool whole, Workspace* workspace) const {
  workspace->make(room(rows, whole));
}

std::unique_ptr<TextEncoder> make_text_encoder(const EncoderConfig& config,
                                               const SafeTensors& weights, const Kernels& kernels,
                                               const SafeTensors* other_rows) {
  if (config.family == EncoderFamily::kModernBert) {
    return std::make_unique<ModernBertEncoder>(config, weights, kernels, other_rows);
  }
  return std::make_unique<PostLnEncoder>(config, weights, kernels, other_rows);
}

}  // namespace affectrt

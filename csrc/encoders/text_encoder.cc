#include "encoders/text_encoder.h"

#include <algorithm>
#include <string>

#include "base/error.h"
#include "encoders/modernbert_encoder.h"
#include "encoders/post_ln_encoder.h"
#include "kernels/pack.h"

namespace affectrt {

TextEncoder::TextEncoder(const EncoderConfig& config, Pooling pooling, const Kernels& kernels)
    : config_(config),
      pooling_(pooling),
      kernels_(kernels),
      stride_(round_up(config.hidden, kPanelColumns)) {}

void TextEncoder::check(const TokenRows& rows) const {
  const size_t most = config_.max_tokens();
  for (size_t row = 0; row < rows.rows; ++row) {
    const size_t length = rows.length(row);
    if (length == 0 || length > most) {
      throw Error(ErrorKind::kInput, "row " + std::to_string(row) + " has " +
                                         std::to_string(length) + " tokens; 1 to " +
                                         std::to_string(most) + " are possible");
    }
    if (pooling_ == Pooling::kMeanFirst && rows.type_ids[rows.row_begin[row]] != 0) {
      throw Error(ErrorKind::kInput, "row " + std::to_string(row) + " begins with token type " +
                                         std::to_string(rows.type_ids[rows.row_begin[row]]) +
                                         "; this model pools a first segment of type 0");
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

size_t TextEncoder::pooled_tokens(const TokenRows& rows, size_t row) const {
  if (pooling_ == Pooling::kFirstToken) return 1;
  size_t count = rows.length(row);
  if (pooling_ == Pooling::kMean) return count;
  const int32_t* types = rows.type_ids + rows.row_begin[row];
  while (count > 0 && types[count - 1] != 0) --count;
  return count;
}

void TextEncoder::pool(const TokenRows& rows, const float* x, float* pooled) const {
  const RowSpans kept = rows.kept();
  for (size_t row = 0; row < kept.rows; ++row, pooled += stride_) {
    const float* from = x + kept.first(row) * stride_;
    std::copy_n(from, stride_, pooled);
    if (pooling_ == Pooling::kFirstToken) continue;
    const size_t end = pooled_tokens(rows, row);
    const int32_t* types = rows.type_ids + rows.row_begin[row];
    size_t count = 1;
    for (size_t i = 1; i < end; ++i) {
      if (pooling_ == Pooling::kMeanFirst && types[i] != 0) continue;
      kernels_.add(from + i * stride_, pooled, stride_);
      ++count;
    }
    for (size_t i = 0; i < stride_; ++i) pooled[i] /= static_cast<float>(count);
  }
}

std::unique_ptr<TextEncoder> make_text_encoder(const EncoderConfig& config,
                                               const SafeTensors& weights, Pooling pooling,
                                               const Kernels& kernels) {
  if (config.family == EncoderFamily::kModernBert) {
    return std::make_unique<ModernBertEncoder>(config, weights, pooling, kernels);
  }
  return std::make_unique<PostLnEncoder>(config, weights, pooling, kernels);
}

}  // namespace affectrt

#include "encoders/classifier_heads.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "encoders/tensor_names.h"
#include "kernels/pack.h"

namespace affectrt {
namespace {

// dense -> activation -> (norm ->) out, on the pooled row.
struct FamilyHead {
  std::string dense;
  Activation activation;
  std::string out;
  std::string norm;
  bool dense_has_bias = true;
  bool norm_has_bias = true;
};

FamilyHead family_head(const EncoderConfig& config, const std::string& prefix) {
  switch (config.family) {
    case EncoderFamily::kModernBert: {
      const ModernBertConfig& own = config.modernbert;
      return {"head.dense", own.head_activation, "classifier",
              "head.norm",  own.head_bias,       own.norm_bias};
    }
    case EncoderFamily::kBert:
      return {prefix + "pooler.dense", Activation::kTanh, "classifier", ""};
    case EncoderFamily::kElectra:
      return {"classifier.dense", Activation::kGelu, "classifier.out_proj", ""};
    case EncoderFamily::kDistilbert:
      return {"pre_classifier", Activation::kRelu, "classifier", ""};
    case EncoderFamily::kRoberta:
    case EncoderFamily::kMpnet:
      break;
  }
  return {"classifier.dense", Activation::kTanh, "classifier.out_proj", ""};
}

// Whether heads read what there is.
void check_readings(const EncoderConfig& config, const SafeTensors& weights,
                    const std::vector<Head>& heads) {
  for (const Head& head : heads) {
    const auto fail = [&](const std::string& what) {
      throw Error(ErrorKind::kModelFile, weights.origin() + ": head '" + head.name + "' " + what);
    };
    if (!config.has_own_heads && (head.layer || head.pooling)) {
      fail(
          "has a layer or a pooling of its own, but a classification checkpoint of this family has "
          "one head, on the last layer");
    }
    if (head.layer && static_cast<size_t>(*head.layer) > config.layers) {
      fail("reads behind layer " + std::to_string(*head.layer) + "; the encoder has " +
           std::to_string(config.layers));
    }
    if (head.pooling && reads_first_segment(*head.pooling) && !config.reads_types) {
      fail(std::string("has the pooling '") + pooling_name(*head.pooling) +
           "', but this family has no token types");
    }
  }
}

size_t deepest_layer(const EncoderConfig& config, const std::vector<Head>& heads) {
  size_t deepest = 0;
  for (const Head& head : heads) {
    deepest = std::max(deepest, head.layer ? static_cast<size_t>(*head.layer) : config.layers);
  }
  return deepest;
}

template <class T>
T* grow(AlignedBuffer<T>* buffer, size_t count) {
  if (buffer->size() < count) *buffer = AlignedBuffer<T>(count);
  return buffer->data();
}

}  // namespace

size_t ClassifierHeads::add_reading(const EncoderConfig& config, const SafeTensors& weights,
                                    size_t layer, std::optional<Pooling> pooling,
                                    const std::string& attention) {
  for (size_t i = 0; i < readings_.size(); ++i) {
    const Reading& known = readings_[i];
    if (known.layer == layer && known.pooling == pooling && known.attention == attention) return i;
  }
  Reading reading = {layer, attention, pooling, std::nullopt};
  if (pooling) reading.pooler.emplace(*pooling, weights, attention, config.hidden);
  readings_.push_back(std::move(reading));
  return readings_.size() - 1;
}

ClassifierHeads::ClassifierHeads(EncoderConfig* of, const SafeTensors& weights,
                                 const std::vector<Head>& heads)
    : hidden_(of->hidden), norm_eps_(of->norm_eps) {
  const Arithmetic integers = integer_arithmetic(weights);
  check_readings(*of, weights, heads);
  of->depth = deepest_layer(*of, heads);
  const EncoderConfig& config = *of;
  const auto model_attention = [](Pooling pooling) {
    return std::string(has_attention(pooling) ? "pooling" : "");
  };
  std::vector<std::string> names;
  for (const Head& head : heads) {
    const bool known = std::any_of(outputs_.begin(), outputs_.end(),
                                   [&](const Output& one) { return one.name == head.output; });
    if (known) continue;
    const size_t layer = head.layer ? static_cast<size_t>(*head.layer) : config.layers;
    std::optional<Pooling> pooling;
    std::string attention;
    if (!reads_tokens(head.task)) {
      pooling = head.pooling.value_or(config.pooling);
      attention = model_attention(*pooling);
      if (head.pooling && !attention.empty()) attention = "poolings." + head.name;
    }
    outputs_.push_back(
        {head.output, head.labels.size(), add_reading(config, weights, layer, pooling, attention)});
    names.push_back("heads." + head.name);
  }
  embedding_ =
      add_reading(config, weights, config.depth, config.pooling, model_attention(config.pooling));
  if (!config.has_own_heads) {
    if (outputs_.size() != 1) {
      throw Error(ErrorKind::kModelFile,
                  weights.origin() + ": the heads read " + std::to_string(outputs_.size()) +
                      " outputs, but a classification checkpoint of this family has one");
    }
    if (readings_[outputs_[0].reading].of_tokens()) {
      throw Error(ErrorKind::kModelFile, weights.origin() + ": the head reads tokens, but a " +
                                             "classification checkpoint of this family has a head "
                                             "on the pooled row");
    }
    const FamilyHead head = family_head(config, encoder_prefix(weights, config.family));
    dense_ =
        Linear(read_matrix(weights, head.dense, config.hidden, config.hidden, head.dense_has_bias),
               integers, weights);
    if (!head.norm.empty()) {
      norm_ = read_norm(weights, head.norm, config.hidden, head.norm_has_bias);
    }
    activation_ = head.activation;
    names = {head.out};
  }
  for (size_t i = 0; i < outputs_.size(); ++i) {
    heads_.emplace_back(read_matrix(weights, names[i], outputs_[i].width, config.hidden), integers,
                        weights);
  }
}

LayerInput ClassifierHeads::dense_rows(const Kernels& kernels, const LayerInput& input, size_t rows,
                                       Scratch* scratch) const {
  const size_t width = dense_.panels() * kPanelColumns;
  float* dense = grow(&scratch->dense, rows * width);
  dense_.quantize(kernels, input, 0, rows);
  dense_.multiply(kernels, input, rows, 0, dense_.panels(), dense, width, nullptr, Epilogue::kBias);
  kernels.activate(activation_, dense, rows * width);
  if (!norm_.gamma.empty()) {
    kernels.layer_norm(dense, width, rows, hidden_, norm_eps_, norm_.gamma.data(),
                       norm_.beta.data());
  }
  return {dense, width, input.codes, input.quant};
}

void ClassifierHeads::run(const Kernels& kernels, const float* x, size_t stride, size_t rows,
                          size_t reading, Scratch* scratch, float* const* logits) const {
  size_t code_bytes = dense_.panels() > 0 ? dense_.code_bytes() : 0;
  for (const Linear& head : heads_) code_bytes = std::max(code_bytes, head.code_bytes());
  LayerInput input = {x, stride, grow(&scratch->codes, rows * code_bytes),
                      grow(&scratch->quant, rows)};
  if (dense_.panels() > 0) input = dense_rows(kernels, input, rows, scratch);
  for (size_t i = 0; i < heads_.size(); ++i) {
    if (logits[i] == nullptr || outputs_[i].reading != reading) continue;
    const size_t width = heads_[i].panels() * kPanelColumns;
    float* padded = grow(&scratch->logits, rows * width);
    heads_[i].quantize(kernels, input, 0, rows);
    heads_[i].multiply(kernels, input, rows, 0, heads_[i].panels(), padded, width, nullptr,
                       Epilogue::kBias);
    for (size_t row = 0; row < rows; ++row) {
      std::copy_n(padded + row * width, outputs_[i].width, logits[i] + row * outputs_[i].width);
    }
  }
}

}  // namespace affectrt

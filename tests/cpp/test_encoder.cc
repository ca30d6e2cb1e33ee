// The encoder on small made-up weights: against a plain double-precision computation of the same
// network, on every instruction set, and on weights and rows that are wrong.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "encoder_checks.h"
#include "encoders/classifier_heads.h"
#include "encoders/text_encoder.h"
#include "kernels/dispatch.h"
#include "safetensors_image.h"

using namespace affectrt;

namespace {

constexpr size_t kHidden = 36;  // 3 heads of 12: neither fills vectors of 16
constexpr size_t kHeads = 3;
constexpr size_t kInner = 50;
constexpr size_t kLayers = 2;
constexpr size_t kVocabulary = 40;
constexpr size_t kPositions = 200;
constexpr size_t kLabels = 5;

using Matrix = std::vector<std::vector<double>>;

std::string config_json(const std::string& more = R"(,"affectrt":{"pooling":"mean"})") {
  return R"({"model_type":"bert","hidden_size":36,"num_attention_heads":3,"intermediate_size":50,)"
         R"("num_hidden_layers":2,"vocab_size":40,"max_position_embeddings":200,)"
         R"("type_vocab_size":2,"hidden_act":"gelu","layer_norm_eps":1e-12)" +
         more + "}";
}

SafetensorsImage float_weights() {
  std::mt19937 random(17);
  SafetensorsImage image;
  const auto matrix = [&](const std::string& name, size_t outputs, size_t inputs) {
    image.add_f32(name + ".weight", {outputs, inputs}, normals(&random, outputs * inputs, 0.2F));
    image.add_f32(name + ".bias", {outputs}, normals(&random, outputs, 0.1F));
  };
  const auto norm = [&](const std::string& name) {
    image.add_f32(name + ".weight", {kHidden}, normals(&random, kHidden, 0.1F, 1.0F));
    image.add_f32(name + ".bias", {kHidden}, normals(&random, kHidden, 0.1F));
  };
  const auto table = [&](const std::string& name, size_t rows) {
    image.add_f32("encoder.embeddings." + name + ".weight", {rows, kHidden},
                  normals(&random, rows * kHidden, 1.0F));
  };
  table("word_embeddings", kVocabulary);
  table("position_embeddings", kPositions);
  table("token_type_embeddings", 2);
  norm("encoder.embeddings.LayerNorm");
  for (size_t i = 0; i < kLayers; ++i) {
    const std::string layer = "encoder.encoder.layer." + std::to_string(i) + ".";
    for (const char* part : {"query", "key", "value"}) {
      matrix(layer + "attention.self." + part, kHidden, kHidden);
    }
    matrix(layer + "attention.output.dense", kHidden, kHidden);
    norm(layer + "attention.output.LayerNorm");
    matrix(layer + "intermediate.dense", kInner, kHidden);
    matrix(layer + "output.dense", kHidden, kInner);
    norm(layer + "output.LayerNorm");
  }
  matrix("heads.emotion", kLabels, kHidden);
  return image;
}

// The same weights with integer codes in the layers, and the word table as 8-bit rows. The floats
// are replaced by what the codes stand for, so that both files mean the same numbers.
SafetensorsImage int_weights(SafetensorsImage* floats, int max_code, const char* bits) {
  SafetensorsImage image = *floats;
  image.metadata = std::string(R"({"affectrt.activation_bits":")") + bits + "\"}";
  for (const auto& [name, item] : floats->items()) {
    const bool matrix = item.shape.size() == 2 && name.find(".layer.") != std::string::npos;
    const bool table = name.find("word_embeddings") != std::string::npos;
    if (!matrix && !table) continue;
    const size_t rows = item.shape[0];
    const size_t width = item.shape[1];
    std::vector<float> values(rows * width);
    std::memcpy(values.data(), item.bytes.data(), item.bytes.size());
    std::vector<int8_t> codes(values.size());
    std::vector<float> scales(rows);
    for (size_t row = 0; row < rows; ++row) {
      float most = 0.0F;
      for (size_t i = 0; i < width; ++i) most = std::max(most, std::fabs(values[row * width + i]));
      scales[row] = most / static_cast<float>(table ? 127 : max_code);
      for (size_t i = 0; i < width; ++i) {
        float& value = values[row * width + i];
        codes[row * width + i] = static_cast<int8_t>(std::lround(value / scales[row]));
        value = static_cast<float>(codes[row * width + i]) * scales[row];
      }
    }
    image.add_i8(name, item.shape, codes);
    image.add_f32(name + ".scale", {rows}, scales);
    floats->add_f32(name, item.shape, values);
  }
  return image;
}

struct Batch {
  std::vector<int32_t> ids;
  std::vector<int32_t> types;
  std::vector<int32_t> begin = {0};

  void add(size_t tokens, std::mt19937* random) {
    for (size_t i = 0; i < tokens; ++i) {
      ids.push_back(static_cast<int32_t>((*random)() % kVocabulary));
      types.push_back(static_cast<int32_t>((*random)() % 2));
    }
    begin.push_back(static_cast<int32_t>(ids.size()));
  }
  TokenRows rows() const { return {ids.data(), types.data(), begin.data(), begin.size() - 1}; }
  TokenRows row(size_t i) const { return {ids.data(), types.data(), begin.data() + i, 1}; }
};

Batch mixed_batch() {
  std::mt19937 random(3);
  Batch batch;
  for (const size_t tokens : {7U, 1U, 16U, 33U, 2U, 130U, 17U, 64U, 3U}) batch.add(tokens, &random);
  return batch;
}

// The network as the papers write it, in double.
class PlainBert {
 public:
  explicit PlainBert(const SafetensorsImage& image) : image_(image) {}

  std::vector<double> logits(const Batch& batch, size_t row, Pooling pooling) const {
    const auto begin = static_cast<size_t>(batch.begin[row]);
    const auto end = static_cast<size_t>(batch.begin[row + 1]);
    Matrix x;
    for (size_t i = begin; i < end; ++i) {
      std::vector<double> sum(kHidden, 0.0);
      add(&sum, "word_embeddings", static_cast<size_t>(batch.ids[i]));
      add(&sum, "token_type_embeddings", static_cast<size_t>(batch.types[i]));
      add(&sum, "position_embeddings", i - begin);
      x.push_back(sum);
    }
    normalise(&x, "encoder.embeddings.LayerNorm");
    for (size_t i = 0; i < kLayers; ++i) {
      const std::string layer = "encoder.encoder.layer." + std::to_string(i) + ".";
      x = plus(x, linear(attention(x, layer), layer + "attention.output.dense"));
      normalise(&x, layer + "attention.output.LayerNorm");
      Matrix inner = linear(x, layer + "intermediate.dense");
      for (auto& values : inner) {
        for (double& v : values) v *= 0.5 * std::erfc(-v / std::sqrt(2.0));
      }
      x = plus(x, linear(inner, layer + "output.dense"));
      normalise(&x, layer + "output.LayerNorm");
    }
    std::vector<double> pooled = x[0];
    if (pooling == Pooling::kMean) {
      for (size_t c = 0; c < kHidden; ++c) {
        for (size_t i = 1; i < x.size(); ++i) pooled[c] += x[i][c];
        pooled[c] /= static_cast<double>(x.size());
      }
    }
    return linear({pooled}, "heads.emotion")[0];
  }

 private:
  std::vector<float> values(const std::string& name) const {
    const SafetensorsImage::Item& item = image_.items().at(name);
    std::vector<float> floats(item.bytes.size() / sizeof(float));
    std::memcpy(floats.data(), item.bytes.data(), item.bytes.size());
    return floats;
  }
  void add(std::vector<double>* sum, const std::string& table, size_t row) const {
    const std::vector<float> all = values("encoder.embeddings." + table + ".weight");
    for (size_t c = 0; c < kHidden; ++c) (*sum)[c] += static_cast<double>(all[row * kHidden + c]);
  }
  Matrix linear(const Matrix& x, const std::string& name) const {
    const std::vector<float> weight = values(name + ".weight");
    const std::vector<float> bias = values(name + ".bias");
    Matrix y;
    for (const auto& row : x) {
      std::vector<double> out(bias.begin(), bias.end());
      for (size_t o = 0; o < out.size(); ++o) {
        for (size_t i = 0; i < row.size(); ++i) {
          out[o] += row[i] * static_cast<double>(weight[o * row.size() + i]);
        }
      }
      y.push_back(out);
    }
    return y;
  }
  static Matrix plus(Matrix x, const Matrix& y) {
    for (size_t i = 0; i < x.size(); ++i) {
      for (size_t c = 0; c < x[i].size(); ++c) x[i][c] += y[i][c];
    }
    return x;
  }
  void normalise(Matrix* x, const std::string& name) const {
    const std::vector<float> gamma = values(name + ".weight");
    const std::vector<float> beta = values(name + ".bias");
    for (auto& row : *x) {
      double mean = 0.0;
      double variance = 0.0;
      for (const double v : row) mean += v / static_cast<double>(row.size());
      for (const double v : row)
        variance += (v - mean) * (v - mean) / static_cast<double>(row.size());
      for (size_t c = 0; c < row.size(); ++c) {
        row[c] = (row[c] - mean) / std::sqrt(variance + 1e-12) * static_cast<double>(gamma[c]) +
                 static_cast<double>(beta[c]);
      }
    }
  }
  Matrix attention(const Matrix& x, const std::string& layer) const {
    const Matrix q = linear(x, layer + "attention.self.query");
    const Matrix k = linear(x, layer + "attention.self.key");
    const Matrix v = linear(x, layer + "attention.self.value");
    const size_t width = kHidden / kHeads;
    Matrix out(x.size(), std::vector<double>(kHidden, 0.0));
    for (size_t head = 0; head < kHeads; ++head) {
      for (size_t i = 0; i < x.size(); ++i) {
        std::vector<double> weight(x.size(), 0.0);
        double total = 0.0;
        for (size_t j = 0; j < x.size(); ++j) {
          for (size_t c = head * width; c < (head + 1) * width; ++c) weight[j] += q[i][c] * k[j][c];
          weight[j] = std::exp(weight[j] / std::sqrt(static_cast<double>(width)));
          total += weight[j];
        }
        for (size_t j = 0; j < x.size(); ++j) {
          for (size_t c = head * width; c < (head + 1) * width; ++c) {
            out[i][c] += weight[j] / total * v[j][c];
          }
        }
      }
    }
    return out;
  }

  const SafetensorsImage& image_;
};

// What the native backend does with one chunk.
class Model {
 public:
  Model(SafetensorsImage* image, const Kernels& kernels, const std::string& config = config_json())
      : kernels_(kernels),
        config_(parse_encoder_config(config, "config.json")),
        weights_(SafeTensors::parse(image->build(), "w.safetensors")),
        heads_(&config_, weights_, heads()),
        encoder_(make_text_encoder(config_, weights_, kernels)) {}

  std::vector<float> run(const TokenRows& rows, int threads) {
    encoder_->check(rows);
    ThreadPool pool(threads);
    std::vector<Workspace> spaces(static_cast<size_t>(threads));
    for (size_t i = 0; i < spaces.size(); ++i) encoder_->prepare(rows, i == 0, &spaces[i]);
    OneReading reading(kernels_, heads_.readings()[0], rows, encoder_->stride());
    pool.run(threads, [&](Team& team) {
      encoder_->forward(rows, team, &spaces[0], &spaces[static_cast<size_t>(team.rank())],
                        &reading);
    });
    std::vector<float> logits(rows.rows * kLabels);
    float* const outputs[] = {logits.data()};
    ClassifierHeads::Scratch scratch;
    heads_.run(kernels_, reading.pooled.data(), encoder_->stride(), rows.rows, 0, &scratch,
               outputs);
    return logits;
  }

  static std::vector<Head> heads() {
    Head head;
    head.name = "emotion";
    head.output = "emotion";
    head.labels.assign(kLabels, "label");
    return {head};
  }

 private:
  const Kernels& kernels_;
  EncoderConfig config_;
  SafeTensors weights_;
  ClassifierHeads heads_;
  std::unique_ptr<TextEncoder> encoder_;
};

double largest_difference(Model* model, const PlainBert& plain, Pooling pooling) {
  const Batch batch = mixed_batch();
  const std::vector<float> actual = model->run(batch.rows(), 1);
  double worst = 0.0;
  for (size_t row = 0; row < batch.rows().rows; ++row) {
    const std::vector<double> expected = plain.logits(batch, row, pooling);
    for (size_t i = 0; i < kLabels; ++i) {
      worst =
          std::max(worst, std::fabs(static_cast<double>(actual[row * kLabels + i]) - expected[i]));
    }
  }
  return worst;
}

constexpr const char* kUp = "encoder.encoder.layer.1.intermediate.dense";

}  // namespace

TEST_CASE("logits are those of the plain computation, in each arithmetic") {
  // Bounds on the logits (of size 1) of the largest difference: rounding in float; 8-bit and 16-bit
  // activations on the same weights.
  for (const Kernels* kernels : available_kernels()) {
    CAPTURE(std::string(kernels->isa));
    SafetensorsImage floats = float_weights();
    Model model(&floats, *kernels);
    CHECK(largest_difference(&model, PlainBert(floats), Pooling::kMean) < 5e-6);
    Model first(&floats, *kernels, config_json(R"(,"affectrt":{"pooling":"cls"})"));
    CHECK(largest_difference(&first, PlainBert(floats), Pooling::kFirstToken) < 5e-6);
    SafetensorsImage codes = int_weights(&floats, 63, "8");
    Model int8(&codes, *kernels);
    CHECK(largest_difference(&int8, PlainBert(floats), Pooling::kMean) < 5e-2);
    SafetensorsImage wide = int_weights(&floats, 127, "16");
    Model int16(&wide, *kernels);
    CHECK(largest_difference(&int16, PlainBert(floats), Pooling::kMean) < 3e-4);
  }
}

TEST_CASE("some matrices may have 16-bit activations, others 8, others be float") {
  const std::string layer = "encoder.encoder.layer.0.";
  const std::string words = " 16:" + layer + "output.dense 16:" + layer + "attention.self.query" +
                            " 16:" + layer + "attention.self.key 16:" + layer +
                            "attention.self.value";
  for (const Kernels* kernels : available_kernels()) {
    CAPTURE(std::string(kernels->isa));
    SafetensorsImage floats = float_weights();
    SafetensorsImage narrow = int_weights(&floats, 63, "8");
    SafetensorsImage mixed = narrow;
    mixed.metadata = R"({"affectrt.activation_bits":"8)" + words + "\"}";
    Model all(&narrow, *kernels);
    Model some(&mixed, *kernels);
    // The weights are the same, so that less rounding is all that differs.
    const PlainBert plain(floats);
    CHECK(largest_difference(&some, plain, Pooling::kMean) !=
          largest_difference(&all, plain, Pooling::kMean));
    CHECK(largest_difference(&some, plain, Pooling::kMean) < 5e-2);
    const Batch batch = mixed_batch();
    CHECK(some.run(batch.rows(), 3) == some.run(batch.rows(), 1));
  }
}

TEST_CASE("a row's bits do not depend on its neighbours or on the threads") {
  const Batch batch = mixed_batch();
  for (const Kernels* kernels : available_kernels()) {
    for (const char* pooling : {"mean", "cls"}) {
      CAPTURE(std::string(kernels->isa));
      CAPTURE(pooling);
      SafetensorsImage floats = float_weights();
      SafetensorsImage codes = int_weights(&floats, 63, "8");
      SafetensorsImage wide = int_weights(&floats, 127, "16");
      for (SafetensorsImage* image : {&floats, &codes, &wide}) {
        Model model(image, *kernels,
                    config_json(std::string(R"(,"affectrt":{"pooling":")") + pooling + "\"}"));
        const std::vector<float> together = model.run(batch.rows(), 1);
        for (const int threads : {2, 3, 8}) CHECK(model.run(batch.rows(), threads) == together);
        std::vector<float> alone;
        for (size_t row = 0; row < batch.rows().rows; ++row) {
          for (const float logit : model.run(batch.row(row), row % 2 == 0 ? 1 : 2)) {
            alone.push_back(logit);
          }
        }
        CHECK(alone == together);
      }
    }
  }
}

TEST_CASE("weights that are missing, of another shape, or broken are named") {
  const Kernels& kernels = select_kernels();
  const auto refused = [&](SafetensorsImage image) {
    return refusal(ErrorKind::kModelFile, [&] { Model model(&image, kernels); });
  };
  const std::string up = std::string(kUp) + ".weight";
  SafetensorsImage missing = float_weights();
  missing.remove(up);
  CHECK(mentions(refused(missing), "no tensor '" + up + "'; F32 [50, 36] is expected"));

  SafetensorsImage turned = float_weights();
  turned.at(up).shape = {36, 50};
  CHECK(mentions(refused(turned), up + "' is F32 [36, 50]; F32 [50, 36] is expected"));

  const float bad[] = {std::numeric_limits<float>::quiet_NaN(),
                       std::numeric_limits<float>::infinity()};
  for (const std::string& name :
       {up, std::string(kUp) + ".bias", std::string("encoder.embeddings.word_embeddings.weight"),
        std::string("encoder.embeddings.LayerNorm.bias"), std::string("heads.emotion.weight")}) {
    for (const float value : bad) {
      SafetensorsImage broken = float_weights();
      std::memcpy(broken.at(name).bytes.data() + 20, &value, sizeof value);
      CAPTURE(name);
      CHECK(mentions(refused(broken), "'" + name + "' has NaN"));
    }
  }

  SafetensorsImage floats = float_weights();
  const SafetensorsImage codes = int_weights(&floats, 63, "8");
  for (const float scale : {0.0F, -1.0F, bad[0], bad[1]}) {
    for (const std::string& name :
         {up + ".scale", std::string("encoder.embeddings.word_embeddings.weight.scale")}) {
      SafetensorsImage broken = codes;
      std::memcpy(broken.at(name).bytes.data() + 8, &scale, sizeof scale);
      CHECK(mentions(refused(broken), "'" + name + "'"));
    }
  }
  SafetensorsImage saturating = codes;
  saturating.at(up).bytes[7] = 100;
  CHECK(mentions(refused(saturating), "codes beyond +-63"));
  SafetensorsImage bits = codes;
  bits.metadata = R"({"affectrt.activation_bits":"4"})";
  CHECK(mentions(refused(bits), "activation_bits"));
  for (const char* words : {"8 16:nowhere", "8 16:heads.emotion", "8 8:x", "8 ", "8  16:x", " 8",
                            "16 16:encoder.encoder.layer.0.output.dense"}) {
    bits.metadata = std::string(R"({"affectrt.activation_bits":")") + words + "\"}";
    CHECK(mentions(refused(bits), "words '16:NAME'"));
  }
  bits.metadata =
      R"({"affectrt.activation_bits":"8 16:encoder.encoder.layer.0.attention.self.key"})";
  CHECK(mentions(refusal(ErrorKind::kUnsupported, [&] { Model model(&bits, kernels); }),
                 "as many bits of the activations"));
  SafetensorsImage two = float_weights();
  two.add_f32("other.embeddings.word_embeddings.weight", {1}, {1.0F});
  CHECK(mentions(refused(two), "one encoder is expected"));
  SafetensorsImage none;
  none.add_f32("heads.emotion.weight", {kLabels, kHidden},
               std::vector<float>(kLabels * kHidden, 0.1F));
  none.add_f32("heads.emotion.bias", {kLabels}, std::vector<float>(kLabels, 0.1F));
  CHECK(mentions(refused(none), "weights of an encoder"));

  SafetensorsImage mixed = codes;
  const std::string query = "encoder.encoder.layer.0.attention.self.query.weight";
  mixed.add_f32(query, {kHidden, kHidden}, std::vector<float>(kHidden * kHidden, 0.1F));
  CHECK(mentions(refusal(ErrorKind::kUnsupported, [&] { Model model(&mixed, kernels); }),
                 "multiplied as one matrix"));
}

TEST_CASE("rows that the model has no room for are refused") {
  SafetensorsImage image = float_weights();
  Model model(&image, select_kernels());
  std::mt19937 random(1);
  const auto refused = [&](const Batch& batch) {
    return refusal(ErrorKind::kInput, [&] { model.run(batch.rows(), 1); });
  };
  Batch longest;
  longest.add(kPositions, &random);
  CHECK(refused(longest).empty());
  Batch too_long;
  too_long.add(3, &random);
  too_long.add(kPositions + 1, &random);
  CHECK(mentions(refused(too_long), "row 1 has 201 tokens; 1 to 200"));
  Batch empty;
  empty.add(0, &random);
  CHECK(mentions(refused(empty), "row 0 has 0 tokens"));
  for (const int32_t id : {-1, 40, INT32_MAX, INT32_MIN}) {
    Batch unknown;
    unknown.add(4, &random);
    unknown.ids[2] = id;
    CHECK(mentions(refused(unknown), "token id"));
  }
  Batch type;
  type.add(4, &random);
  type.types[1] = 2;
  CHECK(mentions(refused(type), "token type 2"));
}

TEST_CASE("numbers that overflow stay visible") {
  SafetensorsImage floats = float_weights();
  const std::string norm = "encoder.encoder.layer.0.output.LayerNorm.weight";
  floats.add_f32(norm, {kHidden}, std::vector<float>(kHidden, 3e38F));
  for (const Kernels* kernels : available_kernels()) {
    CAPTURE(std::string(kernels->isa));
    SafetensorsImage copy = floats;
    SafetensorsImage codes = int_weights(&copy, 63, "8");
    Model model(&codes, *kernels);
    const Batch batch = mixed_batch();
    for (const float logit : model.run(batch.row(3), 1)) CHECK_FALSE(std::isfinite(logit));
  }
}

TEST_CASE("configs") {
  const auto refused = [](ErrorKind kind, const std::string& json) {
    return refusal(kind, [&] { parse_encoder_config(json, "config.json"); });
  };
  CHECK(refused(ErrorKind::kModelFile, config_json()).empty());
  const std::pair<const char*, const char*> unsupported[] = {
      {R"("hidden_act":"gelu")", R"("hidden_act":"swish")"},
      {R"("model_type":"bert")", R"("model_type":"bart")"},
      {R"("type_vocab_size":2)", R"("position_embedding_type":"relative_key")"},
      {R"("type_vocab_size":2)", R"("is_decoder":true)"},
      {R"("pooling":"mean")", R"("pooling":"max")"},
  };
  const std::pair<const char*, const char*> damaged[] = {
      {R"("hidden_size":36)", R"("hidden_size":0)"},
      {R"("hidden_size":36)", R"("hidden_size":37)"},
      {R"("hidden_size":36)", R"("hidden_size":"36")"},
      {R"("hidden_size":36,)", ""},
      {R"("vocab_size":40)", R"("vocab_size":99999999999)"},
      {R"("layer_norm_eps":1e-12)", R"("layer_norm_eps":-1)"},
      {R"("layer_norm_eps":1e-12)", R"("layer_norm_eps":1e-12,"layer_norm_eps":1)"},
  };
  const auto swapped = [](const char* from, const char* to) {
    std::string json = config_json();
    return json.replace(json.find(from), std::strlen(from), to);
  };
  for (const auto& [from, to] : unsupported) {
    CAPTURE(to);
    CHECK_FALSE(refused(ErrorKind::kUnsupported, swapped(from, to)).empty());
  }
  for (const auto& [from, to] : damaged) {
    CAPTURE(to);
    CHECK_FALSE(refused(ErrorKind::kModelFile, swapped(from, to)).empty());
  }
  const std::string roberta =
      swapped(R"("model_type":"bert")", R"("model_type":"roberta","pad_token_id":1)");
  CHECK(parse_encoder_config(roberta, "config.json").max_tokens() == 198);
}

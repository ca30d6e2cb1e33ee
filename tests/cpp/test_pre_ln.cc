// The parts that ModernBERT and Whisper's encoder add, each against a plain computation in double,
// and their promise that a row's bits depend on that row alone. What whole checkpoints compute is
// compared with torch in tests/test_native_pre_ln.py.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "encoder_checks.h"
#include "encoders/attention.h"
#include "encoders/classifier_heads.h"
#include "encoders/text_encoder.h"
#include "encoders/whisper_encoder.h"
#include "kernels/dispatch.h"
#include "safetensors_image.h"

using namespace affectrt;

namespace {

struct Weights {
  std::mt19937 random{23};
  SafetensorsImage image;

  void matrix(const std::string& name, const std::vector<size_t>& shape, bool bias) {
    size_t count = 1;
    for (const size_t size : shape) count *= size;
    image.add_f32(name + ".weight", shape, normals(&random, count, 0.2F));
    if (bias) image.add_f32(name + ".bias", {shape[0]}, normals(&random, shape[0], 0.1F));
  }
  void norm(const std::string& name, size_t width, bool bias) {
    image.add_f32(name + ".weight", {width}, normals(&random, width, 0.1F, 1.0F));
    if (bias) image.add_f32(name + ".bias", {width}, normals(&random, width, 0.1F));
  }
  void table(const std::string& name, size_t rows, size_t width) {
    image.add_f32(name, {rows, width}, normals(&random, rows * width, 1.0F));
  }
};

// The same with 7-bit codes wherever a name has `part`.
SafetensorsImage with_codes(const SafetensorsImage& floats, const std::string& part) {
  SafetensorsImage image = floats;
  image.metadata = R"({"affectrt.activation_bits":"8"})";
  for (const auto& [name, item] : floats.items()) {
    if (item.shape.size() < 2 || name.find(part) == std::string::npos) continue;
    const size_t rows = item.shape[0];
    std::vector<float> values(item.bytes.size() / sizeof(float));
    std::memcpy(values.data(), item.bytes.data(), item.bytes.size());
    const size_t width = values.size() / rows;
    std::vector<int8_t> codes(values.size());
    for (size_t i = 0; i < values.size(); ++i) {
      codes[i] = static_cast<int8_t>(std::lround(std::clamp(values[i], -0.63F, 0.63F) * 100.0F));
    }
    REQUIRE(width > 1);
    image.add_i8(name, item.shape, codes);
    image.add_f32(name + ".scale", {rows}, std::vector<float>(rows, 0.01F));
  }
  return image;
}

// ---------------------------------------------------------------------------------- ModernBERT

constexpr size_t kHidden = 36;  // 3 heads of 12, whose halves of 6 fill no vector
constexpr size_t kInner = 22;
constexpr size_t kVocabulary = 40;

const char* const kModernBert =
    R"({"model_type":"modernbert","hidden_size":36,"num_attention_heads":3,)"
    R"("intermediate_size":22,"num_hidden_layers":4,"vocab_size":40,)"
    R"("max_position_embeddings":300,"local_attention":20,"mlp_bias":true,)"
    R"("classifier_pooling":"mean"})";

SafetensorsImage modernbert_weights() {
  Weights weights;
  weights.table("model.embeddings.tok_embeddings.weight", kVocabulary, kHidden);
  weights.norm("model.embeddings.norm", kHidden, false);
  for (size_t i = 0; i < 4; ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    if (i > 0) weights.norm(layer + "attn_norm", kHidden, false);
    weights.matrix(layer + "attn.Wqkv", {3 * kHidden, kHidden}, false);
    weights.matrix(layer + "attn.Wo", {kHidden, kHidden}, false);
    weights.norm(layer + "mlp_norm", kHidden, false);
    weights.matrix(layer + "mlp.Wi", {2 * kInner, kHidden}, true);
    weights.matrix(layer + "mlp.Wo", {kHidden, kInner}, true);
  }
  weights.norm("model.final_norm", kHidden, false);
  weights.matrix("head.dense", {kHidden, kHidden}, false);
  weights.norm("head.norm", kHidden, false);
  weights.matrix("classifier", {3, kHidden}, true);
  return weights.image;
}

std::string with(std::string json, const std::string& from, const std::string& to) {
  REQUIRE(mentions(json, from));
  return json.replace(json.find(from), from.size(), to);
}

// What the native backend does with one chunk.
class TextModel {
 public:
  TextModel(SafetensorsImage* image, const std::string& json, const Kernels& kernels)
      : kernels_(kernels),
        config_(parse_encoder_config(json, "config.json")),
        weights_(SafeTensors::parse(image->build(), "w.safetensors")),
        heads_(&config_, weights_, {three_labels()}),
        encoder_(make_text_encoder(config_, weights_, kernels)) {}

  std::vector<float> run(const TokenRows& rows, int threads) const {
    encoder_->check(rows);
    ThreadPool pool(threads);
    std::vector<Workspace> spaces(static_cast<size_t>(threads));
    for (size_t i = 0; i < spaces.size(); ++i) encoder_->prepare(rows, i == 0, &spaces[i]);
    OneReading reading(kernels_, heads_.readings()[0], rows, encoder_->stride());
    pool.run(threads, [&](Team& team) {
      encoder_->forward(rows, team, &spaces[0], &spaces[static_cast<size_t>(team.rank())],
                        &reading);
    });
    std::vector<float> logits(rows.rows * 3);
    float* const outputs[] = {logits.data()};
    ClassifierHeads::Scratch scratch;
    heads_.run(kernels_, reading.pooled.data(), encoder_->stride(), rows.rows, 0, &scratch,
               outputs);
    return logits;
  }

 private:
  static Head three_labels() {
    Head head;
    head.labels.assign(3, "label");
    return head;
  }

  const Kernels& kernels_;
  EncoderConfig config_;
  SafeTensors weights_;
  ClassifierHeads heads_;
  std::unique_ptr<TextEncoder> encoder_;
};

// ------------------------------------------------------------------------------------- Whisper

constexpr size_t kMels = 10;

WhisperConfig whisper_config(size_t layers) {
  WhisperConfig config;
  config.hidden = kHidden;
  config.layers = layers;
  config.heads = 3;
  config.intermediate = kInner;
  config.mels = kMels;
  config.positions = 140;
  return config;
}

SafetensorsImage whisper_weights(size_t layers) {
  Weights weights;
  weights.matrix("conv1", {kHidden, kMels, 3}, true);
  weights.matrix("conv2", {kHidden, kHidden, 3}, true);
  weights.table("embed_positions.weight", 140, kHidden);
  for (size_t i = 0; i < layers; ++i) {
    const std::string layer = "layers." + std::to_string(i) + ".";
    weights.norm(layer + "self_attn_layer_norm", kHidden, true);
    for (const char* part : {"q_proj", "k_proj", "v_proj", "out_proj"}) {
      weights.matrix(layer + "self_attn." + part, {kHidden, kHidden}, part[0] != 'k');
    }
    weights.norm(layer + "final_layer_norm", kHidden, true);
    weights.matrix(layer + "fc1", {kInner, kHidden}, true);
    weights.matrix(layer + "fc2", {kHidden, kInner}, true);
  }
  weights.norm("layer_norm", kHidden, true);
  return weights.image;
}

struct Clips {
  std::vector<std::vector<float>> features;
  std::vector<const float*> pointers;
  std::vector<int32_t> frames;
  std::vector<int32_t> token_begin = {0};

  explicit Clips(const std::vector<int32_t>& lengths) : frames(lengths) {
    std::mt19937 random(5);
    for (const int32_t length : lengths) {
      features.push_back(normals(&random, static_cast<size_t>(length) * kMels, 1.0F));
      token_begin.push_back(token_begin.back() + WhisperEncoder::tokens(length));
    }
    for (const auto& one : features) pointers.push_back(one.data());
  }
  ClipRows rows(size_t begin, size_t end) const {
    return {pointers.data() + begin, frames.data() + begin, token_begin.data() + begin,
            end - begin};
  }
};

// [tokens, kHidden]
std::vector<float> run_clips(const WhisperEncoder& encoder, const ClipRows& clips, int threads) {
  encoder.check(clips);
  ThreadPool pool(threads);
  std::vector<Workspace> spaces(static_cast<size_t>(threads));
  for (size_t i = 0; i < spaces.size(); ++i) encoder.prepare(clips, i == 0, &spaces[i]);
  const float* states = nullptr;
  pool.run(threads, [&](Team& team) {
    const float* result =
        encoder.forward(clips, team, &spaces[0], &spaces[static_cast<size_t>(team.rank())]);
    if (team.rank() == 0) states = result;
  });
  std::vector<float> rows;
  for (size_t token = 0; token < clips.spans().tokens(); ++token) {
    rows.insert(rows.end(), states + token * encoder.stride(),
                states + token * encoder.stride() + kHidden);
  }
  return rows;
}

std::vector<double> doubles(const SafetensorsImage& image, const std::string& name) {
  const SafetensorsImage::Item& item = image.items().at(name);
  std::vector<float> values(item.bytes.size() / sizeof(float));
  std::memcpy(values.data(), item.bytes.data(), item.bytes.size());
  return {values.begin(), values.end()};
}

using Matrix = std::vector<std::vector<double>>;

Matrix convolve(const SafetensorsImage& image, const std::string& name, const Matrix& x,
                size_t stride) {
  const std::vector<double> weight = doubles(image, name + ".weight");
  const std::vector<double> bias = doubles(image, name + ".bias");
  const size_t channels = x[0].size();
  Matrix y;
  for (size_t center = 0; center < x.size(); center += stride) {
    std::vector<double> row(bias);
    for (size_t o = 0; o < row.size(); ++o) {
      for (size_t tap = 0; tap < 3; ++tap) {
        if (center + tap < 1 || center + tap > x.size()) continue;
        for (size_t c = 0; c < channels; ++c) {
          row[o] += weight[(o * channels + c) * 3 + tap] * x[center + tap - 1][c];
        }
      }
      row[o] *= 0.5 * std::erfc(-row[o] / std::sqrt(2.0));
    }
    y.push_back(row);
  }
  return y;
}

}  // namespace

TEST_CASE("attention with windows and rotary positions") {
  constexpr size_t kHeads = 3;
  constexpr size_t kWidth = 12;
  const HeadLayout layout(kHeads, kWidth, true);
  CHECK(layout.stride == 32);
  std::mt19937 random(9);
  const std::vector<int32_t> begin = {5, 6, 22, 39, 40, 163};
  const RowSpans rows = {begin.data(), begin.size() - 1};
  // As make_qkv() lays them out: halves of queries and keys apart, values together.
  const std::vector<float> plain = normals(&random, rows.tokens() * 3 * kHeads * kWidth, 1.5F);
  const auto at = [&](size_t token, size_t part, size_t head, size_t column) {
    return plain[((token * 3 + part) * kHeads + head) * kWidth + column];
  };
  std::vector<float> qkv(rows.tokens() * 3 * layout.row(), 0.0F);
  for (size_t token = 0; token < rows.tokens(); ++token) {
    for (size_t part = 0; part < 3; ++part) {
      for (size_t head = 0; head < kHeads; ++head) {
        for (size_t i = 0; i < kWidth; ++i) {
          const size_t place = part == 2 || i < 6 ? i : 16 + i - 6;
          qkv[(token * 3 + part) * layout.row() + head * layout.stride + place] =
              at(token, part, head, i);
        }
      }
    }
  }
  const Rotary rotary(130, kWidth, 1000.0);
  for (const size_t reach : {0U, 1U, 10U, 64U, 300U}) {
    std::vector<double> expected(rows.tokens() * kHeads * kWidth, 0.0);
    for (size_t row = 0; row < rows.rows; ++row) {
      const size_t first = rows.first(row);
      const size_t length = rows.length(row);
      for (size_t task = 0; task < kHeads * length; ++task) {
        const size_t head = task % kHeads;
        const size_t i = task / kHeads;
        const size_t from = i > reach ? i - reach : 0;
        const size_t to = std::min(length, i + reach + 1);
        std::vector<double> weights;
        double total = 0.0;
        for (size_t j = from; j < to; ++j) {
          double score = 0.0;
          for (size_t c = 0; c < 6; ++c) {
            // Only the distance of two positions counts.
            const double angle = (static_cast<double>(j) - static_cast<double>(i)) *
                                 std::pow(1000.0, -static_cast<double>(c) / 6.0);
            const auto q = [&](size_t column) { return double{at(first + i, 0, head, column)}; };
            const auto k = [&](size_t column) { return double{at(first + j, 1, head, column)}; };
            score += std::cos(angle) * (q(c) * k(c) + q(c + 6) * k(c + 6)) +
                     std::sin(angle) * (q(c + 6) * k(c) - q(c) * k(c + 6));
          }
          weights.push_back(std::exp(score / std::sqrt(12.0)));
          total += weights.back();
        }
        for (size_t j = from; j < to; ++j) {
          for (size_t c = 0; c < kWidth; ++c) {
            expected[((first + i) * kHeads + head) * kWidth + c] +=
                weights[j - from] / total * double{at(first + j, 2, head, c)};
          }
        }
      }
    }
    const AttentionWindow window(reach);
    for (const Kernels* kernels : available_kernels()) {
      std::vector<float> turned = qkv;
      // Of each row the queries of its first tokens: one, all, or some.
      std::vector<float> queries;
      std::vector<int32_t> kept_begin = {0};
      for (size_t row = 0; row < rows.rows; ++row) {
        for (size_t i = 0; i < rows.length(row); ++i) {
          float* token = turned.data() + (rows.first(row) + i) * 3 * layout.row();
          rotary.turn(*kernels, i, 2 * kHeads, token);
          if (i <= row * 13) queries.insert(queries.end(), token, token + layout.row());
        }
        kept_begin.push_back(static_cast<int32_t>(queries.size() / layout.row()));
      }
      const RowSpans kept = {kept_begin.data(), rows.rows};
      Room room;
      add_attention_room(layout, rows, true, kept, &room);
      Workspace space;
      space.make(room);
      Team alone;
      const Attention attention = {layout, {}, &window};
      for (const bool integers : {false, true}) {
        std::vector<float> context(rows.tokens() * layout.row(), -1.0F);
        attention.run(*kernels, rows, turned.data(), {}, integers, context.data(), alone, &space);
        std::vector<float> kept_context(kept.tokens() * layout.row(), -1.0F);
        attention.run(*kernels, rows, turned.data(), {queries.data(), kept}, integers,
                      kept_context.data(), alone, &space);
        double worst = 0.0;
        const auto compare = [&](const float* actual, size_t token) {
          for (size_t i = 0; i < kHeads * kWidth; ++i) {
            const float value = actual[i / kWidth * layout.stride + i % kWidth];
            worst =
                std::max(worst, std::fabs(double{value} - expected[token * kHeads * kWidth + i]));
          }
        };
        for (size_t token = 0; token < rows.tokens(); ++token) {
          compare(context.data() + token * layout.row(), token);
        }
        for (size_t row = 0; row < rows.rows; ++row) {
          for (size_t i = 0; i < kept.length(row); ++i) {
            const size_t token = rows.first(row) + i;
            compare(kept_context.data() + (kept.first(row) + i) * layout.row(), token);
            CHECK(std::equal(context.data() + token * layout.row(),
                             context.data() + (token + 1) * layout.row(),
                             kept_context.data() + (kept.first(row) + i) * layout.row()));
          }
        }
        CAPTURE(reach);
        CAPTURE(std::string(kernels->isa));
        CAPTURE(integers);
        CHECK(worst < (integers ? 4e-3 : 2e-5));
      }
    }
  }
}

TEST_CASE("ModernBERT: a row's bits do not depend on its neighbours or on the threads") {
  std::mt19937 random(3);
  std::vector<int32_t> ids;
  std::vector<int32_t> begin = {0};
  for (const size_t tokens : {7U, 1U, 33U, 2U, 110U, 11U, 12U}) {
    for (size_t i = 0; i < tokens; ++i) ids.push_back(static_cast<int32_t>(random() % kVocabulary));
    begin.push_back(static_cast<int32_t>(ids.size()));
  }
  const TokenRows all = {ids.data(), nullptr, begin.data(), begin.size() - 1};
  SafetensorsImage floats = modernbert_weights();
  SafetensorsImage codes = with_codes(floats, "layers.");
  for (const Kernels* kernels : available_kernels()) {
    for (const char* pooling : {"mean", "cls"}) {
      const std::string json = with(kModernBert, R"("mean")", "\"" + std::string(pooling) + "\"");
      for (SafetensorsImage* image : {&floats, &codes}) {
        CAPTURE(std::string(kernels->isa));
        CAPTURE(pooling);
        const TextModel model(image, json, *kernels);
        const std::vector<float> together = model.run(all, 1);
        CHECK(std::all_of(together.begin(), together.end(),
                          [](float x) { return std::isfinite(x) && x != 0.0F; }));
        CHECK(model.run(all, 3) == together);
        std::vector<float> alone;
        for (size_t row = 0; row < all.rows; ++row) {
          const TokenRows one = {ids.data(), nullptr, begin.data() + row, 1};
          for (const float x : model.run(one, row % 3 == 0 ? 2 : 1)) alone.push_back(x);
        }
        CHECK(alone == together);
      }
    }
  }
}

TEST_CASE("ModernBERT: what is wrong is named") {
  const int32_t ids[] = {1, 2, 3};
  const int32_t begin[] = {0, 3};
  const TokenRows rows = {ids, nullptr, begin, 1};
  const auto refused = [&](ErrorKind kind, SafetensorsImage image, const std::string& json) {
    return refusal(kind, [&] { TextModel(&image, json, select_kernels()).run(rows, 1); });
  };
  const SafetensorsImage whole = modernbert_weights();
  CHECK(refused(ErrorKind::kModelFile, whole, kModernBert).empty());
  for (const char* name : {"model.layers.2.attn.Wqkv.weight", "model.layers.1.attn_norm.weight",
                           "model.layers.3.mlp.Wi.bias", "head.norm.weight"}) {
    SafetensorsImage missing = whole;
    missing.remove(name);
    CHECK(mentions(refused(ErrorKind::kModelFile, missing, kModernBert), name));
  }
  SafetensorsImage broken = whole;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(broken.at("model.layers.0.mlp.Wi.weight").bytes.data(), &nan, sizeof nan);
  CHECK(mentions(refused(ErrorKind::kModelFile, broken, kModernBert), "NaN"));
  const std::string biased = with(kModernBert, R"("mlp_bias")", R"("attention_bias":true,"x")");
  CHECK(mentions(refused(ErrorKind::kModelFile, whole, biased), "Wqkv.bias"));

  const auto config = [&](ErrorKind kind, const std::string& from, const std::string& to) {
    return refused(kind, whole, with(kModernBert, from, to));
  };
  const std::string more = R"("mlp_bias")";
  CHECK(mentions(config(ErrorKind::kModelFile, R"(_heads":3)", R"(_heads":4)"), "a head has 9"));
  CHECK(mentions(config(ErrorKind::kModelFile, R"(embeddings":300)", R"(embeddings":70000)"),
                 "max_position_embeddings"));
  CHECK(mentions(config(ErrorKind::kModelFile, more, R"("layer_types":["full_attention"],"x")"),
                 "layer_types"));
  CHECK(mentions(config(ErrorKind::kUnsupported, more,
                        R"("rope_parameters":{"full_attention":{"rope_type":"yarn"}},"x")"),
                 "rope_type"));
  CHECK(mentions(config(ErrorKind::kUnsupported, more, R"("rope_scaling":{"factor":2},"x")"),
                 "rope_scaling"));
  CHECK(mentions(config(ErrorKind::kUnsupported, R"("mean")", R"("max")"), "classifier_pooling"));
}

TEST_CASE("ModernBERT: older and newer configs say the same") {
  const EncoderConfig usual = parse_encoder_config(kModernBert, "config.json");
  CHECK(usual.modernbert.is_local == std::vector<bool>{false, true, true, false});
  CHECK(usual.modernbert.global_theta == 160000.0);
  CHECK(usual.modernbert.reach == 10);
  CHECK(usual.max_tokens() == 300);
  const EncoderConfig older = parse_encoder_config(
      with(kModernBert, R"("mlp_bias")",
           R"("global_attn_every_n_layers":2,"global_rope_theta":5e5,"local_rope_theta":20,"x")"),
      "config.json");
  const EncoderConfig newer = parse_encoder_config(
      with(kModernBert, R"("mlp_bias")",
           R"("layer_types":["full_attention","sliding_attention","full_attention",)"
           R"("sliding_attention"],"rope_parameters":{"full_attention":{"rope_theta":5e5},)"
           R"("sliding_attention":{"rope_theta":20,"rope_type":"default"}},"x")"),
      "config.json");
  for (const EncoderConfig* config : {&older, &newer}) {
    CHECK(config->modernbert.is_local == std::vector<bool>{false, true, false, true});
    CHECK(config->modernbert.global_theta == 5e5);
    CHECK(config->modernbert.local_theta == 20.0);
  }
}

TEST_CASE("Whisper: convolutions, positions and norm are those of the plain computation") {
  SafetensorsImage image = whisper_weights(0);
  const SafeTensors weights = SafeTensors::parse(image.build(), "w.safetensors");
  const Clips clips({1, 2, 3, 8, 97, 200, 31});
  const std::vector<double> positions = doubles(image, "embed_positions.weight");
  const std::vector<double> gamma = doubles(image, "layer_norm.weight");
  const std::vector<double> beta = doubles(image, "layer_norm.bias");
  for (const Kernels* kernels : available_kernels()) {
    const WhisperEncoder encoder(whisper_config(0), weights, *kernels);
    const std::vector<float> actual = run_clips(encoder, clips.rows(0, clips.frames.size()), 1);
    double worst = 0.0;
    const float* row = actual.data();
    for (size_t clip = 0; clip < clips.frames.size(); ++clip) {
      Matrix x;
      for (size_t i = 0; i < clips.features[clip].size(); i += kMels) {
        const float* frame = clips.features[clip].data() + i;
        x.emplace_back(frame, frame + kMels);
      }
      x = convolve(image, "conv2", convolve(image, "conv1", x, 1), 2);
      REQUIRE(x.size() == static_cast<size_t>(WhisperEncoder::tokens(clips.frames[clip])));
      for (size_t i = 0; i < x.size(); ++i, row += kHidden) {
        double mean = 0.0;
        double variance = 0.0;
        for (size_t c = 0; c < kHidden; ++c) mean += x[i][c] += positions[i * kHidden + c];
        mean /= double{kHidden};
        for (const double v : x[i]) variance += (v - mean) * (v - mean) / double{kHidden};
        for (size_t c = 0; c < kHidden; ++c) {
          const double expected =
              (x[i][c] - mean) / std::sqrt(variance + 1e-5) * gamma[c] + beta[c];
          worst = std::max(worst, std::fabs(double{row[c]} - expected));
        }
      }
    }
    CAPTURE(std::string(kernels->isa));
    CHECK(worst < 5e-6);
  }
}

TEST_CASE("Whisper: a clip's bits do not depend on its neighbours or on the threads") {
  SafetensorsImage floats = whisper_weights(2);
  SafetensorsImage codes = with_codes(with_codes(floats, "layers."), "conv");
  const Clips clips({30, 1, 97, 3, 210, 15});
  const size_t count = clips.frames.size();
  for (const Kernels* kernels : available_kernels()) {
    for (SafetensorsImage* image : {&floats, &codes}) {
      CAPTURE(std::string(kernels->isa));
      const SafeTensors weights = SafeTensors::parse(image->build(), "w.safetensors");
      const WhisperEncoder encoder(whisper_config(2), weights, *kernels);
      const std::vector<float> together = run_clips(encoder, clips.rows(0, count), 1);
      CHECK(
          std::all_of(together.begin(), together.end(), [](float x) { return std::isfinite(x); }));
      CHECK(run_clips(encoder, clips.rows(0, count), 3) == together);
      std::vector<float> alone;
      for (size_t clip = 0; clip < count; ++clip) {
        for (const float x :
             run_clips(encoder, clips.rows(clip, clip + 1), clip % 2 == 0 ? 1 : 2)) {
          alone.push_back(x);
        }
      }
      CHECK(alone == together);
    }
  }
}

TEST_CASE("Whisper: what is wrong is named") {
  SafetensorsImage image = whisper_weights(1);
  const auto refused = [](SafetensorsImage* weights) {
    return refusal(ErrorKind::kModelFile, [&] {
      WhisperEncoder(whisper_config(1), SafeTensors::parse(weights->build(), "w.safetensors"),
                     select_kernels());
    });
  };
  CHECK(refused(&image).empty());
  SafetensorsImage turned = image;
  turned.at("conv1.weight").shape = {kHidden, 3, kMels};
  CHECK(mentions(refused(&turned), "'conv1.weight' is F32 [36, 3, 10]; F32 [36, 10, 3]"));
  SafetensorsImage missing = image;
  missing.remove("layers.0.self_attn.v_proj.bias");
  CHECK(mentions(refused(&missing), "v_proj.bias"));

  const SafeTensors weights = SafeTensors::parse(image.build(), "w.safetensors");
  const WhisperEncoder encoder(whisper_config(1), weights, select_kernels());
  for (const int32_t frames : {0, -3, 281}) {
    const float* none = nullptr;
    CHECK(mentions(refusal(ErrorKind::kInput, [&] { encoder.check({&none, &frames, nullptr, 1}); }),
                   "1 to 280"));
  }
  const std::string json =
      R"({"model_type":"whisper","d_model":36,"encoder_layers":1,"encoder_attention_heads":3,)"
      R"("encoder_ffn_dim":22,"num_mel_bins":10,"max_source_positions":140})";
  const WhisperConfig config = parse_whisper_config(json, "config.json");
  CHECK(config.mels == kMels);
  CHECK(config.positions == 140);
  const auto damaged = [&](ErrorKind kind, const std::string& from, const std::string& to) {
    return refusal(kind, [&] { parse_whisper_config(with(json, from, to), "config.json"); });
  };
  CHECK(mentions(damaged(ErrorKind::kUnsupported, "whisper", "bert"), "model_type"));
  CHECK(mentions(damaged(ErrorKind::kModelFile, R"(d_model":36)", R"(d_model":35)"), "35"));
  CHECK(mentions(damaged(ErrorKind::kModelFile, R"("num_mel_bins":10)", R"("num_mel_bins":0)"),
                 "num_mel_bins"));
}

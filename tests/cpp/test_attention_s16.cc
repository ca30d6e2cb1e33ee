// Attention in 16-bit integers: every kernel body that this CPU can run against the scalar
// reference at ragged sizes, its sums where they are the largest, and what it makes of one head
// beside attention in double.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "kernel_checks.h"
#include "kernels/dispatch.h"
#include "kernels/pack.h"

using namespace affectrt;

namespace {

// Of a weight beside 1: one code more or less where a rounding of 2^x goes the other way, and one
// where the scaled-down code does.
constexpr float kWeightCode = 1.1F / static_cast<float>(kMostWeight);

// One head of 16-bit attention, step by step, in buffers that know nothing of encoders.
struct OneHead {
  size_t tokens, depth, width, query_rows;
  std::vector<float> queries, keys, values;
  std::vector<float> bias;  // empty: none; else that of key 0 for query 0 at [tokens - 1]

  size_t panels() const { return panel_count(tokens); }
  size_t score_stride() const { return panels() * 16; }

  OneHead(size_t tokens_, size_t depth_, float spread)
      : tokens(tokens_),
        depth(depth_),
        width(round_up(depth_, 16)),
        query_rows(tokens_),
        queries(random_rows(tokens_, depth_, round_up(depth_, 16), spread)),
        keys(random_rows(tokens_, depth_, round_up(depth_, 16), spread)),
        values(random_rows(tokens_, depth_, round_up(depth_, 16))) {}

  struct Steps {
    std::vector<int8_t> key_panels, value_panels;
    std::vector<float> value_scales;
    std::vector<uint8_t> query_codes, weights;
    std::vector<RowQuant> weight_quant;
    std::vector<int32_t> scores;
    std::vector<float> context;
    float key_scale = 0.0F;
  };
  Steps run(const Kernels& kernels) const {
    const AttentionS16& s16 = kernels.attention_s16;
    const int32_t max_code = max_score_code(depth);
    const size_t key_bytes = key_panel_bytes(width);
    const size_t value_bytes = (tokens + 1) / 2 * 64;
    Steps at;
    at.key_panels.assign(panels() * key_bytes, 77);
    at.value_panels.assign(width / 16 * value_bytes, 77);
    at.value_scales.assign(width, -1.0F);
    at.query_codes.assign(query_rows * width * 2, 77);
    at.weights.assign(query_rows * score_stride() * 2, 77);
    at.weight_quant.resize(query_rows);
    at.scores.assign(query_rows * score_stride(), 77);
    at.context.assign(query_rows * width, -1.0F);
    at.key_scale = s16.pack_keys(keys.data(), width, tokens, width, max_code, at.key_panels.data());
    s16.pack_values(values.data(), width, tokens, width, at.value_panels.data(),
                    at.value_scales.data());
    kernels.quantize_s16(queries.data(), width, query_rows, depth, max_code, at.query_codes.data(),
                         width * 2, at.weight_quant.data());
    s16.scores({at.query_codes.data(), width * 2, at.key_panels.data(), key_bytes, query_rows,
                panels(), (depth + 1) / 2},
               at.scores.data(), score_stride());
    s16.softmax(at.scores.data(), score_stride(), query_rows, tokens,
                at.key_scale / std::sqrt(static_cast<float>(depth)),
                bias.empty() ? nullptr : bias.data() + tokens - 1, -1, at.weights.data(),
                score_stride() * 2, at.weight_quant.data());
    s16.values({at.weights.data(), score_stride() * 2, at.value_panels.data(), value_bytes,
                query_rows, width / 16, (tokens + 1) / 2},
               at.weight_quant.data(), at.value_scales.data(), at.context.data(), width);
    return at;
  }

  float weight(const Steps& at, size_t row, size_t key) const {
    int16_t code;
    std::memcpy(&code, at.weights.data() + (row * score_stride() + key) * 2, sizeof code);
    return static_cast<float>(code) * at.weight_quant[row].scale;
  }

  // The same in double.
  std::vector<double> exact(size_t row) const {
    std::vector<double> weights(tokens);
    double top = -1e300;
    for (size_t j = 0; j < tokens; ++j) {
      double score = 0.0;
      for (size_t i = 0; i < depth; ++i) {
        score += static_cast<double>(queries[row * width + i]) *
                 static_cast<double>(keys[j * width + i]);
      }
      weights[j] = score / std::sqrt(static_cast<double>(depth));
      if (!bias.empty()) weights[j] += static_cast<double>(bias[tokens - 1 + j - row]);
      top = std::max(top, weights[j]);
    }
    double total = 0.0;
    for (double& weight : weights) total += weight = std::exp(weight - top);
    std::vector<double> context(depth, 0.0);
    for (size_t j = 0; j < tokens; ++j) {
      for (size_t i = 0; i < depth; ++i) {
        context[i] += weights[j] / total * static_cast<double>(values[j * width + i]);
      }
    }
    return context;
  }
};

constexpr size_t kTokens[] = {1, 2, 3, 8, 15, 16, 17, 31, 33, 50, 64, 100, 130, 257};
constexpr size_t kDepths[] = {5, 16, 20, 32, 48, 64, 100};

const Kernels& scalar() { return *available_kernels().back(); }

}  // namespace

TEST_CASE("one head: the steps agree with the reference, and all bodies with each other") {
  for (const size_t tokens : kTokens) {
    const size_t depth = kDepths[tokens % 7];
    for (const bool with_bias : {false, true}) {
      OneHead head(tokens, depth, tokens % 2 == 0 ? 1.0F : 0.05F);
      if (with_bias) head.bias = random_rows(1, 2 * tokens, 2 * tokens + 32);
      const OneHead::Steps expected = head.run(scalar());
      std::vector<float> first;
      for (const Kernels* kernels : simd_bodies()) {
        CAPTURE(std::string(kernels->isa));
        CAPTURE(tokens);
        CAPTURE(depth);
        CAPTURE(with_bias);
        const OneHead::Steps actual = head.run(*kernels);
        CHECK(actual.key_scale == expected.key_scale);
        CHECK(actual.value_scales == expected.value_scales);
        CHECK(actual.key_panels == expected.key_panels);
        CHECK(actual.value_panels == expected.value_panels);
        CHECK(actual.scores == expected.scores);
        float farthest = 0.0F;
        for (size_t row = 0; row < head.query_rows; ++row) {
          float sum = 0.0F;
          for (size_t key = 0; key < head.score_stride(); ++key) {
            const float weight = head.weight(actual, row, key);
            sum += weight;
            // Of codes whose sum is at least kMostWeight, or kMostWeightSum where scaled down.
            farthest = std::max(farthest, std::fabs(weight - head.weight(expected, row, key)));
            if (key >= tokens) CHECK(weight == 0.0F);
          }
          CHECK(sum == doctest::Approx(1.0F).epsilon(1e-5));
        }
        CHECK(farthest <= kWeightCode);
        float worst = 0.0F;
        for (size_t i = 0; i < actual.context.size(); ++i) {
          worst = std::max(worst, std::fabs(actual.context[i] - expected.context[i]));
        }
        CHECK(worst <= 3e-4F);
        if (first.empty()) first = actual.context;
        CHECK(std::memcmp(first.data(), actual.context.data(), first.size() * sizeof(float)) == 0);
      }
    }
  }
}

TEST_CASE("one head is attention: near what double computes") {
  for (const Kernels* kernels : available_kernels()) {
    CAPTURE(std::string(kernels->isa));
    for (const size_t tokens : {size_t{7}, size_t{40}, size_t{512}}) {
      for (const float spread : {0.1F, 1.0F}) {
        OneHead head(tokens, 32, spread);
        head.query_rows = std::min<size_t>(tokens, 12);
        head.bias = random_rows(1, 2 * tokens, 2 * tokens + 32);
        const OneHead::Steps actual = head.run(*kernels);
        double worst = 0.0;
        for (size_t row = 0; row < head.query_rows; ++row) {
          const std::vector<double> expected = head.exact(row);
          for (size_t i = 0; i < head.depth; ++i) {
            const auto context = static_cast<double>(actual.context[row * head.width + i]);
            worst = std::max(worst, std::fabs(context - expected[i]));
          }
        }
        CAPTURE(tokens);
        CAPTURE(spread);
        CHECK(worst <= 1.5e-3);  // of values of unit variance
      }
    }
  }
}

TEST_CASE("the largest sums there can be do not overflow") {
  for (const Kernels* kernels : available_kernels()) {
    CAPTURE(std::string(kernels->isa));
    for (const size_t tokens : {size_t{30}, size_t{1000}, kMostKeysS16}) {
      for (const size_t depth : {size_t{32}, size_t{64}}) {
        OneHead head(tokens, depth, 1.0F);
        head.query_rows = 1;
        for (size_t i = 0; i < tokens * head.width; ++i) {
          head.keys[i] = i / head.width == 1 ? -3.0F : 3.0F;
          head.values[i] = i % 2 == 0 ? 1.0F : -1.0F;
        }
        for (float& query : head.queries) query = 2.0F;
        const OneHead::Steps actual = head.run(*kernels);
        const int32_t code = max_score_code(depth);
        CHECK(actual.scores[0] == static_cast<int32_t>(depth) * code * code);
        CHECK(actual.scores[1] == -actual.scores[0]);
        CHECK(head.weight(actual, 0, 1) == 0.0F);
        for (size_t i = 0; i < depth; ++i) {
          CHECK(actual.context[i] == doctest::Approx(head.values[i]).epsilon(1e-6));
        }
        if (tokens == kMostKeysS16) break;
      }
    }
  }
}

TEST_CASE("what is not finite stays so, and nothing is made of nothing") {
  const float bad[] = {std::numeric_limits<float>::quiet_NaN(),
                       std::numeric_limits<float>::infinity(),
                       -std::numeric_limits<float>::infinity()};
  for (const Kernels* kernels : available_kernels()) {
    CAPTURE(std::string(kernels->isa));
    for (const bool with_bias : {false, true}) {
      for (const float value : bad) {
        OneHead head(19, 32, 1.0F);
        if (with_bias) head.bias = random_rows(1, 38, 80);
        OneHead of_query = head;
        of_query.queries[3 * 32 + 5] = value;
        OneHead::Steps at = of_query.run(*kernels);
        CHECK(std::isnan(at.context[3 * 32]));
        CHECK(std::isfinite(at.context[4 * 32]));
        OneHead of_key = head;
        of_key.keys[18 * 32 + 31] = value;
        at = of_key.run(*kernels);
        CHECK(std::isnan(at.context[0]));
        OneHead of_value = head;
        of_value.values[17 * 32 + 4] = value;
        at = of_value.run(*kernels);
        CHECK(std::isnan(at.context[4]));
        CHECK(std::isfinite(at.context[5]));
      }
    }
    OneHead zeros(21, 32, 0.0F);
    const OneHead::Steps at = zeros.run(*kernels);
    for (size_t key = 0; key < 21; ++key) {
      CHECK(zeros.weight(at, 20, key) == doctest::Approx(1.0F / 21.0F).epsilon(1e-6));
    }
    std::fill(zeros.values.begin(), zeros.values.end(), 0.0F);
    for (const float context : zeros.run(*kernels).context) CHECK(context == 0.0F);
  }
}

TEST_CASE("a query alone gives the same bits") {
  const OneHead all(70, 48, 1.0F);
  for (const Kernels* kernels : available_kernels()) {
    CAPTURE(std::string(kernels->isa));
    const OneHead::Steps together = all.run(*kernels);
    for (size_t row = 0; row < all.tokens; ++row) {
      OneHead one = all;
      one.query_rows = 1;
      std::copy_n(all.queries.begin() + static_cast<ptrdiff_t>(row * 48), 48, one.queries.begin());
      const OneHead::Steps alone = one.run(*kernels);
      CHECK(std::memcmp(alone.context.data(), together.context.data() + row * 48,
                        48 * sizeof(float)) == 0);
    }
  }
}

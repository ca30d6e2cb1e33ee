// Hidden states to one vector a row, against a plain computation in double.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "encoder_checks.h"
#include "encoders/pooling.h"
#include "kernels/dispatch.h"
#include "kernels/pack.h"
#include "safetensors_image.h"

using namespace affectrt;

namespace {

constexpr size_t kWidth = 36;
constexpr size_t kHeads = 3;
const size_t kStride = round_up(kWidth, kPanelColumns);

// Rows of 1 to 40 tokens, some of them with a second segment.
struct Rows {
  std::vector<int32_t> types;
  std::vector<int32_t> begin = {5};  // a chunk need not begin at 0
  std::vector<float> x;              // [tokens, stride], zeros behind the width
  TokenRows view() const { return {nullptr, types.data(), begin.data(), begin.size() - 1}; }
};

Rows some_rows(std::mt19937* random) {
  Rows rows;
  rows.types.assign(5, 1);
  for (const int32_t tokens : {1, 2, 17, 40, 3}) {
    for (int32_t i = 0; i < tokens; ++i) rows.types.push_back(i > 1 && i > tokens / 2 ? 1 : 0);
    rows.begin.push_back(rows.begin.back() + tokens);
  }
  for (size_t token = 0; token < rows.view().tokens(); ++token) {
    const std::vector<float> values = normals(random, kWidth, 1.0F);
    rows.x.insert(rows.x.end(), values.begin(), values.end());
    rows.x.resize((token + 1) * kStride, 0.0F);
  }
  return rows;
}

std::vector<double> expected(const Rows& rows, size_t row, Pooling kind,
                             const std::vector<float>& weight) {
  const TokenRows view = rows.view();
  const float* x = rows.x.data() + view.spans().first(row) * kStride;
  const int32_t* types = rows.types.data() + view.row_begin[row];
  std::vector<size_t> read;
  for (size_t i = 0; i < view.length(row); ++i) {
    if (kind == Pooling::kFirstToken ? i == 0 : !reads_first_segment(kind) || types[i] == 0) {
      read.push_back(i);
    }
  }
  std::vector<double> pooled(kWidth, 0.0);
  for (size_t column = 0; column < kWidth; ++column) {
    const float* own = weight.data() + column / (kWidth / kHeads) * kWidth;
    double sum = 0.0;
    for (const size_t i : read) {
      double score = 0.0;
      for (size_t k = 0; k < kWidth; ++k) score += double{own[k]} * double{x[i * kStride + k]};
      const double share = has_attention(kind) ? std::exp(score) : 1.0;
      sum += share;
      pooled[column] += share * double{x[i * kStride + column]};
    }
    pooled[column] /= sum;
  }
  return pooled;
}

}  // namespace

TEST_CASE("every pooling is what it says, and a row's vector its own") {
  std::mt19937 random(11);
  const Rows rows = some_rows(&random);
  const std::vector<float> weight = normals(&random, kHeads * kWidth, 0.3F);
  SafetensorsImage image;
  image.add_f32("own.weight", {kHeads, kWidth}, weight);
  const SafeTensors weights = SafeTensors::parse(image.build(), "w.safetensors");
  const TokenRows view = rows.view();
  for (const Pooling kind : {Pooling::kFirstToken, Pooling::kMean, Pooling::kMeanFirst,
                             Pooling::kAttention, Pooling::kAttentionFirst}) {
    const Pooler pooler(kind, weights, "own", kWidth);
    CHECK(pooling_named(pooling_name(kind)) == kind);
    for (const Kernels* kernels : available_kernels()) {
      CAPTURE(std::string(kernels->isa));
      std::vector<float> scratch(pooler.scratch(view, kStride));
      std::vector<float> pooled(view.rows * kStride);
      pooler.run(*kernels, view, view.spans(), rows.x.data(), kStride, scratch.data(),
                 pooled.data());
      for (size_t row = 0; row < view.rows; ++row) {
        CAPTURE(row);
        const std::vector<double> wanted = expected(rows, row, kind, weight);
        const float* own = pooled.data() + row * kStride;
        for (size_t i = 0; i < kWidth; ++i) CHECK(std::fabs(double{own[i]} - wanted[i]) < 1e-5);
        // Alone, and from no more tokens than it needs.
        const std::vector<int32_t> ends = {view.row_begin[row], view.row_begin[row + 1]};
        const TokenRows one = {nullptr, rows.types.data(), ends.data(), 1};
        const std::vector<int32_t> kept = {0, static_cast<int32_t>(pooler.tokens(view, row))};
        const RowSpans spans = {kept.data(), 1};
        const float* from = rows.x.data() + view.spans().first(row) * kStride;
        const std::vector<float> needed(from, from + spans.tokens() * kStride);
        std::vector<float> alone(kStride);
        pooler.run(*kernels, one, spans, needed.data(), kStride, scratch.data(), alone.data());
        CHECK(std::memcmp(alone.data(), own, kStride * sizeof(float)) == 0);
      }
    }
  }
  CHECK_FALSE(pooling_named("max"));
}

TEST_CASE("a first segment must be there") {
  SafetensorsImage image;
  image.add_f32("x", {1}, {0.0F});
  const SafeTensors weights = SafeTensors::parse(image.build(), "w.safetensors");
  const std::vector<int32_t> types = {0, 1, 1};
  const std::vector<int32_t> begin = {0, 1, 3};
  const TokenRows rows = {nullptr, types.data(), begin.data(), 2};
  Pooler(Pooling::kMean, weights, "", kWidth).check(rows);
  CHECK(mentions(refusal(ErrorKind::kInput,
                         [&] { Pooler(Pooling::kMeanFirst, weights, "", kWidth).check(rows); }),
                 "row 1 begins with token type 1"));
  CHECK(mentions(refusal(ErrorKind::kModelFile,
                         [&] { const Pooler none(Pooling::kAttention, weights, "own", kWidth); }),
                 "'own.weight'"));
}

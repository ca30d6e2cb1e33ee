#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <string>

#include "base/error.h"
#include "tasks/decode.h"

using namespace affectrt;

namespace {

Head head_of(Task task, std::vector<std::string> labels) {
  Head head;
  head.name = "words";
  head.task = task;
  head.labels = std::move(labels);
  return head;
}

double sigmoid_of(double x) { return 1.0 / (1.0 + std::exp(-x)); }

struct Plain {
  int32_t first = -1;
  int32_t last = -1;
  float sum = -INFINITY;
};

// Of all pairs, as the contract says it.
Plain plain_best(const std::vector<float>& logits) {
  const auto count = static_cast<int32_t>(logits.size() / 2) - 1;
  Plain best;
  for (int32_t first = 0; first < count; ++first) {
    for (int32_t last = first; last < count && last - first < 200; ++last) {
      const float sum = logits[2 * static_cast<size_t>(first + 1)] +
                        logits[2 * static_cast<size_t>(last + 1) + 1];
      if (sum > best.sum) best = {first, last, sum};
    }
  }
  return best;
}

}  // namespace

TEST_CASE("a span head answers with the best span where it beats no answer by the margin") {
  Head head = head_of(Task::kSpan, {"start", "end"});
  // [CLS], then four tokens: the best is 1..2 (3 + 2), then 3..3 (1 + 1), then 0..0 (-1 - 2).
  const std::vector<float> logits = {1, 1, -1, -2, 3, 0, 0, 2, 1, 1};
  const HeadScores result = decode_tokens(head, logits, {0, 5});
  REQUIRE(result.spans.size() == 3);
  CHECK(result.span_begin == std::vector<int32_t>{0, 3});
  CHECK(result.spans[0].first == 1);
  CHECK(result.spans[0].last == 2);
  CHECK(result.spans[0].decided);
  CHECK(result.spans[0].score == doctest::Approx(sigmoid_of(5 - 2)));
  CHECK(result.spans[1].first == 3);
  CHECK_FALSE(result.spans[1].decided);
  CHECK(result.spans[2].first == 0);
  CHECK(result.spans[2].score == doctest::Approx(sigmoid_of(-3 - 2)));
  CHECK(result.decided == std::vector<uint8_t>{0, 0, 0, 0, 1, 0, 0, 1, 0, 0});
  CHECK(result.scores == logits);

  head.margin = 3.0F;  // not beaten by more than that
  head.temperature = 2.0F;
  const HeadScores none = decode_tokens(head, logits, {0, 5});
  CHECK_FALSE(none.spans[0].decided);
  CHECK(none.spans[0].score == 0.5F);
}

TEST_CASE("spans are those of all pairs, also where texts are longer than any answer") {
  const Head head = head_of(Task::kSpan, {"start", "end"});
  std::mt19937 random(4);
  for (const size_t tokens : {1U, 2U, 7U, 200U, 201U, 450U}) {
    for (int turn = 0; turn < 8; ++turn) {
      std::vector<float> logits;
      for (size_t i = 0; i < 2 * (tokens + 1); ++i) {
        logits.push_back(static_cast<float>(random() % 1000U) / 100.0F);
      }
      // A slope puts the best start and the best end far apart.
      if (turn % 2 == 1) {
        for (size_t i = 0; i <= tokens; ++i) logits[2 * i] -= static_cast<float>(i) * 0.5F;
      }
      const Plain best = plain_best(logits);
      const auto rows = static_cast<int32_t>(tokens + 1);
      const HeadScores result = decode_tokens(head, logits, {0, rows});
      CHECK(result.spans[0].first == best.first);
      CHECK(result.spans[0].last == best.last);
      for (size_t i = 1; i < result.spans.size(); ++i) {
        const TokenSpan& span = result.spans[i];
        CHECK(span.score <= result.spans[i - 1].score);
        for (size_t j = 0; j < i; ++j) {
          const TokenSpan& other = result.spans[j];
          CHECK((span.last < other.first || span.first > other.last));
        }
      }
    }
  }
}

TEST_CASE("token labels make spans as BIO has them") {
  const Head head = head_of(Task::kTokenLabels, {"O", "B-a", "I-a", "B-b", "I-b"});
  const auto row = [](size_t label) {
    std::vector<float> logits(5, 0.0F);
    logits[label] = 2.0F;
    return logits;
  };
  std::vector<float> logits;
  // [CLS] | I-a I-a | B-a | O | B-b I-b | I-a
  for (const size_t label : {1U, 2U, 2U, 1U, 0U, 3U, 4U, 2U}) {
    for (const float x : row(label)) logits.push_back(x);
  }
  for (const float x : row(0)) logits.push_back(x);  // a text without tokens
  const HeadScores result = decode_tokens(head, logits, {0, 8, 9});
  CHECK(result.span_begin == std::vector<int32_t>{0, 4, 4});
  const int32_t expected[][3] = {{0, 1, 0}, {2, 2, 0}, {4, 5, 1}, {6, 6, 0}};
  REQUIRE(result.spans.size() == 4);
  for (size_t i = 0; i < 4; ++i) {
    CHECK(result.spans[i].first == expected[i][0]);
    CHECK(result.spans[i].last == expected[i][1]);
    CHECK(result.spans[i].label == expected[i][2]);
    CHECK(result.spans[i].score == doctest::Approx(std::exp(2.0) / (std::exp(2.0) + 4.0)));
  }
  CHECK(result.unsure == std::vector<uint8_t>{0, 0});
}

TEST_CASE("token flags make a span of neighbours for each label") {
  Head head = head_of(Task::kTokenFlags, {"a", "b"});
  head.thresholds = {0.5F, 0.9F};
  // [CLS], then tokens with: -, a, ab, b (below 0.9), a
  const std::vector<float> logits = {9, 9, -1, -1, 1, -1, 3, 3, -1, 1, 1, -1};
  const HeadScores result = decode_tokens(head, logits, {0, 6});
  const int32_t expected[][3] = {{1, 2, 0}, {2, 2, 1}, {4, 4, 0}};
  REQUIRE(result.spans.size() == 3);
  for (size_t i = 0; i < 3; ++i) {
    CHECK(result.spans[i].first == expected[i][0]);
    CHECK(result.spans[i].last == expected[i][1]);
    CHECK(result.spans[i].label == expected[i][2]);
  }
  CHECK(result.spans[0].score == doctest::Approx((sigmoid_of(1) + sigmoid_of(3)) / 2));
  CHECK(result.decided[0] == 0);  // [CLS]
}

TEST_CASE("token heads refuse what contradicts itself") {
  const Head span = head_of(Task::kSpan, {"start", "end"});
  CHECK_THROWS_AS(decode_tokens(span, {1, 2, 3}, {0, 2}), Error);
  CHECK_THROWS_AS(decode_tokens(span, {1, 2}, {0, 1, 1}), Error);  // a row without [CLS]
  CHECK_THROWS_AS(decode_tokens(span, {1, NAN}, {0, 1}), Error);
  CHECK_THROWS_AS(decode_tokens(head_of(Task::kSpan, {"start"}), {1}, {0, 1}), Error);
  CHECK_THROWS_AS(decode_tokens(head_of(Task::kRegression, {"x"}), {1}, {0, 1}), Error);
  CHECK_THROWS_AS(decode(span, {1, 2}, 1), Error);
  CHECK(decode_tokens(span, {1, 2}, {0, 1}).spans.empty());
  CHECK(decode_tokens(span, {}, {0}).spans.empty());
}

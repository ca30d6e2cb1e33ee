#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "base/error.h"
#include "tasks/decode.h"

using affectrt::decode;
using affectrt::Error;
using affectrt::ErrorKind;
using affectrt::Head;
using affectrt::HeadScores;
using affectrt::Task;

namespace {

Head head_of(Task task, std::vector<std::string> labels) {
  Head head;
  head.name = "mood";
  head.task = task;
  head.labels = std::move(labels);
  return head;
}

ErrorKind kind_of(const Head& head, std::vector<float> logits, int32_t rows, std::string* message) {
  try {
    decode(head, std::move(logits), rows);
  } catch (const Error& error) {
    *message = error.what();
    return error.kind();
  }
  FAIL("no error");
  return ErrorKind::kNotFound;
}

}  // namespace

TEST_CASE("single-label scores are the softmax, and the highest is decided") {
  const Head head = head_of(Task::kSingleLabel, {"a", "b", "c"});
  const HeadScores result = decode(head, {1.0F, 2.0F, 3.0F, 0.0F, 0.0F, -1.0F}, 2);
  CHECK(result.width == 3);
  // exp(1), exp(2), exp(3) over their sum 30.19287485
  CHECK(result.scores[0] == doctest::Approx(0.09003057));
  CHECK(result.scores[1] == doctest::Approx(0.24472847));
  CHECK(result.scores[2] == doctest::Approx(0.66524096));
  CHECK(result.decided == std::vector<uint8_t>{0, 0, 1, 1, 0, 0});  // of equals the first
  CHECK(result.unsure == std::vector<uint8_t>{0, 0});
  CHECK(result.logits == std::vector<float>{1.0F, 2.0F, 3.0F, 0.0F, 0.0F, -1.0F});
}

TEST_CASE("softmax and sigmoid hold at the ends of float") {
  const float huge = std::numeric_limits<float>::max();
  const HeadScores single =
      decode(head_of(Task::kSingleLabel, {"a", "b"}), {huge, -huge, 1000.0F, 999.0F}, 2);
  CHECK(single.scores[0] == 1.0F);
  CHECK(single.scores[1] == 0.0F);
  CHECK(single.scores[2] == doctest::Approx(0.7310586));
  const HeadScores multi =
      decode(head_of(Task::kMultiLabel, {"a", "b", "c"}), {huge, -huge, -80.0F}, 1);
  CHECK(multi.scores[0] == 1.0F);
  CHECK(multi.scores[1] == 0.0F);
  CHECK(multi.scores[2] == doctest::Approx(std::exp(-80.0)).epsilon(1e-6));
}

TEST_CASE("temperature divides the logits") {
  Head head = head_of(Task::kSingleLabel, {"a", "b"});
  head.temperature = 2.0F;
  CHECK(decode(head, {4.0F, 0.0F}, 1).scores[0] == doctest::Approx(0.880797));  // sigmoid(2)
  head.task = Task::kMultiLabel;
  CHECK(decode(head, {4.0F, -4.0F}, 1).scores[1] == doctest::Approx(0.119203));  // sigmoid(-2)
}

TEST_CASE("multi-label decides at each label's own threshold") {
  Head head = head_of(Task::kMultiLabel, {"a", "b", "c"});
  CHECK(decode(head, {0.0F, -0.01F, 3.0F}, 1).decided == std::vector<uint8_t>{1, 0, 1});
  head.thresholds = {0.6F, 0.3F, 0.99F};
  CHECK(decode(head, {0.0F, -0.01F, 3.0F}, 1).decided == std::vector<uint8_t>{0, 1, 0});
  head.thresholds = {0.9F, 0.9F, 0.99F};
  CHECK(decode(head, {0.0F, -0.01F, 3.0F}, 1).decided == std::vector<uint8_t>{0, 0, 0});
}

TEST_CASE("unsure is below the bound, not at it") {
  Head head = head_of(Task::kMultiLabel, {"a", "b"});
  head.unsure_below = 0.5F;
  const HeadScores multi = decode(head, {0.0F, -1.0F, -0.1F, -1.0F}, 2);
  CHECK(multi.unsure == std::vector<uint8_t>{0, 1});
  head.task = Task::kSingleLabel;
  head.unsure_below = 0.8F;
  const HeadScores single = decode(head, {2.0F, 0.0F, 1.0F, 0.0F}, 2);
  CHECK(single.unsure == std::vector<uint8_t>{0, 1});
  CHECK(single.decided == std::vector<uint8_t>{1, 0, 1, 0});
}

TEST_CASE("regression values are the logits") {
  Head head = head_of(Task::kRegression, {"valence", "arousal"});
  head.unsure_below = 0.9F;
  head.temperature = 3.0F;
  const HeadScores result = decode(head, {-3.5F, 12.0F}, 1);
  CHECK(result.scores == result.logits);
  CHECK(result.decided == std::vector<uint8_t>{0, 0});
  CHECK(result.unsure == std::vector<uint8_t>{0});
}

TEST_CASE("regression values are clipped to their ranges") {
  Head head = head_of(Task::kRegression, {"valence", "arousal"});
  head.ranges = {{1.0F, 5.0F}, {-1.0F, 1.0F}};
  const HeadScores result = decode(head, {0.5F, 0.5F, 6.0F, -2.0F}, 2);
  CHECK(result.scores == std::vector<float>{1.0F, 0.5F, 5.0F, -1.0F});
  CHECK(result.logits == std::vector<float>{0.5F, 0.5F, 6.0F, -2.0F});
}

TEST_CASE("an ordinal head has an expected level") {
  Head head = head_of(Task::kOrdinal, {"none", "some", "much"});
  const HeadScores result = decode(head, {0.0F, 0.0F, 0.0F, 0.0F, 50.0F, 0.0F}, 2);
  CHECK(result.levels[0] == doctest::Approx(1.0));
  CHECK(result.levels[1] == doctest::Approx(1.0));
  CHECK(result.decided == std::vector<uint8_t>{1, 0, 0, 0, 1, 0});
}

TEST_CASE("thresholds of single-label heads divide the scores") {
  for (const Task task : {Task::kSingleLabel, Task::kOrdinal}) {
    Head head = head_of(task, {"often", "rare"});
    head.thresholds = {1.0F, 0.25F};
    // Scores .75 and .25, .9 and .1: the rare label wins from a fifth on.
    const HeadScores result = decode(head, {std::log(3.0F), 0.0F, std::log(9.0F), 0.0F}, 2);
    CHECK(result.decided == std::vector<uint8_t>{0, 1, 1, 0});
    CHECK(result.scores[0] == doctest::Approx(0.75));
  }
}

TEST_CASE("no rows") {
  const HeadScores result = decode(head_of(Task::kSingleLabel, {"a", "b"}), {}, 0);
  CHECK(result.width == 2);
  CHECK(result.scores.empty());
  CHECK(result.unsure.empty());
}

TEST_CASE("a logit that is no number is named") {
  const Head head = head_of(Task::kMultiLabel, {"joy", "grief"});
  std::string message;
  const float bad[] = {std::numeric_limits<float>::quiet_NaN(),
                       std::numeric_limits<float>::infinity(),
                       -std::numeric_limits<float>::infinity()};
  for (const float value : bad) {
    CHECK(kind_of(head, {0.0F, 1.0F, 2.0F, value}, 2, &message) == ErrorKind::kBackend);
    CHECK(message.find("'grief'") != std::string::npos);
    CHECK(message.find("row 1") != std::string::npos);
    CHECK(message.find("'mood'") != std::string::npos);
  }
}

TEST_CASE("a head that contradicts itself is refused") {
  std::string message;
  Head head = head_of(Task::kMultiLabel, {"a", "b"});
  CHECK(kind_of(head, {1.0F, 2.0F, 3.0F}, 1, &message) == ErrorKind::kBackend);
  CHECK(message.find("3 logits for 1 rows of 2 labels") != std::string::npos);
  head.thresholds = {0.5F};
  CHECK(kind_of(head, {1.0F, 2.0F}, 1, &message) == ErrorKind::kModelFile);
  head.thresholds.clear();
  for (const float temperature : {0.0F, -1.0F, std::numeric_limits<float>::quiet_NaN()}) {
    head.temperature = temperature;
    CHECK(kind_of(head, {1.0F, 2.0F}, 1, &message) == ErrorKind::kModelFile);
  }
  CHECK(kind_of(head_of(Task::kSingleLabel, {}), {}, 0, &message) == ErrorKind::kModelFile);
}

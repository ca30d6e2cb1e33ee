#include "tasks/decode.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>

#include "base/error.h"

namespace affectrt {
namespace {

constexpr float kDefaultThreshold = 0.5F;

void check_head(const Head& head, size_t logits, int32_t rows) {
  const std::string where = "head '" + head.name + "'";
  if (head.labels.empty()) throw Error(ErrorKind::kModelFile, where + " has no labels");
  if (rows < 0 || logits != static_cast<size_t>(rows) * head.labels.size()) {
    throw Error(ErrorKind::kBackend, where + " got " + std::to_string(logits) + " logits for " +
                                         std::to_string(rows) + " rows of " +
                                         std::to_string(head.labels.size()) + " labels");
  }
  if (!(head.temperature > 0.0F) || !std::isfinite(head.temperature)) {
    throw Error(
        ErrorKind::kModelFile,
        where + " has temperature " + std::to_string(head.temperature) + "; it must be above 0");
  }
  if (head.task == Task::kMultiLabel && !head.thresholds.empty() &&
      head.thresholds.size() != head.labels.size()) {
    throw Error(ErrorKind::kModelFile, where + " has " + std::to_string(head.thresholds.size()) +
                                           " thresholds for " + std::to_string(head.labels.size()) +
                                           " labels");
  }
}

void check_finite(const Head& head, const std::vector<float>& logits) {
  const auto bad =
      std::find_if(logits.begin(), logits.end(), [](float logit) { return !std::isfinite(logit); });
  if (bad == logits.end()) return;
  const size_t index = static_cast<size_t>(bad - logits.begin());
  throw Error(ErrorKind::kBackend, "the model computed " + std::to_string(*bad) + " for label '" +
                                       head.labels[index % head.labels.size()] + "' of head '" +
                                       head.name + "' in row " +
                                       std::to_string(index / head.labels.size()) +
                                       "; every logit must be a finite number");
}

// Shifted by the highest logit, no exponent can overflow and the sum is at least 1.
void softmax(const float* logits, size_t width, double temperature, float* scores) {
  const double highest = *std::max_element(logits, logits + width);
  double sum = 0.0;
  for (size_t i = 0; i < width; ++i) sum += std::exp((logits[i] - highest) / temperature);
  for (size_t i = 0; i < width; ++i) {
    scores[i] = static_cast<float>(std::exp((logits[i] - highest) / temperature) / sum);
  }
}

// exp is taken of negative numbers only, so that it cannot overflow.
float sigmoid(double x) {
  const double small = std::exp(-std::abs(x));
  return static_cast<float>(x >= 0.0 ? 1.0 / (1.0 + small) : small / (1.0 + small));
}

}  // namespace

HeadScores decode(const Head& head, std::vector<float> logits, int32_t rows) {
  check_head(head, logits.size(), rows);
  check_finite(head, logits);
  const size_t width = head.labels.size();
  const double temperature = head.temperature;
  HeadScores result;
  result.width = static_cast<int32_t>(width);
  result.logits = std::move(logits);
  result.decided.assign(result.logits.size(), 0);
  result.unsure.assign(static_cast<size_t>(rows), 0);
  if (head.task == Task::kRegression) {
    result.scores = result.logits;
    return result;
  }
  result.scores.resize(result.logits.size());
  for (size_t row = 0; row < static_cast<size_t>(rows); ++row) {
    const float* from = result.logits.data() + row * width;
    float* scores = result.scores.data() + row * width;
    uint8_t* decided = result.decided.data() + row * width;
    if (head.task == Task::kSingleLabel) {
      softmax(from, width, temperature, scores);
      // Of the logits: softmax may round two of them to the same score.
      decided[std::max_element(from, from + width) - from] = 1;
    } else {
      for (size_t i = 0; i < width; ++i) {
        scores[i] = sigmoid(from[i] / temperature);
        const float threshold = head.thresholds.empty() ? kDefaultThreshold : head.thresholds[i];
        decided[i] = scores[i] >= threshold ? 1 : 0;
      }
    }
    const float highest = *std::max_element(scores, scores + width);
    result.unsure[row] = head.unsure_below.has_value() && highest < *head.unsure_below ? 1 : 0;
  }
  return result;
}

std::vector<uint32_t> ranked(const Head& head, const HeadScores& scores, size_t row) {
  std::vector<uint32_t> order(static_cast<size_t>(scores.width));
  std::iota(order.begin(), order.end(), uint32_t{0});
  if (head.task == Task::kRegression) return order;
  const float* of = scores.scores.data() + row * order.size();
  std::sort(order.begin(), order.end(),
            [of](uint32_t a, uint32_t b) { return of[a] > of[b] || (of[a] == of[b] && a < b); });
  return order;
}

}  // namespace affectrt

#include "tasks/decode.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>

#include "base/error.h"
#include "tasks/scores.h"

namespace affectrt {
namespace {

void check_head(const Head& head, size_t logits, size_t rows) {
  const std::string where = "head '" + head.name + "'";
  if (head.labels.empty()) throw Error(ErrorKind::kModelFile, where + " has no labels");
  if (logits != rows * head.labels.size()) {
    throw Error(ErrorKind::kBackend, where + " got " + std::to_string(logits) + " logits for " +
                                         std::to_string(rows) + " rows of " +
                                         std::to_string(head.labels.size()) + " labels");
  }
  if (!(head.temperature > 0.0F) || !std::isfinite(head.temperature)) {
    throw Error(
        ErrorKind::kModelFile,
        where + " has temperature " + std::to_string(head.temperature) + "; it must be above 0");
  }
  if (!head.thresholds.empty() && head.thresholds.size() != head.labels.size()) {
    throw Error(ErrorKind::kModelFile, where + " has " + std::to_string(head.thresholds.size()) +
                                           " thresholds for " + std::to_string(head.labels.size()) +
                                           " labels");
  }
  if (!head.ranges.empty() && head.ranges.size() != head.labels.size()) {
    throw Error(ErrorKind::kModelFile, where + " has " + std::to_string(head.ranges.size()) +
                                           " ranges for " + std::to_string(head.labels.size()) +
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

// The highest score / threshold; without thresholds, the highest logit: softmax may round two of
// them to the same score. Of equals the first.
size_t best_label(const Head& head, const float* logits, const float* scores) {
  const size_t width = head.labels.size();
  if (head.thresholds.empty()) {
    return static_cast<size_t>(std::max_element(logits, logits + width) - logits);
  }
  const auto lift = [&](size_t i) { return scores[i] / head.thresholds[i]; };
  size_t best = 0;
  for (size_t i = 1; i < width; ++i) {
    if (lift(i) > lift(best)) best = i;
  }
  return best;
}

float expected_level(const float* scores, size_t width) {
  double level = 0.0;
  for (size_t i = 0; i < width; ++i) level += static_cast<double>(i) * double{scores[i]};
  return static_cast<float>(level);
}

void clip(const Head& head, std::vector<float>* values) {
  for (size_t i = 0; !head.ranges.empty() && i < values->size(); ++i) {
    const ValueRange& range = head.ranges[i % head.ranges.size()];
    (*values)[i] = std::min(std::max((*values)[i], range.low), range.high);
  }
}

template <class T>
std::vector<T> part(const std::vector<T>& values, size_t begin, size_t end) {
  return {values.begin() + static_cast<std::ptrdiff_t>(begin),
          values.begin() + static_cast<std::ptrdiff_t>(end)};
}

}  // namespace

HeadScores checked_scores(const Head& head, std::vector<float> logits, size_t rows) {
  check_head(head, logits.size(), rows);
  check_finite(head, logits);
  HeadScores result;
  result.width = static_cast<int32_t>(head.labels.size());
  result.logits = std::move(logits);
  result.scores = result.logits;
  result.decided.assign(result.logits.size(), 0);
  return result;
}

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

void flag_row(const Head& head, const float* logits, float* scores, uint8_t* decided) {
  for (size_t i = 0; i < head.labels.size(); ++i) {
    scores[i] = sigmoid(logits[i] / double{head.temperature});
    const float threshold = head.thresholds.empty() ? kDefaultThreshold : head.thresholds[i];
    decided[i] = scores[i] >= threshold ? 1 : 0;
  }
}

HeadScores decode(const Head& head, std::vector<float> logits, int32_t rows) {
  if (reads_tokens(head.task)) {
    throw Error(ErrorKind::kModelFile, "head '" + head.name + "' reads tokens, not rows");
  }
  const auto count = static_cast<size_t>(std::max(rows, 0));
  HeadScores result = checked_scores(head, std::move(logits), count);
  const size_t width = head.labels.size();
  result.unsure.assign(count, 0);
  if (head.task == Task::kRegression) {
    clip(head, &result.scores);
    return result;
  }
  if (head.task == Task::kOrdinal) result.levels.resize(count);
  for (size_t row = 0; row < count; ++row) {
    const float* from = result.logits.data() + row * width;
    float* scores = result.scores.data() + row * width;
    uint8_t* decided = result.decided.data() + row * width;
    if (head.task == Task::kMultiLabel) {
      flag_row(head, from, scores, decided);
    } else {
      softmax(from, width, head.temperature, scores);
      decided[best_label(head, from, scores)] = 1;
      if (head.task == Task::kOrdinal) result.levels[row] = expected_level(scores, width);
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

HeadScores row_of(const HeadScores& all, size_t row) {
  HeadScores one;
  one.width = all.width;
  const size_t width = static_cast<size_t>(all.width);
  size_t begin = row;
  size_t end = row + 1;
  if (!all.token_begin.empty()) {
    begin = static_cast<size_t>(all.token_begin[row]);
    end = static_cast<size_t>(all.token_begin[row + 1]);
    one.token_begin = {0, static_cast<int32_t>(end - begin)};
    one.spans = part(all.spans, static_cast<size_t>(all.span_begin[row]),
                     static_cast<size_t>(all.span_begin[row + 1]));
    one.span_begin = {0, static_cast<int32_t>(one.spans.size())};
  }
  if (all.unsure.size() > row) one.unsure = {all.unsure[row]};
  if (all.levels.size() > row) one.levels = {all.levels[row]};
  one.logits = part(all.logits, begin * width, end * width);
  one.scores = part(all.scores, begin * width, end * width);
  one.decided = part(all.decided, begin * width, end * width);
  return one;
}

}  // namespace affectrt

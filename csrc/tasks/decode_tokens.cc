// Heads that read tokens: spans, labels and flags.
#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "base/error.h"
#include "tasks/decode.h"
#include "tasks/scores.h"

namespace affectrt {
namespace {

// The tokens of one text: matrices begin at its first, behind [CLS].
struct Tokens {
  const float* logits;  // [count, width]
  float* scores;
  uint8_t* decided;
  size_t count;
  size_t width;
};

struct BestSpan {
  size_t first = 0;
  size_t last = 0;
  float sum = -INFINITY;  // start + end logit
};

// The best span within tokens [begin, end); of equals the one that begins first. For each last
// token the best first one is known from the token before, unless it has come too far.
BestSpan best_span(const Tokens& tokens, size_t begin, size_t end) {
  BestSpan best;
  const auto start_of = [&](size_t token) { return tokens.logits[token * tokens.width]; };
  size_t first = begin;
  for (size_t last = begin; last < end; ++last) {
    if (last - first >= kMaxSpanTokens) {
      ++first;
      for (size_t i = first + 1; i < last; ++i) {
        if (start_of(i) > start_of(first)) first = i;
      }
    }
    if (start_of(last) > start_of(first)) first = last;
    const float sum = start_of(first) + tokens.logits[last * tokens.width + 1];
    if (sum > best.sum || (sum == best.sum && first < best.first)) best = {first, last, sum};
  }
  return best;
}

void find_spans(const Head& head, const Tokens& tokens, std::vector<TokenSpan>* spans) {
  const float* cls = tokens.logits - tokens.width;
  const double nothing = double{cls[0]} + double{cls[1]};
  // Stretches of tokens that no candidate has taken yet, each with its best span.
  struct Stretch {
    size_t begin;
    size_t end;
    BestSpan best;
  };
  std::vector<Stretch> open;
  const auto add = [&](size_t begin, size_t end) {
    if (begin < end) open.push_back({begin, end, best_span(tokens, begin, end)});
  };
  add(0, tokens.count);
  for (size_t found = 0; found < kMaxSpanCandidates && !open.empty(); ++found) {
    const auto best = std::max_element(open.begin(), open.end(), [](const auto& a, const auto& b) {
      return a.best.sum < b.best.sum || (a.best.sum == b.best.sum && a.best.first > b.best.first);
    });
    const Stretch taken = *best;
    open.erase(best);
    const double lead = double{taken.best.sum} - nothing - double{head.margin};
    TokenSpan span;
    span.first = static_cast<int32_t>(taken.best.first);
    span.last = static_cast<int32_t>(taken.best.last);
    span.score = sigmoid(lead / double{head.temperature});
    span.decided = found == 0 && lead > 0.0;
    if (span.decided) {
      for (size_t i = taken.best.first; i <= taken.best.last; ++i) {
        tokens.decided[i * tokens.width] = i == taken.best.first ? 1 : 0;
        tokens.decided[i * tokens.width + 1] = i == taken.best.last ? 1 : 0;
      }
    }
    spans->push_back(span);
    add(taken.begin, taken.best.first);
    add(taken.best.last + 1, taken.end);
  }
}

// A run of tokens while it grows.
class Run {
 public:
  bool is_open() const { return tokens_ > 0; }
  int32_t label() const { return span_.label; }
  void begin(size_t token, int32_t label) {
    span_ = TokenSpan();
    span_.first = static_cast<int32_t>(token);
    span_.label = label;
    span_.decided = true;
    sum_ = 0.0;
    tokens_ = 0;
  }
  void add(size_t token, float score) {
    span_.last = static_cast<int32_t>(token);
    sum_ += double{score};
    ++tokens_;
  }
  void close(std::vector<TokenSpan>* spans) {
    if (!is_open()) return;
    span_.score = static_cast<float>(sum_ / static_cast<double>(tokens_));
    spans->push_back(span_);
    tokens_ = 0;
  }

 private:
  TokenSpan span_;
  double sum_ = 0.0;
  size_t tokens_ = 0;
};

void find_labelled(const Head& head, const Tokens& tokens, std::vector<TokenSpan>* spans) {
  Run run;
  for (size_t token = 0; token < tokens.count; ++token) {
    const float* logits = tokens.logits + token * tokens.width;
    float* scores = tokens.scores + token * tokens.width;
    softmax(logits, tokens.width, head.temperature, scores);
    // O, B-0, I-0, B-1, I-1, ...
    const auto best = static_cast<size_t>(std::max_element(logits, logits + tokens.width) - logits);
    tokens.decided[token * tokens.width + best] = 1;
    if (best == 0) {
      run.close(spans);
      continue;
    }
    const auto kind = static_cast<int32_t>((best - 1) / 2);
    const bool goes_on = best % 2 == 0 && run.is_open() && run.label() == kind;
    if (!goes_on) {
      run.close(spans);
      run.begin(token, kind);
    }
    run.add(token, scores[best]);
  }
  run.close(spans);
}

void find_flagged(const Head& head, const Tokens& tokens, std::vector<TokenSpan>* spans) {
  for (size_t token = 0; token < tokens.count; ++token) {
    const size_t at = token * tokens.width;
    flag_row(head, tokens.logits + at, tokens.scores + at, tokens.decided + at);
  }
  for (size_t label = 0; label < tokens.width; ++label) {
    Run run;
    for (size_t token = 0; token < tokens.count; ++token) {
      const size_t at = token * tokens.width + label;
      if (tokens.decided[at] == 0) {
        run.close(spans);
        continue;
      }
      if (!run.is_open()) run.begin(token, static_cast<int32_t>(label));
      run.add(token, tokens.scores[at]);
    }
    run.close(spans);
  }
}

}  // namespace

HeadScores decode_tokens(const Head& head, std::vector<float> logits,
                         std::vector<int32_t> token_begin) {
  if (!reads_tokens(head.task)) {
    throw Error(ErrorKind::kModelFile, "head '" + head.name + "' reads rows, not tokens");
  }
  if (head.task == Task::kSpan && head.labels.size() != 2) {
    throw Error(ErrorKind::kModelFile, "head '" + head.name + "' has " +
                                           std::to_string(head.labels.size()) +
                                           " labels; a span has two, start and end");
  }
  HeadScores result =
      checked_scores(head, std::move(logits), static_cast<size_t>(token_begin.back()));
  const size_t width = head.labels.size();
  result.unsure.assign(token_begin.size() - 1, 0);
  result.span_begin.push_back(0);
  for (size_t row = 0; row + 1 < token_begin.size(); ++row) {
    const size_t cls = static_cast<size_t>(token_begin[row]) * width;
    const auto own = static_cast<size_t>(token_begin[row + 1] - token_begin[row]);
    if (own == 0) {
      throw Error(ErrorKind::kBackend,
                  "head '" + head.name + "' got no logits for [CLS] of row " + std::to_string(row));
    }
    const size_t at = cls + width;
    const Tokens tokens = {result.logits.data() + at, result.scores.data() + at,
                           result.decided.data() + at, own - 1, width};
    if (head.task == Task::kSpan) {
      find_spans(head, tokens, &result.spans);
    } else if (head.task == Task::kTokenLabels) {
      softmax(result.logits.data() + cls, width, head.temperature, result.scores.data() + cls);
      find_labelled(head, tokens, &result.spans);
    } else {
      std::vector<uint8_t> ignored(width);
      flag_row(head, result.logits.data() + cls, result.scores.data() + cls, ignored.data());
      const size_t before = result.spans.size();
      find_flagged(head, tokens, &result.spans);
      std::stable_sort(result.spans.begin() + static_cast<ptrdiff_t>(before), result.spans.end(),
                       [](const TokenSpan& a, const TokenSpan& b) { return a.first < b.first; });
    }
    result.span_begin.push_back(static_cast<int32_t>(result.spans.size()));
  }
  result.token_begin = std::move(token_begin);
  return result;
}

}  // namespace affectrt

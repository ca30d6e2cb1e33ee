// Logits to answers: scores, decided labels, spans, "unsure". No model state, no allocation beyond
// outputs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bundle/manifest.h"

namespace affectrt {

// The most tokens of an answer of a span head.
constexpr size_t kMaxSpanTokens = 200;
// The most candidates that a span head names.
constexpr size_t kMaxSpanCandidates = 5;

// A run of tokens of a text.
struct TokenSpan {
  int32_t first = 0;  // of the text's tokens, special ones not counted
  int32_t last = 0;   // inclusive
  int32_t label = 0;  // token_labels: the kind, from 0; token_flags: index into the labels
  float score = 0.0F;
  bool decided = false;  // part of the answer; false for other candidates of a span head
  // Characters (code points) of the text, end exclusive; -1 until the runtime fills them in.
  int32_t begin = -1;
  int32_t end = -1;
};

struct HeadScores {
  int32_t width = 0;
  std::vector<float> logits;     // [rows, width], as the backend gave them
  std::vector<float> scores;     // [rows, width], calibrated probabilities; regression: values
  std::vector<uint8_t> decided;  // [rows, width], 1 where the label is part of the answer
  std::vector<uint8_t> unsure;   // [rows]
  std::vector<float> levels;     // ordinal: [rows], the expected level, from 0

  // Of heads that read tokens, whose rows above are tokens: [CLS] and those of each text in turn.
  std::vector<int32_t> token_begin;  // [texts + 1]: where they begin
  std::vector<TokenSpan> spans;      // of all texts, one after the other
  std::vector<int32_t> span_begin;   // [texts + 1]
};

// With x = logits / head.temperature:
// - single-label: scores are softmax(x); decided is the first of the highest, or with thresholds of
//   the highest score / threshold.
// - ordinal: the same over levels in order; their expected value is sum(level * score).
// - multi-label: scores are sigmoid(x); decided is every score >= its threshold (0.5 where the head
//   has none), which may be no label at all.
// - regression: scores are the logits, clipped to head.ranges where there are such; a value is
//   neither decided nor unsure.
// A row is unsure where its highest score is below head.unsure_below.
//
// `logits` is [rows, labels]. Throws Error(kBackend) for a logit that is not a finite number,
// Error(kModelFile) for a head that contradicts itself.
HeadScores decode(const Head& head, std::vector<float> logits, int32_t rows);

// Of heads that read tokens; `logits` is [token_begin.back(), labels], [CLS] first in each text:
// - span: with lead = start[first] + end[last] - start[CLS] - end[CLS] over all first <= last of at
//   most kMaxSpanTokens tokens, candidates are the best, the best that shares no token with it, and
//   so on. Their score is sigmoid((lead - margin) / temperature): the best is the answer where lead
//   > margin (Rajpurkar et al. 2018, section 5). `scores` are the logits.
// - token_labels: scores are softmax(x); the highest logit of each token is decided. B-kind begins
//   a span, so does I-kind after anything but B-kind or I-kind. A span's score is the mean of its
//   tokens'.
// - token_flags: scores are sigmoid(x); a token has every label whose threshold it reaches, and
//   neighbours with the same one are a span, whose score is the mean of theirs.
// [CLS] is neither decided nor part of a span. Spans stand in the order of the text, candidates
// best first. Errors as of decode().
HeadScores decode_tokens(const Head& head, std::vector<float> logits,
                         std::vector<int32_t> token_begin);

// The answer to one of several rows, or texts.
HeadScores row_of(const HeadScores& all, size_t row);

// The labels of one row in the order that people are shown: highest score first, ties in the
// model's order; those of a regression head stay in the model's order.
std::vector<uint32_t> ranked(const Head& head, const HeadScores& scores, size_t row);

}  // namespace affectrt

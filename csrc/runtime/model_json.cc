#include "runtime/model_json.h"

#include <cstdio>
#include <cstdlib>

#include "base/utf8.h"

namespace affectrt {
namespace {

double shortest_decimal(float value) {
  char text[32];
  for (int digits = 1; digits <= 9; ++digits) {
    std::snprintf(text, sizeof(text), "%.*g", digits, static_cast<double>(value));
    if (std::strtof(text, nullptr) == value) break;
  }
  return std::strtod(text, nullptr);
}

void write_head(const Head& head, JsonWriter* out) {
  out->begin('{');
  out->key("name").string(head.name);
  out->key("task").string(task_name(head.task));
  out->key("input").string(input_name(head.input));
  out->key("labels").begin('[');
  for (const std::string& label : head.labels) out->string(label);
  out->end(']');
  out->key("thresholds").begin('[');
  for (const float threshold : head.thresholds) out->number(shortest_decimal(threshold));
  out->end(']');
  out->key("temperature").number(shortest_decimal(head.temperature));
  out->key("unsure_below");
  if (const auto bound = head.unsure_below; bound) {
    out->number(shortest_decimal(*bound));
  } else {
    out->raw("null");
  }
  if (!head.ranges.empty()) {
    out->key("ranges").begin('[');
    for (const ValueRange& range : head.ranges) {
      out->begin('[');
      out->number(shortest_decimal(range.low));
      out->number(shortest_decimal(range.high));
      out->end(']');
    }
    out->end(']');
  }
  if (head.task == Task::kSpan) out->key("margin").number(shortest_decimal(head.margin));
  if (head.layer) out->key("layer").integer(static_cast<uint32_t>(*head.layer));
  if (head.pooling) out->key("pooling").string(pooling_name(*head.pooling));
  out->end('}');
}

void write_manifest(const Manifest& manifest, JsonWriter* out) {
  out->key("name").string(manifest.name);
  out->key("family").string(manifest.family);
  out->key("precision").string(manifest.precision);
  if (manifest.audio) {
    out->key("modality").string(manifest.modality);
    out->key("sample_rate").integer(manifest.audio->sample_rate);
    out->key("max_seconds").number(shortest_decimal(manifest.audio->max_seconds));
  } else {
    out->key("max_tokens").integer(manifest.max_tokens);
  }
  out->key("heads").begin('[');
  for (const Head& head : manifest.heads) write_head(head, out);
  out->end(']');
}

// Whether an answer says more than "emotions" does, so that it stands under "heads" as well.
bool has_more_than_labels(Task task) { return task == Task::kOrdinal || reads_tokens(task); }

struct RowOfHead {
  const Head& head;
  const HeadScores& scores;
  size_t row;

  double score(uint32_t label) const { return scores.scores[index(label)]; }
  bool decided(uint32_t label) const { return scores.decided[index(label)] != 0; }

 private:
  size_t index(uint32_t label) const { return row * static_cast<size_t>(scores.width) + label; }
};

// `name`: the labels with their scores; "decided"; where wanted, "unsure".
void write_labels(const char* name, const RowOfHead& of, bool unsure, JsonWriter* out) {
  const std::vector<uint32_t> order = ranked(of.head, of.scores, of.row);
  out->key(name).begin('[');
  for (const uint32_t i : order) {
    out->begin('{');
    out->key("label").string(of.head.labels[i]);
    out->key("score").number(of.score(i));
    out->end('}');
  }
  out->end(']');
  out->key("decided").begin('[');
  for (const uint32_t i : order) {
    if (of.decided(i)) out->string(of.head.labels[i]);
  }
  out->end(']');
  if (unsure) out->key("unsure").boolean(of.scores.unsure[of.row] != 0);
}

// The name of what a span is; "" for that of a span head.
std::string_view span_label(const Head& head, const TokenSpan& span) {
  if (head.task == Task::kSpan) return {};
  const auto label = static_cast<size_t>(span.label);
  if (head.task == Task::kTokenFlags) return head.labels[label];
  return std::string_view(head.labels[2 * label + 1]).substr(2);  // behind "B-"
}

// `name`: the spans of a text, those that are decided or all of them.
void write_spans(const char* name, const RowOfHead& of, std::string_view text, bool all,
                 JsonWriter* out) {
  out->key(name).begin('[');
  for (int32_t i = of.scores.span_begin[of.row]; i < of.scores.span_begin[of.row + 1]; ++i) {
    const TokenSpan& span = of.scores.spans[static_cast<size_t>(i)];
    if (!all && !span.decided) continue;
    out->begin('{');
    out->key("start").integer(static_cast<uint32_t>(span.begin));
    out->key("end").integer(static_cast<uint32_t>(span.end));
    out->key("text").string(
        characters(text, static_cast<size_t>(span.begin), static_cast<size_t>(span.end)));
    if (const auto label = span_label(of.head, span); !label.empty()) {
      out->key("label").string(label);
    }
    out->key("score").number(double{span.score});
    out->end('}');
  }
  out->end(']');
}

// The answer to `text`, without its brackets.
void write_answer(const RowOfHead& of, std::string_view text, JsonWriter* out) {
  if (of.head.task == Task::kRegression) {
    out->key("values").begin('{');
    for (uint32_t i = 0; i < of.head.labels.size(); ++i) {
      out->key(of.head.labels[i]).number(of.score(i));
    }
    out->end('}');
  } else if (reads_tokens(of.head.task)) {
    write_spans("spans", of, text, false, out);
    if (of.head.task == Task::kSpan) write_spans("candidates", of, text, true, out);
  } else {
    write_labels("labels", of, true, out);
    if (of.head.task == Task::kOrdinal) out->key("level").number(double{of.scores.levels[of.row]});
  }
}

}  // namespace

void write_emotions(const Head& head, const HeadScores& scores, size_t row, bool unsure,
                    JsonWriter* out) {
  write_labels("emotions", {head, scores, row}, unsure, out);
}

void write_head_answer(const Head& head, const HeadScores& scores, size_t row,
                       std::string_view text, JsonWriter* out) {
  out->key(head.name).begin('{');
  out->key("task").string(task_name(head.task));
  write_answer({head, scores, row}, text, out);
  out->end('}');
}

void write_answers(const Manifest& manifest, const std::vector<int32_t>& answered,
                   const std::vector<HeadScores>& heads, const AnsweredRow& of, JsonWriter* out) {
  const auto of_head = [&](size_t i) -> RowOfHead {
    return {manifest.heads[static_cast<size_t>(answered[i])], heads[i], of.row};
  };
  if (const RowOfHead primary = of_head(0); reads_tokens(primary.head.task)) {
    out->key("emotions").begin('[').end(']');
    out->key("decided").begin('[').end(']');
    out->key("unsure").boolean(false);
  } else {
    write_labels("emotions", primary, true, out);
  }
  if (of.truncated) out->key("truncated").boolean(true);
  if (answered.size() == 1 && !has_more_than_labels(of_head(0).head.task)) return;
  out->key("heads").begin('{');
  for (size_t i = 0; i < answered.size(); ++i) {
    const RowOfHead one = of_head(i);
    write_head_answer(one.head, one.scores, of.row, of.text, out);
  }
  out->end('}');
}

std::string manifest_json(const Manifest& manifest) {
  JsonWriter out;
  out.begin('{');
  write_manifest(manifest, &out);
  out.end('}');
  return out.take();
}

std::string info_json(const Manifest& manifest, const ModelFacts& facts) {
  JsonWriter out;
  out.begin('{');
  write_manifest(manifest, &out);
  out.key("licence").string(manifest.licence);
  out.key("notice").string(manifest.licence_notice);
  out.key("non_commercial").boolean(manifest.non_commercial);
  out.key("path").string(facts.path);
  out.key("backend").string(facts.backend);
  out.key("backend_detail").string(facts.backend_detail);
  out.key("manifest").raw(manifest.json.empty() ? "null" : manifest.json);
  out.end('}');
  return out.take();
}

std::string answers_json(const Manifest& manifest, const std::vector<TextInput>& inputs,
                         const Prediction& prediction) {
  JsonWriter out;
  out.begin('[');
  for (size_t row = 0; row < inputs.size(); ++row) {
    out.begin('{');
    out.key("text").string(inputs[row].text);
    if (inputs[row].pair) out.key("pair").string(*inputs[row].pair);
    write_answers(manifest, prediction.answered, prediction.heads,
                  {inputs[row].text, row, prediction.truncated[row] != 0}, &out);
    out.end('}');
  }
  out.end(']');
  return out.take();
}

}  // namespace affectrt

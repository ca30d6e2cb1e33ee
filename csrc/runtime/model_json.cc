#include "runtime/model_json.h"

#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

namespace affectrt {
namespace {

// JSON text written as it goes. A tree of nlohmann's would need memory to be destroyed, and end the
// process where there is none.
class Writer {
 public:
  // Separates from what stands before, where something does.
  Writer& key(std::string_view name) {
    item();
    scalar(nlohmann::json(std::string(name)));
    text_ += ':';
    first_ = true;
    return *this;
  }
  Writer& begin(char bracket) {
    item();
    text_ += bracket;
    first_ = true;
    return *this;
  }
  void end(char bracket) {
    text_ += bracket;
    first_ = false;
  }
  // A path may be no UTF-8.
  void string(std::string_view value) { value_of(nlohmann::json(std::string(value))); }
  void number(double value) { value_of(nlohmann::json(value)); }
  void integer(uint32_t value) { value_of(nlohmann::json(value)); }
  void boolean(bool value) { value_of(nlohmann::json(value)); }
  void raw(std::string_view json) {
    item();
    text_ += json;
  }
  std::string take() { return std::move(text_); }

 private:
  void item() {
    if (!first_) text_ += ',';
    first_ = false;
  }
  void scalar(const nlohmann::json& value) {
    text_ += value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }
  void value_of(const nlohmann::json& value) {
    item();
    scalar(value);
  }

  std::string text_;
  bool first_ = true;
};

const char* task_name(Task task) {
  return task == Task::kSingleLabel  ? "single_label"
         : task == Task::kMultiLabel ? "multi_label"
                                     : "regression";
}

double shortest_decimal(float value) {
  char text[32];
  for (int digits = 1; digits <= 9; ++digits) {
    std::snprintf(text, sizeof(text), "%.*g", digits, static_cast<double>(value));
    if (std::strtof(text, nullptr) == value) break;
  }
  return std::strtod(text, nullptr);
}

void write_head(const Head& head, Writer* out) {
  out->begin('{');
  out->key("name").string(head.name);
  out->key("task").string(task_name(head.task));
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
  out->end('}');
}

void write_manifest(const Manifest& manifest, Writer* out) {
  out->key("name").string(manifest.name);
  out->key("family").string(manifest.family);
  out->key("precision").string(manifest.precision);
  out->key("max_tokens").integer(manifest.max_tokens);
  out->key("heads").begin('[');
  for (const Head& head : manifest.heads) write_head(head, out);
  out->end(']');
}

struct RowOfHead {
  const Head& head;
  const HeadScores& scores;
  size_t row;

  double score(uint32_t label) const { return scores.scores[index(label)]; }
  bool decided(uint32_t label) const { return scores.decided[index(label)] != 0; }

 private:
  size_t index(uint32_t label) const { return row * static_cast<size_t>(scores.width) + label; }
};

// `name`: the labels with their scores; "decided", "unsure".
void write_labels(const char* name, const RowOfHead& of, Writer* out) {
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
  out->key("unsure").boolean(of.scores.unsure[of.row] != 0);
}

void write_head_answer(const RowOfHead& of, Writer* out) {
  out->key(of.head.name).begin('{');
  out->key("task").string(task_name(of.head.task));
  if (of.head.task == Task::kRegression) {
    out->key("values").begin('{');
    for (uint32_t i = 0; i < of.head.labels.size(); ++i) {
      out->key(of.head.labels[i]).number(of.score(i));
    }
    out->end('}');
  } else {
    write_labels("labels", of, out);
  }
  out->end('}');
}

void write_row(const Manifest& manifest, const TextInput& input, const Prediction& prediction,
               size_t row, Writer* out) {
  out->begin('{');
  out->key("text").string(input.text);
  if (input.pair) out->key("pair").string(*input.pair);
  write_labels("emotions", {manifest.heads[0], prediction.heads[0], row}, out);
  if (prediction.truncated[row] != 0) out->key("truncated").boolean(true);
  if (manifest.heads.size() > 1) {
    out->key("heads").begin('{');
    for (size_t i = 0; i < manifest.heads.size(); ++i) {
      write_head_answer({manifest.heads[i], prediction.heads[i], row}, out);
    }
    out->end('}');
  }
  out->end('}');
}

}  // namespace

std::string manifest_json(const Manifest& manifest) {
  Writer out;
  out.begin('{');
  write_manifest(manifest, &out);
  out.end('}');
  return out.take();
}

std::string info_json(const Model& model) {
  const Manifest& manifest = model.manifest();
  Writer out;
  out.begin('{');
  write_manifest(manifest, &out);
  out.key("licence").string(manifest.licence);
  out.key("notice").string(manifest.licence_notice);
  out.key("non_commercial").boolean(manifest.non_commercial);
  out.key("path").string(model.bundle().path());
  out.key("backend").string(model.backend().name());
  out.key("backend_detail").string(model.backend().detail());
  out.key("manifest").raw(manifest.json.empty() ? "null" : manifest.json);
  out.end('}');
  return out.take();
}

std::string answers_json(const Manifest& manifest, const std::vector<TextInput>& inputs,
                         const Prediction& prediction) {
  Writer out;
  out.begin('[');
  for (size_t row = 0; row < inputs.size(); ++row) {
    write_row(manifest, inputs[row], prediction, row, &out);
  }
  out.end(']');
  return out.take();
}

}  // namespace affectrt

#include "runtime/speech_json.h"

#include <algorithm>
#include <utility>

#include "runtime/model_json.h"

namespace affectrt {
namespace {

// A decided label, a list of them, or yes or no where there is one alone.
void write_decision(const Head& head, const HeadScores& scores, size_t row, JsonWriter* out) {
  const uint8_t* decided = scores.decided.data() + row * head.labels.size();
  if (head.task != Task::kMultiLabel) {
    out->string(head.labels[static_cast<size_t>(
        std::find(decided, decided + head.labels.size(), 1) - decided)]);
    return;
  }
  if (head.labels.size() == 1) {
    out->boolean(decided[0] != 0);
    return;
  }
  out->begin('[');
  for (const uint32_t i : ranked(head, scores, row)) {
    if (decided[i] != 0) out->string(head.labels[i]);
  }
  out->end(']');
}

void write_windows(const SpeechModel& model, const SpeechPrediction& prediction, size_t clip,
                   JsonWriter* out) {
  const auto rate = static_cast<double>(model.audio().sample_rate);
  out->key("windows").begin('[');
  for (int32_t i = prediction.window_begin[clip]; i < prediction.window_begin[clip + 1]; ++i) {
    const ClipWindow& window = prediction.windows[static_cast<size_t>(i)];
    out->begin('{');
    out->key("start_s").number(static_cast<double>(window.begin) / rate);
    out->key("end_s").number(static_cast<double>(window.end) / rate);
    write_short_answers(model.manifest(), prediction.answered, prediction.window_heads,
                        static_cast<size_t>(i), false, {"start_s", "end_s"}, out);
    out->end('}');
  }
  out->end(']');
}

}  // namespace

void write_short_answers(const Manifest& manifest, const std::vector<int32_t>& answered,
                         const std::vector<HeadScores>& heads, size_t row, bool unsure,
                         std::vector<std::string> taken, JsonWriter* out) {
  taken.insert(taken.end(), {"emotions", "decided", "unsure"});
  const auto is_new = [&](const std::string& name) {
    if (std::find(taken.begin(), taken.end(), name) != taken.end()) return false;
    taken.push_back(name);
    return true;
  };
  for (size_t i = 0; i < answered.size(); ++i) {
    const Head& head = manifest.heads[static_cast<size_t>(answered[i])];
    if (i == 0) {
      write_emotions(head, heads[i], row, unsure, out);
    } else if (head.task != Task::kRegression) {
      if (!is_new(head.name)) continue;
      out->key(head.name);
      write_decision(head, heads[i], row, out);
    } else {
      const float* values = heads[i].scores.data() + row * head.labels.size();
      for (size_t j = 0; j < head.labels.size(); ++j) {
        if (is_new(head.labels[j])) out->key(head.labels[j]).number(double{values[j]});
      }
    }
  }
}

void write_sound(const SpeechModel& model, const SpeechPrediction& prediction, size_t clip,
                 JsonWriter* out) {
  const Manifest& manifest = model.manifest();
  const ClipFacts& facts = prediction.facts[clip];
  out->begin('{');
  out->key("duration_s").number(facts.duration_s);
  write_short_answers(
      manifest, prediction.answered, prediction.heads, clip, true,
      {"file", "duration_s", "level_dbfs", "clipped_share", "audible", "heads", "windows"}, out);
  out->key("level_dbfs").number(double{facts.level_dbfs});
  out->key("clipped_share").number(double{facts.clipped_share});
  out->key("audible").boolean(facts.audible);
  out->key("heads").begin('{');
  for (size_t i = 0; i < prediction.answered.size(); ++i) {
    write_head_answer(manifest.heads[static_cast<size_t>(prediction.answered[i])],
                      prediction.heads[i], clip, {}, out);
  }
  out->end('}');
  if (prediction.window_begin[clip + 1] - prediction.window_begin[clip] > 1) {
    write_windows(model, prediction, clip, out);
  }
  out->end('}');
}

std::string sounds_json(const SpeechModel& model, const SpeechPrediction& prediction) {
  JsonWriter out;
  out.begin('[');
  for (size_t clip = 0; clip < prediction.facts.size(); ++clip) {
    write_sound(model, prediction, clip, &out);
  }
  out.end(']');
  return out.take();
}

}  // namespace affectrt

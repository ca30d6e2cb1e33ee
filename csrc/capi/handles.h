// What is behind the opaque types. Each shares what it needs of the model, so that handles can be
// destroyed in any order.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "audio/samples.h"
#include "base/error.h"
#include "capi/affectrt.h"
#include "runtime/conversation.h"
#include "runtime/model.h"
#include "runtime/speech_model.h"
#include "runtime/speech_stream.h"

struct affectrt_model {
  // One of the two.
  std::shared_ptr<const affectrt::Model> text;
  std::shared_ptr<const affectrt::SpeechModel> speech;
  // What affectrt_model_get_info() and _get_head() point to.
  std::string backend;
  std::string backend_detail;
  std::string json;
  std::vector<std::vector<const char*>> labels;  // of each head
};

struct affectrt_result {
  std::shared_ptr<const affectrt::Model> text;
  std::shared_ptr<const affectrt::SpeechModel> speech;
  affectrt::Prediction prediction;  // of sound with neither tokens nor truncation
  // Of each answer of `prediction`: [rows * labels], or none where the head reads tokens.
  std::vector<std::vector<affectrt_label_score>> ranked;
  // Of each answer: those of all texts, where the head reads tokens.
  std::vector<std::vector<affectrt_span>> spans;
  // Of sound: the clips, and of each answer the labels of all windows.
  affectrt::SpeechPrediction clips;
  std::vector<std::vector<affectrt_label_score>> ranked_windows;
};

struct affectrt_conversation {
  std::unique_ptr<affectrt::Conversation> conversation;
};

struct affectrt_speech_stream {
  // What affectrt_segments points to, until the next call.
  struct Answered {
    std::vector<std::string> json;
    std::vector<std::vector<affectrt_label_score>> labels;
    std::vector<affectrt_segment> segments;
  };
  affectrt::SampleFormat format = affectrt::SampleFormat::kF32;
  size_t channels = 1;
  std::unique_ptr<affectrt::SpeechStream> stream;
  Answered answered;
  std::atomic<bool> in_use{false};
};

struct affectrt_tokenizer {
  std::shared_ptr<const affectrt::Tokenizer> tokenizer;
};

struct affectrt_encoding {
  struct Window {
    affectrt::Encoding tokens;
    std::vector<affectrt_offset> offsets;
  };
  std::vector<Window> windows;
};

namespace affectrt {

const Manifest& manifest_of(const affectrt_model& model);    // model.cc
const Manifest& manifest_of(const affectrt_result& result);  // likewise
// What the handle holds; Error(kInput) where it holds a model of the other kind.
const std::shared_ptr<const Model>& text_model(const affectrt_model* model);          // model.cc
const std::shared_ptr<const SpeechModel>& speech_model(const affectrt_model* model);  // likewise

// The index of the head of that name; Error(kInput), which lists the names, where there is none.
size_t head_named(const Manifest& manifest, const std::string& name);  // model.cc

// `head` itself; Error(kInput) where the model has no such head.
inline size_t checked_head(const Manifest& manifest, uint32_t head) {
  const size_t heads = manifest.heads.size();
  if (head < heads) return head;
  throw Error(ErrorKind::kInput,
              "no head " + std::to_string(head) + "; this model has " + std::to_string(heads));
}

// [rows * labels] of a head's answers, highest score first in each row; none where it reads tokens.
std::vector<affectrt_label_score> ranked_rows(const Head& head, const HeadScores& scores,
                                              size_t rows);  // analyse.cc
// Where the answers of a head are in result.prediction.
size_t answer_index(const affectrt_result& result, uint32_t head);  // analyse.cc
// A row of answers to `answer`, which says how much of it the caller knows.
void fill_answer(const HeadScores& scores, const std::vector<affectrt_label_score>& ranked,
                 size_t row, const Prediction* texts, affectrt_answer* answer);  // analyse.cc

}  // namespace affectrt

// What is behind the opaque types. Each shares what it needs of the model, so that handles can be
// destroyed in any order.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "audio/frame_features.h"
#include "audio/resampler.h"
#include "audio/samples.h"
#include "audio/segmenter.h"
#include "audio/vad.h"
#include "base/error.h"
#include "capi/affectrt.h"
#include "capi/affectrt_features.h"
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

struct affectrt_features {
  std::shared_ptr<const affectrt::FrameFeatures> features;
  bool is_log_mel = false;
  bool raw = false;
  int64_t pad_to = 0;  // samples; 0: clips are as long as they are
  int64_t sample_rate = 16000;
  affectrt::FrameFeatures::Layout layout = affectrt::FrameFeatures::Layout::kFrameMajor;
};

struct affectrt_resampler {
  std::shared_ptr<const affectrt::Resampler> resampler;
};

struct affectrt_row_stream {
  std::unique_ptr<affectrt::ResampleStream> resampler;  // null: samples come at the right rate
  std::unique_ptr<affectrt::FrameStream> frames;        // null: the rows are samples
  size_t columns = 1;
  std::vector<float> resampled;
  std::vector<float> rows;  // that wait, but for those that were read
  size_t read = 0;          // values of `rows`
  bool failed = false;
  std::atomic<bool> in_use{false};
};

struct affectrt_voice_detector {
  explicit affectrt_voice_detector(const affectrt::SegmentOptions& options) : segmenter(options) {}
  std::unique_ptr<affectrt::ResampleStream> resampler;  // null: samples come at 16 kHz
  affectrt::VadStream vad;
  affectrt::Segmenter segmenter;
  bool keeps_probabilities = false;
  int64_t samples = 0;  // at 16 kHz
  std::vector<float> resampled;
  std::vector<affectrt::VadFrame> frames;  // that have just come
  std::deque<affectrt::SpeechSpan> spans;
  std::deque<float> probabilities;
  bool failed = false;
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

// Samples of a clip as arithmetic wants them; Error(kInput) for more than it bears.
int64_t clip_length(size_t count);  // features.cc
// That samples can be used.
void check_clip(const float* samples, size_t count);  // features.cc
// That `rows` of `columns` fit.
void check_room(size_t room, size_t rows, size_t columns);  // features.cc

}  // namespace affectrt

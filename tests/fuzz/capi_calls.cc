// Calls of the C interface in any order, with any arguments that are not wild pointers.
#include <affectrt.h>

#include <memory>
#include <vector>

#include "../capi/tiny_model.h"
#include "../capi/tiny_speech_model.h"
#include "sound.h"

using namespace affectrt::fuzz;

namespace {

constexpr size_t kSlots = 4;

const std::string& tiny_image() {
  static const auto& image = *new std::string(affectrt::testing::tiny_model::image());
  return image;
}

const std::string& tiny_speech_image() {
  namespace tiny = affectrt::testing::tiny_speech_model;
  static const auto& image = *new std::string(tiny::image(tiny::files()));
  return image;
}

// The status is one of those that bad arguments may cause, and failure is explained.
bool succeeded(affectrt_status status) {
  AFFECTRT_PROMISED(status >= AFFECTRT_OK && status < AFFECTRT_INTERNAL);
  if (status == AFFECTRT_OK) return true;
  AFFECTRT_PROMISED(*affectrt_last_error() != '\0');
  AFFECTRT_PROMISED(*affectrt_status_name(status) == 'A');
  return false;
}

template <class Handle, void (*kDestroy)(Handle*)>
class Slots {
 public:
  ~Slots() {
    for (Handle* handle : handles_) kDestroy(handle);
  }
  // One of the handles, which may be NULL.
  Handle* get(Input* input) { return handles_[input->below(kSlots)]; }
  // Where a call may put a new handle: NULL, or one that is free.
  Handle** out(Input* input) {
    const size_t slot = input->below(kSlots + 1);
    if (slot == kSlots) return nullptr;
    kDestroy(handles_[slot]);
    handles_[slot] = nullptr;
    return &handles_[slot];
  }
  void made(affectrt_status status, Handle** out) {
    const bool good = succeeded(status);
    if (out != nullptr) AFFECTRT_PROMISED(good == (*out != nullptr));
    if (out == nullptr) AFFECTRT_PROMISED(!good);
  }
  void destroy(Input* input) {
    Handle*& handle = handles_[input->below(kSlots)];
    kDestroy(handle);
    handle = nullptr;
  }

 private:
  Handle* handles_[kSlots] = {};
};

// A struct_size that is right, mostly; never more than there is.
template <class Struct>
size_t struct_size(Input* input) {
  const uint8_t choice = input->byte();
  return choice < 200 ? sizeof(Struct) : (choice - 200U) % sizeof(Struct);
}

class Texts {
 public:
  explicit Texts(Input* input) {
    const size_t count = input->below(5);
    for (size_t i = 0; i < count; ++i) {
      // Copies, so that reading beyond their end is seen.
      const std::string_view text = input->until('\xff');
      const std::string_view pair = input->below(3) == 0 ? input->until('\xff') : "";
      copies_.emplace_back(text.begin(), text.end());
      copies_.emplace_back(pair.begin(), pair.end());
    }
    for (size_t i = 0; i < count; ++i) {
      const std::vector<char>& text = copies_[2 * i];
      const std::vector<char>& pair = copies_[2 * i + 1];
      texts_.push_back({text.empty() ? "" : text.data(), text.size(),
                        pair.empty() ? nullptr : pair.data(), pair.size()});
    }
    if (count > 0 && input->below(16) == 0) texts_[0].data = nullptr;
  }
  const affectrt_text* data() const { return texts_.data(); }
  size_t size() const { return texts_.size(); }

 private:
  std::vector<std::vector<char>> copies_;
  std::vector<affectrt_text> texts_;
};

class Sounds {
 public:
  explicit Sounds(Input* input) : samples_(input->below(4)) {
    for (std::vector<float>& clip : samples_) {
      for (size_t stretches = input->below(4); stretches > 0; --stretches) extend(input, &clip);
      const int32_t channels = input->byte() % 4 - 1;
      const size_t count = clip.size() / (channels < 1 ? 1U : static_cast<size_t>(channels));
      sounds_.push_back({clip.data(), count, input->byte() * 400, channels});
    }
  }
  // The clip of number `i`, or none.
  affectrt_sound get(size_t i) const {
    return i < sounds_.size() ? sounds_[i] : affectrt_sound{nullptr, 0, 0, 0};
  }
  const affectrt_sound* data() const { return sounds_.data(); }
  size_t size() const { return sounds_.size(); }

 private:
  std::vector<std::vector<float>> samples_;
  std::vector<affectrt_sound> sounds_;
};

int32_t stop_now(void* user, size_t done, size_t total) {
  AFFECTRT_PROMISED(done <= total);
  return *static_cast<const int32_t*>(user);
}

class Session {
 public:
  explicit Session(Input* input) : input_(*input) {}

  void step() {
    switch (input_.below(20)) {
      case 0:
        return load();
      case 1:
        return models_.destroy(&input_);
      case 2:
        return analyse();
      case 3:
        return ask();
      case 4:
        return predict();
      case 5:
        return info();
      case 6:
        return results_.destroy(&input_);
      case 7:
        return tokenizer();
      case 8:
        return tokenizers_.destroy(&input_);
      case 9:
        return encode();
      case 10:
        return tokens();
      case 11:
        return encodings_.destroy(&input_);
      case 12:
        return json();
      case 13:
        succeeded(affectrt_check_abi(input_.byte() - 1, input_.byte() - 1));
        return;
      case 14:
        return begin_conversation();
      case 15:
        return converse();
      case 16:
        return save();
      case 17:
        return conversations_.destroy(&input_);
      case 18:
        return hear();
      case 19:
        return listen();
    }
  }

 private:
  void load() {
    static constexpr const char* kBackends[] = {nullptr, "native", "auto", "none"};
    static constexpr const char* kIsas[] = {nullptr, nullptr, "scalar", "mmx"};
    affectrt_model_options options = AFFECTRT_MODEL_OPTIONS_INIT;
    options.struct_size = struct_size<affectrt_model_options>(&input_);
    options.backend = kBackends[input_.below(4)];
    options.isa = kIsas[input_.below(4)];
    options.num_threads = input_.byte() % 4 - 1;
    options.max_batch_tokens = input_.byte() - 1;
    options.verify = input_.byte() & 1;
    const affectrt_model_options* given = input_.below(2) == 0 ? nullptr : &options;
    affectrt_model** out = models_.out(&input_);
    const uint8_t which = input_.byte();
    const std::string& image = which % 4 == 3 ? tiny_speech_image() : tiny_image();
    const size_t size = which % 8 == 0 ? image.size() / 2 : image.size();
    models_.made(affectrt_model_load_memory(image.data(), size, nullptr, nullptr, given, out), out);
  }

  affectrt_analyse_options analyse_options() {
    affectrt_analyse_options options = AFFECTRT_ANALYSE_OPTIONS_INIT;
    options.struct_size = struct_size<affectrt_analyse_options>(&input_);
    const uint8_t choice = input_.byte();
    options.progress = (choice & 1U) != 0 ? stop_now : nullptr;
    stop_ = (choice & 2U) != 0 ? 1 : 0;
    options.user = &stop_;
    options.max_tokens = input_.byte() % 80 - 1;
    return options;
  }

  void analyse() {
    const affectrt_analyse_options options = analyse_options();
    const affectrt_model* model = models_.get(&input_);
    affectrt_result** out = results_.out(&input_);
    const Texts texts(&input_);
    results_.made(affectrt_model_analyse(model, texts.data(), texts.size(), &options, out), out);
  }

  void json() {
    const affectrt_analyse_options options = analyse_options();
    const affectrt_model* model = models_.get(&input_);
    const Texts texts(&input_);
    char* text = nullptr;
    if (succeeded(
            affectrt_model_analyse_json(model, texts.data(), texts.size(), &options, &text))) {
      AFFECTRT_PROMISED(text != nullptr && *text == '[');
    }
    affectrt_json_destroy(text);
  }

  void ask() {
    const affectrt_result* result = results_.get(&input_);
    const size_t row = input_.byte();
    const uint32_t head = input_.byte() % 4;
    affectrt_answer answer = AFFECTRT_ANSWER_INIT;
    answer.struct_size = struct_size<affectrt_answer>(&input_);
    if (succeeded(affectrt_result_get_answer(result, row, head, &answer))) {
      float sum = 0.0F;
      for (uint32_t i = 0; i < answer.num_labels; ++i) {
        sum += answer.labels[i].score;
        AFFECTRT_PROMISED(*answer.labels[i].label != '\0');
      }
      AFFECTRT_PROMISED(sum == sum && answer.num_decided <= answer.num_labels);
    }
    affectrt_matrices matrices = AFFECTRT_MATRICES_INIT;
    matrices.struct_size = struct_size<affectrt_matrices>(&input_);
    if (succeeded(affectrt_result_get_matrices(result, head, &matrices))) {
      for (size_t i = 0; i < matrices.rows * matrices.labels; ++i) {
        AFFECTRT_PROMISED(matrices.scores[i] == matrices.scores[i] && matrices.decided[i] <= 1);
      }
    }
  }

  void predict() {
    const affectrt_analyse_options options = analyse_options();
    const affectrt_model* model = models_.get(&input_);
    const uint32_t head = input_.byte() % 4;
    const size_t labels = input_.byte() % 5;
    const Texts texts(&input_);
    const size_t rows = texts.size() + input_.byte() / 250;
    std::vector<float> scores(rows * labels);
    std::vector<uint8_t> truncated(rows);
    affectrt_buffers buffers = AFFECTRT_BUFFERS_INIT;
    buffers.struct_size = struct_size<affectrt_buffers>(&input_);
    buffers.rows = rows;
    buffers.labels = labels;
    buffers.scores = scores.data();
    buffers.truncated = truncated.data();
    succeeded(affectrt_model_predict(model, texts.data(), texts.size(), &options, head, &buffers));
  }

  void info() {
    const affectrt_model* model = models_.get(&input_);
    affectrt_model_info info = AFFECTRT_MODEL_INFO_INIT;
    info.struct_size = struct_size<affectrt_model_info>(&input_);
    if (succeeded(affectrt_model_get_info(model, &info))) AFFECTRT_PROMISED(*info.name != '\0');
    affectrt_head_info head = AFFECTRT_HEAD_INFO_INIT;
    head.struct_size = struct_size<affectrt_head_info>(&input_);
    if (succeeded(affectrt_model_get_head(model, input_.byte() % 4, &head))) {
      AFFECTRT_PROMISED(head.num_labels == 0 || *head.labels[head.num_labels - 1] != '\0');
    }
    uint32_t found = 0;
    const std::string name(input_.until('\xff'));
    succeeded(affectrt_model_find_head(model, name.c_str(), &found));
  }

  void tokenizer() {
    affectrt_tokenizer** out = tokenizers_.out(&input_);
    if (input_.below(2) == 0) {
      return tokenizers_.made(affectrt_tokenizer_from_model(models_.get(&input_), out), out);
    }
    const std::string_view json = input_.until('\xff');
    tokenizers_.made(affectrt_tokenizer_load_json(json.data(), json.size(), out), out);
  }

  void encode() {
    affectrt_encode_options options = AFFECTRT_ENCODE_OPTIONS_INIT;
    options.struct_size = struct_size<affectrt_encode_options>(&input_);
    const uint8_t flags = input_.byte();
    options.no_special_tokens = flags & 1;
    options.keep_windows = flags & 2;
    options.truncate_left = flags & 4;
    options.truncation = (flags >> 3U) % 5;
    options.max_tokens = input_.byte() % 16;
    options.stride = input_.byte() % 4;
    options.offsets = input_.byte() % 4;
    const affectrt_tokenizer* with = tokenizers_.get(&input_);
    affectrt_encoding** out = encodings_.out(&input_);
    const Texts texts(&input_);
    const affectrt_text* text = texts.size() > 0 ? texts.data() : nullptr;
    encodings_.made(affectrt_tokenizer_encode(with, text, &options, out), out);
    size_t known = 0;
    succeeded(affectrt_tokenizer_vocab_size(with, &known));
    const char* token = nullptr;
    size_t size = 0;
    if (succeeded(affectrt_tokenizer_id_to_token(with, input_.byte(), &token, &size))) {
      uint32_t id = 0;
      succeeded(affectrt_tokenizer_token_to_id(with, token, size, &id));
    }
  }

  void tokens() {
    affectrt_tokens tokens = AFFECTRT_TOKENS_INIT;
    tokens.struct_size = struct_size<affectrt_tokens>(&input_);
    const affectrt_encoding* encoding = encodings_.get(&input_);
    if (!succeeded(affectrt_encoding_get_tokens(encoding, input_.byte() % 4, &tokens))) return;
    AFFECTRT_PROMISED(tokens.num_windows > 0);
    for (size_t i = 0; i < tokens.size; ++i) {
      AFFECTRT_PROMISED(tokens.offsets[i].begin <= tokens.offsets[i].end);
    }
  }

  void begin_conversation() {
    static constexpr const char* kHeads[] = {"emotion", "vad", "mood"};
    affectrt_conversation_options options = AFFECTRT_CONVERSATION_OPTIONS_INIT;
    options.struct_size = struct_size<affectrt_conversation_options>(&input_);
    options.heads = kHeads;
    options.num_heads = input_.below(4);
    options.max_turns = input_.byte() - 1;
    options.speech = models_.get(&input_);
    const affectrt_model* model = models_.get(&input_);
    affectrt_conversation** out = conversations_.out(&input_);
    conversations_.made(affectrt_conversation_create(model, &options, out), out);
  }

  void converse() {
    const affectrt_analyse_options options = analyse_options();
    const bool spoken = input_.below(2) == 1;
    const Texts texts(&input_);
    const Sounds clips(&input_);
    std::vector<affectrt_turn> turns;
    std::vector<affectrt_sound> sounds;
    for (size_t i = 0; i < texts.size(); ++i) {
      const affectrt_text& text = texts.data()[i];
      const uint8_t speaker = input_.byte();
      turns.push_back({conversations_.get(&input_), speaker % 2 == 0 ? "A" : "B", 1, text.data,
                       text.size, speaker % 8 == 7 ? "fear" : nullptr});
      if (spoken && speaker % 4 == 3) turns.back().text = nullptr;
      sounds.push_back(clips.get(i));
    }
    char* json = nullptr;
    const affectrt_status status =
        spoken ? affectrt_conversation_add_spoken(turns.data(), sounds.data(), turns.size(),
                                                  &options, &json)
               : affectrt_conversation_add(turns.data(), turns.size(), &options, &json);
    if (succeeded(status)) AFFECTRT_PROMISED(json != nullptr && *json == '[');
    affectrt_json_destroy(json);
  }

  // A state that is restored is saved as the same; what stands in the input instead is no state.
  void save() {
    const affectrt_conversation* conversation = conversations_.get(&input_);
    char* json = nullptr;
    if (succeeded(affectrt_conversation_arc_json(conversation, &json))) {
      AFFECTRT_PROMISED(*json == '[');
    }
    affectrt_json_destroy(json);
    json = nullptr;
    std::string state;
    if (succeeded(affectrt_conversation_save(conversation, &json))) state = json;
    affectrt_json_destroy(json);
    const bool whole = input_.below(2) == 0;
    if (!whole && !state.empty()) {
      state.replace(input_.byte() * state.size() / 256, input_.byte(), input_.until('\xff'));
    }
    const affectrt_model* model = models_.get(&input_);
    const affectrt_model* speech = models_.get(&input_);
    affectrt_conversation* again = nullptr;
    json = nullptr;
    if (succeeded(affectrt_conversation_restore_spoken(model, speech, state.data(), state.size(),
                                                       &again)) &&
        succeeded(affectrt_conversation_save(again, &json)) && whole) {
      AFFECTRT_PROMISED(json == state || speech != nullptr);
    }
    affectrt_json_destroy(json);
    affectrt_conversation_destroy(again);
  }

  void hear() {
    const affectrt_analyse_options options = analyse_options();
    const affectrt_model* model = models_.get(&input_);
    affectrt_result** out = results_.out(&input_);
    const Sounds sounds(&input_);
    const affectrt_status status =
        affectrt_model_analyse_sound(model, sounds.data(), sounds.size(), &options, out);
    results_.made(status, out);
    if (status != AFFECTRT_OK) return;
    affectrt_clip_info clip = AFFECTRT_CLIP_INFO_INIT;
    affectrt_window window = AFFECTRT_WINDOW_INIT;
    affectrt_answer answer = AFFECTRT_ANSWER_INIT;
    const size_t row = input_.byte() % 4;
    if (!succeeded(affectrt_result_get_clip(*out, row, &clip))) return;
    AFFECTRT_PROMISED(clip.num_windows > 0 && clip.duration_s > 0.0);
    if (succeeded(affectrt_result_get_window(*out, row, input_.byte() % 4, input_.byte() % 5,
                                             &window, &answer))) {
      AFFECTRT_PROMISED(window.begin_s < window.end_s && answer.num_labels > 0);
    }
  }

  void listen() {
    affectrt_speech_stream_options options = AFFECTRT_SPEECH_STREAM_OPTIONS_INIT;
    options.struct_size = struct_size<affectrt_speech_stream_options>(&input_);
    options.sample_rate = input_.byte() * 400;
    options.channels = input_.byte() % 4 - 1;
    options.interim_ms = input_.byte() * 5.0;
    options.max_segment_s = input_.byte() / 50.0;
    const affectrt_model* model = models_.get(&input_);
    affectrt_speech_stream* stream = nullptr;
    const Sounds sounds(&input_);
    succeeded(affectrt_speech_stream_create(model, &options, &stream));
    affectrt_segments segments = AFFECTRT_SEGMENTS_INIT;
    for (size_t i = 0; i <= sounds.size(); ++i) {
      const affectrt_sound chunk = sounds.get(i);
      const size_t frames = options.channels > 1 && chunk.channels != options.channels
                                ? chunk.count / static_cast<size_t>(options.channels)
                                : chunk.count;
      const affectrt_status status =
          i < sounds.size() ? affectrt_speech_stream_feed(stream, chunk.samples, frames, &segments)
                            : affectrt_speech_stream_flush(stream, &segments);
      if (!succeeded(status)) continue;
      for (size_t k = 0; k < segments.num_segments; ++k) {
        AFFECTRT_PROMISED(segments.segments[k].start_s < segments.segments[k].end_s);
      }
    }
    affectrt_speech_stream_destroy(stream);
  }

  Input& input_;
  int32_t stop_ = 0;
  Slots<affectrt_model, affectrt_model_destroy> models_;
  Slots<affectrt_result, affectrt_result_destroy> results_;
  Slots<affectrt_tokenizer, affectrt_tokenizer_destroy> tokenizers_;
  Slots<affectrt_encoding, affectrt_encoding_destroy> encodings_;
  Slots<affectrt_conversation, affectrt_conversation_destroy> conversations_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  Session session(&input);
  for (int steps = 0; steps < 64 && !input.empty(); ++steps) session.step();
  return 0;
}

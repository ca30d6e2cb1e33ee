// affectrt for C++17: the C interface with objects that give themselves back. Header only.
//
// Failures are thrown as affectrt::Error. The rules at the head of affectrt.h hold: any number of
// threads may use one object at once; views (Answer, Matrices, Tokens) live as long as the object
// that they came from. A moved-from object may only be assigned to or destroyed.
#ifndef AFFECTRT_HPP
#define AFFECTRT_HPP

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "affectrt.h"

namespace affectrt {
// A name of its own, so that the classes below are not confused with those inside of the library.
inline namespace c_api_1 {

class Error : public std::runtime_error {
 public:
  explicit Error(affectrt_status status)
      : std::runtime_error(affectrt_last_error()), status_(status) {}
  affectrt_status status() const { return status_; }

 private:
  affectrt_status status_;
};

namespace detail {

inline void check(affectrt_status status) {
  if (status != AFFECTRT_OK) throw Error(status);
}

template <class T, void (*Destroy)(T*)>
struct Deleter {
  void operator()(T* handle) const { Destroy(handle); }
};
template <class T, void (*Destroy)(T*)>
using Handle = std::unique_ptr<T, Deleter<T, Destroy>>;

// JSON of the library, which gets it back.
inline std::string taken(char* json) {
  const Handle<char, affectrt_json_destroy> owner(json);
  return std::string(json);
}

inline const char* or_null(const std::string& text) {
  return text.empty() ? nullptr : text.c_str();
}

}  // namespace detail

struct Options {
  std::string backend;  // "": "auto"
  std::string isa;      // "": the best
  std::string onnxruntime_library;
  std::vector<std::string> providers;
  int32_t num_threads = 0;
  int32_t max_batch_tokens = 0;
  bool verify = false;
};

// One text, or a pair of them; a view, so that the characters must outlive the call.
struct Text {
  Text(std::string_view one) : text(one) {}    // NOLINT(google-explicit-constructor)
  Text(const char* one) : text(one) {}         // NOLINT(google-explicit-constructor)
  Text(const std::string& one) : text(one) {}  // NOLINT(google-explicit-constructor)
  Text(std::string_view one, std::string_view other) : text(one), pair(other) {}

  affectrt_text raw() const {
    const auto start = [](std::string_view view) { return view.empty() ? "" : view.data(); };
    return {start(text), text.size(), pair ? start(*pair) : nullptr, pair ? pair->size() : 0};
  }

  std::string_view text;
  std::optional<std::string_view> pair;
};

// One clip; a view, so that the samples must outlive the call. Full scale is from -1 to 1.
struct Sound {
  Sound(const float* data, size_t frames, int32_t rate, int32_t interleaved = 1)
      : samples(data), count(frames), sample_rate(rate), channels(interleaved) {}
  Sound(const std::vector<float>& mono, int32_t rate) : Sound(mono.data(), mono.size(), rate) {}

  affectrt_sound raw() const { return {samples, count, sample_rate, channels}; }

  const float* samples;  // [count, channels]
  size_t count;
  int32_t sample_rate;  // Hz
  int32_t channels;
};

// False stops the call, which throws Error(AFFECTRT_CANCELLED). What it throws passes through.
using Progress = std::function<bool(size_t rows_done, size_t rows_total)>;

// The answer of one head to one text: its labels, highest score first.
class Answer {
 public:
  explicit Answer(const affectrt_answer& raw) : raw_(raw) {}
  const affectrt_label_score* begin() const { return raw_.labels; }
  const affectrt_label_score* end() const { return raw_.labels + raw_.num_labels; }
  size_t size() const { return raw_.num_labels; }
  const affectrt_label_score& operator[](size_t i) const { return raw_.labels[i]; }
  std::vector<std::string_view> decided() const {
    std::vector<std::string_view> names;
    for (const affectrt_label_score& label : *this) {
      if (label.decided != 0) names.emplace_back(label.label);
    }
    return names;
  }
  bool unsure() const { return raw_.unsure != 0; }
  bool truncated() const { return raw_.truncated != 0; }
  size_t token_count() const { return raw_.token_count; }
  const affectrt_answer* raw() const { return &raw_; }

 private:
  affectrt_answer raw_;
};

class Result {
 public:
  explicit Result(affectrt_result* owned) : handle_(owned) {}
  size_t rows() const { return matrices().rows; }
  Answer answer(size_t row = 0, uint32_t head = 0) const {
    affectrt_answer answer = AFFECTRT_ANSWER_INIT;
    detail::check(affectrt_result_get_answer(handle_.get(), row, head, &answer));
    return Answer(answer);
  }
  // Of a head that reads tokens, those that are decided and further candidates; views into this.
  std::vector<affectrt_span> spans(size_t row, uint32_t head) const {
    affectrt_spans spans = AFFECTRT_SPANS_INIT;
    detail::check(affectrt_result_get_spans(handle_.get(), row, head, &spans));
    return std::vector<affectrt_span>(spans.spans, spans.spans + spans.num_spans);
  }
  // Of a result of sound.
  affectrt_clip_info clip(size_t row = 0) const {
    affectrt_clip_info info = AFFECTRT_CLIP_INFO_INIT;
    detail::check(affectrt_result_get_clip(handle_.get(), row, &info));
    return info;
  }
  std::pair<affectrt_window, Answer> window(size_t row, uint32_t window, uint32_t head = 0) const {
    affectrt_window bounds = AFFECTRT_WINDOW_INIT;
    affectrt_answer answer = AFFECTRT_ANSWER_INIT;
    detail::check(affectrt_result_get_window(handle_.get(), row, window, head, &bounds, &answer));
    return {bounds, Answer(answer)};
  }
  affectrt_matrices matrices(uint32_t head = 0) const {
    affectrt_matrices matrices = AFFECTRT_MATRICES_INIT;
    detail::check(affectrt_result_get_matrices(handle_.get(), head, &matrices));
    return matrices;
  }

 private:
  detail::Handle<affectrt_result, affectrt_result_destroy> handle_;
};

class Encoding {
 public:
  explicit Encoding(affectrt_encoding* owned) : handle_(owned) {}
  affectrt_tokens tokens(size_t window = 0) const {
    affectrt_tokens tokens = AFFECTRT_TOKENS_INIT;
    detail::check(affectrt_encoding_get_tokens(handle_.get(), window, &tokens));
    return tokens;
  }
  std::vector<uint32_t> ids(size_t window = 0) const {
    const affectrt_tokens of = tokens(window);
    return std::vector<uint32_t>(of.ids, of.ids + of.size);
  }

 private:
  detail::Handle<affectrt_encoding, affectrt_encoding_destroy> handle_;
};

class Tokenizer {
 public:
  explicit Tokenizer(affectrt_tokenizer* owned) : handle_(owned) {}
  static Tokenizer from_json(std::string_view json) {
    affectrt_tokenizer* handle = nullptr;
    detail::check(
        affectrt_tokenizer_load_json(json.empty() ? "" : json.data(), json.size(), &handle));
    return Tokenizer(handle);
  }
  Encoding encode(const Text& text, const affectrt_encode_options* options = nullptr) const {
    affectrt_encoding* encoding = nullptr;
    const affectrt_text raw = text.raw();
    detail::check(affectrt_tokenizer_encode(handle_.get(), &raw, options, &encoding));
    return Encoding(encoding);
  }
  size_t vocab_size() const {
    size_t size = 0;
    detail::check(affectrt_tokenizer_vocab_size(handle_.get(), &size));
    return size;
  }
  uint32_t token_to_id(std::string_view token) const {
    uint32_t id = 0;
    detail::check(affectrt_tokenizer_token_to_id(handle_.get(), token.empty() ? "" : token.data(),
                                                 token.size(), &id));
    return id;
  }
  std::string_view id_to_token(uint32_t id) const {
    const char* token = nullptr;
    size_t size = 0;
    detail::check(affectrt_tokenizer_id_to_token(handle_.get(), id, &token, &size));
    return {token, size};
  }

 private:
  detail::Handle<affectrt_tokenizer, affectrt_tokenizer_destroy> handle_;
};

class Model {
 public:
  explicit Model(affectrt_model* owned) : handle_(owned) {}

  static Model load(const std::string& path, const Options& options = {}) {
    return made(options, [&](const affectrt_model_options* raw, affectrt_model** out) {
      return affectrt_model_load_file(path.c_str(), raw, out);
    });
  }
  // The bytes must outlive the model and all that came from it.
  static Model from_memory(const void* data, size_t size, const Options& options = {}) {
    return made(options, [&](const affectrt_model_options* raw, affectrt_model** out) {
      return affectrt_model_load_memory(data, size, nullptr, nullptr, raw, out);
    });
  }
  // Shares `bytes` for as long as they are needed.
  static Model from_memory(std::shared_ptr<const std::vector<unsigned char>> bytes,
                           const Options& options = {}) {
    using Owner = std::shared_ptr<const std::vector<unsigned char>>;
    auto owner = std::make_unique<Owner>(std::move(bytes));
    const auto release = [](void* user, const void*, size_t) { delete static_cast<Owner*>(user); };
    return made(options, [&](const affectrt_model_options* raw, affectrt_model** out) {
      const std::vector<unsigned char>& from = **owner;
      return affectrt_model_load_memory(from.data(), from.size(), release, owner.release(), raw,
                                        out);
    });
  }
  static Model from_fd(int fd, uint64_t offset = 0, uint64_t size = 0,
                       const Options& options = {}) {
    return made(options, [&](const affectrt_model_options* raw, affectrt_model** out) {
      return affectrt_model_load_fd(fd, offset, size, raw, out);
    });
  }

  affectrt_model_info info() const {
    affectrt_model_info info = AFFECTRT_MODEL_INFO_INIT;
    detail::check(affectrt_model_get_info(handle_.get(), &info));
    return info;
  }
  affectrt_head_info head(uint32_t index = 0) const {
    affectrt_head_info info = AFFECTRT_HEAD_INFO_INIT;
    detail::check(affectrt_model_get_head(handle_.get(), index, &info));
    return info;
  }
  uint32_t find_head(const std::string& name) const {
    uint32_t index = 0;
    detail::check(affectrt_model_find_head(handle_.get(), name.c_str(), &index));
    return index;
  }
  std::vector<std::string_view> labels(uint32_t head_index = 0) const {
    const affectrt_head_info info = head(head_index);
    return std::vector<std::string_view>(info.labels, info.labels + info.num_labels);
  }

  Result analyse(const std::vector<Text>& texts, const Progress& progress = nullptr,
                 int32_t max_tokens = 0) const {
    affectrt_result* result = nullptr;
    Call call(texts, progress, max_tokens);
    call.check(
        affectrt_model_analyse(handle_.get(), call.texts(), texts.size(), call.options(), &result));
    return Result(result);
  }
  Result analyse(const Text& text) const { return analyse(std::vector<Text>{text}); }

  // Scores of one head, [texts, labels].
  std::vector<float> predict(const std::vector<Text>& texts, uint32_t head_index = 0,
                             const Progress& progress = nullptr, int32_t max_tokens = 0) const {
    affectrt_buffers buffers = AFFECTRT_BUFFERS_INIT;
    buffers.rows = texts.size();
    buffers.labels = head(head_index).num_labels;
    std::vector<float> scores(buffers.rows * buffers.labels);
    buffers.scores = scores.data();
    Call call(texts, progress, max_tokens);
    call.check(affectrt_model_predict(handle_.get(), call.texts(), texts.size(), call.options(),
                                      head_index, &buffers));
    return scores;
  }

  std::string analyse_json(const std::vector<Text>& texts, const Progress& progress = nullptr,
                           int32_t max_tokens = 0) const {
    char* json = nullptr;
    Call call(texts, progress, max_tokens);
    call.check(affectrt_model_analyse_json(handle_.get(), call.texts(), texts.size(),
                                           call.options(), &json));
    return detail::taken(json);
  }

  // Of a speech model.
  Result analyse_sound(const std::vector<Sound>& sounds, const Progress& progress = nullptr) const {
    affectrt_result* result = nullptr;
    Call call({}, progress, 0);
    const std::vector<affectrt_sound> raw = raw_of(sounds);
    call.check(affectrt_model_analyse_sound(handle_.get(), raw.data(), raw.size(), call.options(),
                                            &result));
    return Result(result);
  }
  Result analyse_sound(const Sound& sound) const {
    return analyse_sound(std::vector<Sound>{sound});
  }
  std::string analyse_sound_json(const std::vector<Sound>& sounds,
                                 const Progress& progress = nullptr) const {
    char* json = nullptr;
    Call call({}, progress, 0);
    const std::vector<affectrt_sound> raw = raw_of(sounds);
    call.check(affectrt_model_analyse_sound_json(handle_.get(), raw.data(), raw.size(),
                                                 call.options(), &json));
    return detail::taken(json);
  }

  const affectrt_model* raw() const { return handle_.get(); }

  Tokenizer tokenizer() const {
    affectrt_tokenizer* tokenizer = nullptr;
    detail::check(affectrt_tokenizer_from_model(handle_.get(), &tokenizer));
    return Tokenizer(tokenizer);
  }

 private:
  static std::vector<affectrt_sound> raw_of(const std::vector<Sound>& sounds) {
    std::vector<affectrt_sound> raw;
    for (const Sound& sound : sounds) raw.push_back(sound.raw());
    return raw;
  }

  // The arguments of a call in C. No exception may cross the library: what `progress` throws waits
  // here until the call has returned.
  class Call {
   public:
    Call(const std::vector<Text>& texts, const Progress& progress, int32_t max_tokens)
        : progress_(progress) {
      for (const Text& text : texts) texts_.push_back(text.raw());
      options_.max_tokens = max_tokens;
      if (progress) {
        options_.progress = &Call::asked;
        options_.user = this;
      }
    }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    const affectrt_text* texts() const { return texts_.data(); }
    const affectrt_analyse_options* options() const { return &options_; }
    void check(affectrt_status status) const {
      if (thrown_) std::rethrow_exception(thrown_);
      detail::check(status);
    }

   private:
    static int32_t asked(void* user, size_t done, size_t total) {
      Call* call = static_cast<Call*>(user);
      try {
        return call->progress_(done, total) ? 0 : 1;
      } catch (...) {
        call->thrown_ = std::current_exception();
        return 1;
      }
    }

    const Progress& progress_;
    std::vector<affectrt_text> texts_;
    affectrt_analyse_options options_ = AFFECTRT_ANALYSE_OPTIONS_INIT;
    std::exception_ptr thrown_;
  };

  template <class Load>
  static Model made(const Options& options, const Load& load) {
    std::vector<const char*> providers;
    for (const std::string& name : options.providers) providers.push_back(name.c_str());
    affectrt_model_options raw = AFFECTRT_MODEL_OPTIONS_INIT;
    raw.backend = detail::or_null(options.backend);
    raw.isa = detail::or_null(options.isa);
    raw.onnxruntime_library = detail::or_null(options.onnxruntime_library);
    raw.providers = providers.data();
    raw.num_providers = providers.size();
    raw.num_threads = options.num_threads;
    raw.max_batch_tokens = options.max_batch_tokens;
    raw.verify = options.verify ? 1 : 0;
    affectrt_model* model = nullptr;
    detail::check(load(&raw, &model));
    return Model(model);
  }

  detail::Handle<affectrt_model, affectrt_model_destroy> handle_;
};

// One turn; a view, so that the characters must outlive the call. `emotion` where it is known;
// `sound` where the conversation has a speech model, and then `text` may be empty.
struct Turn {
  std::string_view speaker;
  std::string_view text;
  const char* emotion = nullptr;
  std::optional<Sound> sound = std::nullopt;
};

// Turns one after the other; one call at a time may use it.
class Conversation {
 public:
  // `heads`: names of those that answer; none: all that judge a text or a turn.
  // `speech`: a speech model, with which turns may have sound.
  explicit Conversation(const Model& model, int32_t max_turns = 0,
                        const std::vector<std::string>& heads = {}, const Model* speech = nullptr) {
    std::vector<const char*> names;
    for (const std::string& name : heads) names.push_back(name.c_str());
    affectrt_conversation_options options = AFFECTRT_CONVERSATION_OPTIONS_INIT;
    options.heads = names.data();
    options.num_heads = names.size();
    options.max_turns = max_turns;
    options.speech = speech == nullptr ? nullptr : speech->raw();
    affectrt_conversation* made = nullptr;
    detail::check(affectrt_conversation_create(model.raw(), &options, &made));
    handle_.reset(made);
  }
  static Conversation restore(const Model& model, std::string_view json,
                              const Model* speech = nullptr) {
    affectrt_conversation* made = nullptr;
    detail::check(affectrt_conversation_restore_spoken(
        model.raw(), speech == nullptr ? nullptr : speech->raw(), json.empty() ? "" : json.data(),
        json.size(), &made));
    return Conversation(made);
  }

  // A JSON array of one object a turn.
  std::string add(const std::vector<Turn>& turns) {
    std::vector<affectrt_turn> raw;
    std::vector<affectrt_sound> sounds;
    for (const Turn& turn : turns) {
      const auto start = [](std::string_view view) { return view.empty() ? "" : view.data(); };
      const char* text = turn.sound && turn.text.empty() ? nullptr : start(turn.text);
      raw.push_back({handle_.get(), start(turn.speaker), turn.speaker.size(), text,
                     turn.text.size(), turn.emotion});
      sounds.push_back(turn.sound ? turn.sound->raw() : affectrt_sound{nullptr, 0, 0, 0});
    }
    char* json = nullptr;
    detail::check(
        affectrt_conversation_add_spoken(raw.data(), sounds.data(), raw.size(), nullptr, &json));
    return detail::taken(json);
  }
  std::string add(std::string_view speaker, std::string_view text) {
    return add({Turn{speaker, text}});
  }
  std::string arc_json() const {
    char* json = nullptr;
    detail::check(affectrt_conversation_arc_json(handle_.get(), &json));
    return detail::taken(json);
  }
  std::string save() const {
    char* json = nullptr;
    detail::check(affectrt_conversation_save(handle_.get(), &json));
    return detail::taken(json);
  }
  affectrt_conversation* raw() const { return handle_.get(); }

 private:
  explicit Conversation(affectrt_conversation* handle) : handle_(handle) {}
  detail::Handle<affectrt_conversation, affectrt_conversation_destroy> handle_;
};

// As affectrt_map_label(); empty where nothing says.
inline std::optional<std::string_view> map_label(const std::string& map, const std::string& label) {
  const char* mapped = nullptr;
  detail::check(affectrt_map_label(map.c_str(), label.c_str(), &mapped));
  if (mapped == nullptr) return std::nullopt;
  return mapped;
}

struct SpeechStreamOptions {
  int32_t sample_rate = 0;  // Hz
  int32_t channels = 1;     // interleaved
  int32_t format = AFFECTRT_SAMPLES_F32;
  // 0: the default, below: none; as in affectrt_speech_stream_options.
  double interim_ms = 0.0;
  double max_segment_s = 0.0;
  double min_silence_ms = 0.0;
  double smoothing_s = 0.0;
  float margin = 0.0F;
};

// What a stream has found; a copy, so that it lives as long as is wanted.
struct Segment {
  double start_s = 0.0;
  double end_s = 0.0;
  int64_t index = 0;
  std::string label;  // "" where the first head gives values
  float score = 0.0F;
  bool interim = false;
  bool cut = false;
  bool unsure = false;
  std::string json;
};

// Sound as it comes; one call at a time may use it.
class SpeechStream {
 public:
  SpeechStream(const Model& model, const SpeechStreamOptions& from) {
    affectrt_speech_stream_options options = AFFECTRT_SPEECH_STREAM_OPTIONS_INIT;
    options.sample_rate = from.sample_rate;
    options.channels = from.channels;
    options.format = from.format;
    options.interim_ms = from.interim_ms;
    options.max_segment_s = from.max_segment_s;
    options.min_silence_ms = from.min_silence_ms;
    options.smoothing_s = from.smoothing_s;
    options.margin = from.margin;
    affectrt_speech_stream* made = nullptr;
    detail::check(affectrt_speech_stream_create(model.raw(), &options, &made));
    handle_.reset(made);
  }

  // `frames` samples of each channel, in the format of the options.
  std::vector<Segment> feed(const void* samples, size_t frames) {
    affectrt_segments segments = AFFECTRT_SEGMENTS_INIT;
    detail::check(affectrt_speech_stream_feed(handle_.get(), samples, frames, &segments));
    return copied(segments);
  }
  // The end of the sound; the stream takes nothing after it.
  std::vector<Segment> flush() {
    affectrt_segments segments = AFFECTRT_SEGMENTS_INIT;
    detail::check(affectrt_speech_stream_flush(handle_.get(), &segments));
    return copied(segments);
  }
  affectrt_speech_stream* raw() const { return handle_.get(); }

 private:
  static std::vector<Segment> copied(const affectrt_segments& segments) {
    std::vector<Segment> copies;
    for (size_t i = 0; i < segments.num_segments; ++i) {
      const affectrt_segment& one = segments.segments[i];
      copies.push_back({one.start_s, one.end_s, one.index, one.label == nullptr ? "" : one.label,
                        one.score, one.interim != 0, one.cut != 0, one.unsure != 0, one.json});
    }
    return copies;
  }

  detail::Handle<affectrt_speech_stream, affectrt_speech_stream_destroy> handle_;
};

}  // namespace c_api_1
}  // namespace affectrt

#endif  // AFFECTRT_HPP

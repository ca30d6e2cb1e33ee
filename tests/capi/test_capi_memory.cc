// Memory: every allocation of load, analyse and encode fails once, each time with a status, no leak
// and no harm to later calls; a thousand loads leave the process as large as before. Linked to the
// static library, whose `operator new` is the one below. Argument: tiny.affect.
#include <affectrt_features.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <new>
#include <string>

#include "check.h"

namespace {

// A tenth as fast: the other builds try every allocation.
#if defined(AFFECTRT_SANITIZED) || defined(AFFECTRT_EMULATED)
constexpr long kStep = 11;
constexpr int kLoads = 100;
#else
constexpr long kStep = 1;
constexpr int kLoads = 1000;
#endif

std::atomic<long> live{0};            // blocks
std::atomic<long> until_failure{-1};  // allocations left; -1: none fails

void* allocate(size_t size, size_t alignment) {
  if (until_failure.load() >= 0 && until_failure.fetch_sub(1) == 0) {
    until_failure = -1;
    return nullptr;
  }
  void* block = nullptr;
  if (posix_memalign(&block, alignment < sizeof(void*) ? sizeof(void*) : alignment,
                     size == 0 ? 1 : size) != 0) {
    return nullptr;
  }
  ++live;
  return block;
}

void* allocate_or_throw(size_t size, size_t alignment) {
  void* block = allocate(size, alignment);
  if (block == nullptr) throw std::bad_alloc();
  return block;
}

void release(void* block) {
  if (block == nullptr) return;
  --live;
  std::free(block);
}

}  // namespace

void* operator new(size_t size) { return allocate_or_throw(size, 16); }
void* operator new[](size_t size) { return allocate_or_throw(size, 16); }
void* operator new(size_t size, std::align_val_t a) {
  return allocate_or_throw(size, static_cast<size_t>(a));
}
void* operator new[](size_t size, std::align_val_t a) {
  return allocate_or_throw(size, static_cast<size_t>(a));
}
void* operator new(size_t size, const std::nothrow_t&) noexcept { return allocate(size, 16); }
void* operator new[](size_t size, const std::nothrow_t&) noexcept { return allocate(size, 16); }
void operator delete(void* block) noexcept { release(block); }
void operator delete[](void* block) noexcept { release(block); }
void operator delete(void* block, size_t) noexcept { release(block); }
void operator delete[](void* block, size_t) noexcept { release(block); }
void operator delete(void* block, std::align_val_t) noexcept { release(block); }
void operator delete[](void* block, std::align_val_t) noexcept { release(block); }
void operator delete(void* block, size_t, std::align_val_t) noexcept { release(block); }
void operator delete[](void* block, size_t, std::align_val_t) noexcept { release(block); }
void operator delete(void* block, const std::nothrow_t&) noexcept { release(block); }
void operator delete[](void* block, const std::nothrow_t&) noexcept { release(block); }

namespace {

// Calls `call` with its first, second, ... allocation failing until it needs no more; each time it
// must say so or do without, and leave nothing behind. `undo` gives back what a success made.
long fail_each(const char* name, const std::function<affectrt_status()>& call,
               const std::function<void()>& undo) {
  for (int warm = 0; warm < 2; ++warm) {
    CHECK_OK(call());
    undo();
  }
  long before = live;
  long refused = 0;
  for (long n = 0;; n += n < 100 ? 1 : kStep) {
    until_failure = n;
    const affectrt_status status = call();
    const bool reached = until_failure < 0;
    until_failure = -1;
    if (status == AFFECTRT_OK) {
      undo();
    } else {
      ++refused;
      if (status != AFFECTRT_NO_MEMORY) {
        std::fprintf(stderr, "%s, allocation %ld: %s: %s\n", name, n, affectrt_status_name(status),
                     affectrt_last_error());
        std::exit(1);
      }
    }
    // What a worker keeps for its next call is allocated once, when it first gets work, which under
    // load may be late; what is lost is lost every time.
    for (int again = 0; live > before && again < 4; ++again) {
      before = live;
      until_failure = n;
      if (call() == AFFECTRT_OK) undo();
      until_failure = -1;
    }
    if (live > before) {
      std::fprintf(stderr, "%s, allocation %ld: %ld blocks lost\n", name, n, live - before);
      std::exit(1);
    }
    if (!reached) {
      std::printf("%s: %ld allocations, %ld refusals\n", name, n, refused);
      return n;
    }
  }
}

long resident_kb() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.compare(0, 6, "VmRSS:") == 0) return std::strtol(line.c_str() + 6, nullptr, 10);
  }
  return 0;
}

affectrt_text text_of(const char* data) { return {data, AFFECTRT_NUL_TERMINATED, nullptr, 0}; }

void fail_conversations(const char* path, const char* speech_path) {
  affectrt_model_options options = AFFECTRT_MODEL_OPTIONS_INIT;
  options.num_threads = 1;
  affectrt_model* held = nullptr;
  affectrt_model* speech = nullptr;
  CHECK_OK(affectrt_model_load_file(path, &options, &held));
  CHECK_OK(affectrt_model_load_file(speech_path, &options, &speech));
  static float voice[4000];
  for (int i = 0; i < 4000; ++i) voice[i] = static_cast<float>(i % 160) / 400.0F;
  const affectrt_sound sound = {voice, 4000, 16000, 1};
  affectrt_conversation_options spoken = AFFECTRT_CONVERSATION_OPTIONS_INIT;
  spoken.speech = speech;
  affectrt_conversation* conversation = nullptr;
  char* told = nullptr;
  char* state = nullptr;
  const auto forget = [&] {
    affectrt_json_destroy(told);
    affectrt_json_destroy(state);
    affectrt_conversation_destroy(conversation);
    told = state = nullptr;
    conversation = nullptr;
  };
  fail_each(
      "conversation",
      [&]() -> affectrt_status {
        forget();
        affectrt_status status = affectrt_conversation_create(held, &spoken, &conversation);
        if (status != AFFECTRT_OK) return status;
        const affectrt_turn turn = {conversation, "A", 1, "so happy", 8, nullptr};
        status = affectrt_conversation_add_spoken(&turn, &sound, 1, nullptr, &told);
        if (status != AFFECTRT_OK) return forget(), status;
        status = affectrt_conversation_save(conversation, &state);
        affectrt_conversation_destroy(conversation);
        conversation = nullptr;
        if (status != AFFECTRT_OK) return forget(), status;
        status = affectrt_conversation_restore_spoken(held, speech, state, AFFECTRT_NUL_TERMINATED,
                                                      &conversation);
        if (status != AFFECTRT_OK) forget();
        return status;
      },
      forget);
  affectrt_model_destroy(held);
  affectrt_model_destroy(speech);
}

void fail_features() {
  static float sound[8000];
  for (int i = 0; i < 8000; ++i) sound[i] = static_cast<float>(i % 160) / 400.0F;
  static float rows[13 * 98];
  affectrt_features* features = nullptr;
  affectrt_row_stream* stream = nullptr;
  affectrt_voice_detector* detector = nullptr;
  const auto forget = [&] {
    affectrt_features_destroy(features);
    affectrt_row_stream_destroy(stream);
    affectrt_voice_detector_destroy(detector);
    features = nullptr;
    stream = nullptr;
    detector = nullptr;
  };
  const auto all = [&]() -> affectrt_status {
    affectrt_status status = affectrt_mfcc_create(nullptr, &features);
    if (status != AFFECTRT_OK) return status;
    status = affectrt_features_compute(features, sound, 8000, 1, rows, 13 * 98);
    if (status != AFFECTRT_OK) return status;
    status = affectrt_row_stream_of_features(features, 24000, &stream);
    if (status != AFFECTRT_OK) return status;
    status = affectrt_row_stream_feed(stream, sound, 8000, nullptr);
    if (status != AFFECTRT_OK) {
      CHECK_STATUS(AFFECTRT_INPUT, "failed", affectrt_row_stream_finish(stream, nullptr));
      return status;
    }
    status = affectrt_row_stream_finish(stream, nullptr);
    if (status != AFFECTRT_OK) return status;
    status = affectrt_prosody_compute(sound, 2000, nullptr, 0, nullptr);
    if (status != AFFECTRT_OK) return status;
    status = affectrt_voice_detector_create(nullptr, &detector);
    if (status != AFFECTRT_OK) return status;
    status = affectrt_voice_detector_feed(detector, sound, 8000, nullptr, nullptr);
    if (status != AFFECTRT_OK) return status;
    return affectrt_voice_detector_finish(detector, nullptr, nullptr);
  };
  fail_each(
      "features",
      [&] {
        const affectrt_status status = all();
        if (status != AFFECTRT_OK) forget();
        return status;
      },
      forget);
}

}  // namespace

int main(int argc, char** argv) {
  CHECK(argc == 3);
  const char* path = argv[1];
  fail_conversations(path, argv[2]);
  fail_features();
  for (const int32_t threads : {1, 2}) {
    affectrt_model_options options = AFFECTRT_MODEL_OPTIONS_INIT;
    options.num_threads = threads;
    affectrt_model* model = nullptr;
    affectrt_result* result = nullptr;
    if (threads == 1) {
      CHECK(fail_each(
                "load", [&] { return affectrt_model_load_file(path, &options, &model); },
                [&] { affectrt_model_destroy(model); }) > 100);
    }

    CHECK_OK(affectrt_model_load_file(path, &options, &model));
    const affectrt_text texts[3] = {text_of("I am so happy!"), text_of("sad"), text_of("")};
    float expected[9];
    float scores[9];
    affectrt_buffers buffers = AFFECTRT_BUFFERS_INIT;
    buffers.rows = 3;
    buffers.labels = 3;
    buffers.scores = expected;
    CHECK_OK(affectrt_model_predict(model, texts, 3, nullptr, 0, &buffers));
    buffers.scores = scores;
    fail_each(
        "predict", [&] { return affectrt_model_predict(model, texts, 3, nullptr, 0, &buffers); },
        [&] { CHECK(std::memcmp(scores, expected, sizeof scores) == 0); });
    fail_each(
        "analyse", [&] { return affectrt_model_analyse(model, texts, 3, nullptr, &result); },
        [&] {
          affectrt_matrices matrices = AFFECTRT_MATRICES_INIT;
          CHECK_OK(affectrt_result_get_matrices(result, 0, &matrices));
          CHECK(std::memcmp(matrices.scores, expected, sizeof expected) == 0);
          affectrt_result_destroy(result);
        });
    char* json = nullptr;
    fail_each(
        "json", [&] { return affectrt_model_analyse_json(model, texts, 3, nullptr, &json); },
        [&] { affectrt_json_destroy(json); });
    affectrt_tokenizer* tokenizer = nullptr;
    fail_each(
        "tokenizer", [&] { return affectrt_tokenizer_from_model(model, &tokenizer); },
        [&] { affectrt_tokenizer_destroy(tokenizer); });
    CHECK_OK(affectrt_tokenizer_from_model(model, &tokenizer));
    affectrt_encoding* encoding = nullptr;
    fail_each(
        "encode",
        [&] { return affectrt_tokenizer_encode(tokenizer, &texts[0], nullptr, &encoding); },
        [&] { affectrt_encoding_destroy(encoding); });
    affectrt_tokenizer_destroy(tokenizer);
    affectrt_model_destroy(model);
  }

  // Bytes are given back once, whatever fails.
  long given_back = 0;
  const auto count = [](void* user, const void*, size_t) { ++*static_cast<long*>(user); };
  for (long n = 0; n < 60; ++n) {
    affectrt_model* model = nullptr;
    until_failure = n;
    CHECK(affectrt_model_load_memory("no model", 8, count, &given_back, nullptr, &model) !=
          AFFECTRT_OK);
    until_failure = -1;
    CHECK(given_back == n + 1 && model == nullptr);
  }

  const auto load_and_ask = [&] {
    affectrt_model* model = nullptr;
    affectrt_result* result = nullptr;
    const affectrt_text text = text_of("so happy");
    CHECK_OK(affectrt_model_load_file(path, nullptr, &model));
    CHECK_OK(affectrt_model_analyse(model, &text, 1, nullptr, &result));
    affectrt_model_destroy(model);
    affectrt_result_destroy(result);
  };
  for (int i = 0; i < 50; ++i) load_and_ask();
  const long blocks = live;
  const long before = resident_kb();
  for (int i = 0; i < kLoads; ++i) load_and_ask();
  const long after = resident_kb();
  std::printf("%d loads: %ld kB before, %ld kB after\n", kLoads, before, after);
  CHECK(live == blocks);
// What keeps freed memory for a while, and translated code for good.
#if !defined(AFFECTRT_SANITIZED) && !defined(AFFECTRT_EMULATED)
  CHECK(after - before < 1024);
#endif
  return 0;
}

/* Many threads on one model and one tokenizer; errors stay with their thread; a cancelled thread
 * finishes its call first. Argument: tiny.affect. */
#include <affectrt.h>
#include <pthread.h>
#include <unistd.h>

#include "check.h"

#define THREADS 8
#define TURNS 60
#define TEXTS 40

static const char* const words[4] = {"I am so happy!", "sad", "so so so", "am I sad ! happy"};
static const affectrt_model* model;
static const affectrt_tokenizer* tokenizer;
static affectrt_text texts[TEXTS];
static float expected[TEXTS * 3];

static void* work(void* argument) {
  const int number = *(const int*)argument;
  int turn;
  for (turn = 0; turn < TURNS; ++turn) {
    float scores[TEXTS * 3];
    affectrt_buffers buffers = AFFECTRT_BUFFERS_INIT;
    affectrt_encoding* encoding = NULL;
    affectrt_model* none = NULL;
    char path[64];
    buffers.rows = TEXTS;
    buffers.labels = 3;
    buffers.scores = scores;
    CHECK_OK(affectrt_model_predict(model, texts, TEXTS, NULL, 0, &buffers));
    CHECK(memcmp(scores, expected, sizeof scores) == 0);
    sprintf(path, "/no/such/%d/%d", number, turn);
    CHECK(affectrt_model_load_file(path, NULL, &none) == AFFECTRT_NOT_FOUND);
    CHECK_OK(affectrt_tokenizer_encode(tokenizer, &texts[turn % TEXTS], NULL, &encoding));
    affectrt_encoding_destroy(encoding);
    CHECK(strncmp(affectrt_last_error(), path, strlen(path)) == 0);
  }
  return NULL;
}

static int32_t report_start(void* user, size_t done, size_t total) {
  if (done < total && write(*(const int*)user, "x", 1) != 1) return 1;
  usleep(20000);
  return 0;
}

static int finished;
static void* be_cancelled(void* argument) {
  affectrt_analyse_options options = AFFECTRT_ANALYSE_OPTIONS_INIT;
  affectrt_result* result = NULL;
  options.progress = report_start;
  options.user = argument;
  CHECK_OK(affectrt_model_analyse(model, texts, 1, &options, &result));
  affectrt_result_destroy(result);
  finished = 1;
  for (;;) pause();
  return NULL;
}

int main(int argc, char** argv) {
  affectrt_model* loaded = NULL;
  affectrt_tokenizer* of_model = NULL;
  affectrt_buffers buffers = AFFECTRT_BUFFERS_INIT;
  affectrt_model_options options = AFFECTRT_MODEL_OPTIONS_INIT;
  pthread_t threads[THREADS];
  int numbers[THREADS];
  int i, ends[2];
  char byte;
  void* outcome = NULL;
  CHECK(argc == 2);
  options.num_threads = 2;
  CHECK_OK(affectrt_model_load_file(argv[1], &options, &loaded));
  CHECK_OK(affectrt_tokenizer_from_model(loaded, &of_model));
  model = loaded;
  tokenizer = of_model;
  for (i = 0; i < TEXTS; ++i) {
    texts[i].data = words[i % 4];
    texts[i].size = AFFECTRT_NUL_TERMINATED;
  }
  buffers.rows = TEXTS;
  buffers.labels = 3;
  buffers.scores = expected;
  CHECK_OK(affectrt_model_predict(model, texts, TEXTS, NULL, 0, &buffers));
  for (i = 0; i < THREADS; ++i) {
    numbers[i] = i;
    CHECK(pthread_create(&threads[i], NULL, work, &numbers[i]) == 0);
  }
  for (i = 0; i < THREADS; ++i) CHECK(pthread_join(threads[i], NULL) == 0);

#if !defined(AFFECTRT_SANITIZED) /* whose runtimes lose track of threads that are cancelled */
  CHECK(pipe(ends) == 0);
  CHECK(pthread_create(&threads[0], NULL, be_cancelled, &ends[1]) == 0);
  CHECK(read(ends[0], &byte, 1) == 1);
  CHECK(pthread_cancel(threads[0]) == 0);
  CHECK(pthread_join(threads[0], &outcome) == 0);
  CHECK(outcome == PTHREAD_CANCELED && finished == 1);
#else
  (void)be_cancelled;
  (void)ends;
  (void)byte;
  (void)outcome;
#endif

  affectrt_model_destroy(loaded);
  affectrt_tokenizer_destroy(of_model);
  return 0;
}

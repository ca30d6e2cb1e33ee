/* The shared library as a guest: opened and closed a hundred times, twice in one process, in a
 * namespace of its own. Arguments: libaffectrt.so, a copy of it, tiny.affect. */
#define _GNU_SOURCE
#include <affectrt.h>
#include <dlfcn.h>
#include <pthread.h>

#include "check.h"

typedef affectrt_status (*load_fn)(const char*, const affectrt_model_options*, affectrt_model**);
typedef affectrt_status (*predict_fn)(const affectrt_model*, const affectrt_text*, size_t,
                                      const affectrt_analyse_options*, uint32_t,
                                      const affectrt_buffers*);
typedef void (*destroy_fn)(affectrt_model*);
typedef const char* (*error_fn)(void);

static const char* model_path;

static void* symbol(void* library, const char* name) {
  void* found = dlsym(library, name);
  CHECK(found != NULL);
  return found;
}

/* POSIX's way from an object pointer to a function pointer. */
#define FIND(type, variable, library, name)      \
  type variable;                                 \
  do {                                           \
    void* found_ = symbol(library, name);        \
    memcpy(&variable, &found_, sizeof variable); \
  } while (0)

static float ask(void* library) {
  const affectrt_text text = {"I am so happy!", AFFECTRT_NUL_TERMINATED, NULL, 0};
  float scores[3];
  affectrt_model* model = NULL;
  affectrt_buffers buffers = AFFECTRT_BUFFERS_INIT;
  FIND(load_fn, load, library, "affectrt_model_load_file");
  FIND(predict_fn, predict, library, "affectrt_model_predict");
  FIND(destroy_fn, destroy, library, "affectrt_model_destroy");
  FIND(error_fn, last_error, library, "affectrt_last_error");
  CHECK(load("/no/such", NULL, &model) == AFFECTRT_NOT_FOUND);
  CHECK(strstr(last_error(), "/no/such") != NULL);
  CHECK(load(model_path, NULL, &model) == AFFECTRT_OK);
  buffers.rows = 1;
  buffers.labels = 3;
  buffers.scores = scores;
  CHECK(predict(model, &text, 1, NULL, 0, &buffers) == AFFECTRT_OK);
  destroy(model);
  return scores[0];
}

static void* ask_in_thread(void* library) {
  ask(library);
  return NULL;
}

static long resident_kb(void) {
  char line[256];
  long kb = 0;
  FILE* file = fopen("/proc/self/status", "r");
  CHECK(file != NULL);
  while (fgets(line, sizeof line, file) != NULL) {
    if (strncmp(line, "VmRSS:", 6) == 0) kb = strtol(line + 6, NULL, 10);
  }
  fclose(file);
  return kb;
}

static int is_mapped(const char* path) {
  char line[4096];
  int found = 0;
  FILE* file = fopen("/proc/self/maps", "r");
  CHECK(file != NULL);
  while (fgets(line, sizeof line, file) != NULL) found |= strstr(line, path) != NULL;
  fclose(file);
  return found;
}

int main(int argc, char** argv) {
  void *first, *second, *apart;
  long before = 0, after;
  float score;
  int i;
  CHECK(argc == 4);
  model_path = argv[3];

  /* The work is done on a thread that ends, so that nothing of it holds the library. */
  for (i = 0; i < 110; ++i) {
    pthread_t thread;
    if (i == 10) before = resident_kb();
    first = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    CHECK(first != NULL);
    CHECK(pthread_create(&thread, NULL, ask_in_thread, first) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(dlclose(first) == 0);
    CHECK(!is_mapped("libaffectrt"));
  }
  after = resident_kb();
  printf("100 times dlopen: %ld kB before, %ld kB after\n", before, after);
#if !defined(AFFECTRT_EMULATED) /* where all that the emulator has translated is counted */
  CHECK(after - before < 1024);
#endif

  first = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  second = dlopen(argv[2], RTLD_NOW | RTLD_GLOBAL);
  CHECK(first != NULL && second != NULL && first != second);
  CHECK(symbol(first, "affectrt_version") != symbol(second, "affectrt_version"));
  score = ask(first);
  CHECK(ask(second) == score);
  CHECK(dlclose(first) == 0);
  CHECK(ask(second) == score);
  CHECK(dlclose(second) == 0);

  apart = dlmopen(LM_ID_NEWLM, argv[1], RTLD_NOW | RTLD_LOCAL);
  if (apart == NULL) {
    fprintf(stderr, "dlmopen: %s\n", dlerror());
    return 1;
  }
  first = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  CHECK(first != NULL && ask(first) == score && ask(apart) == score);
  CHECK(dlclose(first) == 0);
  CHECK(ask(apart) == score);
  CHECK(dlclose(apart) == 0);
  return 0;
}

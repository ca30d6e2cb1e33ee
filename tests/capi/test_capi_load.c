/* Loading models from files, memory and descriptors, right and wrong. Argument: tiny.affect. Also
 * compiled as C++. */
#include <affectrt.h>
#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>

#include "check.h"

static affectrt_text text_of(const char* data) {
  affectrt_text text;
  text.data = data;
  text.size = AFFECTRT_NUL_TERMINATED;
  text.pair = NULL;
  text.pair_size = 0;
  return text;
}

static unsigned char* read_file(const char* path, size_t before, size_t* size) {
  FILE* file = fopen(path, "rb");
  long end;
  unsigned char* bytes;
  CHECK(file != NULL);
  CHECK(fseek(file, 0, SEEK_END) == 0);
  end = ftell(file);
  rewind(file);
  bytes = (unsigned char*)calloc(1, before + (size_t)end);
  CHECK(bytes != NULL);
  CHECK(fread(bytes + before, 1, (size_t)end, file) == (size_t)end);
  fclose(file);
  *size = (size_t)end;
  return bytes;
}
static void test_loading(const char* path) {
  affectrt_model* model = (affectrt_model*)1;
  affectrt_model_options options = AFFECTRT_MODEL_OPTIONS_INIT;
  char nonsense[2 * sizeof(affectrt_model_options)];
  const char* providers[2] = {"CPUExecutionProvider", NULL};
  char long_path[5000];

  CHECK_STATUS(AFFECTRT_NOT_FOUND, "/no/such.affect",
               affectrt_model_load_file("/no/such.affect", NULL, &model));
  CHECK(model == NULL);
  CHECK_STATUS(AFFECTRT_INPUT, "path is NULL", affectrt_model_load_file(NULL, NULL, &model));
  CHECK_STATUS(AFFECTRT_INPUT, "path is empty", affectrt_model_load_file("", NULL, &model));
  CHECK_STATUS(AFFECTRT_INPUT, "out is NULL", affectrt_model_load_file(path, NULL, NULL));
  CHECK_STATUS(AFFECTRT_MODEL_FILE, "device", affectrt_model_load_file("/dev/zero", NULL, &model));
  CHECK_STATUS(AFFECTRT_NOT_FOUND, "\\xff\\xfe?",
               affectrt_model_load_file("\xff\xfe?", NULL, &model));
  memset(long_path, 'x', sizeof long_path - 1);
  long_path[sizeof long_path - 1] = '\0';
  CHECK(affectrt_model_load_file(long_path, NULL, &model) != AFFECTRT_OK);
  CHECK(strlen(affectrt_last_error()) < 2048);

  options.backend = "abacus";
  CHECK_STATUS(AFFECTRT_INPUT, "abacus", affectrt_model_load_file(path, &options, &model));
  options.backend = "native";
  options.isa = "8086";
  CHECK_STATUS(AFFECTRT_UNSUPPORTED, "isa '8086'",
               affectrt_model_load_file(path, &options, &model));
  options.isa = NULL;
  options.num_threads = -1;
  CHECK_STATUS(AFFECTRT_INPUT, "num_threads is -1",
               affectrt_model_load_file(path, &options, &model));
  options.num_threads = 2000000000;
  CHECK_STATUS(AFFECTRT_INPUT, "num_threads", affectrt_model_load_file(path, &options, &model));
  options.num_threads = 1;
  options.max_batch_tokens = -5;
  CHECK_STATUS(AFFECTRT_INPUT, "max_batch_tokens is -5",
               affectrt_model_load_file(path, &options, &model));
  options.max_batch_tokens = 0;
  options.num_providers = 1;
  CHECK_STATUS(AFFECTRT_INPUT, "providers is NULL",
               affectrt_model_load_file(path, &options, &model));
  options.providers = providers;
  CHECK_STATUS(AFFECTRT_INPUT, "execution providers",
               affectrt_model_load_file(path, &options, &model));
  options.num_providers = 2;
  CHECK_STATUS(AFFECTRT_INPUT, "entry of options.providers is NULL",
               affectrt_model_load_file(path, &options, &model));
  options.num_providers = (size_t)-1;
  CHECK_STATUS(AFFECTRT_INPUT, "num_providers", affectrt_model_load_file(path, &options, &model));
  options.num_providers = 0;
  options.backend = "onnxruntime";
  options.onnxruntime_library = "/no/such/libonnxruntime.so";
  CHECK(affectrt_model_load_file(path, &options, &model) != AFFECTRT_OK);
  options.backend = NULL;
  options.reserved = 7;
  CHECK_STATUS(AFFECTRT_INPUT, "reserved", affectrt_model_load_file(path, &options, &model));
  options.reserved = 0;

  options.struct_size = 0;
  CHECK_STATUS(AFFECTRT_INPUT, "struct_size is 0",
               affectrt_model_load_file(path, &options, &model));
  options.struct_size = sizeof options - 1;
  CHECK_STATUS(AFFECTRT_INPUT, "struct_size", affectrt_model_load_file(path, &options, &model));
  options.struct_size = (size_t)-1;
  CHECK_STATUS(AFFECTRT_INPUT, "struct_size", affectrt_model_load_file(path, &options, &model));
  /* A struct of a newer header: fine while it asks for nothing new. */
  memset(nonsense, 0, sizeof nonsense);
  options.struct_size = sizeof nonsense;
  memcpy(nonsense, &options, sizeof options);
  CHECK_OK(affectrt_model_load_file(path, (affectrt_model_options*)(void*)nonsense, &model));
  affectrt_model_destroy(model);
  nonsense[sizeof nonsense - 1] = 1;
  CHECK_STATUS(AFFECTRT_UNSUPPORTED, "newer",
               affectrt_model_load_file(path, (affectrt_model_options*)(void*)nonsense, &model));

  options.struct_size = sizeof options;
  options.isa = "scalar";
  options.verify = 1;
  CHECK_OK(affectrt_model_load_file(path, &options, &model));
  affectrt_model_destroy(model);
  affectrt_model_destroy(NULL);
}

static int releases;
static void count_release(void* user, const void* data, size_t size) {
  CHECK(user == &releases);
  if (size != 0) free((void*)(size_t)data);
  ++releases;
}

static float first_score(const affectrt_model* model) {
  const affectrt_text text = text_of("I am so happy!");
  affectrt_result* result = NULL;
  affectrt_matrices matrices = AFFECTRT_MATRICES_INIT;
  float score;
  CHECK_OK(affectrt_model_analyse(model, &text, 1, NULL, &result));
  CHECK_OK(affectrt_result_get_matrices(result, 0, &matrices));
  score = matrices.scores[0];
  affectrt_result_destroy(result);
  return score;
}

static void test_memory_and_descriptors(const char* path) {
  affectrt_model* model = NULL;
  affectrt_model* from_file = NULL;
  affectrt_model_info info = AFFECTRT_MODEL_INFO_INIT;
  size_t size = 0;
  unsigned char* bytes = read_file(path, 64, &size);
  size_t shift;
  float score;
  int fd;
  void* aligned = NULL;
  int expected = 0;

  CHECK_OK(affectrt_model_load_file(path, NULL, &from_file));
  score = first_score(from_file);
  affectrt_model_destroy(from_file);

  /* Aligned, in place; freed by the library when the last handle goes. */
  CHECK(posix_memalign(&aligned, 64, size) == 0);
  memcpy(aligned, bytes + 64, size);
  CHECK_OK(affectrt_model_load_memory(aligned, size, count_release, &releases, NULL, &model));
  CHECK(releases == expected);
  CHECK(first_score(model) == score);
  CHECK_OK(affectrt_model_get_info(model, &info));
  CHECK(strcmp(info.path, "<memory>") == 0);
  {
    const affectrt_text text = text_of("so sad");
    affectrt_result* result = NULL;
    affectrt_tokenizer* tokenizer = NULL;
    affectrt_answer answer = AFFECTRT_ANSWER_INIT;
    CHECK_OK(affectrt_model_analyse(model, &text, 1, NULL, &result));
    CHECK_OK(affectrt_tokenizer_from_model(model, &tokenizer));
    affectrt_model_destroy(model);
    CHECK(releases == expected);
    CHECK_OK(affectrt_result_get_answer(result, 0, 0, &answer));
    CHECK(strlen(answer.labels[0].label) > 0);
    affectrt_result_destroy(result);
    CHECK(releases == expected);
    affectrt_tokenizer_destroy(tokenizer);
    CHECK(releases == ++expected);
  }

  /* Not aligned: copied, the same answers. */
  for (shift = 1; shift < 64; shift += 21) {
    memmove(bytes + shift, bytes + 64, size);
    CHECK_OK(affectrt_model_load_memory(bytes + shift, size, NULL, NULL, NULL, &model));
    memset(bytes, 0, 64 + size);
    CHECK(first_score(model) == score);
    affectrt_model_destroy(model);
    free(bytes);
    bytes = read_file(path, 64, &size);
  }

  /* The bytes are given back in every case. */
  model = (affectrt_model*)1;
  CHECK_STATUS(AFFECTRT_MODEL_FILE, "<memory>",
               affectrt_model_load_memory("abc", 0, count_release, &releases, NULL, &model));
  CHECK(releases == ++expected && model == NULL);
  CHECK_STATUS(AFFECTRT_INPUT, "data is NULL",
               affectrt_model_load_memory(NULL, 0, count_release, &releases, NULL, &model));
  CHECK(releases == ++expected);
  CHECK_STATUS(AFFECTRT_INPUT, "out is NULL",
               affectrt_model_load_memory("abc", 0, count_release, &releases, NULL, NULL));
  CHECK(releases == ++expected);
  /* Every prefix is refused, and damage anywhere does no worse. */
  for (shift = 0; shift < size; shift += 1 + size / 97) {
    CHECK_STATUS(AFFECTRT_MODEL_FILE, "",
                 affectrt_model_load_memory(bytes + 64, shift, NULL, NULL, NULL, &model));
  }
  for (shift = 0; shift < size; shift += 1 + size / 97) {
    const unsigned char kept = bytes[64 + shift];
    bytes[64 + shift] ^= 0x41;
    if (affectrt_model_load_memory(bytes + 64, size, NULL, NULL, NULL, &model) == AFFECTRT_OK) {
      affectrt_model_destroy(model);
    }
    bytes[64 + shift] = kept;
  }

  fd = open(path, O_RDONLY);
  CHECK(fd >= 0);
  CHECK(lseek(fd, 5, SEEK_SET) == 5); /* of no importance */
  CHECK_OK(affectrt_model_load_fd(fd, 0, 0, NULL, &model));
  CHECK_STATUS(AFFECTRT_INPUT, "wanted are", affectrt_model_load_fd(fd, 1, size, NULL, &from_file));
  CHECK_STATUS(AFFECTRT_INPUT, "wanted are",
               affectrt_model_load_fd(fd, UINT64_MAX, UINT64_MAX, NULL, &from_file));
  CHECK_STATUS(AFFECTRT_MODEL_FILE, "descriptor",
               affectrt_model_load_fd(fd, size, 0, NULL, &from_file));
  CHECK(close(fd) == 0);
  CHECK(first_score(model) == score);
  affectrt_model_destroy(model);
  CHECK_STATUS(AFFECTRT_INPUT, "descriptor", affectrt_model_load_fd(fd, 0, 0, NULL, &model));
  CHECK_STATUS(AFFECTRT_INPUT, "descriptor", affectrt_model_load_fd(-1, 0, 0, NULL, &model));
  fd = open("/dev/null", O_RDONLY);
  CHECK_STATUS(AFFECTRT_MODEL_FILE, "device", affectrt_model_load_fd(fd, 0, 0, NULL, &model));
  close(fd);
  {
    /* Inside of another file, at an even and at an odd place. */
    const size_t places[3] = {64, 4096, 4097};
    size_t i;
    for (i = 0; i < 3; ++i) {
      FILE* file = tmpfile();
      CHECK(file != NULL);
      CHECK(fseek(file, (long)places[i], SEEK_SET) == 0);
      CHECK(fwrite(bytes + 64, 1, size, file) == size);
      CHECK(fwrite("behind", 1, 6, file) == 6);
      CHECK(fflush(file) == 0);
      CHECK_OK(affectrt_model_load_fd(fileno(file), places[i], size, NULL, &model));
      fclose(file);
      CHECK(first_score(model) == score);
      affectrt_model_destroy(model);
    }
  }
  free(bytes);
}

int main(int argc, char** argv) {
  CHECK(argc == 2);
  test_loading(argv[1]);
  test_memory_and_descriptors(argv[1]);
  return 0;
}

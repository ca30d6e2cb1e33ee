/* A program of release 0.1, compiled against the header of that release and never changed: it must
 * run with every later library of the same ABI_MAJOR. Argument: tiny.affect. */
#include "affectrt-0.1.h"
#include "check.h"

static int32_t go_on(void* user, size_t done, size_t total) {
  *(size_t*)user = done;
  return done > total ? 1 : 0;
}

int main(int argc, char** argv) {
  affectrt_model* model = NULL;
  affectrt_result* result = NULL;
  affectrt_tokenizer* tokenizer = NULL;
  affectrt_encoding* encoding = NULL;
  affectrt_model_options options = AFFECTRT_MODEL_OPTIONS_INIT;
  affectrt_model_info info = AFFECTRT_MODEL_INFO_INIT;
  affectrt_head_info head = AFFECTRT_HEAD_INFO_INIT;
  affectrt_analyse_options how = AFFECTRT_ANALYSE_OPTIONS_INIT;
  affectrt_answer answer = AFFECTRT_ANSWER_INIT;
  affectrt_matrices matrices = AFFECTRT_MATRICES_INIT;
  affectrt_buffers buffers = AFFECTRT_BUFFERS_INIT;
  affectrt_encode_options encode = AFFECTRT_ENCODE_OPTIONS_INIT;
  affectrt_tokens tokens = AFFECTRT_TOKENS_INIT;
  affectrt_text texts[2];
  /* What lies behind the structs that a later library might think larger. */
  struct {
    affectrt_answer answer;
    unsigned char behind[64];
  } guarded;
  float scores[6];
  size_t done = 0, i;
  char* json = NULL;
  CHECK(argc == 2);
  CHECK_OK(affectrt_check_abi(AFFECTRT_ABI_MAJOR, AFFECTRT_ABI_MINOR));
  options.backend = "native";
  options.num_threads = 1;
  CHECK_OK(affectrt_model_load_file(argv[1], &options, &model));
  CHECK_OK(affectrt_model_get_info(model, &info));
  CHECK(strcmp(info.name, "tiny") == 0 && info.num_heads == 2 && info.max_tokens == 64);
  CHECK_OK(affectrt_model_get_head(model, 0, &head));
  CHECK(head.num_labels == 3 && strcmp(head.labels[0], "joy") == 0);
  memset(texts, 0, sizeof texts);
  texts[0].data = "I am so happy!";
  texts[0].size = AFFECTRT_NUL_TERMINATED;
  texts[1].data = "so";
  texts[1].size = 2;
  texts[1].pair = "sad";
  texts[1].pair_size = 3;
  how.progress = go_on;
  how.user = &done;
  CHECK_OK(affectrt_model_analyse(model, texts, 2, &how, &result));
  CHECK(done == 2);
  memset(&guarded, 0x5A, sizeof guarded);
  guarded.answer = answer;
  CHECK_OK(affectrt_result_get_answer(result, 1, 0, &guarded.answer));
  CHECK(guarded.answer.num_labels == 3 && guarded.answer.token_count == 5);
  for (i = 0; i < sizeof guarded.behind; ++i) CHECK(guarded.behind[i] == 0x5A);
  CHECK_OK(affectrt_result_get_matrices(result, 0, &matrices));
  buffers.rows = 2;
  buffers.labels = 3;
  buffers.scores = scores;
  CHECK_OK(affectrt_model_predict(model, texts, 2, &how, 0, &buffers));
  CHECK(memcmp(scores, matrices.scores, sizeof scores) == 0);
  CHECK_OK(affectrt_model_analyse_json(model, texts, 2, NULL, &json));
  CHECK(json[0] == '[');
  affectrt_json_destroy(json);
  CHECK_OK(affectrt_tokenizer_from_model(model, &tokenizer));
  encode.offsets = AFFECTRT_OFFSETS_UTF16;
  CHECK_OK(affectrt_tokenizer_encode(tokenizer, &texts[0], &encode, &encoding));
  CHECK_OK(affectrt_encoding_get_tokens(encoding, 0, &tokens));
  CHECK(tokens.size == 7 && tokens.offsets[1].end == 1);
  affectrt_encoding_destroy(encoding);
  affectrt_tokenizer_destroy(tokenizer);
  affectrt_result_destroy(result);
  affectrt_model_destroy(model);
  CHECK(affectrt_model_load_file("/no/such", NULL, &model) == AFFECTRT_NOT_FOUND);
  return 0;
}

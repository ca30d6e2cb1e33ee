/* Every other function of the C interface, called right and called wrong. Argument: tiny.affect.
 * Also compiled as C++. */
#include <affectrt.h>
#include <math.h>
#include <stdint.h>

#include "check.h"
#include "turn.h"

static affectrt_text text_of(const char* data) {
  affectrt_text text;
  text.data = data;
  text.size = NUL;
  text.pair = NULL;
  text.pair_size = 0;
  return text;
}

static affectrt_text pair_of(const char* data, const char* pair) {
  affectrt_text text = text_of(data);
  text.pair = pair;
  text.pair_size = NUL;
  return text;
}
static void test_versions(void) {
  CHECK(strcmp(affectrt_version(), AFFECTRT_VERSION) == 0);
  CHECK_OK(affectrt_check_abi(AFFECTRT_ABI_MAJOR, AFFECTRT_ABI_MINOR));
  CHECK_STATUS(AFFECTRT_UNSUPPORTED, "compiled for interface 2.0", affectrt_check_abi(2, 0));
  CHECK_STATUS(AFFECTRT_UNSUPPORTED, "1.99", affectrt_check_abi(AFFECTRT_ABI_MAJOR, 99));
  CHECK_STATUS(AFFECTRT_UNSUPPORTED, "1.-1", affectrt_check_abi(AFFECTRT_ABI_MAJOR, -1));
  CHECK(strcmp(affectrt_status_name(AFFECTRT_OK), "AFFECTRT_OK") == 0);
  CHECK(strcmp(affectrt_status_name(AFFECTRT_INTERNAL), "AFFECTRT_INTERNAL") == 0);
  CHECK(strcmp(affectrt_status_name(99), "AFFECTRT_?") == 0);
  CHECK(strcmp(affectrt_status_name(-1), "AFFECTRT_?") == 0);
}

static void test_info(const affectrt_model* model) {
  affectrt_model_info info = AFFECTRT_MODEL_INFO_INIT;
  affectrt_head_info head = AFFECTRT_HEAD_INFO_INIT;
  uint32_t index = 77;
  const char* mapped = NULL;
  CHECK_OK(affectrt_model_get_info(model, &info));
  CHECK(strcmp(info.name, "tiny") == 0 && strcmp(info.family, "bert") == 0);
  CHECK(strcmp(info.precision, "fp32") == 0 && strcmp(info.backend, "native") == 0);
  CHECK(strcmp(info.licence, "CC0-1.0") == 0 && strcmp(info.notice, "Made up.") == 0);
  CHECK(info.num_heads == 2 && info.max_tokens == 64 && info.non_commercial == 0);
  CHECK(strstr(info.backend_detail, "thread") != NULL);
  CHECK(info.json[0] == '{' && strstr(info.json, "\"CC0-1.0\"") != NULL);
  CHECK(info.struct_size == sizeof info);
  CHECK_OK(affectrt_model_get_head(model, 0, &head));
  CHECK(strcmp(head.name, "emotion") == 0 && head.task == AFFECTRT_MULTI_LABEL);
  CHECK(head.num_labels == 3 && strcmp(head.labels[2], "anger") == 0);
  CHECK(head.thresholds[1] == 0.5F && head.temperature == 1.0F && head.unsure_below == 0.3F);
  CHECK_OK(affectrt_model_get_head(model, 1, &head));
  CHECK(head.task == AFFECTRT_REGRESSION && head.thresholds == NULL && head.unsure_below < 0);
  CHECK_OK(affectrt_model_find_head(model, "vad", &index));
  CHECK(index == 1);

  CHECK_OK(affectrt_map_label("sentiment", "gutted", &mapped));
  CHECK(strcmp(mapped, "negative") == 0);
  CHECK_OK(affectrt_map_label("ekman", "train", &mapped));
  CHECK(mapped == NULL);
  CHECK_STATUS(AFFECTRT_INPUT, "no label map 'wheel'; give one of: goemotions, ekman",
               affectrt_map_label("wheel", "joy", &mapped));
  CHECK_STATUS(AFFECTRT_INPUT, "map is NULL", affectrt_map_label(NULL, "joy", &mapped));
  CHECK_STATUS(AFFECTRT_INPUT, "label is NULL", affectrt_map_label("ekman", NULL, &mapped));
  CHECK_STATUS(AFFECTRT_INPUT, "mapped is NULL", affectrt_map_label("ekman", "joy", NULL));
  CHECK_STATUS(AFFECTRT_INPUT, "no head 2", affectrt_model_get_head(model, 2, &head));
  CHECK_STATUS(AFFECTRT_INPUT, "4294967295", affectrt_model_get_head(model, UINT32_MAX, &head));
  CHECK_STATUS(AFFECTRT_INPUT, "emotion, vad", affectrt_model_find_head(model, "moods", &index));
  CHECK(index == 1);
  CHECK_STATUS(AFFECTRT_INPUT, "name is NULL", affectrt_model_find_head(model, NULL, &index));
  CHECK_STATUS(AFFECTRT_INPUT, "head is NULL", affectrt_model_find_head(model, "vad", NULL));
  CHECK_STATUS(AFFECTRT_INPUT, "model is NULL", affectrt_model_find_head(NULL, "vad", &index));
  CHECK_STATUS(AFFECTRT_INPUT, "model is NULL", affectrt_model_get_info(NULL, &info));
  CHECK_STATUS(AFFECTRT_INPUT, "info is NULL", affectrt_model_get_info(model, NULL));
  CHECK_STATUS(AFFECTRT_INPUT, "info is NULL", affectrt_model_get_head(model, 0, NULL));
  CHECK_STATUS(AFFECTRT_INPUT, "model is NULL", affectrt_model_get_head(NULL, 0, &head));
  head.struct_size = 3;
  CHECK_STATUS(AFFECTRT_INPUT, "struct_size is 3", affectrt_model_get_head(model, 0, &head));
  {
    /* A newer and larger struct: its own fields become zero. */
    struct {
      affectrt_head_info known;
      size_t newer;
    } larger;
    memset(&larger, 0x5A, sizeof larger);
    larger.known.struct_size = sizeof larger;
    CHECK_OK(affectrt_model_get_head(model, 0, &larger.known));
    CHECK(larger.newer == 0 && larger.known.num_labels == 3);
  }
}

static int32_t stop_at_once(void* user, size_t done, size_t total) {
  ++*(int*)user;
  return done <= total ? 1 : 0;
}

static int32_t count_calls(void* user, size_t done, size_t total) {
  ++*(int*)user;
  return done <= total ? 0 : 1;
}

static void test_analysis(const affectrt_model* model) {
  affectrt_text texts[5];
  affectrt_result* result = NULL;
  affectrt_answer answer = AFFECTRT_ANSWER_INIT;
  affectrt_matrices matrices = AFFECTRT_MATRICES_INIT;
  affectrt_analyse_options options = AFFECTRT_ANALYSE_OPTIONS_INIT;
  size_t row, i;
  int calls = 0;
  char long_text[1000];
  memset(long_text, 'x', sizeof long_text);
  for (i = 0; i < sizeof long_text; i += 2) long_text[i] = ' ';

  texts[0] = text_of("I am so happy!");
  texts[1] = pair_of("so", "sad");
  texts[2] = text_of("");
  texts[3] = text_of("I am \0 sad");
  texts[3].size = 10; /* a NUL in the middle */
  texts[4] = text_of(long_text);
  texts[4].size = sizeof long_text;
  CHECK_OK(affectrt_model_analyse(model, texts, 5, NULL, &result));
  for (row = 0; row < 5; ++row) {
    CHECK_OK(affectrt_result_get_answer(result, row, 0, &answer));
    CHECK(answer.num_labels == 3 && answer.token_count >= 2);
    CHECK(answer.truncated == (row == 4));
    for (i = 0; i < 3; ++i) {
      CHECK(answer.labels[i].score >= 0 && answer.labels[i].score <= 1);
      CHECK(i == 0 || answer.labels[i].score <= answer.labels[i - 1].score);
    }
    CHECK_OK(affectrt_result_get_answer(result, row, 1, &answer));
    CHECK(strcmp(answer.labels[0].label, "valence") == 0 && answer.num_decided == 0);
  }
  CHECK_OK(affectrt_result_get_answer(result, 3, 0, &answer));
  CHECK(answer.token_count == 5); /* cleaning drops the NUL: [CLS] i am sad [SEP] */
  CHECK_OK(affectrt_result_get_matrices(result, 0, &matrices));
  CHECK(matrices.rows == 5 && matrices.labels == 3 && matrices.truncated[4] == 1);
  CHECK(matrices.token_counts[0] == 7);
  for (row = 0; row < 5; ++row) {
    CHECK_OK(affectrt_result_get_answer(result, row, 0, &answer));
    for (i = 0; i < 3; ++i) {
      const affectrt_label_score* label = &answer.labels[i];
      CHECK(label->score == matrices.scores[row * 3 + label->index]);
      CHECK(label->decided == matrices.decided[row * 3 + label->index]);
    }
  }
  /* Alone or with others: to the bit. */
  for (row = 0; row < 5; ++row) {
    float alone[3];
    affectrt_buffers buffers = AFFECTRT_BUFFERS_INIT;
    buffers.rows = 1;
    buffers.labels = 3;
    buffers.scores = alone;
    CHECK_OK(affectrt_model_predict(model, &texts[row], 1, NULL, 0, &buffers));
    CHECK(memcmp(alone, matrices.scores + 3 * row, sizeof alone) == 0);
  }
  CHECK_STATUS(AFFECTRT_INPUT, "no row 5", affectrt_result_get_answer(result, 5, 0, &answer));
  CHECK_STATUS(AFFECTRT_INPUT, "no head 2", affectrt_result_get_answer(result, 0, 2, &answer));
  CHECK_STATUS(AFFECTRT_INPUT, "answer is NULL", affectrt_result_get_answer(result, 0, 0, NULL));
  CHECK_STATUS(AFFECTRT_INPUT, "result is NULL", affectrt_result_get_answer(NULL, 0, 0, &answer));
  CHECK_STATUS(AFFECTRT_INPUT, "no head 9", affectrt_result_get_matrices(result, 9, &matrices));
  CHECK_STATUS(AFFECTRT_INPUT, "matrices is NULL", affectrt_result_get_matrices(result, 0, NULL));
  CHECK_STATUS(AFFECTRT_INPUT, "result is NULL", affectrt_result_get_matrices(NULL, 0, &matrices));
  affectrt_result_destroy(result);
  affectrt_result_destroy(NULL);

  CHECK_OK(affectrt_model_analyse(model, NULL, 0, NULL, &result));
  CHECK_OK(affectrt_result_get_matrices(result, 1, &matrices));
  CHECK(matrices.rows == 0 && matrices.labels == 2);
  affectrt_result_destroy(result);

  CHECK_STATUS(AFFECTRT_INPUT, "texts is NULL",
               affectrt_model_analyse(model, NULL, 1, NULL, &result));
  CHECK(result == NULL);
  CHECK_STATUS(AFFECTRT_INPUT, "too many",
               affectrt_model_analyse(model, texts, (size_t)-1, NULL, &result));
  CHECK_STATUS(AFFECTRT_INPUT, "out is NULL", affectrt_model_analyse(model, texts, 1, NULL, NULL));
  CHECK_STATUS(AFFECTRT_INPUT, "model is NULL",
               affectrt_model_analyse(NULL, texts, 1, NULL, &result));
  texts[1].data = NULL;
  CHECK_STATUS(AFFECTRT_INPUT, "texts[1].data is NULL",
               affectrt_model_analyse(model, texts, 2, NULL, &result));
  texts[1] = text_of("so");
  texts[1].pair_size = 4;
  CHECK_STATUS(AFFECTRT_INPUT, "texts[1].pair is NULL",
               affectrt_model_analyse(model, texts, 2, NULL, &result));
  texts[1] = text_of("so");
  texts[1].size = (size_t)-7;
  CHECK_STATUS(AFFECTRT_INPUT, "texts[1].data has",
               affectrt_model_analyse(model, texts, 2, NULL, &result));
  texts[1] = text_of("caf\xc3");
  CHECK_STATUS(AFFECTRT_INPUT, "text 1: ", affectrt_model_analyse(model, texts, 2, NULL, &result));
  texts[1] = pair_of("so", "\xed\xa0\x80");
  CHECK_STATUS(AFFECTRT_INPUT, "UTF-8", affectrt_model_analyse(model, texts, 2, NULL, &result));

  options.max_tokens = 3;
  CHECK_OK(affectrt_model_analyse(model, texts, 1, &options, &result));
  CHECK_OK(affectrt_result_get_answer(result, 0, 0, &answer));
  CHECK(answer.truncated == 1 && answer.token_count == 7);
  affectrt_result_destroy(result);
  options.max_tokens = 65;
  CHECK_STATUS(AFFECTRT_INPUT, "1 to 64",
               affectrt_model_analyse(model, texts, 1, &options, &result));
  options.max_tokens = -1;
  CHECK_STATUS(AFFECTRT_INPUT, "max_tokens is -1",
               affectrt_model_analyse(model, texts, 1, &options, &result));
  options.max_tokens = 1; /* no room for the special tokens */
  CHECK_STATUS(AFFECTRT_INPUT, "special",
               affectrt_model_analyse(model, texts, 1, &options, &result));
  options.max_tokens = 0;
  options.reserved = 1;
  CHECK_STATUS(AFFECTRT_INPUT, "reserved",
               affectrt_model_analyse(model, texts, 1, &options, &result));
  options.reserved = 0;
  options.user = &calls;
  options.progress = count_calls;
  CHECK_OK(affectrt_model_analyse(model, texts, 1, &options, &result));
  CHECK(calls >= 1);
  affectrt_result_destroy(result);
  calls = 0;
  options.progress = stop_at_once;
  CHECK_STATUS(AFFECTRT_CANCELLED, "progress",
               affectrt_model_analyse(model, texts, 1, &options, &result));
  CHECK(calls == 1 && result == NULL);
  options.struct_size = 8;
  CHECK_STATUS(AFFECTRT_INPUT, "options.struct_size is 8",
               affectrt_model_analyse(model, texts, 1, &options, &result));
}

static void test_buffers(const affectrt_model* model) {
  const affectrt_text texts[2] = {text_of("so happy"), text_of("so sad so sad")};
  affectrt_buffers buffers = AFFECTRT_BUFFERS_INIT;
  float scores[6], logits[6];
  uint8_t decided[6], unsure[2], truncated[2];
  int32_t counts[2];
  size_t i;
  buffers.rows = 2;
  buffers.labels = 3;
  CHECK_OK(affectrt_model_predict(model, texts, 2, NULL, 0, &buffers)); /* nothing wanted */
  buffers.scores = scores;
  buffers.logits = logits;
  buffers.decided = decided;
  buffers.unsure = unsure;
  buffers.truncated = truncated;
  buffers.token_counts = counts;
  CHECK_OK(affectrt_model_predict(model, texts, 2, NULL, 0, &buffers));
  for (i = 0; i < 6; ++i) {
    CHECK(fabs(scores[i] - 1 / (1 + exp(-(double)logits[i]))) < 1e-6);
    CHECK(decided[i] == (scores[i] >= 0.25F * (float)(i % 3 + 1)));
  }
  CHECK(counts[0] == 4 && counts[1] == 6 && truncated[0] == 0);
  buffers.labels = 2;
  scores[0] = 42;
  CHECK_STATUS(AFFECTRT_INPUT, "2 rows of 3 are needed",
               affectrt_model_predict(model, texts, 2, NULL, 0, &buffers));
  CHECK(scores[0] == 42);
  CHECK_OK(affectrt_model_predict(model, texts, 2, NULL, 1, &buffers));
  CHECK(scores[0] == logits[0]);
  buffers.rows = 3;
  CHECK_STATUS(AFFECTRT_INPUT, "3 rows of 2",
               affectrt_model_predict(model, texts, 2, NULL, 1, &buffers));
  CHECK_STATUS(AFFECTRT_INPUT, "no head 7",
               affectrt_model_predict(model, texts, 2, NULL, 7, &buffers));
  CHECK_STATUS(AFFECTRT_INPUT, "buffers is NULL",
               affectrt_model_predict(model, texts, 2, NULL, 0, NULL));
  CHECK_STATUS(AFFECTRT_INPUT, "model is NULL",
               affectrt_model_predict(NULL, texts, 2, NULL, 0, &buffers));
}

static void test_json(const affectrt_model* model) {
  affectrt_text texts[2];
  char* json = NULL;
  texts[0] = pair_of("a \"quoted\" \xF0\x9F\x98\x80", "so");
  texts[1] = text_of("x\0y");
  texts[1].size = 3;
  CHECK_OK(affectrt_model_analyse_json(model, texts, 2, NULL, &json));
  CHECK(strncmp(json, "[{\"text\":\"a \\\"quoted\\\" \xF0\x9F\x98\x80\",\"pair\":\"so\",", 20) ==
        0);
  CHECK(strstr(json, "\"x\\u0000y\"") != NULL && strstr(json, "\"values\":{\"valence\":") != NULL);
  CHECK(json[strlen(json) - 1] == ']');
  affectrt_json_destroy(json);
  CHECK_OK(affectrt_model_analyse_json(model, NULL, 0, NULL, &json));
  CHECK(strcmp(json, "[]") == 0);
  affectrt_json_destroy(json);
  affectrt_json_destroy(NULL);
  CHECK_STATUS(AFFECTRT_INPUT, "json is NULL",
               affectrt_model_analyse_json(model, texts, 1, NULL, NULL));
  CHECK_STATUS(AFFECTRT_INPUT, "model is NULL",
               affectrt_model_analyse_json(NULL, texts, 1, NULL, &json));
  CHECK(json == NULL);
}

/* Found by fuzzing: a window without a token of the first text, by a tokenizer without a
 * post-processor, names the first text for tokens of the second. */
static void test_cut_pair(void) {
  static const char json[] =
      "{\"version\": \"1.0\", \"truncation\": null, \"padding\": null, \"added_tokens\": [],"
      " \"normalizer\": null, \"pre_tokenizer\": {\"type\": \"Whitespace\"},"
      " \"post_processor\": null, \"decoder\": null, \"model\": {\"type\": \"WordLevel\","
      " \"vocab\": {\"a\": 0, \"?\": 1}, \"unk_token\": \"?\"}}";
  const affectrt_text text = {"a", 1, "a a bbb", 7};
  affectrt_encode_options options = AFFECTRT_ENCODE_OPTIONS_INIT;
  affectrt_tokenizer* tokenizer = NULL;
  affectrt_encoding* encoding = NULL;
  CHECK_OK(affectrt_tokenizer_load_json(json, sizeof json - 1, &tokenizer));
  options.truncation = AFFECTRT_TRUNCATE_LONGEST_FIRST;
  options.max_tokens = 1;
  options.keep_windows = 1;
  CHECK_OK(affectrt_tokenizer_encode(tokenizer, &text, &options, &encoding));
  affectrt_encoding_destroy(encoding);
  options.offsets = AFFECTRT_OFFSETS_BYTES;
  CHECK_STATUS(AFFECTRT_UNSUPPORTED, "offsets in code points",
               affectrt_tokenizer_encode(tokenizer, &text, &options, &encoding));
  CHECK(encoding == NULL);
  affectrt_tokenizer_destroy(tokenizer);
}

static void test_tokenizer(const affectrt_model* model) {
  affectrt_tokenizer* tokenizer = NULL;
  affectrt_tokenizer* other = NULL;
  affectrt_encoding* encoding = NULL;
  affectrt_tokens tokens = AFFECTRT_TOKENS_INIT;
  affectrt_encode_options options = AFFECTRT_ENCODE_OPTIONS_INIT;
  affectrt_text text = text_of("so \xF0\x9F\x98\x80 sad"); /* an emoji: 1, 4 and 2 units */
  const uint32_t ids[5] = {2, 6, 10, 8, 3};
  const uint32_t begins[3][3] = {{0, 3, 5}, {0, 3, 8}, {0, 3, 6}};
  const char* token = NULL;
  size_t size = 0;
  uint32_t id = 0;
  int32_t unit;
  size_t i;
  CHECK_OK(affectrt_tokenizer_from_model(model, &tokenizer));
  CHECK_OK(affectrt_tokenizer_encode(tokenizer, &text, NULL, &encoding));
  CHECK_OK(affectrt_encoding_get_tokens(encoding, 0, &tokens));
  CHECK(tokens.size == 5 && tokens.num_windows == 1 && memcmp(tokens.ids, ids, sizeof ids) == 0);
  CHECK(tokens.special_tokens[0] == 1 && tokens.special_tokens[1] == 0);
  CHECK(tokens.sequence_ids[0] == -1 && tokens.sequence_ids[1] == 0);
  CHECK_STATUS(AFFECTRT_INPUT, "no window 1", affectrt_encoding_get_tokens(encoding, 1, &tokens));
  CHECK_STATUS(AFFECTRT_INPUT, "tokens is NULL", affectrt_encoding_get_tokens(encoding, 0, NULL));
  CHECK_STATUS(AFFECTRT_INPUT, "encoding is NULL", affectrt_encoding_get_tokens(NULL, 0, &tokens));
  affectrt_encoding_destroy(encoding);
  affectrt_encoding_destroy(NULL);
  for (unit = 0; unit < 3; ++unit) {
    options.offsets = unit;
    CHECK_OK(affectrt_tokenizer_encode(tokenizer, &text, &options, &encoding));
    CHECK_OK(affectrt_encoding_get_tokens(encoding, 0, &tokens));
    for (i = 0; i < 3; ++i) CHECK(tokens.offsets[i + 1].begin == begins[unit][i]);
    CHECK(tokens.offsets[3].end == begins[unit][2] + 3);
    affectrt_encoding_destroy(encoding);
  }
  options.offsets = 0;
  options.no_special_tokens = 1;
  options.truncation = AFFECTRT_TRUNCATE_LONGEST_FIRST;
  options.max_tokens = 2;
  options.keep_windows = 1;
  CHECK_OK(affectrt_tokenizer_encode(tokenizer, &text, &options, &encoding));
  CHECK_OK(affectrt_encoding_get_tokens(encoding, 1, &tokens));
  CHECK(tokens.num_windows == 2 && tokens.size == 1 && tokens.ids[0] == 8);
  affectrt_encoding_destroy(encoding);
  options.stride = 2;
  CHECK_STATUS(AFFECTRT_INPUT, "stride",
               affectrt_tokenizer_encode(tokenizer, &text, &options, &encoding));
  options.truncation = 4;
  CHECK_STATUS(AFFECTRT_INPUT, "truncation is 4",
               affectrt_tokenizer_encode(tokenizer, &text, &options, &encoding));
  options.truncation = 0;
  options.offsets = -1;
  CHECK_STATUS(AFFECTRT_INPUT, "offsets is -1",
               affectrt_tokenizer_encode(tokenizer, &text, &options, &encoding));
  CHECK_STATUS(AFFECTRT_INPUT, "text is NULL",
               affectrt_tokenizer_encode(tokenizer, NULL, NULL, &encoding));
  CHECK_STATUS(AFFECTRT_INPUT, "tokenizer is NULL",
               affectrt_tokenizer_encode(NULL, &text, NULL, &encoding));
  CHECK_STATUS(AFFECTRT_INPUT, "out is NULL",
               affectrt_tokenizer_encode(tokenizer, &text, NULL, NULL));
  text = text_of("\xF0\x9F\x98");
  CHECK_STATUS(AFFECTRT_INPUT, "UTF-8",
               affectrt_tokenizer_encode(tokenizer, &text, NULL, &encoding));
  CHECK(encoding == NULL);

  CHECK_OK(affectrt_tokenizer_vocab_size(tokenizer, &size));
  CHECK(size == 11);
  CHECK_OK(affectrt_tokenizer_token_to_id(tokenizer, "happy", NUL, &id));
  CHECK(id == 7);
  CHECK_OK(affectrt_tokenizer_id_to_token(tokenizer, 7, &token, &size));
  CHECK(size == 5 && memcmp(token, "happy", 5) == 0);
  CHECK_STATUS(AFFECTRT_INPUT, "'merry'",
               affectrt_tokenizer_token_to_id(tokenizer, "merry", NUL, &id));
  CHECK_STATUS(AFFECTRT_INPUT, "id 99",
               affectrt_tokenizer_id_to_token(tokenizer, 99, &token, &size));
  CHECK_STATUS(AFFECTRT_INPUT, "token is NULL",
               affectrt_tokenizer_token_to_id(tokenizer, NULL, 0, &id));
  CHECK_STATUS(AFFECTRT_INPUT, "id is NULL",
               affectrt_tokenizer_token_to_id(tokenizer, "so", 2, NULL));
  CHECK_STATUS(AFFECTRT_INPUT, "token is NULL",
               affectrt_tokenizer_id_to_token(tokenizer, 7, NULL, &size));
  CHECK_STATUS(AFFECTRT_INPUT, "size is NULL",
               affectrt_tokenizer_id_to_token(tokenizer, 7, &token, NULL));
  CHECK_STATUS(AFFECTRT_INPUT, "size is NULL", affectrt_tokenizer_vocab_size(tokenizer, NULL));
  CHECK_STATUS(AFFECTRT_INPUT, "tokenizer is NULL", affectrt_tokenizer_vocab_size(NULL, &size));
  CHECK_STATUS(AFFECTRT_INPUT, "model is NULL", affectrt_tokenizer_from_model(NULL, &other));
  CHECK_STATUS(AFFECTRT_INPUT, "out is NULL", affectrt_tokenizer_from_model(model, NULL));

  CHECK_STATUS(AFFECTRT_TOKENIZER, "tokenizer.json",
               affectrt_tokenizer_load_json("{", NUL, &other));
  CHECK_STATUS(AFFECTRT_INPUT, "json is NULL", affectrt_tokenizer_load_json(NULL, 0, &other));
  CHECK_OK(affectrt_tokenizer_load_json(
      "{\"version\":\"1.0\",\"added_tokens\":[],\"normalizer\":null,\"pre_tokenizer\":null,"
      "\"post_processor\":null,\"decoder\":null,\"truncation\":null,\"padding\":null,"
      "\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"x\",\"vocab\":{\"x\":0,\"a\":1}}}",
      NUL, &other));
  CHECK_OK(affectrt_tokenizer_vocab_size(other, &size));
  CHECK(size == 2);
  affectrt_tokenizer_destroy(other);
  affectrt_tokenizer_destroy(tokenizer);
  affectrt_tokenizer_destroy(NULL);
}

static void test_conversation(const affectrt_model* model) {
  const char* const names[] = {"vad", "emotion"};
  const char* const wrong[] = {"vad", "mood"};
  affectrt_conversation_options options = AFFECTRT_CONVERSATION_OPTIONS_INIT;
  affectrt_analyse_options stopping = AFFECTRT_ANALYSE_OPTIONS_INIT;
  affectrt_conversation *one = NULL, *other = NULL, *again = NULL;
  affectrt_turn turns[3];
  char *json = NULL, *state = NULL, *second = NULL;
  int calls = 0;
  CHECK_OK(affectrt_conversation_create(model, NULL, &one));
  options.heads = names;
  options.num_heads = 2;
  options.max_turns = 2;
  CHECK_OK(affectrt_conversation_create(model, &options, &other));

  turns[0] = turn_of(one, "A", "I am so happy");
  turns[1] = turn_of(one, "B", "so sad");
  CHECK_OK(affectrt_conversation_add(turns, 2, NULL, &json));
  CHECK(strstr(json, "{\"turn\":1,\"speaker\":\"A\",\"text\":\"I am so happy\"") == json + 1);
  CHECK(strstr(json, "\"turn\":2") != NULL && strstr(json, "\"is_reply\":true") != NULL);
  affectrt_json_destroy(json);
  CHECK_OK(affectrt_conversation_arc_json(one, &json));
  CHECK(strstr(json, "[{\"turn\":1,") == json);
  affectrt_json_destroy(json);
  CHECK_OK(affectrt_conversation_save(one, &state));
  CHECK_OK(affectrt_conversation_restore(model, state, NUL, &again));
  CHECK_OK(affectrt_conversation_save(again, &json));
  CHECK(strcmp(json, state) == 0);
  affectrt_json_destroy(json);
  affectrt_conversation_destroy(again);

  /* What fails leaves everything as it was. */
  turns[2] = turn_of(one, " ", "who says this");
  CHECK_STATUS(AFFECTRT_INPUT, "turn 5 has no speaker",
               affectrt_conversation_add(turns, 3, NULL, &json));
  CHECK(json == NULL);
  turns[2] = turn_of(one, "A", "");
  CHECK_STATUS(AFFECTRT_INPUT, "turn 5 is empty", affectrt_conversation_add(turns, 3, NULL, &json));
  turns[2] = turn_of(other, "A", "so");
  CHECK_STATUS(AFFECTRT_INPUT, "other heads", affectrt_conversation_add(turns, 3, NULL, &json));
  turns[1].emotion = "bliss";
  CHECK_STATUS(AFFECTRT_INPUT, "no emotion 'bliss'",
               affectrt_conversation_add(turns, 2, NULL, &json));
  turns[1].emotion = NULL;
  turns[1].speaker = "\xF0\x9F";
  CHECK_STATUS(AFFECTRT_INPUT, "UTF-8", affectrt_conversation_add(turns, 2, NULL, &json));
  turns[1].speaker = NULL;
  CHECK_STATUS(AFFECTRT_INPUT, "turns[1].speaker is NULL",
               affectrt_conversation_add(turns, 2, NULL, &json));
  turns[1].conversation = NULL;
  CHECK_STATUS(AFFECTRT_INPUT, "turns[1].conversation is NULL",
               affectrt_conversation_add(turns, 2, NULL, &json));
  stopping.progress = stop_at_once;
  stopping.user = &calls;
  CHECK_STATUS(AFFECTRT_CANCELLED, "", affectrt_conversation_add(turns, 1, &stopping, &json));
  stopping.progress = NULL;
  stopping.max_tokens = 9;
  CHECK_STATUS(AFFECTRT_INPUT, "max_tokens is 9",
               affectrt_conversation_add(turns, 1, &stopping, &json));
  CHECK_STATUS(AFFECTRT_INPUT, "turns is NULL", affectrt_conversation_add(NULL, 1, NULL, &json));
  CHECK_STATUS(AFFECTRT_INPUT, "json is NULL", affectrt_conversation_add(turns, 1, NULL, NULL));
  CHECK_OK(affectrt_conversation_add(turns, 0, NULL, &json));
  CHECK(strcmp(json, "[]") == 0);
  affectrt_json_destroy(json);
  CHECK_OK(affectrt_conversation_save(one, &second));
  CHECK(strcmp(second, state) == 0);
  affectrt_json_destroy(second);
  affectrt_json_destroy(state);

  turns[0] = turn_of(other, "A", "so happy");
  CHECK_OK(affectrt_conversation_add(turns, 1, NULL, &json));
  CHECK(strstr(json, "\"heads\":{\"vad\"") != NULL);
  affectrt_json_destroy(json);

  CHECK_STATUS(AFFECTRT_INPUT, "'format' is missing",
               affectrt_conversation_restore(model, "{}", NUL, &again));
  CHECK(again == NULL);
  CHECK_STATUS(AFFECTRT_INPUT, "model is NULL", affectrt_conversation_create(NULL, NULL, &again));
  CHECK_STATUS(AFFECTRT_INPUT, "out is NULL", affectrt_conversation_create(model, NULL, NULL));
  options.heads = wrong;
  CHECK_STATUS(AFFECTRT_INPUT, "no head 'mood'",
               affectrt_conversation_create(model, &options, &again));
  options.heads = names;
  options.max_turns = -1;
  CHECK_STATUS(AFFECTRT_INPUT, "max_turns is -1",
               affectrt_conversation_create(model, &options, &again));
  options.reserved = 1;
  CHECK_STATUS(AFFECTRT_INPUT, "reserved", affectrt_conversation_create(model, &options, &again));
  CHECK_STATUS(AFFECTRT_INPUT, "conversation is NULL", affectrt_conversation_save(NULL, &json));
  CHECK_STATUS(AFFECTRT_INPUT, "conversation is NULL", affectrt_conversation_arc_json(NULL, &json));
  affectrt_conversation_destroy(one);
  affectrt_conversation_destroy(other);
  affectrt_conversation_destroy(NULL);
}

int main(int argc, char** argv) {
  affectrt_model* model = NULL;
  CHECK(argc == 2);
  CHECK(strcmp(affectrt_last_error(), "") == 0);
  test_versions();
  CHECK_OK(affectrt_model_load_file(argv[1], NULL, &model));
  test_info(model);
  test_analysis(model);
  test_buffers(model);
  test_json(model);
  test_cut_pair();
  test_tokenizer(model);
  test_conversation(model);
  affectrt_model_destroy(model);
  return 0;
}

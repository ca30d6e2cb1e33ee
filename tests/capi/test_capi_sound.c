/* Sound through the C interface, called right and called wrong. Arguments: tiny.affect and
 * tiny_speech.affect. */
#include <affectrt.h>
#include <math.h>
#include <stdint.h>

#include "check.h"

enum { RATE = 16000, SHORT = 9000, LONG = 70000 };

static float sounds_at[LONG];
static float stereo[2 * SHORT];

/* A tone that swells. */
static void make_sound(void) {
  int i;
  for (i = 0; i < LONG; ++i) {
    const double time = (double)i / RATE;
    sounds_at[i] = (float)(0.1 * sin(1100.0 * time) * (1.0 + 0.8 * sin(9.0 * time)));
  }
  for (i = 0; i < SHORT; ++i) {
    stereo[2 * i] = 1.5F * sounds_at[i];
    stereo[2 * i + 1] = 0.5F * sounds_at[i];
  }
}

static affectrt_sound sound_of(const float* samples, size_t count) {
  affectrt_sound sound;
  sound.samples = samples;
  sound.count = count;
  sound.sample_rate = RATE;
  sound.channels = 0;
  return sound;
}

static void test_info(const affectrt_model* text, const affectrt_model* speech) {
  affectrt_model_info info = AFFECTRT_MODEL_INFO_INIT;
  affectrt_head_info head = AFFECTRT_HEAD_INFO_INIT;
  uint32_t index = 9;
  CHECK_OK(affectrt_model_get_info(text, &info));
  CHECK(info.sample_rate == 0 && info.max_seconds == 0.0F && info.max_tokens == 64);
  CHECK_OK(affectrt_model_get_info(speech, &info));
  CHECK(info.sample_rate == RATE && info.max_seconds == 2.0F && info.max_tokens == 0);
  CHECK(info.num_heads == 4 && strcmp(info.backend, "native") == 0);
  CHECK(strstr(info.json, "\"modality\":\"speech\"") != NULL);
  CHECK_OK(affectrt_model_find_head(speech, "mood", &index));
  CHECK(index == 2);
  CHECK_OK(affectrt_model_get_head(speech, 1, &head));
  CHECK(head.task == AFFECTRT_ORDINAL && strcmp(head.input, "audio") == 0);
}

static void test_answers(const affectrt_model* speech) {
  affectrt_result* result = NULL;
  affectrt_answer answer = AFFECTRT_ANSWER_INIT;
  affectrt_answer of_window = AFFECTRT_ANSWER_INIT;
  affectrt_clip_info clip = AFFECTRT_CLIP_INFO_INIT;
  affectrt_window window = AFFECTRT_WINDOW_INIT;
  affectrt_matrices matrices = AFFECTRT_MATRICES_INIT;
  affectrt_sound sounds[4];
  char* json = NULL;
  float sum = 0.0F;
  uint32_t i;
  sounds[0] = sound_of(sounds_at, SHORT);
  sounds[1] = sound_of(sounds_at, LONG);
  sounds[2] = sound_of(sounds_at, 100);
  sounds[3] = sound_of(stereo, SHORT);
  sounds[3].channels = 2;
  CHECK_OK(affectrt_model_analyse_sound(speech, sounds, 4, NULL, &result));
  CHECK_OK(affectrt_result_get_answer(result, 0, 0, &answer));
  CHECK(answer.num_labels == 3 && answer.num_decided == 1 && answer.token_count == 0);
  for (i = 0; i < 3; ++i) sum += answer.labels[i].score;
  CHECK(fabsf(sum - 1.0F) < 1e-5F && answer.labels[0].score >= answer.labels[1].score);
  CHECK(answer.labels[0].decided == 1);
  CHECK_OK(affectrt_result_get_answer(result, 1, 1, &answer));
  CHECK(answer.level >= 0.0F && answer.level <= 1.0F);
  CHECK_OK(affectrt_result_get_clip(result, 0, &clip));
  CHECK(clip.num_windows == 1 && clip.audible == 1 && clip.duration_s == (double)SHORT / RATE);
  CHECK(clip.level_dbfs < -15.0F && clip.level_dbfs > -40.0F && clip.clipped_share == 0.0F);
  CHECK_OK(affectrt_result_get_clip(result, 1, &clip));
  CHECK(clip.num_windows == 3);
  CHECK_OK(affectrt_result_get_clip(result, 2, &clip));
  CHECK(clip.audible == 0);
  CHECK_OK(affectrt_result_get_answer(result, 2, 0, &answer));
  CHECK(answer.unsure == 1);
  CHECK_OK(affectrt_result_get_window(result, 1, 2, 0, &window, &of_window));
  CHECK(window.begin_s > 2.9 && window.end_s == (double)LONG / RATE && of_window.num_labels == 3);
  CHECK_OK(affectrt_result_get_window(result, 1, 0, 2, NULL, &of_window));
  CHECK_OK(affectrt_result_get_window(result, 1, 0, 2, &window, NULL));
  CHECK(window.begin_s == 0.0 && of_window.num_labels == 2);
  CHECK_OK(affectrt_result_get_matrices(result, 0, &matrices));
  CHECK(matrices.rows == 4 && matrices.labels == 3);
  for (i = 0; i < 3; ++i) { /* the mean of the two channels is the first sound */
    CHECK(fabsf(matrices.logits[i] - matrices.logits[9 + i]) < 1e-3F);
  }
  CHECK_STATUS(AFFECTRT_INPUT, "no row 4", affectrt_result_get_clip(result, 4, &clip));
  CHECK_STATUS(AFFECTRT_INPUT, "no window 3",
               affectrt_result_get_window(result, 1, 3, 0, &window, NULL));
  CHECK_STATUS(AFFECTRT_INPUT, "no head 4",
               affectrt_result_get_window(result, 1, 0, 4, &window, NULL));
  affectrt_result_destroy(result);

  CHECK_OK(affectrt_model_analyse_sound_json(speech, sounds, 4, NULL, &json));
  CHECK(strstr(json, "[{\"duration_s\":0.5625,\"emotions\":[{\"label\":\"") == json);
  CHECK(strstr(json, "\"arousal\":") != NULL && strstr(json, "\"loud\":") != NULL);
  CHECK(strstr(json, "\"windows\":[{\"start_s\":0.0,\"end_s\":1.45") != NULL);
  affectrt_json_destroy(json);
  CHECK_OK(affectrt_model_analyse_sound_json(speech, NULL, 0, NULL, &json));
  CHECK(strcmp(json, "[]") == 0);
  affectrt_json_destroy(json);
}

static int32_t stop(void* user, size_t done, size_t total) {
  (void)done;
  *(size_t*)user = total;
  return 1;
}

static void test_wrong(const affectrt_model* text, const affectrt_model* speech) {
  affectrt_analyse_options options = AFFECTRT_ANALYSE_OPTIONS_INIT;
  affectrt_clip_info clip = AFFECTRT_CLIP_INFO_INIT;
  affectrt_text words;
  affectrt_sound sounds[2];
  affectrt_result* result = NULL;
  affectrt_conversation* conversation = NULL;
  affectrt_tokenizer* tokenizer = NULL;
  affectrt_sound wrong;
  float broken[3] = {0.0F, 0.0F, 0.0F};
  size_t total = 0;
  char* json = NULL;
  sounds[0] = sound_of(sounds_at, SHORT);
#define REFUSED(part, bad)                                                         \
  sounds[1] = (bad);                                                               \
  CHECK_STATUS(AFFECTRT_INPUT, (part),                                             \
               affectrt_model_analyse_sound(speech, sounds, 2, NULL, &result));    \
  CHECK(result == NULL);                                                           \
  CHECK_STATUS(AFFECTRT_INPUT, (part),                                             \
               affectrt_model_analyse_sound_json(speech, sounds, 2, NULL, &json)); \
  CHECK(json == NULL)
  REFUSED("sounds[1] is empty", sound_of(sounds_at, 0));
  REFUSED("sounds[1].samples is NULL", sound_of(NULL, 5));
  broken[1] = (float)NAN;
  REFUSED("sounds[1]", sound_of(broken, 3));
  broken[1] = (float)INFINITY;
  REFUSED("sounds[1]", sound_of(broken, 3));
  wrong = sound_of(sounds_at, SHORT);
  wrong.channels = 65;
  REFUSED("sounds[1].channels is 65", wrong);
  wrong.channels = -1;
  REFUSED("sounds[1].channels is -1", wrong);
  wrong = sound_of(sounds_at, SHORT);
  wrong.sample_rate = 0;
  REFUSED("sample_rate is 0", wrong);
  wrong.sample_rate = 7999;
  REFUSED("8000", wrong);
  wrong.sample_rate = -44100;
  REFUSED("8000", wrong);
#undef REFUSED
  CHECK_STATUS(AFFECTRT_INPUT, "sounds is NULL",
               affectrt_model_analyse_sound(speech, NULL, 1, NULL, &result));
  CHECK_STATUS(AFFECTRT_INPUT, "model is NULL",
               affectrt_model_analyse_sound(NULL, sounds, 1, NULL, &result));
  CHECK_STATUS(AFFECTRT_INPUT, "out is NULL",
               affectrt_model_analyse_sound(speech, sounds, 1, NULL, NULL));
  options.max_tokens = 5;
  CHECK_STATUS(AFFECTRT_INPUT, "max_tokens",
               affectrt_model_analyse_sound(speech, sounds, 1, &options, &result));
  options.max_tokens = 0;
  options.progress = stop;
  options.user = &total;
  CHECK_STATUS(AFFECTRT_CANCELLED, "",
               affectrt_model_analyse_sound(speech, sounds, 1, &options, &result));
  CHECK(total == 1);

  words.data = "so";
  words.size = AFFECTRT_NUL_TERMINATED;
  words.pair = NULL;
  words.pair_size = 0;
  CHECK_STATUS(AFFECTRT_INPUT, "one of texts",
               affectrt_model_analyse_sound(text, sounds, 1, NULL, &result));
  CHECK_STATUS(AFFECTRT_INPUT, "one of speech",
               affectrt_model_analyse(speech, &words, 1, NULL, &result));
  CHECK_STATUS(AFFECTRT_INPUT, "one of speech",
               affectrt_model_analyse_json(speech, &words, 1, NULL, &json));
  CHECK_STATUS(AFFECTRT_INPUT, "one of speech",
               affectrt_model_predict(speech, &words, 1, NULL, 0, NULL));
  CHECK_STATUS(AFFECTRT_INPUT, "one of speech",
               affectrt_conversation_create(speech, NULL, &conversation));
  CHECK_STATUS(AFFECTRT_INPUT, "one of speech",
               affectrt_conversation_restore(speech, "{}", 2, &conversation));
  CHECK_STATUS(AFFECTRT_INPUT, "one of speech", affectrt_tokenizer_from_model(speech, &tokenizer));
  CHECK_OK(affectrt_model_analyse(text, &words, 1, NULL, &result));
  CHECK_STATUS(AFFECTRT_INPUT, "one of texts", affectrt_result_get_clip(result, 0, &clip));
  affectrt_result_destroy(result);
}

int main(int argc, char** argv) {
  affectrt_model* text = NULL;
  affectrt_model* speech = NULL;
  CHECK(argc == 3);
  make_sound();
  CHECK_OK(affectrt_model_load_file(argv[1], NULL, &text));
  CHECK_OK(affectrt_model_load_file(argv[2], NULL, &speech));
  test_info(text, speech);
  test_answers(speech);
  test_wrong(text, speech);
  affectrt_model_destroy(text);
  affectrt_model_destroy(speech);
  return 0;
}

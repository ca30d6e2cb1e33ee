/* Conversations whose turns have voices. Arguments: tiny.affect and tiny_speech.affect. */
#include <affectrt.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "check.h"
#include "turn.h"

enum { RATE = 16000, CLIP = 12000, COUNT = 4 };

static float voices[COUNT][CLIP];
static float silence[CLIP];

static void make_voices(void) {
  int k, i;
  for (k = 0; k < COUNT; ++k) {
    for (i = 0; i < CLIP; ++i) {
      const double time = (double)i / RATE;
      voices[k][i] = (float)(0.1 * sin((700.0 + 300.0 * k) * time) * (1.0 + 0.8 * sin(9.0 * time)));
    }
  }
}

static affectrt_sound sound_of(const float* samples) {
  affectrt_sound sound;
  sound.samples = samples;
  sound.count = samples == NULL ? 0 : CLIP;
  sound.sample_rate = RATE;
  sound.channels = 0;
  return sound;
}

static affectrt_conversation* begun(const affectrt_model* text, const affectrt_model* speech) {
  affectrt_conversation_options options = AFFECTRT_CONVERSATION_OPTIONS_INIT;
  affectrt_conversation* made = NULL;
  options.speech = speech;
  CHECK_OK(affectrt_conversation_create(text, &options, &made));
  return made;
}

static char* saved(const affectrt_conversation* conversation) {
  char* json = NULL;
  CHECK_OK(affectrt_conversation_save(conversation, &json));
  return json;
}

static void check_same(const affectrt_conversation* one, const affectrt_conversation* other) {
  char *first = saved(one), *second = saved(other), *arc = NULL, *second_arc = NULL;
  CHECK(strcmp(first, second) == 0);
  CHECK_OK(affectrt_conversation_arc_json(one, &arc));
  CHECK_OK(affectrt_conversation_arc_json(other, &second_arc));
  CHECK(strcmp(arc, second_arc) == 0);
  affectrt_json_destroy(first);
  affectrt_json_destroy(second);
  affectrt_json_destroy(arc);
  affectrt_json_destroy(second_arc);
}

/* Words, a voice, or both; at once, one by one, and with a stop in between. */
static void test_turns(const affectrt_model* text, const affectrt_model* speech) {
  affectrt_conversation *at_once = begun(text, speech), *ones = begun(text, speech), *next = NULL;
  affectrt_turn turns[COUNT];
  affectrt_sound sounds[COUNT];
  char *json = NULL, *one = NULL, *state = NULL;
  int i;
  turns[0] = turn_of(at_once, "A", "I am so happy");
  turns[1] = turn_of(at_once, "B", NULL);
  turns[2] = turn_of(at_once, "A", "so sad");
  turns[3] = turn_of(at_once, "B", "who says this");
  for (i = 0; i < COUNT; ++i) sounds[i] = sound_of(voices[i]);
  sounds[2] = sound_of(NULL);
  sounds[3] = sound_of(silence);
  CHECK_OK(affectrt_conversation_add_spoken(turns, sounds, COUNT, NULL, &json));
  CHECK(strstr(json, "\"modalities\":[\"text\",\"speech\"],\"fused\":{\"label\":\"") != NULL);
  CHECK(strstr(json, "\"modalities\":[\"speech\"]") != NULL);
  CHECK(strstr(json, "\"modalities\":[\"text\"]") != NULL);
  CHECK(strstr(json, "\"speaker\":\"B\",\"text\":\"\",\"emotions\":[{\"label\":\"") != NULL);
  CHECK(strstr(json, "\"voice\":{\"duration_s\":0.75,") != NULL);
  for (i = 0; i < COUNT; ++i) {
    turns[i].conversation = ones;
    CHECK_OK(affectrt_conversation_add_spoken(&turns[i], &sounds[i], 1, NULL, &one));
    one[strlen(one) - 1] = '\0';
    CHECK(strstr(json, one + 1) != NULL);
    affectrt_json_destroy(one);
    state = saved(ones);
    affectrt_conversation_destroy(ones);
    CHECK_STATUS(AFFECTRT_INPUT, "was held with the speech model 'tiny speech'",
                 affectrt_conversation_restore(text, state, NUL, &next));
    CHECK_OK(affectrt_conversation_restore_spoken(text, speech, state, NUL, &ones));
    affectrt_json_destroy(state);
  }
  affectrt_json_destroy(json);
  check_same(at_once, ones);

  /* Without sound they are those of words alone. */
  turns[0] = turn_of(at_once, "A", "happy");
  CHECK_OK(affectrt_conversation_add(turns, 1, NULL, &json));
  CHECK(strstr(json, "\"modalities\":[\"text\"]") != NULL && strstr(json, "\"voice\"") == NULL);
  affectrt_json_destroy(json);
  affectrt_conversation_destroy(at_once);
  affectrt_conversation_destroy(ones);
}

static int32_t stop(void* user, size_t done, size_t total) {
  (void)done;
  *(size_t*)user = total;
  return 1;
}

static void test_wrong(const affectrt_model* text, const affectrt_model* speech) {
  affectrt_conversation *one = begun(text, speech), *same = begun(text, speech);
  affectrt_conversation *deaf = begun(text, NULL), *none = NULL;
  affectrt_conversation_options options = AFFECTRT_CONVERSATION_OPTIONS_INIT;
  affectrt_analyse_options stopping = AFFECTRT_ANALYSE_OPTIONS_INIT;
  affectrt_turn turns[2];
  affectrt_sound sounds[2];
  size_t total = 0;
  char* json = NULL;
  turns[0] = turn_of(one, "A", "I am so happy");
  sounds[0] = sound_of(voices[0]);
#define REFUSED(part, said, sound)                                               \
  turns[1] = (said);                                                             \
  sounds[1] = (sound);                                                           \
  CHECK_STATUS(AFFECTRT_INPUT, (part),                                           \
               affectrt_conversation_add_spoken(turns, sounds, 2, NULL, &json)); \
  CHECK(json == NULL)
  REFUSED("turns[1] has neither text nor sound", turn_of(one, "B", NULL), sound_of(NULL));
  REFUSED("turns[1] has no text, and nothing can be heard", turn_of(one, "B", NULL),
          sound_of(silence));
  REFUSED("turns[1] has sound, but its conversation", turn_of(deaf, "B", "so"), sounds[0]);
  REFUSED("turn 2 has no speaker", turn_of(one, " ", NULL), sound_of(voices[1]));
  REFUSED("turn 2 is empty", turn_of(one, "B", ""), sound_of(voices[1]));
  sounds[1].count = 0;
  CHECK_STATUS(AFFECTRT_INPUT, "sounds[1] is empty",
               affectrt_conversation_add_spoken(turns, sounds, 2, NULL, &json));
  sounds[1] = sound_of(voices[1]);
  sounds[1].sample_rate = 7;
  CHECK_STATUS(AFFECTRT_INPUT, "sounds[1]",
               affectrt_conversation_add_spoken(turns, sounds, 2, NULL, &json));
  sounds[1] = sound_of(voices[1]);
  turns[1] = turn_of(one, "B", NULL);
  turns[1].emotion = "bliss";
  CHECK_STATUS(AFFECTRT_INPUT, "no emotion 'bliss'",
               affectrt_conversation_add_spoken(turns, sounds, 2, NULL, &json));
#undef REFUSED
  stopping.progress = stop;
  stopping.user = &total;
  CHECK_STATUS(AFFECTRT_CANCELLED, "",
               affectrt_conversation_add_spoken(turns, sounds, 2, &stopping, &json));
  CHECK(total == 2);
  CHECK_STATUS(AFFECTRT_INPUT, "sounds is NULL",
               affectrt_conversation_add_spoken(turns, NULL, 2, NULL, &json));
  CHECK_STATUS(AFFECTRT_INPUT, "turns[1].text is NULL",
               affectrt_conversation_add(turns, 2, NULL, &json));
  check_same(one, same); /* nothing was added */
  CHECK_OK(affectrt_conversation_add_spoken(NULL, NULL, 0, NULL, &json));
  CHECK(strcmp(json, "[]") == 0);
  affectrt_json_destroy(json);

  options.speech = text;
  CHECK_STATUS(AFFECTRT_INPUT, "one of texts", affectrt_conversation_create(text, &options, &none));
  CHECK(none == NULL);
  /* A program of ABI 1.1, whose options end before `speech`. */
  options.struct_size = offsetof(affectrt_conversation_options, speech);
  CHECK_OK(affectrt_conversation_create(text, &options, &none));
  check_same(none, deaf);
  affectrt_conversation_destroy(none);
  affectrt_conversation_destroy(one);
  affectrt_conversation_destroy(same);
  affectrt_conversation_destroy(deaf);
}

int main(int argc, char** argv) {
  affectrt_model *text = NULL, *speech = NULL;
  affectrt_conversation* left = NULL;
  affectrt_turn turn;
  affectrt_sound sound;
  char* json = NULL;
  CHECK(argc == 3);
  make_voices();
  CHECK_OK(affectrt_model_load_file(argv[1], NULL, &text));
  CHECK_OK(affectrt_model_load_file(argv[2], NULL, &speech));
  test_turns(text, speech);
  test_wrong(text, speech);
  left = begun(text, speech);
  affectrt_model_destroy(text);
  affectrt_model_destroy(speech);
  turn = turn_of(left, "A", NULL);
  sound = sound_of(voices[0]);
  CHECK_OK(affectrt_conversation_add_spoken(&turn, &sound, 1, NULL, &json));
  affectrt_json_destroy(json);
  affectrt_conversation_destroy(left);
  return 0;
}

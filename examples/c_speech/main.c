/* Says what a voice expresses, of raw sound on standard input, 16 bits, one channel:
 * arecord -f S16_LE -r 16000 -d 5 -t raw | c_speech speech.affect 16000 */
#include <affectrt.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_SECONDS = 60 };

static int fail(const char* doing) {
  fprintf(stderr, "%s: %s\n", doing, affectrt_last_error());
  return 1;
}

static size_t read_samples(float* samples, size_t most) {
  size_t count = 0;
  unsigned char bytes[2];
  while (count < most && fread(bytes, 2, 1, stdin) == 1) {
    const int value = bytes[0] | bytes[1] << 8;
    samples[count++] = (float)(value < 32768 ? value : value - 65536) / 32768.0F;
  }
  return count;
}

static int print_answers(const affectrt_model* model, const affectrt_result* result) {
  affectrt_model_info info = AFFECTRT_MODEL_INFO_INIT;
  affectrt_clip_info clip = AFFECTRT_CLIP_INFO_INIT;
  uint32_t head;
  uint32_t i;
  if (affectrt_model_get_info(model, &info) != AFFECTRT_OK) return fail("info");
  if (affectrt_result_get_clip(result, 0, &clip) != AFFECTRT_OK) return fail("clip");
  printf("%.2f s, %.1f dB%s\n", clip.duration_s, (double)clip.level_dbfs,
         clip.audible ? "" : ": nothing to hear");
  for (head = 0; head < info.num_heads; ++head) {
    affectrt_head_info of = AFFECTRT_HEAD_INFO_INIT;
    affectrt_answer answer = AFFECTRT_ANSWER_INIT;
    if (affectrt_model_get_head(model, head, &of) != AFFECTRT_OK) return fail("head");
    if (affectrt_result_get_answer(result, 0, head, &answer) != AFFECTRT_OK) return fail("answer");
    printf("%s%s\n", of.name, answer.unsure ? " (unsure)" : "");
    for (i = 0; i < answer.num_labels && i < 3; ++i) {
      const affectrt_label_score* label = &answer.labels[i];
      printf("  %-16s %.3f%s\n", label->label, (double)label->score, label->decided ? " *" : "");
    }
  }
  return 0;
}

int main(int argc, char** argv) {
  affectrt_model* model = NULL;
  affectrt_result* result = NULL;
  affectrt_sound sound = {NULL, 0, 0, 1};
  float* samples;
  int status;
  if (argc != 3 || (sound.sample_rate = atoi(argv[2])) < 8000 || sound.sample_rate > 192000) {
    fprintf(stderr, "usage: %s SPEECH.affect RATE < raw 16-bit samples of one channel\n", argv[0]);
    return 2;
  }
  samples = malloc(sizeof(float) * MOST_SECONDS * (size_t)sound.sample_rate);
  if (samples == NULL) return 1;
  sound.samples = samples;
  sound.count = read_samples(samples, (size_t)MOST_SECONDS * (size_t)sound.sample_rate);
  if (affectrt_model_load_file(argv[1], NULL, &model) != AFFECTRT_OK) {
    status = fail(argv[1]);
  } else if (affectrt_model_analyse_sound(model, &sound, 1, NULL, &result) != AFFECTRT_OK) {
    status = fail("analysis");
  } else {
    status = print_answers(model, result);
  }
  affectrt_result_destroy(result);
  affectrt_model_destroy(model);
  free(samples);
  return status;
}

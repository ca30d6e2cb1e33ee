/* Says what a text expresses: c_console MODEL.affect TEXT... */
#include <affectrt.h>
#include <stdio.h>

static int fail(const char* doing) {
  fprintf(stderr, "%s: %s\n", doing, affectrt_last_error());
  return 1;
}

static int print_answers(const affectrt_result* result, char** texts, size_t count) {
  size_t row;
  for (row = 0; row < count; ++row) {
    affectrt_answer answer = AFFECTRT_ANSWER_INIT;
    uint32_t i;
    if (affectrt_result_get_answer(result, row, 0, &answer) != AFFECTRT_OK) return fail("answer");
    printf("%s\n", texts[row]);
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
  affectrt_text texts[64];
  size_t count = 0;
  int status = 0;
  if (argc < 3) {
    fprintf(stderr, "usage: %s MODEL.affect TEXT...\n", argv[0]);
    return 2;
  }
  for (; count < 64 && count + 2 < (size_t)argc; ++count) {
    const affectrt_text text = {argv[count + 2], AFFECTRT_NUL_TERMINATED, NULL, 0};
    texts[count] = text;
  }
  if (affectrt_model_load_file(argv[1], NULL, &model) != AFFECTRT_OK) return fail(argv[1]);
  if (affectrt_model_analyse(model, texts, count, NULL, &result) != AFFECTRT_OK) {
    status = fail("analysis");
  } else {
    status = print_answers(result, argv + 2, count);
  }
  affectrt_result_destroy(result);
  affectrt_model_destroy(model);
  return status;
}

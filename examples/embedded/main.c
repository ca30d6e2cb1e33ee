/* A program that carries its model: embedded TEXT. Nothing is opened at run time; the weights are
 * used where the linker put them. */
#include <affectrt.h>
#include <stdio.h>

/* From model.S. */
extern const unsigned char embedded_model[];
extern const unsigned char embedded_model_end[];

int main(int argc, char** argv) {
  affectrt_model* model = NULL;
  affectrt_text text = {NULL, AFFECTRT_NUL_TERMINATED, NULL, 0};
  char* json = NULL;
  if (argc != 2) {
    fprintf(stderr, "usage: %s TEXT\n", argv[0]);
    return 2;
  }
  text.data = argv[1];
  if (affectrt_model_load_memory(embedded_model, (size_t)(embedded_model_end - embedded_model),
                                 NULL, NULL, NULL, &model) != AFFECTRT_OK ||
      affectrt_model_analyse_json(model, &text, 1, NULL, &json) != AFFECTRT_OK) {
    fprintf(stderr, "%s\n", affectrt_last_error());
  } else {
    printf("%s\n", json);
  }
  affectrt_json_destroy(json);
  affectrt_model_destroy(model);
  return json == NULL ? 1 : 0;
}

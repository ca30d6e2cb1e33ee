/* Says what it hears, while it hears it: c_listen SPEECH.affect SAMPLE_RATE < PCM
 * as in: arecord -q -f S16_LE -r 16000 -c 1 | c_listen speech.affect 16000 */
#include <affectrt.h>
#include <stdio.h>
#include <stdlib.h>

static int fail(const char* doing) {
  fprintf(stderr, "%s: %s\n", doing, affectrt_last_error());
  return 1;
}

static void show(const affectrt_segments* heard) {
  size_t i;
  for (i = 0; i < heard->num_segments; ++i) {
    const affectrt_segment* one = &heard->segments[i];
    printf("%8.2f - %8.2f s  %-12s %.2f%s%s\n", one->start_s, one->end_s,
           one->label == NULL ? "" : one->label, (double)one->score,
           one->unsure != 0 ? "  (unsure)" : "", one->interim != 0 ? "  ..." : "");
  }
  fflush(stdout);
}

static int listen_to(affectrt_speech_stream* stream, int32_t sample_rate) {
  /* Tenths of seconds: what is said of them does not depend on it. */
  const size_t most = (size_t)sample_rate / 10;
  int16_t* samples = malloc(most * sizeof *samples);
  affectrt_segments heard = AFFECTRT_SEGMENTS_INIT;
  affectrt_status status = AFFECTRT_OK;
  size_t count;
  if (samples == NULL) return 1;
  while (status == AFFECTRT_OK && (count = fread(samples, sizeof *samples, most, stdin)) > 0) {
    status = affectrt_speech_stream_feed(stream, samples, count, &heard);
    if (status == AFFECTRT_OK) show(&heard);
  }
  if (status == AFFECTRT_OK) {
    status = affectrt_speech_stream_flush(stream, &heard);
    if (status == AFFECTRT_OK) show(&heard);
  }
  free(samples);
  return status == AFFECTRT_OK ? 0 : fail("listening");
}

int main(int argc, char** argv) {
  affectrt_speech_stream_options options = AFFECTRT_SPEECH_STREAM_OPTIONS_INIT;
  affectrt_model* model = NULL;
  affectrt_speech_stream* stream = NULL;
  int status;
  if (argc != 3) {
    fprintf(stderr, "usage: %s SPEECH.affect SAMPLE_RATE < 16-bit PCM\n", argv[0]);
    return 2;
  }
  options.sample_rate = (int32_t)strtol(argv[2], NULL, 10);
  options.format = AFFECTRT_SAMPLES_S16;
  options.interim_ms = 500.0;
  if (affectrt_model_load_file(argv[1], NULL, &model) != AFFECTRT_OK) return fail(argv[1]);
  if (affectrt_speech_stream_create(model, &options, &stream) != AFFECTRT_OK) {
    status = fail("stream");
  } else {
    status = listen_to(stream, options.sample_rate);
  }
  affectrt_speech_stream_destroy(stream);
  affectrt_model_destroy(model);
  return status;
}

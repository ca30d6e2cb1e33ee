/* Features of what it hears, a line of comma-separated values a frame, while it hears it:
 *   c_features SAMPLE_RATE [fbank | mfcc | log_mel] < PCM
 * as in: arecord -q -f S16_LE -r 48000 -c 1 | c_features 48000 */
#include <affectrt_features.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 4096, ROWS = 16 };

static int fail(const char* doing) {
  fprintf(stderr, "%s: %s\n", doing, affectrt_last_error());
  return 1;
}

static affectrt_features* make(const char* kind) {
  affectrt_features* features = NULL;
  if (strcmp(kind, "log_mel") == 0) {
    affectrt_log_mel_create(NULL, &features);
  } else if (strcmp(kind, "mfcc") == 0) {
    affectrt_mfcc_create(NULL, &features);
  } else if (strcmp(kind, "fbank") == 0) {
    affectrt_fbank_create(NULL, &features);
  } else {
    fprintf(stderr, "there is no '%s'; there are fbank, mfcc and log_mel\n", kind);
  }
  return features;
}

static affectrt_status print_rows(affectrt_row_stream* stream, float* rows, size_t columns) {
  affectrt_status status;
  size_t read = 0;
  while ((status = affectrt_row_stream_read(stream, rows, ROWS, &read)) == AFFECTRT_OK &&
         read > 0) {
    size_t i;
    for (i = 0; i < read * columns; ++i) {
      printf("%.9g%c", (double)rows[i], (i + 1) % columns == 0 ? '\n' : ',');
    }
  }
  fflush(stdout);
  return status;
}

static affectrt_status listen_to(affectrt_row_stream* stream, float* rows, size_t columns) {
  static int16_t pcm[SAMPLES];
  static float samples[SAMPLES];
  affectrt_status status = AFFECTRT_OK;
  size_t count;
  while (status == AFFECTRT_OK && (count = fread(pcm, sizeof *pcm, SAMPLES, stdin)) > 0) {
    status = affectrt_sound_mix(AFFECTRT_SAMPLES_S16, pcm, count, 1, samples);
    if (status == AFFECTRT_OK) status = affectrt_row_stream_feed(stream, samples, count, NULL);
    if (status == AFFECTRT_OK) status = print_rows(stream, rows, columns);
  }
  if (status == AFFECTRT_OK) status = affectrt_row_stream_finish(stream, NULL);
  return status == AFFECTRT_OK ? print_rows(stream, rows, columns) : status;
}

int main(int argc, char** argv) {
  affectrt_features_info info = AFFECTRT_FEATURES_INFO_INIT;
  affectrt_features* features;
  affectrt_row_stream* stream = NULL;
  float* rows;
  int status = 1;
  if (argc != 2 && argc != 3) {
    fprintf(stderr, "usage: %s SAMPLE_RATE [fbank | mfcc | log_mel] < 16-bit PCM\n", argv[0]);
    return 2;
  }
  features = make(argc == 3 ? argv[2] : "fbank");
  if (features == NULL) return 1;
  affectrt_features_get_info(features, &info);
  rows = malloc(ROWS * info.columns * sizeof *rows);
  if (rows == NULL || affectrt_row_stream_of_features(features, (int32_t)strtol(argv[1], NULL, 10),
                                                      &stream) != AFFECTRT_OK) {
    fail(argv[1]);
  } else {
    status = listen_to(stream, rows, info.columns) == AFFECTRT_OK ? 0 : fail("listening");
  }
  free(rows);
  affectrt_row_stream_destroy(stream);
  affectrt_features_destroy(features);
  return status;
}

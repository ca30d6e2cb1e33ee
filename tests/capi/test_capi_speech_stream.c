/* Streams of sound, used right and wrong. Arguments: tiny.affect and tiny_speech.affect. */
#include <affectrt.h>
#include <math.h>
#include <stdint.h>

#include "check.h"

enum { RATE = 16000, COUNT = 7 * RATE };

static float voice[COUNT];
static int16_t whole[COUNT];
static int16_t stereo[2 * COUNT];

/* A swelling tone with two formants from 1 to 2 s and from 3 to 6 s, in faint noise. */
static void make_sound(void) {
  uint32_t noise = 1;
  int i;
  for (i = 0; i < COUNT; ++i) {
    const double time = (double)i / RATE;
    double tone = 0.0;
    int k;
    noise = noise * 1664525U + 1013904223U;
    for (k = 1; k < 25; ++k) {
      const double hertz = 130.0 * k;
      const double formant =
          exp(-fabs(hertz - 600.0) / 500.0) + 0.5 * exp(-fabs(hertz - 1700.0) / 600.0);
      tone += formant * sin(6.283185307 * hertz * time);
    }
    tone *= 0.06 * (0.55 + 0.45 * sin(6.283185307 * 4.0 * time));
    if (time < 1.0 || time >= 6.0 || (time >= 2.0 && time < 3.0)) tone = 0.0;
    tone += 3e-4 * ((double)(noise >> 8) / 8388608.0 - 1.0);
    whole[i] = (int16_t)(20000.0 * tone);
    voice[i] = (float)whole[i] / 32768.0F;
    stereo[2 * i] = stereo[2 * i + 1] = whole[i];
  }
}

typedef struct found {
  size_t count;
  double start_s[64];
  double end_s[64];
  float score[64];
  uint32_t interim[64];
  char label[64][16];
} found;

static void collect(const affectrt_segments* segments, found* to) {
  size_t i;
  for (i = 0; i < segments->num_segments; ++i) {
    const affectrt_segment* one = &segments->segments[i];
    CHECK(to->count < 64);
    CHECK(one->json[0] == '{' && strstr(one->json, "\"emotions\":[{\"label\":") != NULL);
    CHECK(strstr(one->json, one->label) != NULL);
    CHECK(one->num_labels == 3 && one->labels[0].score >= one->labels[1].score);
    to->start_s[to->count] = one->start_s;
    to->end_s[to->count] = one->end_s;
    to->score[to->count] = one->score;
    to->interim[to->count] = one->interim;
    strncpy(to->label[to->count], one->label, sizeof to->label[0] - 1);
    ++to->count;
  }
}

/* All segments of the sound in chunks of so many frames. */
static found heard(const affectrt_model* model, affectrt_speech_stream_options options,
                   const void* samples, size_t frame_bytes, size_t chunk) {
  affectrt_speech_stream* stream = NULL;
  affectrt_segments segments = AFFECTRT_SEGMENTS_INIT;
  size_t at;
  found all;
  memset(&all, 0, sizeof all);
  CHECK_OK(affectrt_speech_stream_create(model, &options, &stream));
  for (at = 0; at < COUNT; at += chunk) {
    const size_t count = COUNT - at < chunk ? COUNT - at : chunk;
    CHECK_OK(affectrt_speech_stream_feed(stream, (const char*)samples + at * frame_bytes, count,
                                         &segments));
    collect(&segments, &all);
  }
  CHECK_OK(affectrt_speech_stream_flush(stream, &segments));
  collect(&segments, &all);
  CHECK_STATUS(AFFECTRT_INPUT, "has ended",
               affectrt_speech_stream_feed(stream, samples, 1, &segments));
  CHECK_STATUS(AFFECTRT_INPUT, "has ended", affectrt_speech_stream_flush(stream, &segments));
  affectrt_speech_stream_destroy(stream);
  return all;
}

static void test_segments(const affectrt_model* model) {
  affectrt_speech_stream_options options = AFFECTRT_SPEECH_STREAM_OPTIONS_INIT;
  found all;
  found other;
  options.sample_rate = RATE;
  all = heard(model, options, voice, sizeof(float), COUNT);
  CHECK(all.count >= 3); /* clips of up to 2 s: the second stretch is cut */
  CHECK(fabs(all.start_s[0] - 1.0) < 0.3 && fabs(all.end_s[0] - 2.0) < 0.5);
  CHECK(fabs(all.start_s[1] - 3.0) < 0.3 && all.end_s[1] - all.start_s[1] <= 2.0);
  CHECK(all.score[0] > 0.3F && all.score[0] <= 1.0F);
  other = heard(model, options, voice, sizeof(float), 777);
  CHECK(memcmp(&all, &other, sizeof all) == 0);
  options.format = AFFECTRT_SAMPLES_S16;
  other = heard(model, options, whole, sizeof(int16_t), 4000);
  CHECK(memcmp(&all, &other, sizeof all) == 0);
  options.channels = 2;
  other = heard(model, options, stereo, 2 * sizeof(int16_t), 4001);
  CHECK(memcmp(&all, &other, sizeof all) == 0);
  options.interim_ms = 300.0;
  options.smoothing_s = -1.0;
  options.margin = -1.0F;
  other = heard(model, options, stereo, 2 * sizeof(int16_t), 4001);
  CHECK(other.count > all.count && other.interim[0] == 1 && other.interim[other.count - 1] == 0);
}

static void refused(const affectrt_model* model, affectrt_speech_stream_options options,
                    const char* part) {
  affectrt_speech_stream* stream = (affectrt_speech_stream*)&options;
  CHECK_STATUS(AFFECTRT_INPUT, part, affectrt_speech_stream_create(model, &options, &stream));
  CHECK(stream == NULL);
}

static void test_wrong(const affectrt_model* text, const affectrt_model* model) {
  const affectrt_speech_stream_options none = AFFECTRT_SPEECH_STREAM_OPTIONS_INIT;
  affectrt_speech_stream_options options = AFFECTRT_SPEECH_STREAM_OPTIONS_INIT;
  affectrt_speech_stream* stream = NULL;
  affectrt_segments segments = AFFECTRT_SEGMENTS_INIT;
  refused(model, none, "sample rate 0");
  options.sample_rate = RATE;
  refused(NULL, options, "model is NULL");
  refused(text, options, "speech");
  options.format = 9;
  refused(model, options, "options.format is 9");
  options.format = 0;
  options.channels = 65;
  refused(model, options, "options.channels is 65");
  options.channels = 0;
  options.interim_ms = 1.0;
  refused(model, options, "interim_ms");
  options.interim_ms = 0.0;
  options.max_segment_s = (double)NAN;
  refused(model, options, "max_segment_s");
  options.max_segment_s = 0.0;
  options.reserved = 1;
  refused(model, options, "reserved");
  options.reserved = 0;
  options.struct_size = 3;
  refused(model, options, "struct_size");
  options.struct_size = sizeof options;
  CHECK_STATUS(AFFECTRT_INPUT, "out is NULL", affectrt_speech_stream_create(model, &options, NULL));

  CHECK_OK(affectrt_speech_stream_create(model, &options, &stream));
  CHECK_OK(affectrt_speech_stream_feed(stream, NULL, 0, &segments));
  CHECK(segments.num_segments == 0);
  CHECK_STATUS(AFFECTRT_INPUT, "samples is NULL",
               affectrt_speech_stream_feed(stream, NULL, 1, &segments));
  CHECK_STATUS(AFFECTRT_INPUT, "segments is NULL",
               affectrt_speech_stream_feed(stream, voice, 1, NULL));
  CHECK_STATUS(AFFECTRT_INPUT, "stream is NULL",
               affectrt_speech_stream_feed(NULL, voice, 1, &segments));
  CHECK_STATUS(AFFECTRT_INPUT, "too many at once",
               affectrt_speech_stream_feed(stream, voice, SIZE_MAX, &segments));
  segments.struct_size = 1;
  CHECK_STATUS(AFFECTRT_INPUT, "struct_size",
               affectrt_speech_stream_feed(stream, voice, 1, &segments));
  segments.struct_size = sizeof segments;
  voice[5] = (float)NAN;
  CHECK_STATUS(AFFECTRT_INPUT, "chunk: sample 5 is NaN",
               affectrt_speech_stream_feed(stream, voice, 10, &segments));
  voice[5] = 0.0F;
  CHECK_OK(affectrt_speech_stream_feed(stream, voice, COUNT, &segments));
  CHECK(segments.num_segments >= 1);
  CHECK_STATUS(AFFECTRT_INPUT, "stream is NULL", affectrt_speech_stream_flush(NULL, &segments));
  affectrt_speech_stream_destroy(stream);
  affectrt_speech_stream_destroy(NULL);
}

int main(int argc, char** argv) {
  affectrt_model* text = NULL;
  affectrt_model* speech = NULL;
  affectrt_speech_stream_options options = AFFECTRT_SPEECH_STREAM_OPTIONS_INIT;
  affectrt_speech_stream* stream = NULL;
  affectrt_segments segments = AFFECTRT_SEGMENTS_INIT;
  CHECK(argc == 3);
  make_sound();
  CHECK_OK(affectrt_model_load_file(argv[1], NULL, &text));
  CHECK_OK(affectrt_model_load_file(argv[2], NULL, &speech));
  test_segments(speech);
  test_wrong(text, speech);
  options.sample_rate = RATE;
  CHECK_OK(affectrt_speech_stream_create(speech, &options, &stream));
  affectrt_model_destroy(speech); /* the stream keeps what it needs */
  CHECK_OK(affectrt_speech_stream_feed(stream, voice, COUNT, &segments));
  CHECK_OK(affectrt_speech_stream_flush(stream, &segments));
  affectrt_speech_stream_destroy(stream);
  affectrt_model_destroy(text);
  return 0;
}

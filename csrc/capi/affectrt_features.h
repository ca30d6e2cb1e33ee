/* affectrt_features.h: sound to numbers, without a model: log-mel, filter banks, MFCCs, voice
 * descriptors, voice activity, other sample rates; and the fusion of answers to words and to a
 * voice. What Python's affectrt.features, affectrt.vad and affectrt.fusion compute, to the bit.
 *
 * The rules at the head of affectrt.h hold. Of the handles here, features and resamplers never
 * change after they were made, so that any number of threads may use one at once; a stream or a
 * detector belongs to one call at a time (a second one is AFFECTRT_INPUT). Each is independent of
 * the handle that it was made of, which may be destroyed first.
 *
 * Samples are float of one channel, full scale from -1 to 1: affectrt_sound_mix() makes them of
 * others. NaN, infinities and values beyond 1e15 are AFFECTRT_INPUT, and leave a stream as it was;
 * after any other failure of feed() or finish() it can only be destroyed.
 *
 * Numbers go to the caller's buffers. Ask for the size first; `room` is how many values the buffer
 * takes, and fewer than are needed are AFFECTRT_INPUT, with nothing written. Matrices are [frames,
 * columns], the columns of a frame one behind the other.
 *
 * Since ABI 1.3.
 */
#ifndef AFFECTRT_FEATURES_H
#define AFFECTRT_FEATURES_H

#include "affectrt.h"

#if defined(__cplusplus)
extern "C" {
#endif

/* ------------------------------------------------------------------------------------- samples */

/* The mean over the channels of `frames` interleaved samples of each, as float: out[frames].
 * `format` is one of AFFECTRT_SAMPLES_..., at any alignment; 1 to 64 channels. Of one channel of
 * AFFECTRT_SAMPLES_F32 `out` may be `samples`. */
AFFECTRT_API affectrt_status affectrt_sound_mix(int32_t format, const void* samples, size_t frames,
                                                int32_t channels, float* out) AFFECTRT_NOEXCEPT;

/* out[count] = (x - mean) / sqrt(variance + 1e-7) over the whole clip: what wav2vec 2.0, HuBERT and
 * WavLM read, of sound at 16 kHz. `out` may be `samples`. */
AFFECTRT_API affectrt_status affectrt_normalise_waveform(const float* samples, size_t count,
                                                         float* out) AFFECTRT_NOEXCEPT;

/* ------------------------------------------------------------------------- frames and features */

/* How to make features of a frame each. */
typedef struct affectrt_features affectrt_features;

/* Whisper's log-mel spectrogram at 16 kHz: frames of 25 ms every 10 ms (Radford et al. 2022). */
typedef struct affectrt_log_mel_options {
  size_t struct_size;
  int32_t num_mels; /* 1 to 256; 0: 80 */
  int32_t raw;      /* not 0: log10 of the bands as they are, without Whisper's range of 8 below
                     * the clip's largest; so it is in streams, too, which cannot know that */
  int32_t feature_major; /* not 0: affectrt_features_compute() gives [columns, frames], what
                          * Whisper reads */
  int32_t reserved;      /* 0 */
  double pad_to_s; /* clips are cut or filled with silence to so many seconds; 0: 30, as Whisper
                    * has it; below 0: neither */
} affectrt_log_mel_options;
#define AFFECTRT_LOG_MEL_OPTIONS_INIT {sizeof(affectrt_log_mel_options), 0, 0, 0, 0, 0.0}
/* `options` may be NULL. */
AFFECTRT_API affectrt_status affectrt_log_mel_create(const affectrt_log_mel_options* options,
                                                     affectrt_features** out) AFFECTRT_NOEXCEPT;

/* Kaldi's options, with its defaults where a field is 0; dither is 0. */
typedef struct affectrt_kaldi_options {
  size_t struct_size;
  const char* window;  /* "povey" (NULL), "hamming", "hanning", "rectangular", "blackman", "sine" */
  int32_t sample_rate; /* Hz, 8000 to 192000; 0: 16000 */
  int32_t num_mels;    /* 1 to 1024; 0: 80, of MFCCs 23 */
  int32_t num_ceps;    /* of MFCCs, at most num_mels; 0: 13 */
  int32_t keep_dc_offset;  /* not 0: the mean of a frame stays in it */
  int32_t mirror_edges;    /* not 0: a frame for each shift, the clip mirrored at its ends (Kaldi's
                            * snip_edges=false); 0: only frames within the clip */
  int32_t exact_transform; /* not 0: of the frame's length; 0: of the next power of two */
  int32_t no_energy;      /* MFCCs; not 0: the first is a cepstral coefficient and not the energy */
  int32_t feature_major;  /* as of affectrt_log_mel_options */
  double frame_length_ms; /* 0: 25 */
  double frame_shift_ms;  /* 0: 10 */
  double low_hz;          /* where the bands begin; 0: 20, below 0: 0 */
  double high_hz;         /* where they end; 0 or below: so much below half the sample rate */
  double preemphasis;     /* 0: 0.97; below 0: none */
  double scale;           /* samples are multiplied by it; 0: 1. Models that were trained on 16-bit
                           * samples want 32768 */
  double lifter;          /* of MFCCs; 0: 22, below 0: none */
} affectrt_kaldi_options;
#define AFFECTRT_KALDI_OPTIONS_INIT \
  {sizeof(affectrt_kaldi_options), NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0}
/* Log mel filter bank: the natural logarithm of at least 1.19e-7. `options` may be NULL. */
AFFECTRT_API affectrt_status affectrt_fbank_create(const affectrt_kaldi_options* options,
                                                   affectrt_features** out) AFFECTRT_NOEXCEPT;
/* Mel-frequency cepstral coefficients. */
AFFECTRT_API affectrt_status affectrt_mfcc_create(const affectrt_kaldi_options* options,
                                                  affectrt_features** out) AFFECTRT_NOEXCEPT;
AFFECTRT_API void affectrt_features_destroy(affectrt_features* features) AFFECTRT_NOEXCEPT;

typedef struct affectrt_features_info {
  size_t struct_size;
  size_t columns;
  int32_t sample_rate;   /* Hz of the samples that are read */
  uint32_t frame_length; /* samples */
  uint32_t frame_shift;  /* samples */
  uint32_t reserved;
} affectrt_features_info;
#define AFFECTRT_FEATURES_INFO_INIT {sizeof(affectrt_features_info), 0, 0, 0, 0, 0}
AFFECTRT_API affectrt_status affectrt_features_get_info(
    const affectrt_features* features, affectrt_features_info* info) AFFECTRT_NOEXCEPT;

/* How many frames a clip of so many samples gives. */
AFFECTRT_API affectrt_status affectrt_features_count_frames(const affectrt_features* features,
                                                            size_t count,
                                                            size_t* frames) AFFECTRT_NOEXCEPT;
/* The features of a clip, frames * columns values. `num_threads` share the frames, with the same
 * bits; 0: as many as the CPUs and the quota of the process allow. */
AFFECTRT_API affectrt_status affectrt_features_compute(const affectrt_features* features,
                                                       const float* samples, size_t count,
                                                       int32_t num_threads, float* out,
                                                       size_t room) AFFECTRT_NOEXCEPT;

/* ---------------------------------------------------------------------------------- resampling */

/* One sample rate to another, 8000 to 192000 Hz: flat up to 91.25 % of the lower of the two Nyquist
 * frequencies, 130 dB down from there on, linear phase without delay; silence beyond the ends. */
typedef struct affectrt_resampler affectrt_resampler;
AFFECTRT_API affectrt_status affectrt_resampler_create(int32_t from_rate, int32_t to_rate,
                                                       affectrt_resampler** out) AFFECTRT_NOEXCEPT;
AFFECTRT_API void affectrt_resampler_destroy(affectrt_resampler* resampler) AFFECTRT_NOEXCEPT;
/* How many samples become of `count`: count * to_rate / from_rate, rounded up. */
AFFECTRT_API affectrt_status affectrt_resampler_count(const affectrt_resampler* resampler,
                                                      size_t count,
                                                      size_t* resampled) AFFECTRT_NOEXCEPT;
AFFECTRT_API affectrt_status affectrt_resampler_compute(const affectrt_resampler* resampler,
                                                        const float* samples, size_t count,
                                                        int32_t num_threads, float* out,
                                                        size_t room) AFFECTRT_NOEXCEPT;

/* ------------------------------------------------------------------------------------- streams */

/* Sound as it comes to rows of `columns` values: the same bits as of the whole clip, for any
 * chunking. What feed() completes waits in the stream until read() takes it. */
typedef struct affectrt_row_stream affectrt_row_stream;
/* Frames of features; raw ones of a log-mel, [frames, columns] always, without padding. Sound of
 * another `sample_rate` than that of the features is resampled; 0: it is that. */
AFFECTRT_API affectrt_status
affectrt_row_stream_of_features(const affectrt_features* features, int32_t sample_rate,
                                affectrt_row_stream** out) AFFECTRT_NOEXCEPT;
/* Samples, in rows of one. */
AFFECTRT_API affectrt_status affectrt_row_stream_of_resampler(
    const affectrt_resampler* resampler, affectrt_row_stream** out) AFFECTRT_NOEXCEPT;
AFFECTRT_API void affectrt_row_stream_destroy(affectrt_row_stream* stream) AFFECTRT_NOEXCEPT;

/* *ready: rows that wait to be read; may be NULL. */
AFFECTRT_API affectrt_status affectrt_row_stream_feed(affectrt_row_stream* stream,
                                                      const float* samples, size_t count,
                                                      size_t* ready) AFFECTRT_NOEXCEPT;
/* The end of the sound. The stream may be fed anew after it. */
AFFECTRT_API affectrt_status affectrt_row_stream_finish(affectrt_row_stream* stream,
                                                        size_t* ready) AFFECTRT_NOEXCEPT;
/* The oldest rows, at most `rows` of them, to out[rows, columns]; *read says how many. */
AFFECTRT_API affectrt_status affectrt_row_stream_read(affectrt_row_stream* stream, float* out,
                                                      size_t rows, size_t* read) AFFECTRT_NOEXCEPT;

/* ------------------------------------------------------------------------------------- prosody */

/* The extended Geneva minimalistic acoustic parameter set (eGeMAPS; Eyben et al. 2016) of a clip at
 * 16 kHz: descriptors of a frame every 10 ms, the first 30 ms into the clip, and statistics of them
 * over the clip. bench/results/prosody.md says how near they are to openSMILE's. */
enum { AFFECTRT_PROSODY_DESCRIPTORS = 25, AFFECTRT_PROSODY_FUNCTIONALS = 88 };

/* The published names: *descriptors [AFFECTRT_PROSODY_DESCRIPTORS], *functionals
 * [AFFECTRT_PROSODY_FUNCTIONALS]; they live as long as the library. Either may be NULL. */
AFFECTRT_API affectrt_status affectrt_prosody_get_names(
    const char* const** descriptors, const char* const** functionals) AFFECTRT_NOEXCEPT;
AFFECTRT_API affectrt_status affectrt_prosody_count_frames(size_t count,
                                                           size_t* frames) AFFECTRT_NOEXCEPT;
/* descriptors [frames, AFFECTRT_PROSODY_DESCRIPTORS] where not NULL, `room` values;
 * functionals[AFFECTRT_PROSODY_FUNCTIONALS] where not NULL. */
AFFECTRT_API affectrt_status affectrt_prosody_compute(const float* samples, size_t count,
                                                      float* descriptors, size_t room,
                                                      double* functionals) AFFECTRT_NOEXCEPT;

/* ------------------------------------------------------------------------------ voice activity */

/* Where somebody speaks, as the sound comes. */
typedef struct affectrt_voice_detector affectrt_voice_detector;

typedef struct affectrt_voice_options {
  size_t struct_size;
  int32_t sample_rate;        /* Hz, 8000 to 192000; 0: 16000. Other rates are resampled to that. */
  int32_t keep_probabilities; /* not 0: until they are read; 0: there are none to read */
  /* Below, 0 stands for the default, and less than 0 for 0. Times are rounded to 10 ms. */
  double onset;          /* speech begins where its probability reaches it; 0.5 */
  double offset;         /* and goes on until it falls below this one; 0.35 */
  double min_speech_ms;  /* shorter sounds are none; 100 */
  double min_silence_ms; /* shorter silences do not end a segment; 300 */
  double padding_ms;     /* of what is around the speech that belongs to the segment; 100 */
  double max_segment_s;  /* longer ones are cut where it is quietest; 8 */
} affectrt_voice_options;
#define AFFECTRT_VOICE_OPTIONS_INIT \
  {sizeof(affectrt_voice_options), 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0}

typedef struct affectrt_voice_segment {
  double start_s; /* from the begin of the sound */
  double end_s;
  uint32_t cut; /* 1: it ends because it was too long, not with the speech */
  uint32_t reserved;
} affectrt_voice_segment;

/* `options` may be NULL. */
AFFECTRT_API affectrt_status affectrt_voice_detector_create(
    const affectrt_voice_options* options, affectrt_voice_detector** out) AFFECTRT_NOEXCEPT;
AFFECTRT_API void affectrt_voice_detector_destroy(affectrt_voice_detector* detector)
    AFFECTRT_NOEXCEPT;

/* How many segments and probabilities wait to be read after it; either may be NULL. The latency is
 * 172.5 ms, and that of resampling. */
AFFECTRT_API affectrt_status affectrt_voice_detector_feed(affectrt_voice_detector* detector,
                                                          const float* samples, size_t count,
                                                          size_t* segments,
                                                          size_t* probabilities) AFFECTRT_NOEXCEPT;
/* The end of the sound. The detector may be fed anew after it, from 0 s on. */
AFFECTRT_API affectrt_status affectrt_voice_detector_finish(
    affectrt_voice_detector* detector, size_t* segments, size_t* probabilities) AFFECTRT_NOEXCEPT;
/* The oldest segments that are complete, at most `room`; *read says how many. */
AFFECTRT_API affectrt_status affectrt_voice_detector_read_segments(
    affectrt_voice_detector* detector, affectrt_voice_segment* out, size_t room,
    size_t* read) AFFECTRT_NOEXCEPT;
/* The oldest probabilities of speech, one for each 10 ms of sound, at most `room`. Only those of
 * the last minute are kept where nobody reads them. */
AFFECTRT_API affectrt_status affectrt_voice_detector_read_probabilities(
    affectrt_voice_detector* detector, float* out, size_t room, size_t* read) AFFECTRT_NOEXCEPT;

/* ---------------------------------------------------------------------------- words and voice */

/* What the words and the voice of one turn say together; affectrt.fusion in Python. */
typedef struct affectrt_fused {
  size_t struct_size;
  const char* label; /* the most probable family; lives as long as the library */
  float mix[7];      /* of joy, love, surprise, neutral, sadness, fear, anger; they sum to 1 */
  float valence;     /* pleasant minus unpleasant part of `mix`, from -1 to 1 */
} affectrt_fused;
#define AFFECTRT_FUSED_INIT {sizeof(affectrt_fused), NULL, {0.0F}, 0.0F}
/* `words` is what a head of a text model answers, `voice` one of a speech model, whose labels name
 * emotions; one of them may be NULL, where it is missing or not audible. AFFECTRT_INPUT where both
 * are, or where no label belongs to a family. */
AFFECTRT_API affectrt_status affectrt_fuse(const affectrt_answer* words,
                                           const affectrt_answer* voice,
                                           affectrt_fused* fused) AFFECTRT_NOEXCEPT;

#if defined(__cplusplus)
} /* extern "C" */
#endif

#endif /* AFFECTRT_FEATURES_H */

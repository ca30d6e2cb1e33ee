/* affectrt: emotion, cause and empathy models on the device, for programs that call C.
 *
 * Ownership. A handle that a function hands out is the caller's, who gives it back to the matching
 *   *_destroy, in any order; destroying NULL does nothing. Pointers that a function fills into a
 *   struct (names, labels, scores, ids) belong to the handle that was asked: they live as long as
 *   it does and what they point to never changes, but for segments of a stream. What the caller
 *   passes is read during the call, and only the bytes of affectrt_model_load_memory() are kept.
 *
 * Threads. Every function may be called from any number of threads at once, on the same handle,
 *   too; only *_destroy must be the last call on its handle, with no other in progress, and a
 *   conversation or a stream belongs to one call at a time: a second one that comes meanwhile is
 *   AFFECTRT_INPUT. Callers wait for each other only where more of them compute than there are
 *   CPUs for: some milliseconds, in turn, so that memory does not grow with their number. A thread
 *   inside of a call cannot be cancelled. After fork() the child may go on using a model, but
 *   handles of calls that were in progress are lost.
 *
 * Errors. A function that can fail returns a status, AFFECTRT_OK or one of the numbers below, and
 *   affectrt_last_error() says in words what was wrong and what would be right. On failure an `out`
 *   handle is NULL and other outputs are as they were. Nothing is thrown, nothing is printed, the
 *   process is never ended, no signal handler is set; a lack of memory is a status. The library
 *   keeps no state between handles, but for an ONNX Runtime once it has been loaded (it cannot be
 *   unloaded, and ORT_DISABLE_TELEMETRY=1 is set in the environment unless the variable is there).
 *   A pointer that is neither NULL nor valid is the caller's bug and is not found.
 *
 * Text. UTF-8 with a length, so that a NUL may stand in it; AFFECTRT_NUL_TERMINATED: strlen().
 *   Ill-formed UTF-8 is AFFECTRT_INPUT. Strings of the library are UTF-8 and end in NUL.
 *
 * Growth. Structs that begin with struct_size may get more fields at their end: set it to sizeof
 *   the struct, as the *_INIT macros do, and zero what you do not use; zero is the default of every
 *   field. A program that was compiled against an older header of the same ABI_MAJOR runs with a
 *   newer library. Structs without struct_size, and numbers, stay as they are.
 */
#ifndef AFFECTRT_H
#define AFFECTRT_H

#include <stddef.h>
#include <stdint.h>

#define AFFECTRT_VERSION "0.1.0"
#define AFFECTRT_ABI_MAJOR 1
#define AFFECTRT_ABI_MINOR 4

#if defined(_WIN32) && defined(AFFECTRT_BUILDING)
#define AFFECTRT_API __declspec(dllexport)
#elif defined(_WIN32) && defined(AFFECTRT_SHARED)
#define AFFECTRT_API __declspec(dllimport)
#elif defined(__GNUC__)
#define AFFECTRT_API __attribute__((visibility("default")))
#else
#define AFFECTRT_API
#endif

#if defined(__cplusplus)
#define AFFECTRT_NOEXCEPT noexcept
extern "C" {
#else
#define AFFECTRT_NOEXCEPT
#endif

/* ------------------------------------------------------------------------------------- status */

typedef int32_t affectrt_status;
enum {
  AFFECTRT_OK = 0,
  AFFECTRT_NOT_FOUND = 1,   /* a file that does not exist */
  AFFECTRT_MODEL_FILE = 2,  /* a model file that is damaged, hostile or contradicts itself */
  AFFECTRT_TOKENIZER = 3,   /* a tokenizer.json that is damaged or asks for what is not done */
  AFFECTRT_INPUT = 4,       /* an argument or a text that cannot be used */
  AFFECTRT_BACKEND = 5,     /* the inference backend is missing or failed */
  AFFECTRT_UNSUPPORTED = 6, /* valid, but not done by this build */
  AFFECTRT_NO_MEMORY = 7,
  AFFECTRT_CANCELLED = 8, /* the progress callback asked to stop */
  AFFECTRT_INTERNAL = 9   /* a bug of the library; please report the message */
};

/* "AFFECTRT_INPUT"; for a number that is no status "AFFECTRT_?". */
AFFECTRT_API const char* affectrt_status_name(affectrt_status status) AFFECTRT_NOEXCEPT;
/* What the last failed call on this thread said, or ""; good until the next; at most 2047 bytes. */
AFFECTRT_API const char* affectrt_last_error(void) AFFECTRT_NOEXCEPT;

/* Of the library that is running, as opposed to the header: "0.1.0". */
AFFECTRT_API const char* affectrt_version(void) AFFECTRT_NOEXCEPT;
/* Of AFFECTRT_ABI_MAJOR, AFFECTRT_ABI_MINOR: AFFECTRT_UNSUPPORTED where the library does not have
 * all that this header declares. Worth a call where a library is opened by name. */
AFFECTRT_API affectrt_status affectrt_check_abi(int32_t major, int32_t minor) AFFECTRT_NOEXCEPT;

/* -------------------------------------------------------------------------------------- model */

typedef struct affectrt_model affectrt_model;

typedef struct affectrt_model_options {
  size_t struct_size;
  const char* backend; /* "auto" (NULL), "native", "onnxruntime" */
  /* Instruction set of the native backend, as "avx2"; NULL: AFFECTRT_ISA of the environment, or
   * the best that the CPU has. "scalar" is everywhere. */
  const char* isa;
  const char* onnxruntime_library; /* path; NULL: as the system's linker finds it */
  const char* const* providers;    /* execution providers of ONNX Runtime, best first */
  size_t num_providers;
  int32_t num_threads;      /* 0: as many as the CPUs and the quota of the process allow */
  int32_t max_batch_tokens; /* tokens that are computed at a time; 0: the default */
  int32_t verify;           /* not 0: check the hashes of all entries first; reads the whole file */
  int32_t reserved;         /* 0 */
} affectrt_model_options;
#define AFFECTRT_MODEL_OPTIONS_INIT \
  {sizeof(affectrt_model_options), NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0}

/* A `.affect` file of a text or a speech model, a directory made from one, or a Hugging Face ONNX
 * export. `options` may be NULL. The file is mapped: replace it by renaming, never rewrite it in
 * place while it is in use. */
AFFECTRT_API affectrt_status affectrt_model_load_file(const char* path,
                                                      const affectrt_model_options* options,
                                                      affectrt_model** out) AFFECTRT_NOEXCEPT;

/* Called once, on any thread, when the bytes are no longer needed. Must not throw. */
typedef void (*affectrt_release_fn)(void* user, const void* data, size_t size);

/* A `.affect` file in memory, as when it is embedded into the program. Weights are used in place:
 * the bytes must stay as they are until `release` is called, which happens in every case, before
 * the return where loading fails. Without `release` they must outlive the model and all its
 * handles. Bytes that do not begin at a multiple of 64 are copied. */
AFFECTRT_API affectrt_status affectrt_model_load_memory(const void* data, size_t size,
                                                        affectrt_release_fn release, void* user,
                                                        const affectrt_model_options* options,
                                                        affectrt_model** out) AFFECTRT_NOEXCEPT;

/* A `.affect` file inside of an open file: `size` bytes from `offset`, 0 for all that follow (what
 * Android gives for an uncompressed asset). The descriptor stays the caller's and may be closed as
 * soon as this returns. An offset that is no multiple of 64 costs a copy of the model. */
AFFECTRT_API affectrt_status affectrt_model_load_fd(int fd, uint64_t offset, uint64_t size,
                                                    const affectrt_model_options* options,
                                                    affectrt_model** out) AFFECTRT_NOEXCEPT;

AFFECTRT_API void affectrt_model_destroy(affectrt_model* model) AFFECTRT_NOEXCEPT;

typedef struct affectrt_model_info {
  size_t struct_size;
  const char* name;
  const char* family;         /* "bert"; "" where the file does not say */
  const char* precision;      /* "fp32", "int8"; "" likewise */
  const char* path;           /* as given; "<memory>", "<file descriptor 3>" */
  const char* licence;        /* of the weights; "" where the file does not say */
  const char* notice;         /* what its licence asks to be shown; "" where there is none */
  const char* backend;        /* "native", "onnxruntime" */
  const char* backend_detail; /* for people: instruction set, threads, version */
  /* All of this and of affectrt_head_info as a JSON object; "manifest" is what stands in the
   * file, or null. */
  const char* json;
  uint32_t num_heads;  /* at least 1; the first is the primary one */
  uint32_t max_tokens; /* longest row, special tokens included; longer texts are cut. Speech: 0 */
  int32_t non_commercial; /* 1: the weights' licence forbids commercial use */
  int32_t reserved;
  int32_t sample_rate; /* of a speech model, Hz; 0: a text model. ABI 1.2 */
  float max_seconds;   /* of a speech model: the longest clip that is answered at once */
} affectrt_model_info;
#define AFFECTRT_MODEL_INFO_INIT \
  {sizeof(affectrt_model_info), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.0F}
/* Fills *info, whose struct_size is set. */
AFFECTRT_API affectrt_status affectrt_model_get_info(const affectrt_model* model,
                                                     affectrt_model_info* info) AFFECTRT_NOEXCEPT;

enum {
  AFFECTRT_SINGLE_LABEL = 0, /* scores sum to 1; the highest (score / threshold) is decided */
  AFFECTRT_MULTI_LABEL = 1,  /* a score each; those at or above their threshold are decided */
  AFFECTRT_REGRESSION = 2,   /* values; nothing is decided */
  AFFECTRT_ORDINAL = 3,      /* as AFFECTRT_SINGLE_LABEL; the labels are levels in order */
  AFFECTRT_SPAN = 4,         /* the part of a text that is the answer, or none */
  AFFECTRT_TOKEN_LABELS = 5, /* parts of a text, each of one kind */
  AFFECTRT_TOKEN_FLAGS = 6   /* parts of a text that may overlap, each of one label */
};

typedef struct affectrt_head_info {
  size_t struct_size;
  const char* name;
  const char* const* labels; /* [num_labels], in the order of the columns of scores */
  const float* thresholds;   /* [num_labels], or NULL where the head has none */
  uint32_t num_labels;
  int32_t task;       /* AFFECTRT_MULTI_LABEL ... */
  float temperature;  /* score = activation(logit / temperature) */
  float unsure_below; /* bound on the best score; negative where there is none */
  /* "text", "turn": texts are answered. "cause", "reply": a turn is judged in the light of others,
   * "question": the answer to it is looked for in a text, so that only pairs are answered, by
   * affectrt_model_predict(). ABI 1.1. */
  const char* input;
} affectrt_head_info;
#define AFFECTRT_HEAD_INFO_INIT \
  {sizeof(affectrt_head_info), NULL, NULL, NULL, 0, 0, 0.0F, 0.0F, NULL}
AFFECTRT_API affectrt_status affectrt_model_get_head(const affectrt_model* model, uint32_t head,
                                                     affectrt_head_info* info) AFFECTRT_NOEXCEPT;
/* The index of the head of that name, else AFFECTRT_INPUT, which lists the names. */
AFFECTRT_API affectrt_status affectrt_model_find_head(const affectrt_model* model, const char* name,
                                                      uint32_t* head) AFFECTRT_NOEXCEPT;

/* ------------------------------------------------------------------------------------- answers */

#define AFFECTRT_NUL_TERMINATED ((size_t)-1)

typedef struct affectrt_text {
  const char* data;
  size_t size;      /* bytes, or AFFECTRT_NUL_TERMINATED */
  const char* pair; /* the second text of a pair; NULL: there is none */
  size_t pair_size;
} affectrt_text;

/* Called on the calling thread while texts are encoded and after each batch of rows; not 0 stops
 * the call with AFFECTRT_CANCELLED. Must not throw or leave by longjmp. */
typedef int32_t (*affectrt_progress_fn)(void* user, size_t rows_done, size_t rows_total);

typedef struct affectrt_analyse_options {
  size_t struct_size;
  affectrt_progress_fn progress; /* or NULL */
  void* user;                    /* its first argument */
  int32_t max_tokens;            /* cut rows at this; 0: at what the model takes */
  int32_t reserved;              /* 0 */
} affectrt_analyse_options;
#define AFFECTRT_ANALYSE_OPTIONS_INIT {sizeof(affectrt_analyse_options), NULL, NULL, 0, 0}

/* The answers of all heads that judge a text or a turn to `count` texts, which may be 0. `options`
 * may be NULL. What a text is answered does not depend on its neighbours in the call. */
typedef struct affectrt_result affectrt_result;
AFFECTRT_API affectrt_status affectrt_model_analyse(const affectrt_model* model,
                                                    const affectrt_text* texts, size_t count,
                                                    const affectrt_analyse_options* options,
                                                    affectrt_result** out) AFFECTRT_NOEXCEPT;
AFFECTRT_API void affectrt_result_destroy(affectrt_result* result) AFFECTRT_NOEXCEPT;

typedef struct affectrt_label_score {
  const char* label;
  float score;      /* a calibrated probability; of a regression head the value */
  uint32_t index;   /* of the label in affectrt_head_info.labels */
  uint32_t decided; /* 1: part of the answer */
  uint32_t reserved;
} affectrt_label_score;

typedef struct affectrt_answer {
  size_t struct_size;
  /* [num_labels], highest score first, ties in the model's order; regression: the model's order. */
  const affectrt_label_score* labels;
  uint32_t num_labels;
  uint32_t num_decided;
  int32_t unsure;       /* 1: the best score is below the head's bound */
  int32_t truncated;    /* 1: the text had more tokens than were read */
  uint32_t token_count; /* before truncation, special tokens included */
  uint32_t reserved;
  float level; /* of an ordinal head the expected level, from 0; else 0. ABI 1.1 */
  uint32_t reserved_too;
} affectrt_answer;
#define AFFECTRT_ANSWER_INIT {sizeof(affectrt_answer), NULL, 0, 0, 0, 0, 0, 0, 0.0F, 0}
AFFECTRT_API affectrt_status affectrt_result_get_answer(const affectrt_result* result, size_t row,
                                                        uint32_t head,
                                                        affectrt_answer* answer) AFFECTRT_NOEXCEPT;

/* A part of a text. ABI 1.1, as all of spans. */
typedef struct affectrt_span {
  const char* label; /* what it is; NULL of an AFFECTRT_SPAN head */
  uint32_t begin;    /* code points of the text, end exclusive */
  uint32_t end;
  float score;      /* from 0 to 1; of an AFFECTRT_SPAN head above 0.5 where it is decided */
  uint32_t decided; /* 1: part of the answer; 0: another candidate of an AFFECTRT_SPAN head */
} affectrt_span;

typedef struct affectrt_spans {
  size_t struct_size;
  /* [num_spans], in the order of the text; candidates of an AFFECTRT_SPAN head best first. */
  const affectrt_span* spans;
  uint32_t num_spans;
  uint32_t num_decided;
  int32_t truncated;    /* as of affectrt_answer */
  uint32_t token_count; /* likewise */
} affectrt_spans;
#define AFFECTRT_SPANS_INIT {sizeof(affectrt_spans), NULL, 0, 0, 0, 0}
/* What AFFECTRT_SPAN, AFFECTRT_TOKEN_LABELS and AFFECTRT_TOKEN_FLAGS heads answer; others, and
 * affectrt_result_get_answer() of these, give AFFECTRT_INPUT. */
AFFECTRT_API affectrt_status affectrt_result_get_spans(const affectrt_result* result, size_t row,
                                                       uint32_t head,
                                                       affectrt_spans* spans) AFFECTRT_NOEXCEPT;

/* All rows of one head as matrices, row after row. */
typedef struct affectrt_matrices {
  size_t struct_size;
  size_t rows;
  const float* logits;         /* [rows, labels], as the model computed them */
  const float* scores;         /* [rows, labels] */
  const uint8_t* decided;      /* [rows, labels] */
  const uint8_t* unsure;       /* [rows] */
  const int32_t* token_counts; /* [rows] */
  const uint8_t* truncated;    /* [rows] */
  size_t labels;
} affectrt_matrices;
#define AFFECTRT_MATRICES_INIT {sizeof(affectrt_matrices), 0, NULL, NULL, NULL, NULL, NULL, NULL, 0}
AFFECTRT_API affectrt_status affectrt_result_get_matrices(
    const affectrt_result* result, uint32_t head, affectrt_matrices* matrices) AFFECTRT_NOEXCEPT;

/* The same answers as a JSON array of one object a text, with the keys of Result.to_dict() in
 * Python: text, emotions [{label, score}], decided, unsure; pair, truncated, heads where there are
 * such. Give *json back to affectrt_json_destroy(). */
AFFECTRT_API affectrt_status affectrt_model_analyse_json(const affectrt_model* model,
                                                         const affectrt_text* texts, size_t count,
                                                         const affectrt_analyse_options* options,
                                                         char** json) AFFECTRT_NOEXCEPT;
AFFECTRT_API void affectrt_json_destroy(char* json) AFFECTRT_NOEXCEPT;

/* Memory of the caller for the answers of one head. A buffer that is NULL is not filled. */
typedef struct affectrt_buffers {
  size_t struct_size;
  size_t rows;           /* the count of the call */
  size_t labels;         /* num_labels of the head */
  float* scores;         /* [rows, labels] */
  float* logits;         /* [rows, labels] */
  uint8_t* decided;      /* [rows, labels] */
  uint8_t* unsure;       /* [rows] */
  int32_t* token_counts; /* [rows] */
  uint8_t* truncated;    /* [rows] */
} affectrt_buffers;
#define AFFECTRT_BUFFERS_INIT {sizeof(affectrt_buffers), 0, 0, NULL, NULL, NULL, NULL, NULL, NULL}
/* `rows` and `labels` must be those of the call, else AFFECTRT_INPUT; on failure no buffer has been
 * touched. */
AFFECTRT_API affectrt_status
affectrt_model_predict(const affectrt_model* model, const affectrt_text* texts, size_t count,
                       const affectrt_analyse_options* options, uint32_t head,
                       const affectrt_buffers* buffers) AFFECTRT_NOEXCEPT;

/* Where a label, or a word for an emotion, belongs in the map "goemotions" (28 emotions), "ekman"
 * (seven), "sentiment" or "families": *mapped lives as long as the library; NULL: nothing says. A
 * group of labels holds with the sum of their scores where they exclude one another (_SINGLE_LABEL,
 * _ORDINAL), else with 1 - prod(1 - score), and is decided where one of them is. ABI 1.1. */
AFFECTRT_API affectrt_status affectrt_map_label(const char* map, const char* label,
                                                const char** mapped) AFFECTRT_NOEXCEPT;

/* --------------------------------------------------------------------------------------- sound */

/* Samples as float, full scale from -1 to 1. Since 1.2, as all of sound. */
typedef struct affectrt_sound {
  const float* samples; /* [count, channels], interleaved */
  size_t count;         /* samples of each channel, at least 1 */
  int32_t sample_rate;  /* Hz, 8000 to 192000; resampled where it is not the model's */
  int32_t channels;     /* 0 or 1: one; up to 64, of which the mean is heard */
} affectrt_sound;

/* The answers of all heads of a speech model to `count` clips of any length, which may be 0.
 * affectrt_result_get_answer() and _get_matrices() give them. `options` may be NULL; its max_tokens
 * must be 0, and its progress counts clips. AFFECTRT_INPUT for a clip that is empty, holds NaN or
 * infinity, or has an impossible rate, and for a text model, as the functions of texts are for a
 * speech model. */
AFFECTRT_API affectrt_status affectrt_model_analyse_sound(const affectrt_model* model,
                                                          const affectrt_sound* sounds,
                                                          size_t count,
                                                          const affectrt_analyse_options* options,
                                                          affectrt_result** out) AFFECTRT_NOEXCEPT;

/* The same answers as a JSON array of one object a clip, with the keys of SpeechResult.to_dict() in
 * Python. Give *json back to affectrt_json_destroy(). */
AFFECTRT_API affectrt_status affectrt_model_analyse_sound_json(
    const affectrt_model* model, const affectrt_sound* sounds, size_t count,
    const affectrt_analyse_options* options, char** json) AFFECTRT_NOEXCEPT;

typedef struct affectrt_clip_info {
  size_t struct_size;
  double duration_s;
  float level_dbfs;     /* root mean square without the mean, dB of full scale; at least -120 */
  float clipped_share;  /* of the samples, those at full scale */
  int32_t audible;      /* 0: below 0.1 s or -70 dB, so that all answers are unsure */
  uint32_t num_windows; /* 1; of a clip longer than max_seconds as many as it was heard in */
} affectrt_clip_info;
#define AFFECTRT_CLIP_INFO_INIT {sizeof(affectrt_clip_info), 0.0, 0.0F, 0.0F, 0, 0}
/* Of a result of sound. */
AFFECTRT_API affectrt_status affectrt_result_get_clip(const affectrt_result* result, size_t row,
                                                      affectrt_clip_info* info) AFFECTRT_NOEXCEPT;

typedef struct affectrt_window {
  size_t struct_size;
  double begin_s;
  double end_s;
} affectrt_window;
#define AFFECTRT_WINDOW_INIT {sizeof(affectrt_window), 0.0, 0.0}
/* What a head answers to a part of a clip, and which part that is. Either may be NULL. */
AFFECTRT_API affectrt_status affectrt_result_get_window(const affectrt_result* result, size_t row,
                                                        uint32_t window, uint32_t head,
                                                        affectrt_window* bounds,
                                                        affectrt_answer* answer) AFFECTRT_NOEXCEPT;

/* -------------------------------------------------------------------------------- conversation */

/* Turns one after the other, each judged in the light of the dozen before it. Since 1.1. */
typedef struct affectrt_conversation affectrt_conversation;

typedef struct affectrt_conversation_options {
  size_t struct_size;
  const char* const* heads; /* names of those that answer, the first one the primary; NULL: all that
                             * judge a text or a turn */
  size_t num_heads;
  int32_t max_turns; /* that are remembered; 0: 200. Answers do not depend on it. */
  int32_t reserved;  /* 0 */
  /* A speech model, or NULL, whose first head names emotions; it may be destroyed first. Turns may
   * have sound then, and valence, mix and arc are of words and voice together. ABI 1.4. */
  const affectrt_model* speech;
} affectrt_conversation_options;
#define AFFECTRT_CONVERSATION_OPTIONS_INIT \
  {sizeof(affectrt_conversation_options), NULL, 0, 0, 0, NULL}

/* The model may be destroyed first. `options` may be NULL. */
AFFECTRT_API affectrt_status affectrt_conversation_create(
    const affectrt_model* model, const affectrt_conversation_options* options,
    affectrt_conversation** out) AFFECTRT_NOEXCEPT;
AFFECTRT_API void affectrt_conversation_destroy(affectrt_conversation* conversation)
    AFFECTRT_NOEXCEPT;

typedef struct affectrt_turn {
  affectrt_conversation* conversation; /* that it is added to */
  const char* speaker;
  size_t speaker_size; /* bytes, or AFFECTRT_NUL_TERMINATED */
  const char* text;
  size_t text_size;
  /* "anger", "disgust", "fear", "joy", "sadness", "surprise" or "neutral", ended by NUL, where it
   * is known: causes are looked for in its light. NULL: in that of the model's own answer. */
  const char* emotion;
} affectrt_turn;

/* Adds turns to one conversation, or to many of the same model and heads, in order and all in one
 * batch; all of them or, where it fails, none. *json becomes an array of one object a turn, with
 * the keys of Turn.to_dict() in Python: turn (from 1), speaker, those of
 * affectrt_model_analyse_json(), is_reply; valence, mix and causes where the model tells them. Give
 * it back to affectrt_json_destroy(). `options` may be NULL; its max_tokens must be 0. */
AFFECTRT_API affectrt_status affectrt_conversation_add(const affectrt_turn* turns, size_t count,
                                                       const affectrt_analyse_options* options,
                                                       char** json) AFFECTRT_NOEXCEPT;
/* The same with the sound of each turn, which has no `samples` where there is none; its text may be
 * NULL where there is something to hear, and later turns see it as "...". Of a conversation with a
 * speech model an object also has modalities, fused and, of what was heard, voice. ABI 1.4. */
AFFECTRT_API affectrt_status affectrt_conversation_add_spoken(
    const affectrt_turn* turns, const affectrt_sound* sounds, size_t count,
    const affectrt_analyse_options* options, char** json) AFFECTRT_NOEXCEPT;

/* The arc of the turns that are remembered, a JSON array: turn, emotion, score, valence, mix. */
AFFECTRT_API affectrt_status affectrt_conversation_arc_json(
    const affectrt_conversation* conversation, char** json) AFFECTRT_NOEXCEPT;
/* All that is remembered, of voices the emotions and not the sound, and the conversation that it
 * tells of. AFFECTRT_INPUT where it is no such state or that of another model file. */
AFFECTRT_API affectrt_status affectrt_conversation_save(const affectrt_conversation* conversation,
                                                        char** json) AFFECTRT_NOEXCEPT;
AFFECTRT_API affectrt_status
affectrt_conversation_restore(const affectrt_model* model, const char* json, size_t size,
                              affectrt_conversation** out) AFFECTRT_NOEXCEPT;
/* With a speech model, as of affectrt_conversation_options. ABI 1.4. */
AFFECTRT_API affectrt_status affectrt_conversation_restore_spoken(
    const affectrt_model* model, const affectrt_model* speech, const char* json, size_t size,
    affectrt_conversation** out) AFFECTRT_NOEXCEPT;

/* ---------------------------------------------------------------------------- streams of sound */

/* Sound as it comes to what a speech model says of each stretch of speech in it. Segments do not
 * depend on how the sound is cut into chunks, and memory does not grow with its length. A stream
 * belongs to one call at a time: a second one that comes meanwhile is AFFECTRT_INPUT. Since 1.2. */
typedef struct affectrt_speech_stream affectrt_speech_stream;

/* Little-endian; full scale of floats is [-1, 1), u8 has its zero at 128, s24 three bytes. */
enum {
  AFFECTRT_SAMPLES_F32 = 0,
  AFFECTRT_SAMPLES_F64 = 1,
  AFFECTRT_SAMPLES_U8 = 2,
  AFFECTRT_SAMPLES_S16 = 3,
  AFFECTRT_SAMPLES_S24 = 4,
  AFFECTRT_SAMPLES_S32 = 5
};

typedef struct affectrt_speech_stream_options {
  size_t struct_size;
  int32_t sample_rate; /* Hz, 8000 to 192000; must be given */
  int32_t channels;    /* interleaved, mixed to one; 0: 1 */
  int32_t format;      /* AFFECTRT_SAMPLES_... */
  int32_t reserved;    /* 0 */
  /* Below, 0 stands for the default, and less than 0 for none. */
  double interim_ms;     /* every so many ms of an open segment what is said of it so far; none */
  double max_segment_s;  /* longer ones are cut where it is quietest; what the model takes */
  double min_silence_ms; /* that ends a segment; 300 */
  double smoothing_s;    /* over which the first head's scores are averaged; 4 */
  float margin;          /* by which another label must lead before it becomes the label; 0.1 */
  int32_t reserved_too;  /* 0 */
} affectrt_speech_stream_options;
#define AFFECTRT_SPEECH_STREAM_OPTIONS_INIT \
  {sizeof(affectrt_speech_stream_options), 0, 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0F, 0}

/* `model` is one of speech, else AFFECTRT_INPUT, and may be destroyed first. */
AFFECTRT_API affectrt_status affectrt_speech_stream_create(
    const affectrt_model* model, const affectrt_speech_stream_options* options,
    affectrt_speech_stream** out) AFFECTRT_NOEXCEPT;
AFFECTRT_API void affectrt_speech_stream_destroy(affectrt_speech_stream* stream) AFFECTRT_NOEXCEPT;

typedef struct affectrt_segment {
  double start_s; /* from the begin of the sound, in its own time */
  double end_s;
  int64_t index;     /* from 0; an interim one has that of the segment that it is of */
  const char* label; /* of the first head by its average over segments; NULL of one of values */
  float score;       /* that average */
  uint32_t interim;  /* 1: the segment is still open */
  uint32_t cut;      /* 1: it ends because it was too long, not with the speech */
  uint32_t unsure;   /* 1: as of affectrt_answer, of this segment alone */
  const affectrt_label_score* labels; /* [num_labels] of the first head, of this segment alone */
  const char* json;                   /* all heads, with the keys of Segment.to_dict() in Python */
  uint32_t num_labels;
  uint32_t reserved;
} affectrt_segment;

typedef struct affectrt_segments {
  size_t struct_size;
  const affectrt_segment* segments; /* [num_segments], in order */
  size_t num_segments;
} affectrt_segments;
#define AFFECTRT_SEGMENTS_INIT {sizeof(affectrt_segments), NULL, 0}

/* The segments that `frames` samples of each channel complete, perhaps none; what *segments points
 * to is good until the next call with the stream. `frames` may be 0. NaN, infinities and what else
 * is AFFECTRT_INPUT leave the stream as it was; after other failures it is to be destroyed. */
AFFECTRT_API affectrt_status
affectrt_speech_stream_feed(affectrt_speech_stream* stream, const void* samples, size_t frames,
                            affectrt_segments* segments) AFFECTRT_NOEXCEPT;
/* The end of the sound: the segment that is open. The stream takes nothing after it. */
AFFECTRT_API affectrt_status affectrt_speech_stream_flush(
    affectrt_speech_stream* stream, affectrt_segments* segments) AFFECTRT_NOEXCEPT;

/* ----------------------------------------------------------------------------------- tokenizer */

typedef struct affectrt_tokenizer affectrt_tokenizer;

/* The model's own, shared with it; the model may be destroyed first. */
AFFECTRT_API affectrt_status affectrt_tokenizer_from_model(
    const affectrt_model* model, affectrt_tokenizer** out) AFFECTRT_NOEXCEPT;
/* From the bytes of a tokenizer.json of Hugging Face `tokenizers`, which are not kept. */
AFFECTRT_API affectrt_status affectrt_tokenizer_load_json(
    const char* json, size_t size, affectrt_tokenizer** out) AFFECTRT_NOEXCEPT;
AFFECTRT_API void affectrt_tokenizer_destroy(affectrt_tokenizer* tokenizer) AFFECTRT_NOEXCEPT;

AFFECTRT_API affectrt_status affectrt_tokenizer_vocab_size(const affectrt_tokenizer* tokenizer,
                                                           size_t* size) AFFECTRT_NOEXCEPT;
/* AFFECTRT_INPUT where there is none. *token has `size` bytes and no NUL behind them. */
AFFECTRT_API affectrt_status affectrt_tokenizer_token_to_id(const affectrt_tokenizer* tokenizer,
                                                            const char* token, size_t size,
                                                            uint32_t* id) AFFECTRT_NOEXCEPT;
AFFECTRT_API affectrt_status affectrt_tokenizer_id_to_token(const affectrt_tokenizer* tokenizer,
                                                            uint32_t id, const char** token,
                                                            size_t* size) AFFECTRT_NOEXCEPT;

enum {
  AFFECTRT_TRUNCATE_NOT = 0,
  AFFECTRT_TRUNCATE_LONGEST_FIRST = 1,
  AFFECTRT_TRUNCATE_ONLY_FIRST = 2,
  AFFECTRT_TRUNCATE_ONLY_SECOND = 3
};
enum {
  AFFECTRT_OFFSETS_CODE_POINTS = 0, /* as Python indexes a str */
  AFFECTRT_OFFSETS_BYTES = 1,       /* of the UTF-8 that was passed */
  AFFECTRT_OFFSETS_UTF16 = 2        /* code units, as Java, JavaScript and Windows index a string */
};

typedef struct affectrt_encode_options {
  size_t struct_size;
  int32_t no_special_tokens;
  int32_t truncation;    /* AFFECTRT_TRUNCATE_... */
  uint32_t max_tokens;   /* of truncation, special tokens included */
  uint32_t stride;       /* tokens that a window shares with the one before it */
  int32_t keep_windows;  /* keep what truncation cuts off as windows 1, 2, ... */
  int32_t truncate_left; /* keep the end of a text and not its beginning */
  int32_t offsets;       /* AFFECTRT_OFFSETS_... */
  int32_t reserved;      /* 0 */
} affectrt_encode_options;
#define AFFECTRT_ENCODE_OPTIONS_INIT {sizeof(affectrt_encode_options), 0, 0, 0, 0, 0, 0, 0, 0}

typedef struct affectrt_encoding affectrt_encoding;
/* The tokens of one text or pair. `options` may be NULL. */
AFFECTRT_API affectrt_status affectrt_tokenizer_encode(const affectrt_tokenizer* tokenizer,
                                                       const affectrt_text* text,
                                                       const affectrt_encode_options* options,
                                                       affectrt_encoding** out) AFFECTRT_NOEXCEPT;
AFFECTRT_API void affectrt_encoding_destroy(affectrt_encoding* encoding) AFFECTRT_NOEXCEPT;

typedef struct affectrt_offset {
  uint32_t begin; /* of the text, or of the pair */
  uint32_t end;   /* exclusive */
} affectrt_offset;

typedef struct affectrt_tokens {
  size_t struct_size;
  size_t size;                    /* tokens */
  size_t num_windows;             /* of the encoding, at least 1 */
  const uint32_t* ids;            /* [size] */
  const uint32_t* type_ids;       /* [size] */
  const affectrt_offset* offsets; /* [size] */
  const int32_t* sequence_ids;    /* [size]; 0: text, 1: pair, -1: special */
  const uint8_t* special_tokens;  /* [size]; 1: added by the post-processor */
} affectrt_tokens;
#define AFFECTRT_TOKENS_INIT {sizeof(affectrt_tokens), 0, 0, NULL, NULL, NULL, NULL, NULL}
/* Window 0 is what was asked for, further ones what truncation cut off. */
AFFECTRT_API affectrt_status affectrt_encoding_get_tokens(
    const affectrt_encoding* encoding, size_t window, affectrt_tokens* tokens) AFFECTRT_NOEXCEPT;

#if defined(__cplusplus)
} /* extern "C" */
#endif

#endif /* AFFECTRT_H */

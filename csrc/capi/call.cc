#include "capi/call.h"

#include <cstddef>
#include <cstdint>
#include <new>

#include "base/utf8.h"
#include "capi/affectrt_features.h"

namespace affectrt {
namespace {

// See read_struct(): a field that is added must not land in what was padding.
template <class T, class Last>
constexpr bool ends_with(Last T::* /*last*/, size_t offset) {
  return offset + sizeof(Last) == sizeof(T);
}
#define AFFECTRT_ENDS_WITH(type, last) \
  static_assert(ends_with(&type::last, offsetof(type, last)), #type " ends in padding")
AFFECTRT_ENDS_WITH(affectrt_model_options, reserved);
AFFECTRT_ENDS_WITH(affectrt_model_info, max_seconds);
AFFECTRT_ENDS_WITH(affectrt_head_info, input);
AFFECTRT_ENDS_WITH(affectrt_analyse_options, reserved);
AFFECTRT_ENDS_WITH(affectrt_answer, reserved_too);
AFFECTRT_ENDS_WITH(affectrt_spans, token_count);
AFFECTRT_ENDS_WITH(affectrt_matrices, labels);
AFFECTRT_ENDS_WITH(affectrt_clip_info, num_windows);
AFFECTRT_ENDS_WITH(affectrt_window, end_s);
AFFECTRT_ENDS_WITH(affectrt_buffers, truncated);
AFFECTRT_ENDS_WITH(affectrt_conversation_options, speech);
AFFECTRT_ENDS_WITH(affectrt_encode_options, reserved);
AFFECTRT_ENDS_WITH(affectrt_tokens, special_tokens);
AFFECTRT_ENDS_WITH(affectrt_log_mel_options, pad_to_s);
AFFECTRT_ENDS_WITH(affectrt_kaldi_options, lifter);
AFFECTRT_ENDS_WITH(affectrt_features_info, reserved);
AFFECTRT_ENDS_WITH(affectrt_voice_options, max_segment_s);
#undef AFFECTRT_ENDS_WITH

// Plain memory: a thread_local with a destructor would keep an unloaded library in memory until the
// thread ends, and could fail to be made where memory lacks.
constexpr size_t kMessageBytes = 2048;
thread_local char last_message[kMessageBytes];

// What a struct may have at most: a size beyond is an uninitialised one.
constexpr size_t kMostStructBytes = 4096;

affectrt_status fail(affectrt_status status, const char* message) {
  const size_t whole = std::strlen(message);
  size_t size = std::min(whole, kMessageBytes - 1);
  std::memcpy(last_message, message, size);
  size_t from = 0;
  while (const auto bad = find_invalid_utf8({last_message + from, size - from})) {
    from += *bad;
    if (whole > size && size - from < 4) {  // a character cut by the limit
      size = from;
      break;
    }
    last_message[from++] = '?';
  }
  last_message[size] = '\0';
  return status;
}

affectrt_status status_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kNotFound:
      return AFFECTRT_NOT_FOUND;
    case ErrorKind::kModelFile:
      return AFFECTRT_MODEL_FILE;
    case ErrorKind::kTokenizer:
      return AFFECTRT_TOKENIZER;
    case ErrorKind::kInput:
      return AFFECTRT_INPUT;
    case ErrorKind::kBackend:
      return AFFECTRT_BACKEND;
    case ErrorKind::kUnsupported:
      return AFFECTRT_UNSUPPORTED;
  }
  return AFFECTRT_INTERNAL;
}

}  // namespace

affectrt_status report_current_exception() noexcept {
  try {
    throw;
  } catch (const Error& error) {
    return fail(status_of(error.kind()), error.what());
  } catch (const Cancelled&) {
    return fail(AFFECTRT_CANCELLED, "the progress callback asked to stop");
  } catch (const std::bad_alloc&) {
    return fail(AFFECTRT_NO_MEMORY, "not enough memory");
  } catch (const std::exception& error) {
    return fail(AFFECTRT_INTERNAL, error.what());
  } catch (...) {
    return fail(AFFECTRT_INTERNAL, "an exception of unknown type");
  }
}

SampleFormat sample_format(int32_t format, const char* name) {
  switch (format) {
    case AFFECTRT_SAMPLES_F32:
      return SampleFormat::kF32;
    case AFFECTRT_SAMPLES_F64:
      return SampleFormat::kF64;
    case AFFECTRT_SAMPLES_U8:
      return SampleFormat::kU8;
    case AFFECTRT_SAMPLES_S16:
      return SampleFormat::kS16;
    case AFFECTRT_SAMPLES_S24:
      return SampleFormat::kS24;
    case AFFECTRT_SAMPLES_S32:
      return SampleFormat::kS32;
    default:
      throw Error(ErrorKind::kInput, std::string(name) + " is " + std::to_string(format) +
                                         "; give one of AFFECTRT_SAMPLES_...");
  }
}

std::string_view text_argument(const char* data, size_t size, const char* name) {
  given(data, name);
  if (size == AFFECTRT_NUL_TERMINATED) size = std::strlen(data);
  // The tokenizer counts in 32 bits; a length that was negative is beyond that, too.
  if (size > static_cast<size_t>(INT32_MAX)) {
    throw Error(ErrorKind::kInput, std::string(name) + " has " + std::to_string(size) +
                                       " bytes; at most " + std::to_string(INT32_MAX) +
                                       " are possible");
  }
  return {data, size};
}

TextInput text_argument(const affectrt_text& text, const std::string& name) {
  TextInput input;
  input.text = text_argument(text.data, text.size, (name + ".data").c_str());
  if (text.pair != nullptr) {
    input.pair = text_argument(text.pair, text.pair_size, (name + ".pair").c_str());
  } else if (text.pair_size != 0) {
    throw Error(ErrorKind::kInput, name + ".pair is NULL, but its pair_size is " +
                                       std::to_string(text.pair_size) + "; 0 means no pair");
  }
  return input;
}

void check_struct_size(size_t size, size_t first_size, const char* name) {
  if (size >= first_size && size <= kMostStructBytes) return;
  throw Error(ErrorKind::kInput, std::string(name) + ".struct_size is " + std::to_string(size) +
                                     "; it must be sizeof the struct, " +
                                     std::to_string(first_size) + " or more");
}

void throw_newer_struct(const char* name) {
  throw Error(ErrorKind::kUnsupported, std::string(name) +
                                           " sets a field that this library does not know; it "
                                           "needs a newer one than " AFFECTRT_VERSION);
}

void check_reserved(int32_t reserved, const char* name) {
  if (reserved != 0) {
    throw Error(ErrorKind::kInput, std::string(name) + ".reserved is not 0; was it initialised?");
  }
}

affectrt_analyse_options analyse_options(const affectrt_analyse_options* options) {
  const auto own = read_struct(options, sizeof(affectrt_analyse_options), "options");
  check_reserved(own.reserved, "options");
  return own;
}

std::function<bool(size_t, size_t)> progress_of(const affectrt_analyse_options& options) {
  if (options.progress == nullptr) return nullptr;
  return [ask = options.progress, user = options.user](size_t done, size_t total) {
    if (ask(user, done, total) != 0) throw Cancelled();
    return true;
  };
}

char* json_copy(const std::string& text) {
  char* copy = new char[text.size() + 1];
  std::memcpy(copy, text.c_str(), text.size() + 1);
  return copy;
}

}  // namespace affectrt

extern "C" {

const char* affectrt_status_name(affectrt_status status) noexcept {
  static constexpr const char* kNames[] = {
      "AFFECTRT_OK",        "AFFECTRT_NOT_FOUND", "AFFECTRT_MODEL_FILE",  "AFFECTRT_TOKENIZER",
      "AFFECTRT_INPUT",     "AFFECTRT_BACKEND",   "AFFECTRT_UNSUPPORTED", "AFFECTRT_NO_MEMORY",
      "AFFECTRT_CANCELLED", "AFFECTRT_INTERNAL"};
  constexpr int32_t kCount = sizeof(kNames) / sizeof(*kNames);
  return status >= 0 && status < kCount ? kNames[status] : "AFFECTRT_?";
}

const char* affectrt_last_error() noexcept { return affectrt::last_message; }

const char* affectrt_version() noexcept { return AFFECTRT_VERSION; }

affectrt_status affectrt_check_abi(int32_t major, int32_t minor) noexcept {
  return affectrt::guarded([&] {
    if (major == AFFECTRT_ABI_MAJOR && minor >= 0 && minor <= AFFECTRT_ABI_MINOR) return;
    throw affectrt::Error(affectrt::ErrorKind::kUnsupported,
                          "the program was compiled for interface " + std::to_string(major) + "." +
                              std::to_string(minor) + "; affectrt " AFFECTRT_VERSION " has " +
                              std::to_string(AFFECTRT_ABI_MAJOR) + ".0 to " +
                              std::to_string(AFFECTRT_ABI_MAJOR) + "." +
                              std::to_string(AFFECTRT_ABI_MINOR));
  });
}

}  // extern "C"

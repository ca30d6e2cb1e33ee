// What every function of the C interface is wrapped in: no exception leaves it, and its arguments
// are checked.
#pragma once

#if defined(__linux__)
#include <pthread.h>
#endif

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>

#include "audio/samples.h"
#include "base/error.h"
#include "capi/affectrt.h"
#include "text/tokenizer.h"

namespace affectrt {

// The progress callback said stop.
struct Cancelled {};

// Must be called inside of a catch block. Sets affectrt_last_error().
affectrt_status report_current_exception() noexcept;

// A cancelled thread would be unwound through frames that must not throw.
class NoCancellation {
 public:
#if defined(__linux__) && !defined(__ANDROID__)
  NoCancellation() { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before_); }
  ~NoCancellation() { pthread_setcancelstate(before_, nullptr); }

 private:
  int before_ = 0;

 public:
#else
  NoCancellation() {}
  ~NoCancellation() {}
#endif
  NoCancellation(const NoCancellation&) = delete;
  NoCancellation& operator=(const NoCancellation&) = delete;
};

template <class Body>
affectrt_status guarded(const Body& body) noexcept {
  const NoCancellation whole_call;
  try {
    body();
    return AFFECTRT_OK;
  } catch (...) {
    return report_current_exception();
  }
}

template <class T>
T& given(T* pointer, const char* name) {
  if (pointer == nullptr) {
    throw Error(ErrorKind::kInput, std::string(name) + " is NULL; it must point to something");
  }
  return *pointer;
}

// Empties an `out` handle, so that a failure leaves none.
template <class T>
T*& emptied(T** out) {
  given(out, "out") = nullptr;
  return *out;
}

SampleFormat sample_format(int32_t format, const char* name);
std::string_view text_argument(const char* data, size_t size, const char* name);
TextInput text_argument(const affectrt_text& text, const std::string& name);

void check_struct_size(size_t size, size_t first_size, const char* name);
[[noreturn]] void throw_newer_struct(const char* name);

// A struct that may be of an older header (shorter) or a newer one (longer, its further fields must
// be zero) as this one has it. NULL gives the defaults. No struct has padding at its end, so a size
// never covers a field that the caller does not know.
template <class T>
T read_struct(const T* from, size_t first_size, const char* name) {
  T own = {};
  own.struct_size = sizeof(T);
  if (from == nullptr) return own;
  const size_t size = from->struct_size;
  check_struct_size(size, first_size, name);
  std::memcpy(&own, from, std::min(size, sizeof(T)));
  const auto* bytes = reinterpret_cast<const unsigned char*>(from);
  for (size_t i = sizeof(T); i < size; ++i) {
    if (bytes[i] != 0) throw_newer_struct(name);
  }
  return own;
}

// Fills as much as the caller's header knows; fields that only the caller knows become zero.
template <class T>
void write_struct(T* to, const T& value, size_t first_size, const char* name) {
  const size_t size = given(to, name).struct_size;
  check_struct_size(size, first_size, name);
  const size_t known = std::min(size, sizeof(T));
  constexpr size_t kFirst = sizeof(to->struct_size);
  auto* bytes = reinterpret_cast<unsigned char*>(to);
  std::memcpy(bytes + kFirst, reinterpret_cast<const unsigned char*>(&value) + kFirst,
              known - kFirst);
  std::fill(bytes + known, bytes + size, static_cast<unsigned char>(0));
}

// Holds a handle that belongs to one call at a time.
class Use {
 public:
  Use(std::atomic<bool>* in_use, const char* name) : in_use_(in_use) {
    if (!in_use->exchange(true)) return;
    throw Error(ErrorKind::kInput, std::string("the ") + name + " is in use by another call; one " +
                                       name + " belongs to one thread at a time");
  }
  ~Use() { in_use_->store(false); }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;

 private:
  std::atomic<bool>* in_use_;
};

// Zero is the default of an option, so that "none" is below zero.
template <class T>
void read_option(T from, T* to) {
  if (from != T{0}) *to = from < T{0} ? T{0} : from;
}

void check_reserved(int32_t reserved, const char* name);

// `options` may be NULL.
affectrt_analyse_options analyse_options(const affectrt_analyse_options* options);
// Throws Cancelled where the caller's callback says so; empty where there is none.
std::function<bool(size_t, size_t)> progress_of(const affectrt_analyse_options& options);

// For affectrt_json_destroy().
char* json_copy(const std::string& text);

}  // namespace affectrt

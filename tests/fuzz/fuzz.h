// What all fuzz targets share. Each target is one file with one function
// LLVMFuzzerTestOneInput(data, size), linked with libFuzzer (AFFECTRT_FUZZ) or with replay.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace affectrt::fuzz {

// A broken promise, as loud as a crash.
#define AFFECTRT_PROMISED(condition)                                       \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                        \
    }                                                                      \
  } while (false)

// Takes an input apart from its front; zeros where it has ended.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  bool empty() const { return size_ == 0; }
  uint8_t byte() {
    if (size_ == 0) return 0;
    --size_;
    return *data_++;
  }
  // 0 <= result < bound, from one byte.
  size_t below(size_t bound) { return byte() % bound; }
  std::string_view take(size_t count) {
    if (count > size_) count = size_;
    const std::string_view taken = rest().substr(0, count);
    data_ += count;
    size_ -= count;
    return taken;
  }
  // Up to the next byte of that value, which is dropped; all where there is none.
  std::string_view until(char end) {
    const std::string_view taken = take(rest().find(end));
    take(1);
    return taken;
  }
  std::string_view rest() const { return {reinterpret_cast<const char*>(data_), size_}; }

 private:
  const uint8_t* data_;
  size_t size_;
};

// Runs `body`; the errors that hostile input may cause are fine, all else passes through.
template <class Body>
void refusing(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    AFFECTRT_PROMISED(error.kind() != ErrorKind::kNotFound);
    AFFECTRT_PROMISED(*error.what() != '\0');
  }
}

}  // namespace affectrt::fuzz

// Work without the GIL, and errors on their way to Python.
#pragma once

#include <pybind11/pybind11.h>

#include <atomic>

#include "base/error.h"

namespace affectrt {

void set_python_error(const Error& error);  // model.cc

// Threads that work without the GIL. An interpreter that ends under them would unload what they
// run, and end them in the middle of C++ when they ask for the GIL again; so the end waits.
inline std::atomic<int> calls_in_flight{0};
inline std::atomic<bool> interpreter_ends{false};

class Call {
 public:
  Call() {
    if (interpreter_ends) throw Error(ErrorKind::kBackend, "the Python interpreter is ending");
    ++calls_in_flight;
  }
  ~Call() { --calls_in_flight; }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
};

// Runs `work` with the end of the interpreter held back until its result, or its error, is a Python
// object.
template <typename Work>
auto as_call(const Work& work) -> decltype(work()) {
  const Call call;
  try {
    return work();
  } catch (const Error& error) {
    set_python_error(error);
  }
  throw pybind11::error_already_set();
}

}  // namespace affectrt

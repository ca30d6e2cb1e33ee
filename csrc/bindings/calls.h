// Work without the GIL, and errors on their way to Python.
#pragma once

#include <pybind11/pybind11.h>

#include <atomic>
#include <exception>
#include <functional>
#include <utility>

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

// Asks between the batches of a call without the GIL whether it shall go on: a signal handler, the
// end of the interpreter, or the caller's `progress` may stop it.
class Interrupts {
 public:
  explicit Interrupts(pybind11::object progress) : progress_(std::move(progress)) {}
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  bool goes_on(size_t done, size_t total) {
    if (interpreter_ends) return false;
    const pybind11::gil_scoped_acquire gil;
    try {
      if (PyErr_CheckSignals() != 0) throw pybind11::error_already_set();
      if (!progress_.is_none()) progress_(done, total);
      return true;
    } catch (...) {
      raised_ = std::current_exception();
      return false;
    }
  }

  // work(progress), without the GIL.
  template <typename Work>
  auto run(const Work& work) -> decltype(work(std::function<bool(size_t, size_t)>())) {
    try {
      const pybind11::gil_scoped_release no_gil;
      return work([this](size_t done, size_t total) { return goes_on(done, total); });
    } catch (const Error&) {
      if (raised_) std::rethrow_exception(raised_);
      throw;
    }
  }

 private:
  pybind11::object progress_;
  std::exception_ptr raised_;
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

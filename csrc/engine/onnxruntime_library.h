// ONNX Runtime found at run time: the shared library behind our declaration of its C ABI.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/onnxruntime_api.h"

namespace affectrt {

// One object per library file. It is never unloaded: ONNX Runtime keeps threads and static objects
// of its own, and models may outlive any order of destruction that we could choose.
// Concurrent calls are safe.
class OnnxRuntimeLibrary {
 public:
  // "" stands for what the dynamic linker finds under the library's usual names.
  // Throws Error(kBackend) when it is missing, is not ONNX Runtime, or is too old.
  static const OnnxRuntimeLibrary& get(const std::string& path);

  const std::string& path() const { return path_; }
  const std::string& version() const { return version_; }
  const ort::Api& api() const { return api_; }
  const ort::Env* env() const { return env_; }
  // Execution providers compiled into this build; whether a device is there shows only at use.
  std::vector<std::string> providers() const;
  // Adds provider `name` out of a library of its own, on the device of that number among those that
  // it knows here. A library stays registered.
  void append_plugin(ort::SessionOptions* options, const std::string& name, int device,
                     const std::string& path) const;
  // "onnxruntime 1.22.0 (/path)"
  std::string describe() const;

  // Throws Error(kBackend) with `doing` and the library's own message unless `status` is success;
  // Error(if_model_is_bad) where the library blames the model file. Always releases `status`.
  void check(ort::Status* status, const std::string& doing,
             ErrorKind if_model_is_bad = ErrorKind::kBackend) const;

 private:
  OnnxRuntimeLibrary() = default;
  static std::unique_ptr<OnnxRuntimeLibrary> open(const std::string& path);

  std::string path_;
  std::string version_;
  ort::Api api_;
  ort::Env* env_ = nullptr;
  mutable std::mutex plugins_mutex_;
  mutable std::map<std::string, std::string> plugins_;  // name -> path of what is registered
};

// Some failures (a provider whose own libraries are missing) are told in full only to the log. The
// log goes nowhere but here: the last errors that this thread saw since clear_onnxruntime_log().
void clear_onnxruntime_log();
std::string onnxruntime_log();

// Owner of one of the library's objects.
template <typename T>
class OrtHandle {
 public:
  using Release = void (*)(T*);
  explicit OrtHandle(Release release) : pointer_(nullptr, Deleter{release}) {}
  T* get() const { return pointer_.get(); }

  // To be filled by the library: `api.CreateX(..., handle.out())`.
  class Out {
   public:
    explicit Out(OrtHandle* owner) : owner_(owner) {}
    ~Out() { owner_->pointer_.reset(raw_); }
    Out(const Out&) = delete;
    Out& operator=(const Out&) = delete;
    operator T**() { return &raw_; }  // NOLINT(google-explicit-constructor)

   private:
    OrtHandle* owner_;
    T* raw_ = nullptr;
  };
  Out out() { return Out(this); }

 private:
  struct Deleter {
    Release release;
    void operator()(T* object) const { release(object); }
  };
  std::unique_ptr<T, Deleter> pointer_;
};

}  // namespace affectrt

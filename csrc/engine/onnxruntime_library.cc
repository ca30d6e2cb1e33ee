#include "engine/onnxruntime_library.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iterator>

#include "base/system.h"
#if defined(_WIN32)
#include "base/windows_strings.h"
#endif

namespace affectrt {
namespace {

constexpr size_t kLogLines = 4;
constexpr size_t kLogLineBytes = 600;

// A ring of the last lines.
struct ThreadLog {
  char lines[kLogLines][kLogLineBytes];
  size_t count = 0;
};

ThreadLog& thread_log() {
  thread_local ThreadLog log;
  return log;
}

// Called by the library from any of its threads; must not throw.
void keep_log(void* /*parameter*/, int /*severity*/, const char* /*category*/,
              const char* /*log_id*/, const char* /*code_location*/, const char* message) noexcept {
  ThreadLog& log = thread_log();
  std::snprintf(log.lines[log.count % kLogLines], kLogLineBytes, "%s",
                message == nullptr ? "" : message);
  ++log.count;
}

// "1.22.0" -> 22; 0 where it is not a version 1.
unsigned minor_version(const std::string& version) {
  if (version.compare(0, 2, "1.") != 0) return 0;
  return static_cast<unsigned>(std::strtoul(version.c_str() + 2, nullptr, 10));
}

std::string needed() { return "onnxruntime 1." + std::to_string(ort::kApiVersion) + " or newer"; }

std::string advice() {
  return "install it with `pip install affectrt[onnxruntime]`, or name a libonnxruntime (" +
         needed() + ")";
}

// Official builds since 1.29 send Microsoft what they run (model file names, hashes, timings) from
// a thread of their own, which also hangs the exit of a forked child. What people feel is nobody's
// business: nothing is sent. DisableTelemetryEvents comes too late for the first event, and only
// this variable, set before the library starts, keeps the uploader from being made. A value that
// the user has set stands.
void refuse_telemetry() { set_environment_default("ORT_DISABLE_TELEMETRY", "1"); }

struct Loaded {
  void* handle;
  std::string path;
};

Loaded load(const std::string& path) {
  std::string reason;
  if (!path.empty()) {
    if (void* handle = open_library(path, &reason)) return {handle, path};
    throw Error(ErrorKind::kBackend,
                "cannot load the ONNX Runtime library '" + path + "': " + reason + "; " + advice());
  }
#if defined(__APPLE__)
  const char* const names[] = {"libonnxruntime.1.dylib", "libonnxruntime.dylib"};
#elif defined(_WIN32)
  const char* const names[] = {"onnxruntime.dll"};
#else
  const char* const names[] = {"libonnxruntime.so.1", "libonnxruntime.so"};
#endif
  for (const char* name : names) {
    if (void* handle = open_library(name, &reason)) return {handle, name};
  }
  throw Error(ErrorKind::kBackend,
              "there is no ONNX Runtime, neither a library that was named nor one in the system's "
              "library path; " +
                  advice());
}

}  // namespace

void clear_onnxruntime_log() { thread_log().count = 0; }

std::string onnxruntime_log() {
  const ThreadLog& log = thread_log();
  std::string joined;
  for (size_t i = log.count - std::min(log.count, kLogLines); i < log.count; ++i) {
    if (!joined.empty()) joined += " | ";
    joined += log.lines[i % kLogLines];
  }
  return joined;
}

std::unique_ptr<OnnxRuntimeLibrary> OnnxRuntimeLibrary::open(const std::string& path) {
  refuse_telemetry();
  const Loaded loaded = load(path);
  std::unique_ptr<OnnxRuntimeLibrary> library(new OnnxRuntimeLibrary());
  library->path_ = loaded.path;
  const auto get_base =
      reinterpret_cast<ort::GetApiBase>(library_symbol(loaded.handle, "OrtGetApiBase"));
  const ort::ApiBase* base = get_base == nullptr ? nullptr : get_base();
  if (base == nullptr) {
    throw Error(ErrorKind::kBackend, "'" + loaded.path +
                                         "' is a library without OrtGetApiBase, so it is not ONNX "
                                         "Runtime; " +
                                         advice());
  }
  library->version_ = base->get_version_string();
  // GetApi would complain on stderr about a version that it does not have: ask the string first.
  const ort::Slot* table = minor_version(library->version_) < ort::kApiVersion
                               ? nullptr
                               : base->get_api(ort::kApiVersion);
  if (table == nullptr) {
    throw Error(ErrorKind::kBackend, "'" + loaded.path + "' is onnxruntime " + library->version_ +
                                         "; needed is " + needed());
  }
  library->api_ = ort::Api::from(table);
  library->check(library->api_.CreateEnvWithCustomLogger(&keep_log, nullptr, ort::kLogError,
                                                         "affectrt", &library->env_),
                 "cannot start " + library->describe());
  library->check(library->api_.DisableTelemetryEvents(library->env_),
                 "cannot turn off the telemetry of " + library->describe());
  return library;
}

const OnnxRuntimeLibrary& OnnxRuntimeLibrary::get(const std::string& path) {
  // Leaked on purpose, see the class comment.
  static std::mutex& mutex = *new std::mutex();
  static auto& libraries = *new std::map<std::string, std::unique_ptr<OnnxRuntimeLibrary>>();
  const std::string key = path.empty() ? "" : canonical_path(path);
  const std::lock_guard<std::mutex> lock(mutex);
  std::unique_ptr<OnnxRuntimeLibrary>& library = libraries[key];
  if (library == nullptr) library = open(key);
  return *library;
}

std::vector<std::string> OnnxRuntimeLibrary::providers() const {
  char** names = nullptr;
  int count = 0;
  check(api_.GetAvailableProviders(&names, &count), "cannot list execution providers");
  std::vector<std::string> result(names, names + count);
  check(api_.ReleaseAvailableProviders(names, count), "cannot list execution providers");
  return result;
}

void OnnxRuntimeLibrary::append_plugin(ort::SessionOptions* options, const std::string& name,
                                       int device, const std::string& path) const {
  const std::string doing = "execution provider '" + name + "' of '" + path + "' in " + describe();
  const std::lock_guard<std::mutex> lock(plugins_mutex_);
  const auto known = plugins_.find(name);
  if (known == plugins_.end()) {
#if defined(_WIN32)
    const std::wstring file = wide(path);
#else
    const std::string& file = path;
#endif
    check(api_.RegisterExecutionProviderLibrary(env_, name.c_str(), file.c_str()), doing);
    plugins_.emplace(name, path);
  } else if (known->second != path) {
    throw Error(ErrorKind::kBackend,
                doing + ": this process has it of '" + known->second + "' already");
  }
  const ort::EpDevice* const* devices = nullptr;
  size_t count = 0;
  check(api_.GetEpDevices(env_, &devices, &count), doing);
  std::vector<const ort::EpDevice*> own;
  std::copy_if(devices, devices + count, std::back_inserter(own),
               [&](const ort::EpDevice* one) { return name == api_.EpDevice_EpName(one); });
  const auto wanted = static_cast<size_t>(device);
  if (wanted >= own.size()) {
    throw Error(ErrorKind::kBackend, doing + ": device " + std::to_string(device) +
                                         " is not there; it knows " + std::to_string(own.size()) +
                                         " of this machine");
  }
  check(api_.SessionOptionsAppendExecutionProvider_V2(options, env_, &own[wanted], 1, nullptr,
                                                      nullptr, 0),
        doing);
}

std::string OnnxRuntimeLibrary::describe() const {
  return "onnxruntime " + version_ + " (" + path_ + ")";
}

void OnnxRuntimeLibrary::check(ort::Status* status, const std::string& doing,
                               ErrorKind if_model_is_bad) const {
  if (status == nullptr) return;
  const int code = api_.GetErrorCode(status);
  const char* raw = api_.GetErrorMessage(status);
  const std::string message = raw == nullptr ? "no message" : raw;
  api_.ReleaseStatus(status);
  std::string log = onnxruntime_log();
  clear_onnxruntime_log();
  // The log mostly repeats the message.
  if (log.find(message) != std::string::npos || message.find(log) != std::string::npos) log.clear();
  const bool bad_model = code == ort::kNoSuchFile || code == ort::kNoModel ||
                         code == ort::kInvalidProtobuf || code == ort::kInvalidGraph;
  throw Error(bad_model ? if_model_is_bad : ErrorKind::kBackend,
              doing + ": " + message + (log.empty() ? "" : " (log: " + log + ")"));
}

}  // namespace affectrt

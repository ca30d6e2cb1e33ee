#include "base/system.h"

#include <unistd.h>

#include <climits>
#include <cstdlib>

#if !defined(__EMSCRIPTEN__)
#include <dlfcn.h>
#endif

namespace affectrt {

int64_t process_number() { return ::getpid(); }

#if defined(__EMSCRIPTEN__)
void* open_library(const std::string& /*path*/, std::string* reason) {
  *reason = "WebAssembly opens no libraries";
  return nullptr;
}

void* library_symbol(void* /*library*/, const char* /*name*/) { return nullptr; }
#else
void* open_library(const std::string& path, std::string* reason) {
  // RTLD_LOCAL: another copy (that of Python's onnxruntime, say) may live in the same process.
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* words = ::dlerror();
    *reason = words == nullptr ? "" : words;
  }
  return library;
}

void* library_symbol(void* library, const char* name) { return ::dlsym(library, name); }
#endif

std::string canonical_path(const std::string& path) {
  char resolved[PATH_MAX];
  return ::realpath(path.c_str(), resolved) != nullptr ? std::string(resolved) : path;
}

void set_environment_default(const char* name, const char* value) { ::setenv(name, value, 0); }

}  // namespace affectrt

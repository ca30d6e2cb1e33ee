#include "base/system.h"

#include <unistd.h>

#include <climits>
#include <cstdlib>

#if !defined(__EMSCRIPTEN__)
#include <dlfcn.h>
#endif
#if defined(__linux__)
#include <link.h>
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

std::string loaded_library(const char* name) {
  std::string path;
#if defined(__linux__)
  void* library = ::dlopen(name, RTLD_LAZY | RTLD_NOLOAD);
  if (library == nullptr) return path;
  link_map* entry = nullptr;
  if (::dlinfo(library, RTLD_DI_LINKMAP, &entry) == 0) path = canonical_path(entry->l_name);
  ::dlclose(library);
#else
  (void)name;
#endif
  return path;
}

std::string canonical_path(const std::string& path) {
  char resolved[PATH_MAX];
  return ::realpath(path.c_str(), resolved) != nullptr ? std::string(resolved) : path;
}

void set_environment_default(const char* name, const char* value) { ::setenv(name, value, 0); }

}  // namespace affectrt

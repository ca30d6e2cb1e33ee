// Compiled and linked in tests/test_platforms.py, not run there.
#include <cstdlib>

#include "base/system.h"
#include "base/windows_strings.h"

namespace affectrt {

int64_t process_number() { return 0; }

void* open_library(const std::string& path, std::string* reason) {
  void* library = ::LoadLibraryW(wide(path).c_str());
  if (library == nullptr) *reason = last_failure();
  return library;
}

void* library_symbol(void* library, const char* name) {
  return reinterpret_cast<void*>(::GetProcAddress(static_cast<HMODULE>(library), name));
}

std::string loaded_library(const char* /*name*/) { return ""; }

std::string canonical_path(const std::string& path) {
  char resolved[MAX_PATH];
  return ::_fullpath(resolved, path.c_str(), sizeof resolved) != nullptr ? std::string(resolved)
                                                                         : path;
}

void set_environment_default(const char* name, const char* value) {
  if (std::getenv(name) == nullptr) ::_putenv_s(name, value);
}

}  // namespace affectrt

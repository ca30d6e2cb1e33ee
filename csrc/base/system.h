// What operating systems do differently, beside files (mapped_file.h) and CPUs (cpu.h). Windows has
// system_windows.cc and mapped_file_windows.cc, all others the files without a suffix.
#pragma once

#include <cstdint>
#include <string>

namespace affectrt {

// Tells a forked child from its parent; always the same where processes do not fork.
int64_t process_number();

// Opens a shared library by its path or as the system finds its name; null with the system's words
// in *reason where it cannot. There is no way to close one.
void* open_library(const std::string& path, std::string* reason);
// Null where the library has no such symbol.
void* library_symbol(void* library, const char* name);

// The path of a library of that file name that this process has loaded, whoever did; "" where none
// is, or the system does not tell.
std::string loaded_library(const char* name);

// Without links and "..", where the file exists; the path itself otherwise.
std::string canonical_path(const std::string& path);

// For libraries that read the environment; a value that is set already stays.
void set_environment_default(const char* name, const char* value);

}  // namespace affectrt

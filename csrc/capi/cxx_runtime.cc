// What the shared library needs to carry a C++ runtime of its own.
#if defined(AFFECTRT_STATIC_CXX)
#include <exception>  // defines __GLIBCXX__ where that is the runtime

#if defined(__GLIBCXX__)
namespace __gnu_cxx {

void __freeres();  // of libstdc++: returns the 70 KB that it reserves for exceptions

// In place of the handler that prints the exception, and brings a demangler to do so.
void __verbose_terminate_handler();
void __verbose_terminate_handler() { __builtin_trap(); }

}  // namespace __gnu_cxx

namespace {

// A program that opens and closes the library again and again would lose them each time. At this
// point no exception of this copy of the runtime is alive.
__attribute__((destructor)) void return_exception_memory() { __gnu_cxx::__freeres(); }

}  // namespace
#endif
#endif

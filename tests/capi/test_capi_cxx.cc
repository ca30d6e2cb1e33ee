// The C test, as C++: the header must mean the same in both.
#include "test_capi.c"

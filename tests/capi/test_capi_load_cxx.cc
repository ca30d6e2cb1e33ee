// The C test, as C++.
#include "test_capi_load.c"

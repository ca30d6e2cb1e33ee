/* Checks for test programs in C: the first that fails ends the program. */
#ifndef AFFECTRT_TESTS_CHECK_H
#define AFFECTRT_TESTS_CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                      \
  do {                                                                        \
    if (!(condition)) {                                                       \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                                \
    }                                                                         \
  } while (0)

/* `call` returns `expected`, and after a failure the message has `part` in it. */
#define CHECK_STATUS(expected, part, call)                                                   \
  do {                                                                                       \
    const affectrt_status got_ = (call);                                                     \
    if (got_ != (expected) ||                                                                \
        (got_ != AFFECTRT_OK && strstr(affectrt_last_error(), (part)) == NULL)) {            \
      fprintf(stderr, "%s:%d: %s gave %s, \"%s\"\n", __FILE__, __LINE__, #call,              \
              affectrt_status_name(got_), got_ == AFFECTRT_OK ? "" : affectrt_last_error()); \
      exit(1);                                                                               \
    }                                                                                        \
  } while (0)

#define CHECK_OK(call) CHECK_STATUS(AFFECTRT_OK, "", call)

#endif

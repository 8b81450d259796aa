/* What all stub libraries share: injected faults and the log.

   NULL_CUDA_FAIL  "cudaMalloc=2 cudaLaunchKernel=209@3": the function returns this status; from its third call on.
   NULL_CUDA_LOG   a file to which calls are appended, one line each.

   Both are read at each call, so a test can set them while the process runs. */

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HIDDEN __attribute__((visibility("hidden")))

HIDDEN int injected(const char *function, int call);
HIDDEN void record(const char *function, const char *format, ...) __attribute__((format(printf, 2, 3)));
HIDDEN int setting(const char *name, int otherwise);
HIDDEN int device_count(void);

/* The first statement of a stub: return the status that is injected for it. */
#define MAY_FAIL                                                        \
    do {                                                                \
        static int calls;                                               \
        int status = injected(__func__, __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED)); \
        if (status) return status;                                      \
    } while (0)

/* A function that succeeds and has no other effect. */
#define NO_EFFECT(name)         \
    int name(void) {            \
        record(#name, "");      \
        MAY_FAIL;               \
        return 0;               \
    }

/* A function that gives an opaque handle. */
#define MAKES_HANDLE(name)      \
    int name(void **handle) {   \
        static char object[64]; \
        record(#name, "");      \
        MAY_FAIL;               \
        *handle = object;       \
        return 0;               \
    }

/* A function without a body here, made by build.py: it fails when it is called. */
HIDDEN int missing(const char *function);
#define MISSING(name) \
    __attribute__((weak)) int name(void) { return missing(#name); }

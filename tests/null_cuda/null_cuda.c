#include "null_cuda.h"

#include <stdarg.h>

int setting(const char *name, int otherwise) {
    const char *value = getenv(name);
    return value && *value ? atoi(value) : otherwise;
}

/* As many as there are; none if CUDA_VISIBLE_DEVICES is empty. */
int device_count(void) {
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    return visible && !*visible ? 0 : setting("NULL_CUDA_DEVICES", 1);
}

int injected(const char *function, int call) {
    const char *entry = getenv("NULL_CUDA_FAIL");
    size_t length = strlen(function);
    while (entry && *entry) {
        if (!strncmp(entry, function, length) && entry[length] == '=') {
            char *end;
            int status = (int)strtol(entry + length + 1, &end, 10);
            int first = *end == '@' ? atoi(end + 1) : 1;
            return call >= first ? status : 0;
        }
        entry = strchr(entry, ' ');
        if (entry) entry++;
    }
    return 0;
}

void record(const char *function, const char *format, ...) {
    const char *path = getenv("NULL_CUDA_LOG");
    if (!path || !*path) return;
    char line[512];
    int length = snprintf(line, sizeof line, "%s ", function);
    va_list arguments;
    va_start(arguments, format);
    length += vsnprintf(line + length, sizeof line - length - 1, format, arguments);
    va_end(arguments);
    line[length++] = '\n';
    FILE *file = fopen(path, "a"); /* O_APPEND: lines of several threads stay whole */
    if (!file) return;
    fwrite(line, 1, length, file);
    fclose(file);
}

int missing(const char *function) {
    record(function, "is missing");
    fprintf(stderr, "null CUDA has no body for %s: add one to its C file\n", function);
    return 801; /* cudaErrorNotSupported */
}

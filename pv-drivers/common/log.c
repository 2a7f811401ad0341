#include "log.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#define WINDOW_SECONDS 10
#define WINDOW_LINES   10

static char prefix[128];
static int64_t window_start;
static unsigned window_used, suppressed;

void log_open(const char *program, const char *device)
{
    snprintf(prefix, sizeof(prefix), "%s[%s]: ", program, device);
}

static void print(const char *format, va_list args)
{
    char line[1024];
    int used = snprintf(line, sizeof(line), "%s", prefix);
    vsnprintf(line + used, sizeof(line) - used, format, args);
    fprintf(stderr, "%s\n", line);
}

void log_line(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print(format, args);
    va_end(args);
}

void log_limited(const char *format, ...)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (now.tv_sec - window_start >= WINDOW_SECONDS) {
        if (suppressed)
            log_line("%u more lines of this kind were left out", suppressed);
        window_start = now.tv_sec;
        window_used = suppressed = 0;
    }
    if (window_used >= WINDOW_LINES) {
        suppressed++;
        return;
    }
    window_used++;
    va_list args;
    va_start(args, format);
    print(format, args);
    va_end(args);
}

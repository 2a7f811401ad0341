/* Log, trace, causes. See log.h. */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>

static enum log_level threshold = LOG_LEVEL_WARNING;
static FILE *log_file;
static FILE *trace_file;
static bool use_syslog;
static char cause_buf[256];

static const char *const level_name[] = {"error", "warning", "info", "debug"};

void log_set_level(enum log_level level)
{
    threshold = level;
}

enum log_level log_get_level(void)
{
    return threshold;
}

bool log_level_parse(const char *name, enum log_level *out)
{
    for (unsigned i = 0; i < sizeof(level_name) / sizeof(level_name[0]); i++) {
        if (strcmp(name, level_name[i]) == 0) {
            *out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

static int reopen(FILE **f, const char *file)
{
    FILE *next = NULL;

    if (file) {
        next = fopen(file, "ae");
        if (!next) {
            return errno;
        }
        setvbuf(next, NULL, _IOLBF, 0);
    }
    if (*f) {
        fclose(*f);
    }
    *f = next;
    return 0;
}

int log_to_file(const char *file)
{
    return reopen(&log_file, file);
}

void log_to_syslog(void)
{
    openlog("xenstored", LOG_PID, LOG_DAEMON);
    use_syslog = true;
}

static void stamp(char *out, size_t size)
{
    struct timespec ts;
    struct tm tm;
    size_t n;

    clock_gettime(CLOCK_REALTIME, &ts);
    localtime_r(&ts.tv_sec, &tm);
    n = strftime(out, size, "%Y-%m-%d %H:%M:%S", &tm);
    snprintf(out + n, size - n, ".%06ld", ts.tv_nsec / 1000);
}

void log_msg(enum log_level level, const char *fmt, ...)
{
    static const int priority[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};
    char when[48];
    char text[512];
    va_list ap;

    if (level > threshold) {
        return;
    }
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (use_syslog && !log_file) {
        syslog(priority[level], "%s", text);
        return;
    }
    stamp(when, sizeof(when));
    fprintf(log_file ? log_file : stderr, "%s xenstored: %s: %s\n", when, level_name[level], text);
}

int trace_to_file(const char *file)
{
    return reopen(&trace_file, file);
}

bool trace_enabled(void)
{
    return trace_file != NULL;
}

void trace_line(const char *fmt, ...)
{
    char when[48];
    va_list ap;

    if (!trace_file) {
        return;
    }
    stamp(when, sizeof(when));
    fprintf(trace_file, "%s ", when);
    va_start(ap, fmt);
    vfprintf(trace_file, fmt, ap);
    va_end(ap);
    fputc('\n', trace_file);
}

void cause_clear(void)
{
    cause_buf[0] = '\0';
}

void cause_set(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(cause_buf, sizeof(cause_buf), fmt, ap);
    va_end(ap);
}

const char *cause_text(void)
{
    return cause_buf;
}

/*
 * What the daemon tells people: a log with levels, a trace of requests, and the cause of the last failure.
 *
 * The cause is one line that the failing check leaves behind ("quota nodes: 1000 of 1000 for domain 5");
 * dispatch clears it before a request and hands it to the trace, the log and the list of recent failures
 * after it.
 */
#ifndef BH_XS_LOG_H
#define BH_XS_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_set_level(enum log_level level);
enum log_level log_get_level(void);
bool log_level_parse(const char *name, enum log_level *out);
/* Appends to this file instead of standard error; NULL goes back. Returns 0 or an errno. */
int log_to_file(const char *file);
void log_to_syslog(void);
void log_msg(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Trace of requests: a line each. NULL ends it. Returns 0 or an errno. */
int trace_to_file(const char *file);
bool trace_enabled(void);
void trace_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

void cause_clear(void);
void cause_set(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Leaves a cause and is err, so that a check can end with `return cause(EACCES, "...")`. */
#define cause(err, ...) (cause_set(__VA_ARGS__), (err))
const char *cause_text(void);

#endif

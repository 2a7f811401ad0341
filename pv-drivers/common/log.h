/* One line per message on stderr, "NAME[DEVICE]: text". Lines that a guest can provoke go through
 * log_limited(). */
#ifndef PV_LOG_H
#define PV_LOG_H

/* Sets what stands before each line; both strings are copied. */
void log_open(const char *program, const char *device);
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* As log_line(), but at most ten lines in ten seconds; what was left out is counted and told later. */
void log_limited(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif

/*
 * Messages of the hypervisor. A message is one or more lines with a level; what its threshold lets through
 * goes to the console and into the console ring (`xl dmesg`). Any context, NMI handlers included. Formats: %d
 * %i %u %x %X %c %s %p %% with l, ll, z, h, hh, width, precision, 0, -, #.
 */
#ifndef BH_PRINTK_H
#define BH_PRINTK_H

#include <stdarg.h>
#include <bh/types.h>

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG };

extern enum log_level log_threshold; /* messages with a level below or equal pass */

void printk(enum log_level level, const char *fmt, ...) printf_like(2, 3);
void vprintk(enum log_level level, const char *prefix, const char *fmt, va_list args);

/* How many lines a source may print in a window of time. Zeroed: nothing used yet. */
#define LOG_LIMIT_LINES  40
#define LOG_LIMIT_WINDOW NSEC(2)
struct log_limit {
    uint64_t window_start;
    uint32_t used;
};
bool log_limit_pass(struct log_limit *l);

/* Like the C library's: NUL-terminated when size > 0; returns the length the whole text has. */
int bh_vsnprintf(char *buf, size_t size, const char *fmt, va_list args);
int bh_snprintf(char *buf, size_t size, const char *fmt, ...) printf_like(3, 4);

/* We erred: prints, then arch_fatal(). */
void noreturn_fn panic(const char *fmt, ...) printf_like(1, 2);

#endif

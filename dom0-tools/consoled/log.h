/* The log of one console: appended to, cut into generations, the same file for every life of a domain of one
 * name. */
#ifndef BH_CONSOLED_LOG_H
#define BH_CONSOLED_LOG_H

#include <stddef.h>

struct console_log {
    char path[400];
    int fd;
    size_t size;
};

/* name is what a guest's owner chose: everything that is not a letter, digit, '.', '-' or '_' becomes '_'. */
void console_log_open(struct console_log *log, const char *dir, const char *name);
void console_log_write(struct console_log *log, const char *text, size_t size, size_t limit,
                       unsigned int keep);
void console_log_close(struct console_log *log);

#endif

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "log.h"

static void log_reopen(struct console_log *log)
{
    struct stat st;

    log->fd = open(log->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    log->size = log->fd >= 0 && fstat(log->fd, &st) == 0 ? (size_t)st.st_size : 0;
}

void console_log_open(struct console_log *log, const char *dir, const char *name)
{
    char safe[200];
    size_t n = 0;

    for (; *name && n < sizeof(safe) - 1; name++)
        safe[n++] = isalnum((unsigned char)*name) || strchr("-_.", *name) ? *name : '_';
    safe[n] = 0;
    snprintf(log->path, sizeof(log->path), "%s/guest-%s.log", dir, safe);
    log_reopen(log);
}

static void rotate(struct console_log *log, unsigned int keep)
{
    char from[420], to[420];

    close(log->fd);
    for (unsigned int i = keep; i > 0; i--) {
        if (i == 1)
            snprintf(from, sizeof(from), "%s", log->path);
        else
            snprintf(from, sizeof(from), "%s.%u", log->path, i - 1);
        snprintf(to, sizeof(to), "%s.%u", log->path, i);
        rename(from, to);
    }
    log_reopen(log);
}

void console_log_write(struct console_log *log, const char *text, size_t size, size_t limit,
                       unsigned int keep)
{
    ssize_t put;

    if (log->fd < 0)
        return;
    if (log->size && log->size + size > limit)
        rotate(log, keep);
    if (log->fd < 0)
        return;
    put = write(log->fd, text, size);
    if (put > 0)
        log->size += put;
}

void console_log_close(struct console_log *log)
{
    if (log->fd >= 0)
        close(log->fd);
    log->fd = -1;
}

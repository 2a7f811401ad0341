#include "store.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenstore.h>

#define PATH_BYTES 3073

struct store {
    struct xs_handle *handle;
    xs_transaction_t transaction;
};

int store_open(struct store **out)
{
    struct store *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->handle = xs_open(0);
    if (!s->handle) {
        int error = errno ? errno : ENOTCONN;
        free(s);
        return -error;
    }
    xs_fileno(s->handle); /* makes the library create its pipe now, before the sandbox forbids it */
    *out = s;
    return 0;
}

void store_close(struct store *s)
{
    xs_close(s->handle);
    free(s);
}

int store_fd(const struct store *s)
{
    return xs_fileno(s->handle);
}

static char *read_path(struct store *s, const char *format, va_list args)
{
    char path[PATH_BYTES];
    if (vsnprintf(path, sizeof(path), format, args) >= (int)sizeof(path)) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    unsigned int bytes;
    return xs_read(s->handle, s->transaction, path, &bytes);
}

char *store_read(struct store *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *value = read_path(s, format, args);
    va_end(args);
    return value;
}

uint64_t store_read_number(struct store *s, uint64_t fallback, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *value = read_path(s, format, args);
    va_end(args);
    if (!value)
        return fallback;
    char *end;
    errno = 0;
    uint64_t number = strtoull(value, &end, 10);
    bool good = end != value && *end == '\0' && errno == 0 && *value >= '0' && *value <= '9';
    free(value);
    return good ? number : fallback;
}

bool store_exists(struct store *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *value = read_path(s, format, args);
    va_end(args);
    free(value);
    return value != NULL || errno != ENOENT;
}

int store_write(struct store *s, const char *path, const char *value)
{
    return xs_write(s->handle, s->transaction, path, value, (unsigned)strlen(value)) ? 0 : -errno;
}

int store_write_number(struct store *s, const char *directory, const char *name, uint64_t value)
{
    char path[PATH_BYTES], text[32];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    return store_write(s, path, text);
}

int store_remove(struct store *s, const char *path)
{
    return xs_rm(s->handle, s->transaction, path) ? 0 : -errno;
}

int store_begin(struct store *s)
{
    s->transaction = xs_transaction_start(s->handle);
    return s->transaction ? 0 : -errno;
}

int store_end(struct store *s, bool abort)
{
    xs_transaction_t transaction = s->transaction;
    s->transaction = XBT_NULL;
    return xs_transaction_end(s->handle, transaction, abort) ? 0 : -errno;
}

int store_watch(struct store *s, const char *path)
{
    return xs_watch(s->handle, path, "w") ? 0 : -errno;
}

int store_changed(struct store *s)
{
    bool changed = false;
    for (;;) {
        char **event = xs_check_watch(s->handle);
        if (!event)
            return errno == EAGAIN ? changed : -errno;
        free(event);
        changed = true;
    }
}

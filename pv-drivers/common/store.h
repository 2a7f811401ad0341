/*
 * The xenstore as a back end uses it. store_xen.c does it with libxenstore; the tests link a tree in plain
 * memory. Paths are made with printf formats, since nearly every path is.
 */
#ifndef PV_STORE_H
#define PV_STORE_H

#include <stdbool.h>
#include <stdint.h>

struct store;

/* Returns 0 or -errno. */
int store_open(struct store **out);
void store_close(struct store *s);
/* Becomes readable when a watch fired; store_lost() turns true when the daemon has gone. */
int store_fd(const struct store *s);

/* The value of a node, to be freed; NULL with errno (ENOENT, EACCES, ...). */
char *store_read(struct store *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The value of a node that holds a decimal number; fallback when it is missing or is not one. */
uint64_t store_read_number(struct store *s, uint64_t fallback, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool store_exists(struct store *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Writes value to path. Returns 0 or -errno. */
int store_write(struct store *s, const char *path, const char *value);
int store_write_number(struct store *s, const char *directory, const char *name, uint64_t value);
int store_remove(struct store *s, const char *path);

/* Between begin and end every call above belongs to one transaction. end returns -EAGAIN when it has to be
 * repeated. */
int store_begin(struct store *s);
int store_end(struct store *s, bool abort);

int store_watch(struct store *s, const char *path);
/* True when a watch fired since the last call; all that wait are taken at once. -errno when the daemon has
 * gone. */
int store_changed(struct store *s);

#endif

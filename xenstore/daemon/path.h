/*
 * Store paths: what is a valid one, and walking its parts. Knows no tree and no client.
 *
 * An absolute path begins with '/', has only [A-Za-z0-9/_@-], no empty part, no trailing '/' (except "/"
 * itself) and at most XENSTORE_ABS_PATH_MAX - 1 bytes. A special path is '@' followed by such characters.
 */
#ifndef BH_XS_PATH_H
#define BH_XS_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xen/io/xs_wire.h>

/* A path inside some buffer; not necessarily nul-terminated. */
struct path {
    const char *s;
    size_t len;
};

bool path_valid(const char *s, size_t len);
bool path_special(const char *s, size_t len);

/*
 * Makes an absolute path of what a client sent: absolute ones are used as they are, relative ones are taken
 * below /local/domain/<domid>. `buf` of XENSTORE_ABS_PATH_MAX + 1 bytes is used for the latter. False if the
 * result is no valid path; *why then says what is wrong.
 */
bool path_from_client(const char *s, size_t len, uint32_t domid, char *buf, struct path *out,
                      const char **why);

/* The path without its last part; "/" for children of the root. `p` must not be "/". */
struct path path_parent(struct path p);
/* The last part of a path that is not "/". */
struct path path_leaf(struct path p);

/* Iterates over parts: start with *at = 0; false after the last one. "/" has no parts. */
bool path_next(struct path p, size_t *at, struct path *part);

#endif

/*
 * Watches, found by path: a tree of watched path parts with a hash table over it, so that a change looks only
 * at the watches on the changed path and its parents, however many others exist.
 *
 * A watch belongs to one holder (a connection) and is known by (holder, path, token). The index knows neither
 * connections nor rights: it calls `fire` for every watch that a change touches.
 */
#ifndef BH_XS_WATCH_H
#define BH_XS_WATCH_H

#include "path.h"
#include "tree.h"
#include "util.h"

#define WATCH_ANY_DEPTH UINT32_MAX

struct watch_point; /* one part of a watched path */

struct watch_holder {
    struct list watches;
    uint32_t count;
    uint64_t id; /* unique, for hashing */
};

struct watch {
    struct hlink link; /* by holder, point, token */
    struct list of_holder;
    struct watch *next_here;  /* others on the same path */
    struct watch **prev_here; /* what points at this one */
    struct watch_point *point;
    struct watch_holder *holder;
    uint32_t depth; /* levels below the path that count, or WATCH_ANY_DEPTH */
    uint16_t skip;  /* bytes left off event paths: the prefix of a relative watch */
    uint16_t path_len;
    bool missed; /* an event could not be queued; one event on the watched path makes up for it */
    uint16_t token_len;
    char token[]; /* nul-terminated */
};

/* An event for w on `path`; `perms` are the rights of the changed (or removed) node, NULL for special events.
 */
typedef void watch_fire_fn(void *ctx, struct watch *w, struct path path, const struct perms *perms);

struct watch_index {
    struct htab points;
    struct htab watches;
    struct watch_point *root;    /* "/" */
    struct watch_point *special; /* parent of "@..." */
    watch_fire_fn *fire;
    void *ctx;
    uint32_t count;
};

void watch_index_init(struct watch_index *x, watch_fire_fn *fire, void *ctx);
void watch_index_free(struct watch_index *x); /* all watches must be gone */
void watch_holder_init(struct watch_holder *h);

/* Adds a watch; NULL if the holder has one with this path and token. `skip`: see struct watch. */
struct watch *watch_add(struct watch_index *x, struct watch_holder *h, struct path path, const char *token,
                        uint16_t skip, uint32_t depth);
struct watch *watch_find(struct watch_index *x, struct watch_holder *h, struct path path, const char *token);
void watch_del(struct watch_index *x, struct watch *w);
void watch_del_all(struct watch_index *x, struct watch_holder *h);

/* The absolute path of a watch, written from the end of buf (XENSTORE_ABS_PATH_MAX bytes). */
struct path watch_path(const struct watch *w, char *buf);
/* Bytes a watch costs its holder. */
uint32_t watch_cost(const struct watch *w);

/* A node was created or changed. */
void watch_changed(struct watch_index *x, struct path path, const struct perms *perms);
/* A node was removed with all below it: also fires watches on existing nodes below, each with its own path.
 */
void watch_removed(struct watch_index *x, struct path path, struct tree_node *removed);
/* A special event: "@introduceDomain", "@releaseDomain". */
void watch_special(struct watch_index *x, const char *name);

#endif

/*
 * The index of watches. See watch.h.
 *
 * A watch point exists while it has watches or watch points below it. Points are found by (parent, name) in
 * one hash table; siblings are linked so that a removal can walk the smaller of the watched and the removed
 * tree.
 */
#include "watch.h"

#include <stdlib.h>
#include <string.h>

struct watch_point {
    struct hlink link;
    struct watch_point *parent;
    struct list siblings;
    struct list children;
    uint32_t nchildren;
    struct watch *watches;
    uint16_t name_len;
    char name[];
};

static uint64_t point_hash(const struct watch_point *parent, struct path name)
{
    return hash_bytes(name.s, name.len, (uintptr_t)parent);
}

static struct watch_point *point_new(struct watch_point *parent, struct path name)
{
    struct watch_point *p = xcalloc(1, sizeof(*p) + name.len);

    p->parent = parent;
    p->name_len = (uint16_t)name.len;
    memcpy(p->name, name.s, name.len);
    list_init(&p->siblings);
    list_init(&p->children);
    return p;
}

static struct watch_point *point_find(const struct watch_index *x, struct watch_point *parent,
                                      struct path name)
{
    for (struct hlink *l = htab_first(&x->points, point_hash(parent, name)); l; l = htab_next(l)) {
        struct watch_point *p = container_of(l, struct watch_point, link);

        if (p->parent == parent && p->name_len == name.len && memcmp(p->name, name.s, name.len) == 0) {
            return p;
        }
    }
    return NULL;
}

static struct watch_point *point_get(struct watch_index *x, struct watch_point *parent, struct path name)
{
    struct watch_point *p = point_find(x, parent, name);

    if (!p) {
        p = point_new(parent, name);
        list_add_tail(&parent->children, &p->siblings);
        parent->nchildren++;
        htab_insert(&x->points, &p->link, point_hash(parent, name));
    }
    return p;
}

/* Frees a point that is needed no more, and its parents likewise. */
static void point_release(struct watch_index *x, struct watch_point *p)
{
    while (p->parent && !p->watches && list_empty(&p->children)) {
        struct watch_point *parent = p->parent;

        htab_remove(&x->points, &p->link);
        list_del(&p->siblings);
        parent->nchildren--;
        free(p);
        p = parent;
    }
}

/* The point of a path: found, or made if `make`. */
static struct watch_point *point_of(struct watch_index *x, struct path path, bool make)
{
    struct watch_point *p = x->root;
    struct path part;
    size_t at = 0;

    if (path.s[0] == '@') {
        return make ? point_get(x, x->special, path) : point_find(x, x->special, path);
    }
    while (p && path_next(path, &at, &part)) {
        p = make ? point_get(x, p, part) : point_find(x, p, part);
    }
    return p;
}

void watch_index_init(struct watch_index *x, watch_fire_fn *fire, void *ctx)
{
    *x = (struct watch_index){.fire = fire, .ctx = ctx};
    x->root = point_new(NULL, (struct path){"", 0});
    x->special = point_new(NULL, (struct path){"", 0});
}

void watch_index_free(struct watch_index *x)
{
    htab_free(&x->points);
    htab_free(&x->watches);
    free(x->root);
    free(x->special);
}

void watch_holder_init(struct watch_holder *h)
{
    static uint64_t last_id;

    list_init(&h->watches);
    h->count = 0;
    h->id = ++last_id;
}

static uint64_t watch_hash(const struct watch_holder *h, const struct watch_point *p, const char *token)
{
    return hash_bytes(token, strlen(token), (uintptr_t)p + h->id * 0x9e3779b97f4a7c15ull);
}

static struct watch *find_at(struct watch_index *x, struct watch_holder *h, struct watch_point *p,
                             const char *token)
{
    for (struct hlink *l = htab_first(&x->watches, watch_hash(h, p, token)); l; l = htab_next(l)) {
        struct watch *w = container_of(l, struct watch, link);

        if (w->holder == h && w->point == p && strcmp(w->token, token) == 0) {
            return w;
        }
    }
    return NULL;
}

struct watch *watch_find(struct watch_index *x, struct watch_holder *h, struct path path, const char *token)
{
    struct watch_point *p = point_of(x, path, false);

    return p ? find_at(x, h, p, token) : NULL;
}

struct watch *watch_add(struct watch_index *x, struct watch_holder *h, struct path path, const char *token,
                        uint16_t skip, uint32_t depth)
{
    struct watch_point *p = point_of(x, path, true);
    size_t token_len = strlen(token);
    struct watch *w;

    if (find_at(x, h, p, token)) {
        return NULL;
    }
    w = xmalloc(sizeof(*w) + token_len + 1);
    *w = (struct watch){.point = p,
                        .holder = h,
                        .depth = depth,
                        .skip = skip,
                        .path_len = (uint16_t)path.len,
                        .token_len = (uint16_t)token_len,
                        .next_here = p->watches,
                        .prev_here = &p->watches};
    memcpy(w->token, token, token_len + 1);
    if (w->next_here) {
        w->next_here->prev_here = &w->next_here;
    }
    p->watches = w;
    htab_insert(&x->watches, &w->link, watch_hash(h, p, token));
    list_add_tail(&h->watches, &w->of_holder);
    h->count++;
    x->count++;
    return w;
}

void watch_del(struct watch_index *x, struct watch *w)
{
    /* The analyzer does not see that a list's end is its head. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
    *w->prev_here = w->next_here;
    if (w->next_here) {
        w->next_here->prev_here = w->prev_here;
    }
    htab_remove(&x->watches, &w->link);
    list_del(&w->of_holder);
    w->holder->count--;
    x->count--;
    point_release(x, w->point);
    free(w);
}

void watch_del_all(struct watch_index *x, struct watch_holder *h)
{
    while (!list_empty(&h->watches)) {
        watch_del(x, container_of(h->watches.next, struct watch, of_holder));
    }
}

struct path watch_path(const struct watch *w, char *buf)
{
    char *end = buf + XENSTORE_ABS_PATH_MAX, *at = end;

    if (!w->point->parent) {
        *--at = '/';
    }
    for (const struct watch_point *p = w->point; p->parent; p = p->parent) {
        at -= p->name_len;
        memcpy(at, p->name, p->name_len);
        if (p->name[0] != '@' || p->parent->parent || w->path_len != p->name_len) {
            *--at = '/';
        }
    }
    return (struct path){at, (size_t)(end - at)};
}

uint32_t watch_cost(const struct watch *w)
{
    return (uint32_t)(sizeof(*w) + sizeof(struct watch_point)) + w->path_len + w->token_len + 32u;
}

static void fire_point(struct watch_index *x, struct watch_point *p, struct path path,
                       const struct perms *perms, uint32_t below)
{
    struct watch *next;

    for (struct watch *w = p->watches; w; w = next) {
        next = w->next_here;
        if (below <= w->depth) {
            x->fire(x->ctx, w, path, perms);
        }
    }
}

static uint32_t count_parts(struct path path)
{
    uint32_t n = 0;

    for (size_t i = 0; i < path.len; i++) {
        n += path.s[i] == '/';
    }
    return path.len == 1 ? 0 : n;
}

/* Fires along the path; returns the point of the path itself if there is one. */
static struct watch_point *fire_along(struct watch_index *x, struct path path, const struct perms *perms)
{
    struct watch_point *p = x->root;
    uint32_t below = x->count ? count_parts(path) : 0;
    struct path part;
    size_t at = 0;

    fire_point(x, p, path, perms, below);
    while (path_next(path, &at, &part)) {
        p = point_find(x, p, part);
        if (!p) {
            return NULL;
        }
        fire_point(x, p, path, perms, --below);
    }
    return p;
}

void watch_changed(struct watch_index *x, struct path path, const struct perms *perms)
{
    fire_along(x, path, perms);
}

struct removal {
    struct watch_index *x;
    char path[XENSTORE_ABS_PATH_MAX];
};

static void fire_below(struct removal *r, struct watch_point *p, size_t len, struct tree_node *removed);

static void fire_kid(struct removal *r, struct watch_point *p, size_t len, struct tree_node *kid)
{
    r->path[len] = '/';
    memcpy(r->path + len + 1, kid->bytes, kid->name_len);
    len += 1u + kid->name_len;
    fire_point(r->x, p, (struct path){r->path, len}, kid->perms, 0);
    fire_below(r, p, len, kid);
}

/* Watches below a removed node fire for nodes that existed: walk whichever of both trees has fewer children
 * here. */
static void fire_below(struct removal *r, struct watch_point *p, size_t len, struct tree_node *removed)
{
    uint32_t kids = node_kids(removed);

    if (p->nchildren <= kids) {
        for (struct list *l = p->children.next; l != &p->children; l = l->next) {
            struct watch_point *below = container_of(l, struct watch_point, siblings);
            struct tree_node *kid = node_child(removed, (struct path){below->name, below->name_len});

            if (kid) {
                fire_kid(r, below, len, kid);
            }
        }
        return;
    }
    for (uint32_t i = 0; i < kids && p->nchildren; i++) {
        struct tree_node *kid = node_kid(removed, i);
        struct watch_point *below = point_find(r->x, p, (struct path){kid->bytes, kid->name_len});

        if (below) {
            fire_kid(r, below, len, kid);
        }
    }
}

void watch_removed(struct watch_index *x, struct path path, struct tree_node *removed)
{
    struct watch_point *p = fire_along(x, path, removed->perms);
    struct removal r;

    if (p && p->nchildren) {
        r.x = x;
        memcpy(r.path, path.s, path.len);
        fire_below(&r, p, path.len, removed);
    }
}

void watch_special(struct watch_index *x, const char *name)
{
    struct path path = {name, strlen(name)};
    struct watch_point *p = point_find(x, x->special, path);

    if (p) {
        fire_point(x, p, path, NULL, 0);
    }
    fire_point(x, x->root, path, NULL, 0);
}

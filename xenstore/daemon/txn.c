/* Transactions: snapshot, what was seen, what to repeat. See txn.h. */
#include "txn.h"

#include <stdlib.h>
#include <string.h>

#define SCAN_MAX 12 /* up to so many seen paths are searched one by one */

struct seen {
    uint32_t hash;
    uint16_t flags;
    uint16_t len;
    char path[];
};

struct txn *txn_new(struct tree *t, uint32_t id, uint32_t domid)
{
    struct txn *x = xcalloc(1, sizeof(*x));

    list_init(&x->of_conn);
    x->id = id;
    x->domid = domid;
    x->base = node_ref(t->root);
    x->tree = *t;
    node_ref(x->tree.root);
    return x;
}

void txn_drop_snapshots(struct txn *t)
{
    if (t->base) {
        node_put(t->tree.perms, t->base);
        tree_free(&t->tree);
        t->base = NULL;
    }
}

void txn_free(struct txn *t)
{
    txn_drop_snapshots(t);
    buf_free(&t->seen);
    buf_free(&t->ops);
    free(t->slot);
    free(t);
}

static size_t padded(size_t len)
{
    return (len + 3) & ~(size_t)3;
}

static struct seen *seen_at(const struct txn *t, size_t offset)
{
    return (struct seen *)(t->seen.data + offset);
}

static bool seen_is(const struct seen *s, uint32_t hash, struct path path)
{
    return s->hash == hash && s->len == path.len && memcmp(s->path, path.s, path.len) == 0;
}

static void slot_put(struct txn *t, size_t offset)
{
    uint32_t i = seen_at(t, offset)->hash & (t->nslots - 1);

    while (t->slot[i]) {
        i = (i + 1) & (t->nslots - 1);
    }
    t->slot[i] = (uint32_t)offset + 1;
}

static void slots_grow(struct txn *t)
{
    t->nslots = t->nslots ? t->nslots * 2 : 64;
    free(t->slot);
    t->slot = xcalloc(t->nslots, sizeof(*t->slot));
    for (size_t at = 0; at < t->seen.len; at += padded(sizeof(struct seen) + seen_at(t, at)->len)) {
        slot_put(t, at);
    }
}

static struct seen *seen_find(const struct txn *t, uint32_t hash, struct path path)
{
    if (t->nslots) {
        for (uint32_t i = hash & (t->nslots - 1); t->slot[i]; i = (i + 1) & (t->nslots - 1)) {
            if (seen_is(seen_at(t, t->slot[i] - 1), hash, path)) {
                return seen_at(t, t->slot[i] - 1);
            }
        }
        return NULL;
    }
    for (size_t at = 0; at < t->seen.len; at += padded(sizeof(struct seen) + seen_at(t, at)->len)) {
        if (seen_is(seen_at(t, at), hash, path)) {
            return seen_at(t, at);
        }
    }
    return NULL;
}

void txn_note(struct txn *t, struct path path, uint32_t flags)
{
    uint32_t hash = (uint32_t)hash_bytes(path.s, path.len, 2);
    struct seen *s = seen_find(t, hash, path);
    size_t offset = t->seen.len;

    if (s) {
        s->flags |= (uint16_t)flags;
        return;
    }
    s = buf_add(&t->seen, NULL, padded(sizeof(*s) + path.len));
    *s = (struct seen){.hash = hash, .flags = (uint16_t)flags, .len = (uint16_t)path.len};
    memcpy(s->path, path.s, path.len);
    t->nseen++;
    if (t->nseen > SCAN_MAX) {
        if (t->nseen * 2 > t->nslots) {
            slots_grow(t);
        } else {
            slot_put(t, offset);
        }
    }
}

void txn_add_op(struct txn *t, enum txn_op_kind kind, struct path path, const void *data, uint32_t len)
{
    struct txn_op op = {.kind = (uint16_t)kind, .path_len = (uint16_t)path.len, .data_len = len};
    char *at = buf_add(&t->ops, NULL, padded(sizeof(op) + path.len) + padded(len));

    memcpy(at, &op, sizeof(op));
    memcpy(at + sizeof(op), path.s, path.len);
    if (len) {
        memcpy(at + padded(sizeof(op) + path.len), data, len);
    }
    t->nops++;
}

bool txn_next_op(const struct txn *t, size_t *at, struct txn_op *op, struct path *path, const void **data)
{
    const char *p = (const char *)t->ops.data + *at;
    size_t head;

    if (*at >= t->ops.len) {
        return false;
    }
    memcpy(op, p, sizeof(*op));
    head = padded(sizeof(*op) + op->path_len);
    *path = (struct path){p + sizeof(*op), op->path_len};
    *data = p + head;
    *at += head + padded(op->data_len);
    return true;
}

bool txn_conflict(const struct txn *t, struct tree_node *now, struct path *where)
{
    if (now == t->base) {
        return false;
    }
    for (size_t at = 0; at < t->seen.len; at += padded(sizeof(struct seen) + seen_at(t, at)->len)) {
        const struct seen *s = seen_at(t, at);
        struct path path = {s->path, s->len};
        const struct tree_node *then_node = tree_find(t->base, path, NULL);
        const struct tree_node *now_node = tree_find(now, path, NULL);

        if (then_node == now_node) {
            continue;
        }
        if (!then_node || !now_node || ((s->flags & SEEN_NODE) && then_node->version != now_node->version) ||
            ((s->flags & SEEN_KIDS) && then_node->kids_version != now_node->kids_version)) {
            *where = path;
            return true;
        }
    }
    return false;
}

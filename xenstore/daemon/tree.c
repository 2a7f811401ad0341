/*
 * The node tree with structural sharing. See tree.h for the model.
 *
 * Invariants: a block has at least one entry; leaves (level 0) hold nodes, higher blocks hold blocks one
 * level lower; all leaves of a node are at the same depth; `count` and `bytes` of a block sum up everything
 * below it; entries are sorted by name, shorter first among equal prefixes.
 */
#include "tree.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK_MAX 64

struct tree_block {
    uint32_t refs;
    uint8_t level;
    uint8_t n;
    uint8_t cap;
    uint32_t count; /* nodes in this block and below */
    uint32_t bytes; /* of their names with nuls */
    void *at[];     /* struct tree_node * in leaves, struct tree_block * above */
};

static int name_cmp(const struct tree_node *n, struct path name)
{
    size_t min = n->name_len < name.len ? n->name_len : name.len;
    int c = memcmp(n->bytes, name.s, min);

    return c ? c : (n->name_len > name.len) - (n->name_len < name.len);
}

static const struct tree_node *block_first(const struct tree_block *b)
{
    while (b->level) {
        b = b->at[0];
    }
    return b->at[0];
}

/* Index of the entry that holds or would hold `name`: in leaves the first one not below it, above the last
 * one whose first name is not above it. *found says whether a leaf entry has that very name. */
static unsigned block_search(const struct tree_block *b, struct path name, bool *found)
{
    unsigned lo = 0, hi = b->n;

    *found = false;
    while (lo < hi) {
        unsigned mid = (lo + hi) / 2;
        int c = name_cmp(b->level ? block_first(b->at[mid]) : b->at[mid], name);

        if (c == 0 && !b->level) {
            *found = true;
            return mid;
        }
        if (c < 0 || (c == 0 && b->level)) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return b->level ? (lo ? lo - 1 : 0) : lo;
}

struct tree_node *node_ref(struct tree_node *n)
{
    n->refs++;
    return n;
}

static void block_put(struct perms_table *perms, struct tree_block *b)
{
    if (--b->refs) {
        return;
    }
    for (unsigned i = 0; i < b->n; i++) {
        if (b->level) {
            block_put(perms, b->at[i]);
        } else {
            node_put(perms, b->at[i]);
        }
    }
    free(b);
}

void node_put(struct perms_table *perms, struct tree_node *n)
{
    if (--n->refs) {
        return;
    }
    if (n->kids) {
        block_put(perms, n->kids);
    }
    perms_put(perms, n->perms);
    free(n);
}

static struct tree_block *block_new(uint8_t level, unsigned cap)
{
    struct tree_block *b = xmalloc(sizeof(*b) + cap * sizeof(void *));

    *b = (struct tree_block){.refs = 1, .level = level, .cap = (uint8_t)cap};
    return b;
}

/* Makes *slot ours alone. */
static struct tree_block *block_own(struct tree_block **slot)
{
    struct tree_block *b = *slot, *copy;

    if (b->refs == 1) {
        return b;
    }
    copy = block_new(b->level, b->cap);
    copy->n = b->n;
    copy->count = b->count;
    copy->bytes = b->bytes;
    memcpy(copy->at, b->at, b->n * sizeof(void *));
    for (unsigned i = 0; i < b->n; i++) {
        if (b->level) {
            ((struct tree_block *)b->at[i])->refs++;
        } else {
            ((struct tree_node *)b->at[i])->refs++;
        }
    }
    b->refs--;
    *slot = copy;
    return copy;
}

static struct tree_node *node_own(struct tree_node **slot)
{
    struct tree_node *n = *slot, *copy;
    size_t size;

    if (n->refs == 1) {
        return n;
    }
    size = sizeof(*n) + n->name_len + n->value_len;
    copy = xmalloc(size);
    memcpy(copy, n, size);
    copy->refs = 1;
    perms_ref(copy->perms);
    if (copy->kids) {
        copy->kids->refs++;
    }
    n->refs--;
    *slot = copy;
    return copy;
}

static void block_sum(struct tree_block *b)
{
    b->count = b->bytes = 0;
    for (unsigned i = 0; i < b->n; i++) {
        b->count += b->level ? ((struct tree_block *)b->at[i])->count : 1;
        b->bytes +=
            b->level ? ((struct tree_block *)b->at[i])->bytes : ((struct tree_node *)b->at[i])->name_len + 1u;
    }
}

/* Puts `item` at index i of *slot, which is ours. Returns the new right sibling if the block had to be split.
 */
static struct tree_block *block_put_at(struct tree_block **slot, unsigned i, void *item)
{
    struct tree_block *b = *slot, *right = NULL;

    if (b->n == b->cap && b->cap < BLOCK_MAX) {
        b = xrealloc(b, sizeof(*b) + b->cap * 2u * sizeof(void *));
        b->cap *= 2;
        *slot = b;
    } else if (b->n == BLOCK_MAX) {
        /* Names often arrive in order: then leave the left block full. */
        unsigned keep = i == BLOCK_MAX ? BLOCK_MAX : BLOCK_MAX / 2;

        right = block_new(b->level, keep == BLOCK_MAX ? 4 : BLOCK_MAX);
        right->n = (uint8_t)(BLOCK_MAX - keep);
        memcpy(right->at, b->at + keep, right->n * sizeof(void *));
        b->n = (uint8_t)keep;
        if (i > keep || keep == BLOCK_MAX) {
            block_sum(b);
            b = right;
            i -= keep;
        }
    }
    memmove(b->at + i + 1, b->at + i, (b->n - i) * sizeof(void *));
    b->at[i] = item;
    b->n++;
    if (right) {
        block_sum(*slot);
        block_sum(right);
    }
    return right;
}

static struct tree_block *block_insert(struct tree_block **slot, struct tree_node *node)
{
    struct path name = {node->bytes, node->name_len};
    struct tree_block *b = block_own(slot), *right;
    bool found;
    unsigned i = block_search(b, name, &found);

    b->count++;
    b->bytes += node->name_len + 1u;
    if (b->level == 0) {
        return block_put_at(slot, i, node);
    }
    right = block_insert((struct tree_block **)&b->at[i], node);
    return right ? block_put_at(slot, i + 1, right) : NULL;
}

static void kids_insert(struct tree_node *parent, struct tree_node *node)
{
    struct tree_block *right;

    if (!parent->kids) {
        parent->kids = block_new(0, 1);
    }
    right = block_insert(&parent->kids, node);
    if (right) {
        struct tree_block *top = block_new((uint8_t)(right->level + 1), 4);

        top->at[0] = parent->kids;
        top->at[1] = right;
        top->n = 2;
        block_sum(top);
        parent->kids = top;
    }
}

/* Takes the entry at i out of *slot; frees the block and sets *slot to NULL when it was the last one. */
static void block_drop_at(struct tree_block **slot, unsigned i)
{
    struct tree_block *b = *slot;

    b->n--;
    if (b->n == 0) {
        free(b);
        *slot = NULL;
        return;
    }
    memmove(b->at + i, b->at + i + 1, (b->n - i) * sizeof(void *));
    if (b->cap > 4 && b->n <= b->cap / 4) {
        b->cap /= 2;
        *slot = xrealloc(b, sizeof(*b) + b->cap * sizeof(void *));
    }
}

static struct tree_node *block_remove(struct tree_block **slot, struct path name)
{
    struct tree_block *b = block_own(slot);
    bool found;
    unsigned i = block_search(b, name, &found);
    struct tree_node *node;

    b->count--;
    b->bytes -= (uint32_t)name.len + 1;
    if (b->level == 0) {
        node = b->at[i];
        block_drop_at(slot, i);
        return node;
    }
    node = block_remove((struct tree_block **)&b->at[i], name);
    if (!b->at[i]) {
        block_drop_at(slot, i);
    }
    return node;
}

static struct tree_node *kids_remove(struct tree_node *parent, struct path name)
{
    struct tree_node *node = block_remove(&parent->kids, name);

    while (parent->kids && parent->kids->level && parent->kids->n == 1) {
        struct tree_block *top = parent->kids;

        parent->kids = top->at[0];
        free(top);
    }
    return node;
}

/* The slot of an existing child, with everything down to it ours. */
static struct tree_node **kid_own(struct tree_node *parent, struct path name)
{
    struct tree_block *b = block_own(&parent->kids);
    bool found;

    for (;;) {
        unsigned i = block_search(b, name, &found);

        if (!b->level) {
            node_own((struct tree_node **)&b->at[i]);
            return (struct tree_node **)&b->at[i];
        }
        b = block_own((struct tree_block **)&b->at[i]);
    }
}

static struct tree_node **path_own(struct tree *t, struct path path)
{
    struct tree_node **slot = &t->root;
    struct path part;
    size_t at = 0;

    node_own(slot);
    while (path_next(path, &at, &part)) {
        slot = kid_own(*slot, part);
    }
    return slot;
}

static struct tree_node *node_new(struct path name, struct perms *perms, const void *value, uint32_t len)
{
    struct tree_node *n = xmalloc(sizeof(*n) + name.len + len);

    *n = (struct tree_node){
        .refs = 1, .value_len = (uint16_t)len, .name_len = (uint16_t)name.len, .perms = perms};
    memcpy(n->bytes, name.s, name.len);
    if (len) {
        memcpy(n->bytes + name.len, value, len);
    }
    return n;
}

void tree_init(struct tree *t, struct perms_table *perms, uint64_t *version, struct perms *root_perms)
{
    t->perms = perms;
    t->version = version;
    t->root = node_new((struct path){"", 0}, root_perms, NULL, 0);
    t->root->version = t->root->kids_version = ++*version;
}

void tree_free(struct tree *t)
{
    node_put(t->perms, t->root);
    t->root = NULL;
}

struct tree_node *node_child(const struct tree_node *n, struct path name)
{
    const struct tree_block *b = n->kids;
    bool found;

    while (b) {
        unsigned i = block_search(b, name, &found);

        if (!b->level) {
            return found ? b->at[i] : NULL;
        }
        b = b->at[i];
    }
    return NULL;
}

struct tree_node *tree_find(struct tree_node *root, struct path path, struct tree_node **deepest)
{
    struct tree_node *n = root, *next;
    struct path part;
    size_t at = 0;

    while (path_next(path, &at, &part)) {
        next = node_child(n, part);
        if (!next) {
            if (deepest) {
                *deepest = n;
            }
            return NULL;
        }
        n = next;
    }
    return n;
}

struct tree_node *tree_create(struct tree *t, struct path path, struct perms *perms, const void *value,
                              uint32_t len)
{
    struct tree_node *parent = *path_own(t, path_parent(path));
    struct tree_node *n = node_new(path_leaf(path), perms_ref(perms), value, len);

    n->version = n->kids_version = parent->kids_version = ++*t->version;
    kids_insert(parent, n);
    return n;
}

struct tree_node *tree_set_value(struct tree *t, struct path path, const void *value, uint32_t len)
{
    struct tree_node **slot = path_own(t, path);
    struct tree_node *n = *slot;

    if (len != n->value_len) {
        n = *slot = xrealloc(n, sizeof(*n) + n->name_len + len);
        n->value_len = (uint16_t)len;
    }
    if (len) {
        memcpy(n->bytes + n->name_len, value, len);
    }
    n->version = ++*t->version;
    return n;
}

struct tree_node *tree_set_perms(struct tree *t, struct path path, struct perms *perms)
{
    struct tree_node *n = *path_own(t, path);

    perms_ref(perms);
    perms_put(t->perms, n->perms);
    n->perms = perms;
    n->version = ++*t->version;
    return n;
}

struct tree_node *tree_remove(struct tree *t, struct path path)
{
    struct tree_node *parent = *path_own(t, path_parent(path));

    parent->kids_version = ++*t->version;
    return kids_remove(parent, path_leaf(path));
}

uint32_t node_kids(const struct tree_node *n)
{
    return n->kids ? n->kids->count : 0;
}

uint32_t node_kids_bytes(const struct tree_node *n)
{
    return n->kids ? n->kids->bytes : 0;
}

struct tree_node *node_kid(const struct tree_node *n, uint32_t i)
{
    const struct tree_block *b = n->kids;

    while (b->level) {
        unsigned k = 0;

        while (i >= ((const struct tree_block *)b->at[k])->count) {
            i -= ((const struct tree_block *)b->at[k])->count;
            k++;
        }
        b = b->at[k];
    }
    return b->at[i];
}

uint32_t node_kid_at_byte(const struct tree_node *n, uint32_t offset, uint32_t *inside)
{
    const struct tree_block *b = n->kids;
    uint32_t index = 0, k = 0, bytes;

    *inside = 0;
    if (!b || offset >= b->bytes) {
        return node_kids(n);
    }
    for (;;) {
        bytes = b->level ? ((const struct tree_block *)b->at[k])->bytes
                         : ((const struct tree_node *)b->at[k])->name_len + 1u;
        if (offset >= bytes) {
            offset -= bytes;
            index += b->level ? ((const struct tree_block *)b->at[k])->count : 1;
            k++;
        } else if (b->level) {
            b = b->at[k];
            k = 0;
        } else {
            *inside = offset;
            return index;
        }
    }
}

struct walk {
    char path[XENSTORE_ABS_PATH_MAX];
    node_walk_fn *f;
    void *ctx;
};

static bool walk_node(struct walk *w, size_t len, struct tree_node *n);

static bool walk_block(struct walk *w, size_t len, const struct tree_block *b)
{
    for (unsigned i = 0; i < b->n; i++) {
        struct tree_node *kid = b->at[i];

        if (b->level) {
            if (!walk_block(w, len, b->at[i])) {
                return false;
            }
            continue;
        }
        w->path[len] = '/';
        memcpy(w->path + len + 1, kid->bytes, kid->name_len);
        if (!walk_node(w, len + 1 + kid->name_len, kid)) {
            return false;
        }
    }
    return true;
}

static bool walk_node(struct walk *w, size_t len, struct tree_node *n)
{
    if (!w->f(w->ctx, (struct path){len ? w->path : "/", len ? len : 1}, n)) {
        return false;
    }
    return n->kids ? walk_block(w, len, n->kids) : true;
}

bool node_walk(struct tree_node *n, struct path path, node_walk_fn *f, void *ctx)
{
    struct walk w = {.f = f, .ctx = ctx};
    size_t len = path.len == 1 ? 0 : path.len;

    memcpy(w.path, path.s, len);
    return walk_node(&w, len, n);
}

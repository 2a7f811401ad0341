/*
 * The node tree: immutable for whoever holds an older root, with structural sharing.
 *
 * Nodes and the blocks that list a node's children are counted. A change copies only what is shared: along
 * the path to the changed node, anything with one reference is changed in place, anything with more is copied
 * first. So a snapshot is one reference to the root, costs nothing to take, and stays what it was.
 *
 * Children are kept sorted by name in a B-tree of blocks (up to 64 entries each, grown on demand), so a
 * directory of 100,000 children costs little to search and to copy.
 *
 * Every change of a node's value or rights gives it a new `version`, every change of its set of children a
 * new `kids_version`; versions come from one counter and are never used twice. Equal versions at one path in
 * two snapshots mean that nothing changed there in between.
 *
 * The tree holds references to permission sets and knows nothing else about rights, clients or quotas.
 */
#ifndef BH_XS_TREE_H
#define BH_XS_TREE_H

#include "path.h"
#include "perms.h"

struct tree_block;

struct tree_node {
    uint32_t refs;
    uint16_t value_len; /* a message's payload at most */
    uint16_t name_len;
    uint64_t version;
    uint64_t kids_version;
    struct perms *perms;
    struct tree_block *kids; /* NULL without children */
    char bytes[];            /* name, then value */
};

struct tree {
    struct tree_node *root;
    struct perms_table *perms;
    uint64_t *version; /* the counter, shared by a tree and the transactions on it */
};

static inline const char *node_value(const struct tree_node *n)
{
    return n->bytes + n->name_len;
}

/* Bytes that a node costs its owner. */
static inline uint32_t node_cost(const struct tree_node *n)
{
    return (uint32_t)sizeof(*n) + 16 + n->name_len + n->value_len;
}

/* A tree with only "/" (owner and rights: perms, whose reference it takes over). */
void tree_init(struct tree *t, struct perms_table *perms, uint64_t *version, struct perms *root_perms);
void tree_free(struct tree *t);

/* Snapshots. */
struct tree_node *node_ref(struct tree_node *n);
void node_put(struct perms_table *perms, struct tree_node *n);

/* The node at path, or NULL. If not found and `deepest` is given, it gets the last existing node on the way.
 */
struct tree_node *tree_find(struct tree_node *root, struct path path, struct tree_node **deepest);
struct tree_node *node_child(const struct tree_node *n, struct path name);

/* Changes. Paths must be valid. The returned node is borrowed and good until the next change of the tree. */
/* Adds a node below an existing parent; it must not exist. Takes its own reference to perms. */
struct tree_node *tree_create(struct tree *t, struct path path, struct perms *perms, const void *value,
                              uint32_t len);
/* Changes of an existing node. */
struct tree_node *tree_set_value(struct tree *t, struct path path, const void *value, uint32_t len);
struct tree_node *tree_set_perms(struct tree *t, struct path path, struct perms *perms);
/* Takes an existing node (not "/") with all below out of the tree. The caller owns the returned reference. */
struct tree_node *tree_remove(struct tree *t, struct path path);

/* Children of a node in order of name. */
uint32_t node_kids(const struct tree_node *n);
uint32_t node_kids_bytes(const struct tree_node *n); /* length of all names, each with a nul */

/* The child with index i (0 <= i < node_kids). Logarithmic. */
struct tree_node *node_kid(const struct tree_node *n, uint32_t i);
/* The index of the child at which byte `offset` of the list of names (each with a nul) lies; *inside is the
 * offset within that name. node_kids(n) if past the end. */
uint32_t node_kid_at_byte(const struct tree_node *n, uint32_t offset, uint32_t *inside);

/* Calls f for n and all nodes below it, parents first, with the full path of each; stops when f returns
 * false. */
typedef bool node_walk_fn(void *ctx, struct path path, struct tree_node *n);
bool node_walk(struct tree_node *n, struct path path, node_walk_fn *f, void *ctx);

#endif

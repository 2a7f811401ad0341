/*
 * Transactions: a snapshot of the tree to work on, what was looked at in it, and the operations to repeat at
 * the end.
 *
 * `base` is the root as it was at the start, `tree` the private version with the transaction's own changes.
 * `seen` names the paths whose state the client learned, each with what it learned: that it exists or not
 * (always), its value or rights (SEEN_NODE), its list of children (SEEN_KIDS). At commit each of them has to
 * be in the current tree what it was in `base`; versions make that a comparison of numbers. Then the
 * operations are applied to the current tree in their order. A blind write therefore conflicts with nothing.
 */
#ifndef BH_XS_TXN_H
#define BH_XS_TXN_H

#include "tree.h"
#include "util.h"

#define SEEN_NODE 1u
#define SEEN_KIDS 2u

enum txn_op_kind { TXN_WRITE, TXN_MKDIR, TXN_RM, TXN_SET_PERMS };

struct txn {
    struct hlink link; /* by id, for whoever holds transactions */
    struct list of_conn;
    uint32_t id;
    uint32_t domid;
    struct tree_node *base;
    struct tree tree;
    bool lost;         /* started before a restart: may go on, but ends with EAGAIN */
    int32_t new_nodes; /* created minus removed nodes of the domain itself */
    int64_t new_bytes;
    struct buf seen; /* records: u32 hash, u16 flags, u16 length, path, padded to 4 */
    uint32_t nseen;
    uint32_t *slot; /* open hash over `seen` once there are many: offset + 1 */
    uint32_t nslots;
    struct buf ops; /* records: struct txn_op, path, data, padded to 4 */
    uint32_t nops;
    uint64_t charged; /* bytes accounted for */
};

struct txn_op {
    uint16_t kind;
    uint16_t path_len;
    uint32_t data_len; /* value, or entries of a permission set */
};

struct txn *txn_new(struct tree *t, uint32_t id, uint32_t domid);
void txn_free(struct txn *t);
/* Gives up both snapshots early; afterwards only the operations and txn_free remain. */
void txn_drop_snapshots(struct txn *t);

void txn_note(struct txn *t, struct path path, uint32_t flags);
void txn_add_op(struct txn *t, enum txn_op_kind kind, struct path path, const void *data, uint32_t len);
/* Iterates over the operations: start with *at = 0. */
bool txn_next_op(const struct txn *t, size_t *at, struct txn_op *op, struct path *path, const void **data);

/* The first path that is not in `now` what it was in the base, if any. */
bool txn_conflict(const struct txn *t, struct tree_node *now, struct path *where);

/* Paths looked at or changed: what the quota on a transaction's size counts. */
static inline uint32_t txn_size(const struct txn *t)
{
    return t->nseen + t->nops;
}
static inline uint64_t txn_bytes(const struct txn *t)
{
    return sizeof(*t) + t->seen.cap + t->ops.cap + t->nslots * 4ull;
}

#endif

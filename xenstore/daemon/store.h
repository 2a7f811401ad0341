/*
 * The store: the tree with rights, quotas and transactions on it. Every operation of the protocol on nodes is
 * one function here, for the main tree (txn == NULL) or inside a transaction. Knows no messages and no
 * connections.
 *
 * Changes of the main tree are reported through two hooks: `changed` gets each primitive change (what a
 * journal needs to repeat it), `fire` each event that watches may want. Inside a transaction nothing is
 * reported until it commits.
 *
 * All functions return 0 or an errno of the protocol; the cause is left with cause().
 */
#ifndef BH_XS_STORE_H
#define BH_XS_STORE_H

#include "quota.h"
#include "tree.h"
#include "txn.h"

enum change {
    CHANGE_CREATE, /* node exists now, with its value and rights */
    CHANGE_VALUE,
    CHANGE_PERMS,
    CHANGE_REMOVE, /* node (and all below) is gone; node is what was removed */
};

struct store_hooks {
    void (*changed)(void *ctx, enum change kind, struct path path, struct tree_node *node);
    /* `removed` is NULL unless the event is a removal. */
    void (*fire)(void *ctx, struct path path, const struct perms *perms, struct tree_node *removed);
    void *ctx;
};

enum store_special { SPECIAL_INTRODUCE, SPECIAL_RELEASE, SPECIAL_COUNT };

struct store {
    struct perms_table perms;
    struct tree tree;
    uint64_t version;
    struct quotas quotas;
    struct perms *special[SPECIAL_COUNT]; /* who may see the special events */
    struct store_hooks hooks;
};

extern const char *const store_special_name[SPECIAL_COUNT];

void store_init(struct store *s, const struct store_hooks *hooks);
void store_free(struct store *s);

int store_read(struct store *s, struct txn *t, const struct caller *who, struct path path,
               const struct tree_node **out);
int store_list(struct store *s, struct txn *t, const struct caller *who, struct path path,
               const struct tree_node **out);
int store_get_perms(struct store *s, struct txn *t, const struct caller *who, struct path path,
                    const struct perms **out);
int store_write(struct store *s, struct txn *t, const struct caller *who, struct path path, const void *value,
                uint32_t len);
int store_mkdir(struct store *s, struct txn *t, const struct caller *who, struct path path);
int store_rm(struct store *s, struct txn *t, const struct caller *who, struct path path);
int store_set_perms(struct store *s, struct txn *t, const struct caller *who, struct path path,
                    const struct perm *e, uint32_t n);

/* Index of a special path, or -1. */
int store_special_index(struct path path);
/* Sets the rights on a special event (the control domain only). */
int store_set_special(struct store *s, const struct caller *who, int index, const struct perm *e, uint32_t n);

struct txn *store_txn_start(struct store *s, const struct caller *who, uint32_t id);
/* Commits: 0, EAGAIN when a node read or listed was changed by others, or ENOSPC. The transaction is freed.
 */
int store_txn_commit(struct store *s, struct txn *t, const struct caller *who);
void store_txn_abort(struct store *s, struct txn *t);

/* A domain is dead: its nodes go, its rights on other nodes too. */
void store_domain_dead(struct store *s, uint32_t domid);

/* Repeats a primitive change from a journal; checks nothing but that it fits. False if it does not. */
bool store_replay_create(struct store *s, struct path path, const struct perm *e, uint32_t n,
                         const void *value, uint32_t len);
bool store_replay_value(struct store *s, struct path path, const void *value, uint32_t len);
bool store_replay_perms(struct store *s, struct path path, const struct perm *e, uint32_t n);
bool store_replay_remove(struct store *s, struct path path);

#endif

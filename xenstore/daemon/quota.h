/*
 * What each domain holds in the store, and how much it may.
 *
 * An account exists for every domain that holds anything or was ever introduced; it ends when the domain is
 * dead and holds nothing. Limits have a default for all and, where set, a value of one domain's own. The
 * control domain is counted but not limited. 0 as a limit means none.
 */
#ifndef BH_XS_QUOTA_H
#define BH_XS_QUOTA_H

#include "util.h"

enum limit {
    LIMIT_NODES,       /* nodes owned */
    LIMIT_NODE_SIZE,   /* bytes of one value */
    LIMIT_WATCHES,     /* watches set */
    LIMIT_TXNS,        /* open transactions */
    LIMIT_TXN_NODES,   /* paths read or changed in one transaction */
    LIMIT_PERMS,       /* entries in the rights of one node */
    LIMIT_OUTSTANDING, /* bytes of replies and events not yet taken by the client */
    LIMIT_MEMORY,      /* bytes in total: nodes, watches, transactions, queues */
    LIMIT_COUNT
};

struct account {
    struct hlink link;
    uint32_t domid;
    uint32_t nodes;
    uint32_t watches;
    uint32_t txns;
    uint32_t conns; /* connections that point here */
    uint64_t node_bytes;
    uint64_t other_bytes; /* watches, transactions, queues */
    uint64_t refused;     /* requests refused for a limit */
    uint64_t log_second;  /* rate limit of refusal lines: the current second, lines in it, lines left out */
    uint32_t log_lines;
    uint32_t log_left_out;
    bool slowed;    /* above a soft limit; said so once */
    uint32_t *hard; /* own limits (LIMIT_COUNT), NULL when all are the defaults */
};

struct quotas {
    struct htab accounts;
    uint32_t hard[LIMIT_COUNT];
    uint32_t soft[LIMIT_COUNT]; /* only LIMIT_OUTSTANDING and LIMIT_MEMORY have an effect */
};

void quota_init(struct quotas *q);
void quota_free(struct quotas *q);
struct account *account_get(struct quotas *q, uint32_t domid); /* creates it */
struct account *account_find(struct quotas *q, uint32_t domid);
void account_drop(struct quotas *q, struct account *a);
/* Ends the account if it holds nothing any more. */
void account_drop_if_empty(struct quotas *q, struct account *a);

static inline uint64_t account_memory(const struct account *a)
{
    return a->node_bytes + a->other_bytes;
}

const char *limit_name(enum limit l);
bool limit_parse(const char *name, enum limit *out);
uint32_t limit_value(const struct quotas *q, const struct account *a, enum limit l);
/* Sets a limit for one account, or the default if a is NULL. */
void limit_set(struct quotas *q, struct account *a, enum limit l, uint32_t value);
bool quota_over_soft(const struct quotas *q, const struct account *a);

/*
 * May the account's use of l become `value`? If not: counts and logs the refusal (domain, limit, value,
 * request), leaves the cause and returns false. Domain 0 may always.
 */
bool quota_allows(struct quotas *q, struct account *a, enum limit l, uint64_t value, const char *request);

#endif

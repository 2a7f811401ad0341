/* Accounts and limits. See quota.h. */
#include "quota.h"

#include "log.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LOG_LINES_A_SECOND 20

static const struct {
    const char *name;
    uint32_t hard;
    uint32_t soft;
} limits[LIMIT_COUNT] = {
    [LIMIT_NODES] = {"nodes", 8192, 0},
    [LIMIT_NODE_SIZE] = {"node-size", 4096, 0},
    [LIMIT_WATCHES] = {"watches", 4096, 0},
    [LIMIT_TXNS] = {"transactions", 128, 0},
    [LIMIT_TXN_NODES] = {"transaction-nodes", 8192, 0},
    [LIMIT_PERMS] = {"node-permissions", 16, 0},
    [LIMIT_OUTSTANDING] = {"outstanding", 1u << 20, 64u << 10},
    [LIMIT_MEMORY] = {"memory", 8u << 20, 4u << 20},
};

void quota_init(struct quotas *q)
{
    *q = (struct quotas){0};
    for (unsigned i = 0; i < LIMIT_COUNT; i++) {
        q->hard[i] = limits[i].hard;
        q->soft[i] = limits[i].soft;
    }
}

void quota_free(struct quotas *q)
{
    for (size_t i = 0; i < q->accounts.nbuckets;) {
        if (q->accounts.bucket[i]) {
            account_drop(q, container_of(q->accounts.bucket[i], struct account, link));
        } else {
            i++;
        }
    }
    htab_free(&q->accounts);
}

struct account *account_find(struct quotas *q, uint32_t domid)
{
    for (struct hlink *l = htab_first(&q->accounts, domid); l; l = htab_next(l)) {
        struct account *a = container_of(l, struct account, link);

        if (a->domid == domid) {
            return a;
        }
    }
    return NULL;
}

struct account *account_get(struct quotas *q, uint32_t domid)
{
    struct account *a = account_find(q, domid);

    if (!a) {
        a = xcalloc(1, sizeof(*a));
        a->domid = domid;
        htab_insert(&q->accounts, &a->link, domid);
    }
    return a;
}

void account_drop(struct quotas *q, struct account *a)
{
    htab_remove(&q->accounts, &a->link);
    free(a->hard);
    free(a);
}

void account_drop_if_empty(struct quotas *q, struct account *a)
{
    if (a && a->nodes == 0 && a->conns == 0) {
        account_drop(q, a);
    }
}

const char *limit_name(enum limit l)
{
    return limits[l].name;
}

bool limit_parse(const char *name, enum limit *out)
{
    for (unsigned i = 0; i < LIMIT_COUNT; i++) {
        if (strcmp(name, limits[i].name) == 0) {
            *out = (enum limit)i;
            return true;
        }
    }
    return false;
}

uint32_t limit_value(const struct quotas *q, const struct account *a, enum limit l)
{
    return a && a->hard ? a->hard[l] : q->hard[l];
}

void limit_set(struct quotas *q, struct account *a, enum limit l, uint32_t value)
{
    if (!a) {
        q->hard[l] = value;
        return;
    }
    if (!a->hard) {
        a->hard = xmalloc(sizeof(q->hard));
        memcpy(a->hard, q->hard, sizeof(q->hard));
    }
    a->hard[l] = value;
}

bool quota_over_soft(const struct quotas *q, const struct account *a)
{
    return a->domid != 0 && q->soft[LIMIT_MEMORY] && account_memory(a) > q->soft[LIMIT_MEMORY];
}

/* A refused domain must not be able to flood the log either: some lines a second, then a count. */
static bool may_log(struct account *a)
{
    uint64_t now = (uint64_t)time(NULL);

    if (now != a->log_second) {
        if (a->log_left_out) {
            log_msg(LOG_LEVEL_WARNING,
                    "domain %u: %u more refusals in the last seconds, not shown one by one", a->domid,
                    a->log_left_out);
        }
        a->log_second = now;
        a->log_lines = a->log_left_out = 0;
    }
    if (a->log_lines++ < LOG_LINES_A_SECOND) {
        return true;
    }
    a->log_left_out++;
    return false;
}

bool quota_allows(struct quotas *q, struct account *a, enum limit l, uint64_t value, const char *request)
{
    uint32_t max = limit_value(q, a, l);

    if (a->domid == 0 || max == 0 || value <= max) {
        return true;
    }
    a->refused++;
    cause_set("quota %s: %llu asked, limit %u for domain %u", limits[l].name, (unsigned long long)value, max,
              a->domid);
    if (may_log(a)) {
        log_msg(LOG_LEVEL_WARNING,
                "domain %u: %s refused: quota %s would be %llu, the limit is %u "
                "(xenstore-control quota %u %s VALUE raises it)",
                a->domid, request, limits[l].name, (unsigned long long)value, max, a->domid, limits[l].name);
    }
    return false;
}

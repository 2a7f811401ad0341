/*
 * Domains as the store knows them: introduced with a ring, targets, shut down, dead.
 *
 * A domain is introduced from domain_introduce until domain_release. When the hypervisor says that a domain
 * is gone, whether introduced or only mentioned as an owner, its nodes and its rights go too, so that the
 * next domain with that number inherits nothing.
 */
#include "server.h"

#include "log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct domain *domain_find(struct server *s, uint32_t domid)
{
    for (struct hlink *l = htab_first(&s->domains, domid); l; l = htab_next(l)) {
        return container_of(l, struct domain, link);
    }
    return NULL;
}

void domain_journal(struct server *s, const struct domain *d)
{
    uint64_t rec[6] = {d->domid, d->port, d->mfn, d->identity, d->target, d->shutdown_told};

    journal_add(&s->journal, REC_DOMAIN, rec, sizeof(rec), NULL, 0, NULL, 0);
}

static void domain_free(struct server *s, struct domain *d)
{
    htab_remove(&s->domains, &d->link);
    list_del(&d->all);
    free(d);
}

int domain_introduce(struct server *s, uint32_t domid, uint64_t mfn, uint32_t port, bool fresh,
                     struct domain **out)
{
    struct caller who = {.domid = domid, .target = DOMID_NONE, .privileged = domid == 0};
    struct domain *d = xcalloc(1, sizeof(*d));
    int rc;

    d->domid = domid;
    d->mfn = mfn;
    d->port = port;
    d->target = DOMID_NONE;
    rc = s->platform->connect(s->platform, s, d);
    if (rc) {
        free(d);
        return rc;
    }
    s->platform->state(s->platform, domid, &d->identity);
    htab_insert(&s->domains, &d->link, domid);
    list_add_tail(&s->domain_list, &d->all);
    d->conn = conn_new(s, CONN_RING, domid, &who);
    d->conn->domain = d;
    if (fresh) {
        domain_journal(s, d);
        ring_begin(s, d->conn, true);
    }
    log_msg(LOG_LEVEL_INFO, "domain %u: introduced (page %llu, port %u)", domid, (unsigned long long)mfn,
            port);
    *out = d;
    return 0;
}

void domain_release(struct server *s, struct domain *d, bool dead)
{
    uint32_t domid = d->domid;

    s->platform->disconnect(s->platform, s, d);
    d->conn->domain = NULL;
    conn_free(s, d->conn);
    domain_free(s, d);
    journal_add(&s->journal, REC_RELEASE, &domid, sizeof(domid), NULL, 0, NULL, 0);
    log_msg(LOG_LEVEL_INFO, "domain %u: released%s", domid, dead ? ", it is gone" : "");
    if (!dead) {
        return;
    }
    for (struct list *l = s->domain_list.next; l != &s->domain_list; l = l->next) {
        struct domain *other = container_of(l, struct domain, all);

        if (other->target == domid) {
            domain_set_target(s, other, DOMID_NONE);
        }
    }
    store_domain_dead(&s->store, domid);
    journal_add(&s->journal, REC_DEAD, &domid, sizeof(domid), NULL, 0, NULL, 0);
    account_drop_if_empty(&s->store.quotas, account_find(&s->store.quotas, domid));
}

void domain_set_target(struct server *s, struct domain *d, uint32_t target)
{
    d->target = target;
    d->conn->who.target = target;
    domain_journal(s, d);
}

bool domain_may_exist(struct server *s, uint32_t domid)
{
    uint64_t identity;

    return domid == 0 || domain_find(s, domid) ||
           s->platform->state(s->platform, domid, &identity) != DOMAIN_GONE;
}

/* Owners that were never introduced die as well. */
static void check_owners(struct server *s)
{
    struct buf gone = {0};
    struct htab *t = &s->store.quotas.accounts;
    uint64_t identity;

    for (size_t i = 0; i < t->nbuckets; i++) {
        for (struct hlink *l = t->bucket[i]; l; l = l->next) {
            uint32_t domid = container_of(l, struct account, link)->domid;

            if (domid && !domain_find(s, domid) &&
                s->platform->state(s->platform, domid, &identity) == DOMAIN_GONE) {
                buf_add_u32(&gone, domid);
            }
        }
    }
    for (size_t i = 0; i < gone.len / sizeof(uint32_t); i++) {
        uint32_t domid = ((uint32_t *)gone.data)[i];

        store_domain_dead(&s->store, domid);
        journal_add(&s->journal, REC_DEAD, &domid, sizeof(domid), NULL, 0, NULL, 0);
        account_drop_if_empty(&s->store.quotas, account_find(&s->store.quotas, domid));
    }
    buf_free(&gone);
}

void domains_check(struct server *s)
{
    struct list *next;
    bool told = false;

    for (struct list *l = s->domain_list.next; l != &s->domain_list; l = next) {
        struct domain *d = container_of(l, struct domain, all);
        uint64_t identity = d->identity;
        enum domain_state st = s->platform->state(s->platform, d->domid, &identity);

        next = l->next;
        if (d->domid == 0) {
            continue;
        }
        if (st == DOMAIN_GONE || (st != DOMAIN_UNKNOWN && identity != d->identity)) {
            domain_release(s, d, true);
            told = true;
        } else if (st == DOMAIN_SHUTDOWN && !d->shutdown_told) {
            d->shutdown_told = true;
            domain_journal(s, d);
            log_msg(LOG_LEVEL_INFO, "domain %u: shut down", d->domid);
            told = true;
        }
    }
    check_owners(s);
    if (told) {
        watch_special(&s->watches, store_special_name[SPECIAL_RELEASE]);
    }
}

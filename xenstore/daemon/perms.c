/* Permission sets. See perms.h. */
#include "perms.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t set_hash(const struct perm *e, uint32_t n)
{
    return hash_bytes(e, n * sizeof(*e), 1);
}

struct perms *perms_get(struct perms_table *t, const struct perm *e, uint32_t n)
{
    uint64_t hash = set_hash(e, n);
    struct perms *p;

    for (struct hlink *l = htab_first(&t->sets, hash); l; l = htab_next(l)) {
        p = container_of(l, struct perms, link);
        if (p->n == n && memcmp(p->e, e, n * sizeof(*e)) == 0) {
            return perms_ref(p);
        }
    }
    p = xmalloc(sizeof(*p) + n * sizeof(*e));
    p->refs = 1;
    p->n = n;
    memcpy(p->e, e, n * sizeof(*e));
    htab_insert(&t->sets, &p->link, hash);
    return p;
}

struct perms *perms_ref(struct perms *p)
{
    p->refs++;
    return p;
}

void perms_put(struct perms_table *t, struct perms *p)
{
    if (--p->refs == 0) {
        htab_remove(&t->sets, &p->link);
        free(p);
    }
}

uint32_t perms_allow(const struct perms *p, const struct caller *who)
{
    if (who->privileged || p->e[0].domid == who->domid || p->e[0].domid == who->target) {
        return PERM_READ | PERM_WRITE | PERM_OWNER;
    }
    for (uint32_t i = 1; i < p->n; i++) {
        if (p->e[i].domid == who->domid || p->e[i].domid == who->target) {
            return p->e[i].bits;
        }
    }
    return p->e[0].bits;
}

bool perm_parse(const char *s, struct perm *out)
{
    uint32_t v = 0;

    switch (*s++) {
    case 'n':
        out->bits = 0;
        break;
    case 'r':
        out->bits = PERM_READ;
        break;
    case 'w':
        out->bits = PERM_WRITE;
        break;
    case 'b':
        out->bits = PERM_READ | PERM_WRITE;
        break;
    default:
        return false;
    }
    if (*s == '\0') {
        return false;
    }
    for (; *s; s++) {
        if (*s < '0' || *s > '9' || (v = v * 10 + (uint32_t)(*s - '0')) > 65535) {
            return false;
        }
    }
    out->domid = v;
    return true;
}

int perm_format(const struct perm *p, char *out)
{
    return snprintf(out, 12, "%c%u", "nrwb"[p->bits & 3], p -> domid & 65535);
}

void perms_forget_domain(struct perms_table *t, uint32_t domid)
{
    struct perms *changed = NULL;
    struct perms *p;

    /* First gather the sets that name the domain: editing changes their place in the table. */
    for (size_t i = 0; i < t->sets.nbuckets; i++) {
        for (struct hlink **at = &t->sets.bucket[i]; *at;) {
            uint32_t hit = 0;

            p = container_of(*at, struct perms, link);
            for (uint32_t k = 1; k < p->n; k++) {
                hit |= p->e[k].domid == domid;
            }
            if (!hit) {
                at = &(*at)->next;
                continue;
            }
            *at = p->link.next;
            t->sets.count--;
            p->link.next = changed ? &changed->link : NULL;
            changed = p;
        }
    }
    while ((p = changed)) {
        uint32_t n = 1;

        changed = p->link.next ? container_of(p->link.next, struct perms, link) : NULL;
        for (uint32_t k = 1; k < p->n; k++) {
            if (p->e[k].domid != domid) {
                p->e[n++] = p->e[k];
            }
        }
        p->n = n;
        htab_insert(&t->sets, &p->link, set_hash(p->e, n));
    }
}

/*
 * Permission sets of nodes: parse, format, check, share.
 *
 * A set is an owner with the rights of everybody who is not named, followed by named domains with their
 * rights. Sets are immutable for their holders, counted, and interned in a table, so that thousands of nodes
 * with the same rights share one. The one change ever made to a set in use is dropping a domain that died:
 * its rights vanish everywhere at once, also from snapshots.
 */
#ifndef BH_XS_PERMS_H
#define BH_XS_PERMS_H

#include "util.h"

#define PERM_READ  1u
#define PERM_WRITE 2u
#define PERM_OWNER 8u
#define PERMS_MAX  64u /* entries a set may have at all; a quota is lower */
#define DOMID_NONE UINT32_MAX

struct perm {
    uint32_t domid;
    uint32_t bits; /* PERM_READ | PERM_WRITE */
};

struct perms {
    struct hlink link;
    uint32_t refs;
    uint32_t n;
    struct perm e[];
};

struct perms_table {
    struct htab sets;
};

/* Who asks: its domain, the domain that it may act for (or DOMID_NONE), and whether it is the control domain.
 */
struct caller {
    uint32_t domid;
    uint32_t target;
    bool privileged;
};

/* The shared set with these entries; the caller gets a reference. n is 1 to PERMS_MAX. */
struct perms *perms_get(struct perms_table *t, const struct perm *e, uint32_t n);
struct perms *perms_ref(struct perms *p);
void perms_put(struct perms_table *t, struct perms *p);

/* What `who` may do on a node with this set: PERM_* bits. */
uint32_t perms_allow(const struct perms *p, const struct caller *who);

/* One entry from its text ("b12"). False if it is not of that form. */
bool perm_parse(const char *s, struct perm *out);
/* Text of an entry, at most 12 bytes with the nul. Returns its length without the nul. */
int perm_format(const struct perm *p, char *out);

/* Takes all rights of a domain away from every set in which it is not the owner. */
void perms_forget_domain(struct perms_table *t, uint32_t domid);

#endif

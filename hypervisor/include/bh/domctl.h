/* What domctl and sysctl share, and what they ask of the machine (arch/x86/domctl.c, sysctl.c). */
#ifndef BH_DOMCTL_H
#define BH_DOMCTL_H

#include <bh/types.h>
#include <public/domctl.h>
#include <public/sysctl.h>

/* Who handles a command of domctl, and what holds before. */
struct domctl_row {
    long (*handler)(struct vcpu *v, struct domain *d, struct xen_domctl *op);
    uint8_t flags;
};
#define DOMCTL_NO_DOMAIN 1 /* the command names none, or finds it by itself */
#define DOMCTL_OTHER     2 /* not the caller's own domain */
#define DOMCTL_COPY      4 /* the struct goes back to the caller, whatever the result */
/* The machine's commands; NULL: there is none of this number. */
const struct domctl_row *arch_domctl(uint32_t cmd);

/* d's vcpu `id`; NULL: there is none (noted). */
struct vcpu *domctl_vcpu(struct vcpu *v, struct domain *d, uint32_t id);
/* A domain as the toolstack sees it. */
void domctl_domain_info(struct domain *d, struct xen_domctl_getdomaininfo *info);
/* The machine's members of it, zero before. */
void arch_domain_info(const struct domain *d, struct xen_domctl_getdomaininfo *info);
/* The members of config that are the machine's: checked. 0, -EINVAL. */
int must_check arch_domain_config_check(struct vcpu *v, const struct xen_domctl_createdomain *config);

/* A guest's bitmap (of CPUs or nodes) into a mask: bits beyond 63 must be clear or are ignored. 0, -EFAULT,
 * -EINVAL. */
int must_check bitmap_from_guest(struct vcpu *v, const struct xenctl_bitmap *map, uint64_t *mask);
/* A mask into a guest's bitmap; bits it has no room for are left out, bits beyond 63 cleared. 0, -EFAULT. */
int must_check bitmap_to_guest(struct vcpu *v, const struct xenctl_bitmap *map, uint64_t mask);

#endif

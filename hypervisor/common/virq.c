/*
 * Virtual interrupts: what there is, and the handlers of the global ones.
 *
 * handler[virq] is the domain that gets a global VIRQ, with a reference held; NULL: the control domain. The
 * lock covers the table for as long as an event is delivered, so that a handler is not freed underneath.
 */
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/virq.h>

static struct spinlock handler_lock;
static struct domain *handler[NR_VIRQS];

enum virq_scope virq_scope(uint32_t virq)
{
    const uint32_t holes = 1u << 5 | 1u << 14 | 1u << 15; /* numbers the ABI leaves free */
    const uint32_t per_vcpu = 1u << VIRQ_TIMER | 1u << VIRQ_DEBUG | 1u << VIRQ_XENOPROF | 1u << VIRQ_XENPMU;

    if (virq >= NR_VIRQS || holes >> virq & 1)
        return VIRQ_NONE;
    return per_vcpu >> virq & 1 ? VIRQ_VCPU : VIRQ_GLOBAL;
}

void virq_send_global(uint32_t virq)
{
    struct domain *d;

    spin_lock(&handler_lock);
    d = handler[virq] != NULL ? handler[virq] : control_domain;
    if (d != NULL && d->vcpu != NULL && d->vcpu[0] != NULL)
        evtchn_send_virq(d->vcpu[0], virq);
    spin_unlock(&handler_lock);
}

static struct domain *replace(uint32_t virq, struct domain *d)
{
    struct domain *old;

    spin_lock(&handler_lock);
    old = handler[virq];
    handler[virq] = d;
    spin_unlock(&handler_lock);
    return old;
}

int virq_set_handler(struct vcpu *v, struct domain *d, uint32_t virq)
{
    struct domain *old;

    if (virq_scope(virq) != VIRQ_GLOBAL)
        return fail(v, -EINVAL, "set_virq_handler: VIRQ {0} is not a global one", virq, 0);
    if (d->state >= DOMAIN_DYING)
        return fail(v, -ESRCH, "set_virq_handler: domain {0} is being destroyed", d->id, 0);
    if (d == control_domain)
        d = NULL;
    else
        domain_hold(d);
    old = replace(virq, d);
    if (old != NULL)
        domain_put(old);
    return 0;
}

void virq_clear_handler(struct domain *d)
{
    for (uint32_t virq = 0; virq < NR_VIRQS; virq++) {
        bool mine;

        spin_lock(&handler_lock);
        mine = handler[virq] == d;
        if (mine)
            handler[virq] = NULL;
        spin_unlock(&handler_lock);
        if (mine)
            domain_put(d);
    }
}

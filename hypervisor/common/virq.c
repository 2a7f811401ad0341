/*
 * Virtual interrupts: the table of what there is, and the handlers of the global ones.
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
    static const uint8_t scope[NR_VIRQS] = {
        [VIRQ_TIMER] = VIRQ_VCPU,       [VIRQ_DEBUG] = VIRQ_VCPU,      [VIRQ_CONSOLE] = VIRQ_GLOBAL,
        [VIRQ_DOM_EXC] = VIRQ_GLOBAL,   [VIRQ_TBUF] = VIRQ_GLOBAL,     [VIRQ_DEBUGGER] = VIRQ_GLOBAL,
        [VIRQ_XENOPROF] = VIRQ_VCPU,    [VIRQ_CON_RING] = VIRQ_GLOBAL, [VIRQ_PCPU_STATE] = VIRQ_GLOBAL,
        [VIRQ_MEM_EVENT] = VIRQ_GLOBAL, [VIRQ_ARGO] = VIRQ_GLOBAL,     [VIRQ_ENOMEM] = VIRQ_GLOBAL,
        [VIRQ_XENPMU] = VIRQ_VCPU,      [VIRQ_ARCH_0] = VIRQ_GLOBAL,   [VIRQ_ARCH_1] = VIRQ_GLOBAL,
        [VIRQ_ARCH_2] = VIRQ_GLOBAL,    [VIRQ_ARCH_3] = VIRQ_GLOBAL,   [VIRQ_ARCH_4] = VIRQ_GLOBAL,
        [VIRQ_ARCH_5] = VIRQ_GLOBAL,    [VIRQ_ARCH_6] = VIRQ_GLOBAL,   [VIRQ_ARCH_7] = VIRQ_GLOBAL,
    };

    return virq < NR_VIRQS ? scope[virq] : VIRQ_NONE;
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

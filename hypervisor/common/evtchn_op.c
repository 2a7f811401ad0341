/*
 * Event channels: EVTCHNOP_*. Operations check, lock the domain (both, where two are concerned), and change
 * bindings through evtchn.c.
 */
#include "evtchn_internal.h"
#include <bh/arch.h>
#include <bh/errno.h>
#include <bh/guest.h>
#include <bh/hypercall.h>
#include <bh/policy.h>
#include <bh/printk.h>
#include <bh/virq.h>
#include <asm/guest_word.h>

/* --- Binding --- */

static int bind_interdomain_locked(struct vcpu *v, struct domain *d, struct domain *rd, uint32_t rport,
                                   uint32_t *lport)
{
    struct evtchn *rchn = evtchn_lookup(&rd->evtchn, rport), *lchn;
    int rc;

    if (rchn == NULL || evtchn_state_of(rchn) != EVTCHN_UNBOUND || rchn->u.unbound.remote != d->id)
        return fail(v, -EINVAL,
                    "event channels: bind_interdomain: port {1} of domain {0} was not offered to the caller",
                    rd->id, rport);
    rc = evtchn_take_port(v, d, &lchn);
    if (rc != 0)
        return rc;
    lchn->u.interdomain.remote = rd;
    lchn->u.interdomain.port = rport;
    evtchn_open_port(lchn, EVTCHN_INTERDOMAIN);
    rchn->u.interdomain.remote = d;
    rchn->u.interdomain.port = lchn->port;
    evtchn_open_port(rchn, EVTCHN_INTERDOMAIN);
    *lport = lchn->port;

    /* What the peer sent before it was bound is lost; one event makes up for it. */
    spin_lock(&lchn->lock);
    evtchn_deliver(d, lchn);
    spin_unlock(&lchn->lock);
    return 0;
}

static long op_bind_interdomain(struct vcpu *v, struct domain *rd, void *arg)
{
    struct evtchn_bind_interdomain *op = arg;
    int rc;

    evtchn_lock_two(v->domain, rd);
    rc = bind_interdomain_locked(v, v->domain, rd, op->remote_port, &op->local_port);
    evtchn_unlock_two(v->domain, rd);
    return rc;
}

static long op_bind_virq(struct vcpu *v, struct domain *d, void *arg)
{
    struct evtchn_bind_virq *op = arg;
    enum virq_scope scope = virq_scope(op->virq);
    struct vcpu *to = domain_vcpu(d, op->vcpu);
    struct evtchn *chn;
    int rc;

    if (scope == VIRQ_NONE)
        return fail(v, -EINVAL, "event channels: bind_virq: there is no VIRQ {0}", op->virq, 0);
    if (to == NULL || (scope == VIRQ_GLOBAL && op->vcpu != 0))
        return fail(v, to == NULL ? -ENOENT : -EINVAL,
                    "event channels: bind_virq: VIRQ {0} cannot be bound to vcpu {1} (global ones: vcpu 0)",
                    op->virq, op->vcpu);
    spin_lock(&d->evtchn.lock);
    if (to->evtchn.virq_port[op->virq] != 0)
        rc = fail(v, -EEXIST, "event channels: bind_virq: VIRQ {0} is bound to port {1} already", op->virq,
                  to->evtchn.virq_port[op->virq]);
    else
        rc = evtchn_take_port(v, d, &chn);
    if (rc == 0) {
        chn->vcpu = (uint16_t)op->vcpu;
        chn->u.virq = op->virq;
        evtchn_open_port(chn, EVTCHN_VIRQ);
        atomic_store_explicit(&to->evtchn.virq_port[op->virq], chn->port, memory_order_release);
        op->port = chn->port;
    }
    spin_unlock(&d->evtchn.lock);
    return rc;
}

static long op_bind_ipi(struct vcpu *v, struct domain *d, void *arg)
{
    struct evtchn_bind_ipi *op = arg;
    struct evtchn *chn;
    int rc;

    if (domain_vcpu(d, op->vcpu) == NULL)
        return fail(v, -ENOENT, "event channels: bind_ipi: no vcpu {0} (domain has {1})", op->vcpu,
                    d->max_vcpus);
    spin_lock(&d->evtchn.lock);
    rc = evtchn_take_port(v, d, &chn);
    if (rc == 0) {
        chn->vcpu = (uint16_t)op->vcpu;
        evtchn_open_port(chn, EVTCHN_IPI);
        op->port = chn->port;
    }
    spin_unlock(&d->evtchn.lock);
    return rc;
}

static long op_bind_pirq(struct vcpu *v, struct domain *d, void *arg)
{
    struct evtchn_bind_pirq *op = arg;
    struct evtchn *chn;
    int rc;

    spin_lock(&d->evtchn.lock);
    rc = evtchn_take_port(v, d, &chn);
    if (rc == 0) {
        /* Open before the interrupt can come. */
        chn->u.pirq = op->pirq;
        evtchn_open_port(chn, EVTCHN_PIRQ);
        rc = arch_pirq_bind(d, op->pirq, chn->port, op->flags & BIND_PIRQ__WILL_SHARE);
        if (rc == 0) {
            op->port = chn->port;
        } else {
            spin_lock(&chn->lock);
            evtchn_open_port(chn, EVTCHN_FREE);
            spin_unlock(&chn->lock);
            evtchn_give_back(d, chn->port);
            fail(v, rc,
                 "event channels: bind_pirq: the domain cannot bind pirq {0} (error {1}): mapped? bound "
                 "already?",
                 op->pirq, (uint64_t)-rc);
        }
    }
    spin_unlock(&d->evtchn.lock);
    return rc;
}

/* --- The other operations --- */

static long op_status(struct vcpu *v, struct domain *d, void *arg)
{
    static const uint8_t status[] = {
        [EVTCHN_FREE] = EVTCHNSTAT_closed,     [EVTCHN_RESERVED] = EVTCHNSTAT_closed,
        [EVTCHN_UNBOUND] = EVTCHNSTAT_unbound, [EVTCHN_INTERDOMAIN] = EVTCHNSTAT_interdomain,
        [EVTCHN_PIRQ] = EVTCHNSTAT_pirq,       [EVTCHN_VIRQ] = EVTCHNSTAT_virq,
        [EVTCHN_IPI] = EVTCHNSTAT_ipi,
    };
    struct evtchn_status *op = arg;
    struct evtchn *chn = evtchn_lookup(&d->evtchn, op->port);

    if (chn == NULL)
        return fail(v, -EINVAL, "event channels: status: domain {0} has no port {1}", d->id, op->port);
    spin_lock(&d->evtchn.lock);
    op->status = status[evtchn_state_of(chn)];
    op->vcpu = chn->vcpu;
    switch (evtchn_state_of(chn)) {
    case EVTCHN_UNBOUND:
        op->u.unbound.dom = chn->u.unbound.remote;
        break;
    case EVTCHN_INTERDOMAIN:
        op->u.interdomain.dom = chn->u.interdomain.remote->id;
        op->u.interdomain.port = chn->u.interdomain.port;
        break;
    case EVTCHN_PIRQ:
        op->u.pirq = chn->u.pirq;
        break;
    case EVTCHN_VIRQ:
        op->u.virq = chn->u.virq;
        break;
    default:
        break;
    }
    spin_unlock(&d->evtchn.lock);
    return 0;
}

static int bind_vcpu_locked(struct vcpu *v, struct evtchn *chn, struct vcpu *to)
{
    switch (evtchn_state_of(chn)) {
    case EVTCHN_VIRQ:
        if (virq_scope(chn->u.virq) != VIRQ_GLOBAL)
            return fail(v, -EINVAL, "event channels: bind_vcpu: VIRQ {0} of port {1} belongs to its vcpu",
                        chn->u.virq, chn->port);
        break;
    case EVTCHN_UNBOUND:
    case EVTCHN_INTERDOMAIN:
        break;
    case EVTCHN_PIRQ:
        arch_pirq_set_affinity(v->domain, chn->u.pirq, to->sched.cpu);
        break;
    default:
        return fail(v, -EINVAL,
                    "event channels: bind_vcpu: port {0} is in state {1}, which has no vcpu to choose",
                    chn->port, chn->state);
    }
    atomic_store_explicit(&chn->vcpu, (uint16_t)to->id, memory_order_relaxed);
    return 0;
}

static long op_bind_vcpu(struct vcpu *v, struct domain *d, void *arg)
{
    const struct evtchn_bind_vcpu *op = arg;
    struct evtchn *chn = evtchn_lookup(&d->evtchn, op->port);
    struct vcpu *to = domain_vcpu(d, op->vcpu);
    int rc;

    if (to == NULL)
        return fail(v, -ENOENT, "event channels: bind_vcpu: no vcpu {0} (domain has {1})", op->vcpu,
                    d->max_vcpus);
    if (chn == NULL)
        return fail(v, -EINVAL, "event channels: bind_vcpu: domain has no port {0} (ports: {1})", op->port,
                    d->evtchn.nr_ports);
    spin_lock(&d->evtchn.lock);
    rc = bind_vcpu_locked(v, chn, to);
    spin_unlock(&d->evtchn.lock);
    return rc;
}

static long op_set_priority(struct vcpu *v, struct domain *d, void *arg)
{
    const struct evtchn_set_priority *op = arg;
    struct evtchn *chn = evtchn_lookup(&d->evtchn, op->port);

    if (d->evtchn.fifo == NULL)
        return fail(v, -ENOSYS, "event channels: set_priority: the domain uses the 2-level ABI", 0, 0);
    if (chn == NULL || op->priority > EVTCHN_FIFO_PRIORITY_MIN)
        return fail(v, -EINVAL, "event channels: set_priority: no port {0}, or priority {1} is above 15",
                    op->port, op->priority);
    atomic_store_explicit(&chn->priority, (uint8_t)op->priority, memory_order_relaxed);
    return 0;
}

/* A port of another domain. */
static long op_alloc_unbound(struct vcpu *v, struct domain *d, void *arg)
{
    struct evtchn_alloc_unbound *op = arg;

    return evtchn_alloc_unbound(v, d, op->remote_dom == DOMID_SELF ? v->domain->id : op->remote_dom,
                                &op->port);
}

/* `op` is RESET, or RESET_CONT when it goes on after a pause; arg stays the guest's. */
static __attribute__((noinline)) long do_reset(struct vcpu *v, uint64_t untrusted_arg)
{
    struct evtchn_reset op;
    struct domain *d;
    int rc;

    if (copy_from_guest(v, &op, untrusted_arg, sizeof(op)) != 0)
        return fail(v, -EFAULT, "event channels: reset: argument at {0} is not readable", untrusted_arg, 0);
    rc = domain_get_for(v, op.dom, POLICY_CONTROL, &d);
    if (rc != 0)
        return rc;
    if (d != v->domain && d->controller_pause_count == 0)
        rc = fail(v, -EINVAL, "event channels: reset: domain {0} has to be paused", d->id, 0);
    else
        rc = evtchn_reset(d);
    domain_put(d);
    return rc == -EAGAIN ? hypercall_restart(v, EVTCHNOP_reset_cont, untrusted_arg, 0, 0, 0) : rc;
}

static const struct subop evtchn_table[] = {
    [EVTCHNOP_bind_interdomain] =
        SUBOP_ON(remote_dom, POLICY_EVTCHN_BIND, op_bind_interdomain, evtchn_bind_interdomain, ARG_INOUT),
    [EVTCHNOP_bind_virq] = SUBOP(op_bind_virq, evtchn_bind_virq, ARG_INOUT),
    [EVTCHNOP_bind_pirq] = SUBOP(op_bind_pirq, evtchn_bind_pirq, ARG_INOUT),
    [EVTCHNOP_status] = SUBOP_ON(dom, POLICY_INSPECT, op_status, evtchn_status, ARG_INOUT),
    [EVTCHNOP_alloc_unbound] =
        SUBOP_ON(dom, POLICY_CONTROL, op_alloc_unbound, evtchn_alloc_unbound, ARG_INOUT),
    [EVTCHNOP_bind_ipi] = SUBOP(op_bind_ipi, evtchn_bind_ipi, ARG_INOUT),
    [EVTCHNOP_bind_vcpu] = SUBOP(op_bind_vcpu, evtchn_bind_vcpu, ARG_IN),
    [EVTCHNOP_init_control] = SUBOP(evtchn_fifo_init_control, evtchn_init_control, ARG_INOUT),
    [EVTCHNOP_expand_array] = SUBOP(evtchn_fifo_expand_array, evtchn_expand_array, ARG_IN),
    [EVTCHNOP_set_priority] = SUBOP(op_set_priority, evtchn_set_priority, ARG_IN),
};

static int bad_argument(struct vcpu *v, unsigned long op, uint64_t untrusted_arg)
{
    return fail(v, -EFAULT, "event channels: argument of operation {1} at {0} is not accessible",
                untrusted_arg, op);
}

/* The two domain ids of alloc_unbound are one word; mostly the port is to be the caller's own. */
static __attribute__((noinline)) long do_alloc_unbound(struct vcpu *v, uint64_t untrusted_arg)
{
    domid_t self = v->domain->id, owner, remote;
    uint32_t domains, port;
    int rc;

    if (unlikely(get_guest_u32(&domains, untrusted_arg)))
        return bad_argument(v, EVTCHNOP_alloc_unbound, untrusted_arg);
    owner = (domid_t)domains;
    remote = domains >> 16 == DOMID_SELF ? self : (domid_t)(domains >> 16);
    if (unlikely(owner != DOMID_SELF && owner != self))
        return subop_dispatch(v, evtchn_table, ARRAY_SIZE(evtchn_table), EVTCHNOP_alloc_unbound,
                              untrusted_arg);
    rc = evtchn_alloc_unbound(v, v->domain, remote, &port);
    if (unlikely(rc != 0))
        return rc;
    if (likely(!put_guest_u32(untrusted_arg + offsetof(struct evtchn_alloc_unbound, port), port)))
        return 0;
    evtchn_close(v, v->domain, port);
    return bad_argument(v, EVTCHNOP_alloc_unbound, untrusted_arg);
}

static __attribute__((noinline)) long other_op(struct vcpu *v, unsigned long op, uint64_t untrusted_arg)
{
    uint32_t port;

    if (op == EVTCHNOP_unmask)
        return unlikely(get_guest_u32(&port, untrusted_arg)) ? bad_argument(v, op, untrusted_arg)
                                                             : evtchn_unmask(v, port);
    if (op == EVTCHNOP_reset || op == EVTCHNOP_reset_cont)
        return do_reset(v, untrusted_arg);
    return subop_dispatch(v, evtchn_table, ARRAY_SIZE(evtchn_table), op, untrusted_arg);
}

/* What is frequent goes past the table: its argument begins with, or is, one word. */
long do_event_channel_op(struct vcpu *v, unsigned long op, unsigned long untrusted_arg, unsigned long a3,
                         unsigned long a4, unsigned long a5)
{
    struct evtchn *chn;
    uint32_t port;

    if (unlikely(op != EVTCHNOP_send && op != EVTCHNOP_close))
        return op == EVTCHNOP_alloc_unbound ? do_alloc_unbound(v, untrusted_arg)
                                            : other_op(v, op, untrusted_arg);
    if (unlikely(get_guest_u32(&port, untrusted_arg)))
        return bad_argument(v, op, untrusted_arg);
    if (unlikely(op == EVTCHNOP_close))
        return evtchn_close(v, v->domain, port);
    chn = evtchn_lookup(&v->domain->evtchn, port);
    if (unlikely(chn == NULL))
        return evtchn_no_port(v, v->domain, port);
    return evtchn_state_of(chn) == EVTCHN_UNBOUND ? 0 : evtchn_send_bound(v, v->domain, chn);
}

static void dump_port(struct domain *d, const struct evtchn *chn)
{
    static const char *const name[] = {
        [EVTCHN_UNBOUND] = "unbound, offered to domain",
        [EVTCHN_INTERDOMAIN] = "with domain",
        [EVTCHN_PIRQ] = "pirq",
        [EVTCHN_VIRQ] = "virq",
        [EVTCHN_IPI] = "ipi of vcpu",
    };
    uint8_t state = evtchn_state_of(chn);
    uint32_t what = state == EVTCHN_UNBOUND       ? chn->u.unbound.remote
                    : state == EVTCHN_INTERDOMAIN ? chn->u.interdomain.remote->id
                    : state == EVTCHN_IPI         ? chn->vcpu
                                                  : chn->u.virq;

    printk(LOG_INFO, "  %5u -> vcpu %u%s: %s %u port %u", chn->port, chn->vcpu,
           evtchn_is_pending(d, chn) ? " pending" : "", name[state], what,
           state == EVTCHN_INTERDOMAIN ? chn->u.interdomain.port : 0);
}

void evtchn_dump(struct domain *d)
{
    printk(LOG_INFO, "Event channels of domain %u: %u in use, at most %u, %s ABI", d->id, d->evtchn.nr_used,
           d->evtchn.limit - 1, d->evtchn.fifo != NULL ? "FIFO" : "2-level");
    for (uint32_t port = 1; port < d->evtchn.nr_ports; port++) {
        spin_lock(&d->evtchn.lock);
        if (evtchn_port_valid(d, port))
            dump_port(d, evtchn_lookup(&d->evtchn, port));
        spin_unlock(&d->evtchn.lock);
    }
}

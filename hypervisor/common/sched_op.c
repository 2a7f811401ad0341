/* sched_op: yielding, blocking, polling, ending; watchdogs. */
#include <bh/arch.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/guest.h>
#include <bh/hypercall.h>
#include <bh/work.h>
#include <public/sched.h>

#define POLL_MAX_PORTS 128

/* Whether one of the ports has an event already; an error for one that does not exist. */
static long poll_ports_pending(struct vcpu *v, const uint32_t *port, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (!evtchn_port_valid(v->domain, port[i]))
            return fail(v, -EINVAL, "poll: no port {0}", port[i], 0);
        if (evtchn_port_pending(v->domain, port[i]))
            return 1;
    }
    return 0;
}

static void set_state(struct vcpu *v, enum vcpu_state from, enum vcpu_state to)
{
    sched_set_state(v, from, to);
    atomic_thread_fence(memory_order_seq_cst);
}

/* An event that the guest lets in ends the wait like one of the ports. */
static bool upcall_due(const struct vcpu *v)
{
    return READ_ONCE(v->info->evtchn_upcall_pending) && !READ_ONCE(v->info->evtchn_upcall_mask);
}

static long op_poll(struct vcpu *v, struct domain *d, void *arg)
{
    const struct sched_poll *p = arg;
    uint32_t port[POLL_MAX_PORTS];
    long ret;

    if (p->nr_ports > POLL_MAX_PORTS)
        return fail(v, -EINVAL, "poll: {0} ports are more than {1}", p->nr_ports, POLL_MAX_PORTS);
    if (p->nr_ports && copy_from_guest(v, port, p->ports, p->nr_ports * sizeof(port[0])))
        return fail(v, -EFAULT, "poll: ports at {0} cannot be read", p->ports, 0);
    evtchn_poll_begin(v, p->nr_ports == 1 ? port[0] : 0);
    set_state(v, VCPU_RUNABLE, VCPU_BLOCKED);
    /* Who sends sets the event first and then looks at the state; here it is the other way round. */
    atomic_thread_fence(memory_order_seq_cst);
    ret = upcall_due(v) ? 1 : poll_ports_pending(v, port, p->nr_ports);
    if (ret) {
        set_state(v, VCPU_BLOCKED, VCPU_RUNABLE);
        evtchn_poll_end(v);
        return ret < 0 ? ret : 0;
    }
    if (p->timeout)
        timer_set(&v->poll_timer, p->timeout);
    work_raise(WORK_SCHEDULE);
    return 0;
}

/* A watchdog that was not poked in time. */
static void watchdog_expired(void *arg)
{
    struct domain *d = arg;

    printk(LOG_ERROR, "d%u: watchdog expired", d->id);
    domain_shutdown(d, SHUTDOWN_watchdog);
}

static long op_watchdog(struct vcpu *v, struct domain *d, void *arg)
{
    const struct sched_watchdog *w = arg;
    uint32_t id = w->id, bit;
    long ret = 0;

    if (id > ARRAY_SIZE(d->watchdog))
        return fail(v, -EINVAL, "watchdog: no timer {0}, there are {1}", id, ARRAY_SIZE(d->watchdog));
    spin_lock(&d->lock);
    if (!id) {
        while (id < ARRAY_SIZE(d->watchdog) && d->watchdog_in_use & 1u << id)
            id++;
        if (!w->timeout)
            ret = fail(v, -EINVAL, "watchdog: a new timer needs a timeout", 0, 0);
        else if (id == ARRAY_SIZE(d->watchdog))
            ret = fail(v, -ENOSPC, "watchdog: all {0} timers are in use", id, 0);
        else
            ret = ++id;
    } else if (!(d->watchdog_in_use & 1u << (id - 1))) {
        ret = fail(v, -EINVAL, "watchdog: timer {0} is not in use", id, 0);
    }
    if (ret >= 0) {
        bit = 1u << (id - 1);
        if (w->timeout) {
            if (!(d->watchdog_in_use & bit))
                timer_init(&d->watchdog[id - 1], watchdog_expired, d, v->sched.cpu);
            d->watchdog_in_use |= bit;
            timer_set(&d->watchdog[id - 1], arch_now() + NSEC((uint64_t)w->timeout));
        } else {
            d->watchdog_in_use &= ~bit;
            timer_stop(&d->watchdog[id - 1]);
        }
    }
    spin_unlock(&d->lock);
    return ret;
}

static long op_shutdown(struct vcpu *v, struct domain *d, void *arg)
{
    domain_shutdown(d, ((const struct sched_shutdown *)arg)->reason & 0xff);
    return 0;
}

static long op_shutdown_code(struct vcpu *v, struct domain *d, void *arg)
{
    long ret = 0;

    spin_lock(&d->lock);
    if (d->is_shutting_down)
        ret =
            fail(v, -EBUSY, "shutdown_code: the domain is shutting down with code {0}", d->shutdown_code, 0);
    else
        d->shutdown_code = ((const struct sched_shutdown *)arg)->reason & 0xff;
    spin_unlock(&d->lock);
    return ret;
}

static long op_remote_shutdown(struct vcpu *v, struct domain *d, void *arg)
{
    domain_shutdown(d, ((const struct sched_remote_shutdown *)arg)->reason & 0xff);
    return 0;
}

static long op_pin_override(struct vcpu *v, struct domain *d, void *arg)
{
    int32_t cpu = ((const struct sched_pin_override *)arg)->pcpu;
    int ret = sched_pin_override(v, cpu);

    if (ret)
        return fail(v, ret, "pin_override: CPU {0} is not usable, or the override does not fit its state",
                    (uint64_t)(int64_t)cpu, 0);
    return 0;
}

static const struct subop ops[] = {
    [SCHEDOP_shutdown] = SUBOP(op_shutdown, sched_shutdown, ARG_IN),
    [SCHEDOP_poll] = SUBOP(op_poll, sched_poll, ARG_IN),
    [SCHEDOP_remote_shutdown] =
        SUBOP_ON(domain_id, POLICY_CONTROL, op_remote_shutdown, sched_remote_shutdown, ARG_IN),
    [SCHEDOP_shutdown_code] = SUBOP(op_shutdown_code, sched_shutdown, ARG_IN),
    [SCHEDOP_watchdog] = SUBOP(op_watchdog, sched_watchdog, ARG_IN),
    [SCHEDOP_pin_override] = SUBOP(op_pin_override, sched_pin_override, ARG_IN, .privileged = true),
};

/* The two that are called all the time; false: it is another. */
static inline bool give_way(struct vcpu *v, uint32_t cmd)
{
    if (cmd == SCHEDOP_block)
        vcpu_block(v);
    else if (cmd == SCHEDOP_yield)
        vcpu_yield(v);
    else
        return false;
    return true;
}

long do_sched_op(struct vcpu *v, unsigned long cmd, unsigned long untrusted_arg, unsigned long a3,
                 unsigned long a4, unsigned long a5)
{
    if (give_way(v, (uint32_t)cmd))
        return 0;
    return subop_dispatch(v, ops, ARRAY_SIZE(ops), (uint32_t)cmd, untrusted_arg);
}

/* The operation's old number: three commands, the reason of a shutdown by value. */
long do_sched_op_compat(struct vcpu *v, unsigned long cmd, unsigned long arg, unsigned long a3,
                        unsigned long a4, unsigned long a5)
{
    struct sched_shutdown shutdown = {.reason = (uint32_t)arg};

    if (give_way(v, (uint32_t)cmd))
        return 0;
    if ((uint32_t)cmd == SCHEDOP_shutdown)
        return op_shutdown(v, v->domain, &shutdown);
    return fail(v, -ENOSYS, "sched_op: no compatibility operation {0}", (uint32_t)cmd, 0);
}

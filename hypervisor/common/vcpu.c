/*
 * Virtual CPUs: birth and end, vcpu_op, their timers, where they share time and events with their guest.
 *
 * v->info points at the guest's vcpu_info: in the shared_info page for the first 32 vcpus, at a place that
 * the guest registered, or at one of its own that the guest cannot read.
 */
#include "evtchn_internal.h"
#include <bh/arch.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/guest.h>
#include <bh/hypercall.h>
#include <bh/page_alloc.h>
#include <bh/string.h>
#include <public/sched.h>

#define MSEC 1000000UL

static void timer_event(void *arg)
{
    evtchn_send_virq(arg, VIRQ_TIMER);
}

static void periodic_event(void *arg)
{
    struct vcpu *v = arg;
    uint64_t period = READ_ONCE(v->periodic_period), now = arch_now();

    if (!period)
        return;
    v->periodic_last += period;
    if (v->periodic_last + period <= now) /* late by more than a period: ticks are lost, not bunched */
        v->periodic_last = now;
    evtchn_send_virq(v, VIRQ_TIMER);
    timer_set(&v->periodic_timer, v->periodic_last + period);
}

static void poll_timeout(void *arg)
{
    vcpu_wake(arg);
}

static void held_upcall(void *arg)
{
    evtchn_notify_vcpu(arg);
}

/* The running vcpu's upcall, which is due, comes in `ns` (or with the next event, if that is sooner). */
void vcpu_hold_upcall(struct vcpu *v, uint64_t ns)
{
    WRITE_ONCE(v->info->evtchn_upcall_pending, 0);
    timer_set(&v->upcall_timer, arch_now() + ns);
}

int vcpu_create(struct domain *d, uint32_t id, struct vcpu **out)
{
    struct vcpu *v;
    int ret = 0;

    if (id >= d->max_vcpus)
        return -EINVAL;
    if (d->vcpu[id])
        return -EEXIST;
    v = kalloc(sizeof(*v));
    if (!v)
        return -ENOMEM;
    v->id = id;
    v->domain = d;
    v->unseen_info.evtchn_upcall_mask = 1;
    v->info = d->shared_info && id < XEN_LEGACY_MAX_VCPUS ? &d->shared_info->vcpu_info[id] : &v->unseen_info;
    sched_vcpu_init(v);
    timer_init(&v->periodic_timer, periodic_event, v, v->sched.cpu);
    timer_init(&v->singleshot_timer, timer_event, v, v->sched.cpu);
    timer_init(&v->poll_timer, poll_timeout, v, v->sched.cpu);
    timer_init(&v->upcall_timer, held_upcall, v, v->sched.cpu);
    if (d->kind == KIND_PV)
        ret = arch_vcpu_create(v);
    if (ret) {
        arch_vcpu_destroy(v);
        kfree(v);
        return ret;
    }
    d->vcpu[id] = v;
    if (out)
        *out = v;
    return 0;
}

void vcpu_forget_guest(struct vcpu *v)
{
    struct page_info *pg = v->info_page;

    v->runstate_guest = 0;
    v->time_guest = 0;
    v->info = &v->unseen_info;
    v->info_page = NULL;
    if (pg)
        put_page_writable(pg);
}

void vcpu_stop_timers(struct vcpu *v)
{
    timer_kill(&v->periodic_timer);
    timer_kill(&v->singleshot_timer);
    timer_kill(&v->poll_timer);
    timer_kill(&v->upcall_timer);
}

void vcpu_destroy(struct vcpu *v)
{
    sched_vcpu_destroy(v);
    vcpu_stop_timers(v);
    vcpu_forget_guest(v);
    if (!vcpu_is_idle(v))
        arch_vcpu_destroy(v);
    v->domain->vcpu[v->id] = NULL;
    kfree(v);
}

void vcpu_publish_time(struct vcpu *v)
{
    struct vcpu_time_info info = v->info->time;
    uint32_t version = info.version & ~1u, unstable = version | 1;

    if (copy_to_guest(v, v->time_guest, &unstable, sizeof(unstable)))
        return; /* the guest took the area away: it keeps what it has */
    atomic_thread_fence(memory_order_release);
    info.version = unstable;
    if (copy_to_guest(v, v->time_guest, &info, sizeof(info)))
        return;
    atomic_thread_fence(memory_order_release);
    version += 2;
    if (copy_to_guest(v, v->time_guest, &version, sizeof(version)))
        return;
}

/* vcpu_op: v calls, t is the vcpu it is about. */

static long op_up(struct vcpu *v, struct vcpu *t, uint64_t untrusted_arg)
{
    if (!t->initialised)
        return fail(v, -EINVAL, "vcpu_op: vcpu {0} cannot go up before VCPUOP_initialise", t->id, 0);
    sched_vcpu_online(t, true);
    return 0;
}

static long op_down(struct vcpu *v, struct vcpu *t, uint64_t untrusted_arg)
{
    struct vcpu *other;
    bool last = true;

    for_each_vcpu (v->domain, other)
        if (other != t && READ_ONCE(other->state) != VCPU_DOWN)
            last = false;
    if (last)
        domain_shutdown(v->domain, SHUTDOWN_poweroff);
    else
        sched_vcpu_online(t, false);
    return 0;
}

static long op_initialise(struct vcpu *v, struct vcpu *t, uint64_t untrusted_arg)
{
    struct domain *d = v->domain;
    int ret;

    spin_lock(&d->lock);
    if (t->initialised)
        ret = fail(v, -EEXIST, "vcpu_op: vcpu {0} is initialised already", t->id, 0);
    else
        ret = arch_vcpu_initialise(v, t, untrusted_arg);
    if (!ret)
        t->initialised = true;
    spin_unlock(&d->lock);
    return ret;
}

static long op_runstate(struct vcpu *v, struct vcpu *t, uint64_t untrusted_arg)
{
    struct vcpu_runstate_info info;

    vcpu_runstate_get(t, &info);
    if (copy_to_guest(v, untrusted_arg, &info, sizeof(info)))
        return fail(v, -EFAULT, "vcpu_op: runstate buffer at {0} cannot be written", untrusted_arg, 0);
    return 0;
}

static long op_register_runstate(struct vcpu *v, struct vcpu *t, uint64_t untrusted_arg)
{
    struct vcpu_register_runstate_memory_area area;
    long ret;

    if (copy_from_guest(v, &area, untrusted_arg, sizeof(area)))
        return fail(v, -EFAULT, "vcpu_op: argument at {0} cannot be read", untrusted_arg, 0);
    ret = op_runstate(v, t, area.addr.h);
    if (!ret)
        t->runstate_guest = area.addr.h;
    return ret;
}

static long op_register_time(struct vcpu *v, struct vcpu *t, uint64_t untrusted_arg)
{
    struct vcpu_register_time_memory_area area;

    if (copy_from_guest(v, &area, untrusted_arg, sizeof(area)))
        return fail(v, -EFAULT, "vcpu_op: argument at {0} cannot be read", untrusted_arg, 0);
    if (copy_to_guest(v, area.addr.h, &t->info->time, sizeof(t->info->time)))
        return fail(v, -EFAULT, "vcpu_op: time area at {0} cannot be written", area.addr.h, 0);
    t->time_guest = area.addr.h;
    return 0;
}

static long op_set_periodic(struct vcpu *v, struct vcpu *t, uint64_t untrusted_arg)
{
    struct vcpu_set_periodic_timer set;

    if (copy_from_guest(v, &set, untrusted_arg, sizeof(set)))
        return fail(v, -EFAULT, "vcpu_op: argument at {0} cannot be read", untrusted_arg, 0);
    if (set.period_ns < MSEC || set.period_ns > INT64_MAX / 4)
        return fail(v, -EINVAL, "vcpu_op: timer period {0} ns is below {1} ns or too long", set.period_ns,
                    MSEC);
    timer_stop(&t->periodic_timer);
    t->periodic_last = arch_now();
    t->periodic_period = set.period_ns;
    timer_set(&t->periodic_timer, t->periodic_last + set.period_ns);
    return 0;
}

static long op_stop_periodic(struct vcpu *v, struct vcpu *t, uint64_t untrusted_arg)
{
    WRITE_ONCE(t->periodic_period, 0);
    timer_stop(&t->periodic_timer);
    return 0;
}

static long op_set_singleshot(struct vcpu *v, struct vcpu *t, uint64_t untrusted_arg)
{
    struct vcpu_set_singleshot_timer set;

    if (unlikely(t != v))
        return fail(v, -EINVAL, "vcpu_op: vcpu {0} cannot set the timer of vcpu {1}", v->id, t->id);
    if (unlikely(copy_from_guest(v, &set, untrusted_arg, sizeof(set))))
        return fail(v, -EFAULT, "vcpu_op: argument at {0} cannot be read", untrusted_arg, 0);
    if (unlikely(set.flags & VCPU_SSHOTTMR_future) && set.timeout_abs_ns < arch_now())
        return fail(v, -ETIME, "vcpu_op: timeout {0} ns has passed", set.timeout_abs_ns, 0);
    timer_set(&v->singleshot_timer, set.timeout_abs_ns);
    return 0;
}

static long op_stop_singleshot(struct vcpu *v, struct vcpu *t, uint64_t untrusted_arg)
{
    if (t != v)
        return fail(v, -EINVAL, "vcpu_op: vcpu {0} cannot stop the timer of vcpu {1}", v->id, t->id);
    timer_stop(&t->singleshot_timer);
    return 0;
}

/* Moves what v shares with its guest to the place that the guest chose, with everything pending seen again.
 */
static void move_info(struct vcpu *t, struct page_info *pg, uint32_t offset)
{
    struct vcpu_info *to = (struct vcpu_info *)((char *)arch_map(page_to_mfn(pg)) + offset);

    memcpy(to, t->info, sizeof(*to));
    t->info_page = pg;
    t->info = to;
    arch_update_vcpu_time(t);
    to->evtchn_pending_sel = ~0UL;
    atomic_thread_fence(memory_order_seq_cst);
    to->evtchn_upcall_pending = 1;
}

static long op_register_info(struct vcpu *v, struct vcpu *t, uint64_t untrusted_arg)
{
    struct vcpu_register_vcpu_info reg;
    struct domain *d = v->domain;
    struct page_info *pg;
    long ret = 0;

    if (copy_from_guest(v, &reg, untrusted_arg, sizeof(reg)))
        return fail(v, -EFAULT, "vcpu_op: argument at {0} cannot be read", untrusted_arg, 0);
    if (reg.offset > PAGE_SIZE - sizeof(struct vcpu_info))
        return fail(v, -ENXIO, "vcpu_op: vcpu_info at offset {0} crosses the end of its page", reg.offset, 0);
    if (reg.offset % sizeof(uint64_t))
        return fail(v, -EINVAL, "vcpu_op: vcpu_info at offset {0} is not aligned to 8", reg.offset, 0);
    pg = get_page_from_mfn(MFN(reg.mfn), d);
    if (!pg)
        return fail(v, -EINVAL, "vcpu_op: frame {0} is not the caller's", reg.mfn, 0);
    if (!get_page_writable(pg, d)) {
        put_page(pg);
        return fail(v, -EINVAL, "vcpu_op: frame {0} cannot be used as writable", reg.mfn, 0);
    }
    put_page(pg); /* the use keeps it */

    spin_lock(&d->lock);
    if (t->info_page)
        ret = fail(v, -EINVAL, "vcpu_op: vcpu {0} has its vcpu_info registered already", t->id, 0);
    else if (t != v && t->state != VCPU_DOWN)
        ret = fail(v, -EINVAL, "vcpu_op: vcpu {0} is up, its vcpu_info cannot move", t->id, 0);
    else if (d->state >= DOMAIN_DYING)
        ret = fail(v, -EINVAL, "vcpu_op: the domain is dying", 0, 0);
    else
        move_info(t, pg, reg.offset);
    spin_unlock(&d->lock);
    if (ret)
        put_page_writable(pg);
    return ret;
}

static long op_is_up(struct vcpu *v, struct vcpu *t, uint64_t untrusted_arg)
{
    return t->state != VCPU_DOWN;
}

static long (*const ops[])(struct vcpu *v, struct vcpu *t, uint64_t untrusted_arg) = {
    [VCPUOP_initialise] = op_initialise,
    [VCPUOP_up] = op_up,
    [VCPUOP_down] = op_down,
    [VCPUOP_is_up] = op_is_up,
    [VCPUOP_get_runstate_info] = op_runstate,
    [VCPUOP_register_runstate_memory_area] = op_register_runstate,
    [VCPUOP_set_periodic_timer] = op_set_periodic,
    [VCPUOP_stop_periodic_timer] = op_stop_periodic,
    [VCPUOP_set_singleshot_timer] = op_set_singleshot,
    [VCPUOP_stop_singleshot_timer] = op_stop_singleshot,
    [VCPUOP_register_vcpu_info] = op_register_info,
    [VCPUOP_register_vcpu_time_memory_area] = op_register_time,
};

long do_vcpu_op(struct vcpu *v, unsigned long cmd, unsigned long id, unsigned long untrusted_arg,
                unsigned long a4, unsigned long a5)
{
    struct vcpu *t;

    if (unlikely((uint32_t)id >= v->domain->max_vcpus || !(t = v->domain->vcpu[(uint32_t)id])))
        return fail(v, -ENOENT, "vcpu_op: no vcpu {0}, the domain has at most {1}", (uint32_t)id,
                    v->domain->max_vcpus);
    if (likely((uint32_t)cmd < ARRAY_SIZE(ops) && ops[(uint32_t)cmd]))
        return ops[(uint32_t)cmd](v, t, untrusted_arg);
    return arch_vcpu_op(v, (uint32_t)cmd, t, untrusted_arg);
}

#define TIMEOUT_FAR (1UL << 50) /* ns, 13 days: further ones are overflows of the guest's arithmetic */

long do_set_timer_op(struct vcpu *v, unsigned long timeout, unsigned long a2, unsigned long a3,
                     unsigned long a4, unsigned long a5)
{
    uint64_t now;

    if (!timeout) {
        timer_stop(&v->singleshot_timer);
        return 0;
    }
    if (unlikely((int64_t)timeout < 0 || (timeout > (now = arch_now()) && timeout - now > TIMEOUT_FAR)))
        timeout = arch_now() + 100 * MSEC;
    timer_set(&v->singleshot_timer, timeout);
    return 0;
}

#define VMASST_VALID                                                                                         \
    (1UL << VMASST_TYPE_4gb_segments | 1UL << VMASST_TYPE_4gb_segments_notify |                              \
     1UL << VMASST_TYPE_writable_pagetables | 1UL << VMASST_TYPE_pae_extended_cr3 |                          \
     1UL << VMASST_TYPE_runstate_update_flag | 1UL << VMASST_TYPE_m2p_strict)

long do_vm_assist(struct vcpu *v, unsigned long cmd, unsigned long type, unsigned long a3, unsigned long a4,
                  unsigned long a5)
{
    struct domain *d = v->domain;
    long ret = 0;

    if ((uint32_t)type >= 64 || !(VMASST_VALID & 1UL << (uint32_t)type))
        return fail(v, -EINVAL, "vm_assist: no type {0}", (uint32_t)type, 0);
    spin_lock(&d->lock);
    if ((uint32_t)cmd == VMASST_CMD_enable)
        d->vm_assist |= 1UL << (uint32_t)type;
    else if ((uint32_t)cmd == VMASST_CMD_disable)
        d->vm_assist &= ~(1UL << (uint32_t)type);
    else
        ret = fail(v, -ENOSYS, "vm_assist: no command {0}", (uint32_t)cmd, 0);
    spin_unlock(&d->lock);
    return ret;
}

/*
 * domctl: the control domain makes, looks at, changes and ends domains. The argument is one struct with a
 * command and a domain; a row per command says who handles it and what is true before: the domain exists (and
 * is referenced for the call), the caller may control it, and, where the row says so, it is not the caller's
 * own. What is not here the machine has (arch_domctl).
 */
#include <bh/arch.h>
#include <bh/domain.h>
#include <bh/domctl.h>
#include <bh/errno.h>
#include <bh/grant.h>
#include <bh/guest.h>
#include <bh/hypercall.h>
#include <bh/policy.h>
#include <bh/sched.h>
#include <bh/string.h>
#include <bh/virq.h>

#define CDF_PV   (XEN_DOMCTL_CDF_s3_integrity | XEN_DOMCTL_CDF_xs_domain)
#define KB_SHIFT (PAGE_SHIFT - 10)

struct vcpu *domctl_vcpu(struct vcpu *v, struct domain *d, uint32_t id)
{
    struct vcpu *t = domain_vcpu(d, id);

    if (t == NULL)
        fail(v, -ESRCH, "domctl: domain {0} has no vcpu {1}", d->id, id);
    return t;
}

/* --- Birth and end --- */

/* A limit below zero asks for the usual one. */
static int check_limits(struct vcpu *v, const struct xen_domctl_createdomain *c)
{
    if (c->max_vcpus < 1 || c->max_vcpus > DOMAIN_MAX_VCPUS)
        return fail(v, -ERANGE, "createdomain: {0} vcpus are not 1 to {1}", c->max_vcpus, DOMAIN_MAX_VCPUS);
    if (c->max_grant_frames == 0 || c->max_grant_frames > GRANT_MAX_FRAMES)
        return fail(v, -EINVAL, "createdomain: {0} grant frames are not 1 to {1}", c->max_grant_frames,
                    GRANT_MAX_FRAMES);
    if (c->max_maptrack_frames > GRANT_MAX_MAPTRACK)
        return fail(v, -EINVAL, "createdomain: {0} maptrack frames are more than {1}", c->max_maptrack_frames,
                    GRANT_MAX_MAPTRACK);
    return 0;
}

static long op_createdomain(struct vcpu *v, struct domain *unused, struct xen_domctl *op)
{
    const struct xen_domctl_createdomain *c = &op->u.createdomain;
    struct domain_config config = {
        .domid = op->domain == 0 || op->domain >= DOMID_FIRST_RESERVED ? DOMID_INVALID : op->domain,
        .flags = c->flags,
        .arch_flags = c->arch.misc_flags,
        .ssid = c->ssidref,
        .max_vcpus = c->max_vcpus,
        .max_evtchn_port = c->max_evtchn_port,
        .max_grant_frames = c->max_grant_frames,
        .max_maptrack_frames = c->max_maptrack_frames,
        .grant_version = XEN_DOMCTL_GRANT_version(c->grant_opts),
        .pool = c->cpupool_id,
    };
    struct domain *d;
    int rc;

    if (c->flags & ~(uint32_t)CDF_PV)
        return fail(v, -EINVAL,
                    "createdomain: flags {0}: only PV domains without IOMMU and PMU are offered (flags {1})",
                    c->flags, CDF_PV);
    if (c->iommu_opts != 0 || c->vmtrace_size != 0)
        return fail(v, -EINVAL,
                    "createdomain: IOMMU options {0} and a trace buffer of {1} bytes are not offered",
                    c->iommu_opts, c->vmtrace_size);
    if (c->grant_opts & ~(uint32_t)XEN_DOMCTL_GRANT_version_mask)
        return fail(v, -EINVAL, "createdomain: grant options {0} are unknown", c->grant_opts, 0);
    rc = check_limits(v, c);
    if (rc == 0)
        rc = arch_domain_config_check(v, c);
    if (rc != 0)
        return rc;
    memcpy(config.handle, c->handle, sizeof(config.handle));
    rc = domain_create(&config, &d);
    if (rc == -EEXIST)
        return fail(v, rc, "createdomain: there is a domain {0} already", op->domain, 0);
    if (rc != 0)
        return fail(v, rc,
                    "createdomain: a domain of {0} vcpus cannot be made: not enough memory, or no pool {1}",
                    c->max_vcpus, c->cpupool_id);
    op->domain = d->id;
    domain_put(d); /* it keeps itself alive */
    return 0;
}

static long op_destroydomain(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    return domain_kill(d); /* -EAGAIN: the dispatcher restarts */
}

static long op_max_vcpus(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    uint32_t max = op->u.max_vcpus.max;

    if (max != d->max_vcpus)
        return fail(v, -EINVAL, "max_vcpus: {0} are not the {1} that the domain was created with", max,
                    d->max_vcpus);
    for (uint32_t id = 0; id < max; id++) {
        struct vcpu *made;
        int rc = d->vcpu[id] == NULL ? vcpu_create(d, id, &made) : 0;

        if (rc != 0)
            return fail(v, rc, "max_vcpus: vcpu {1} of domain {0} cannot be made", d->id, id);
    }
    return 0;
}

static long op_pausedomain(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    int rc = domain_pause_by_controller(d);

    return rc == 0 ? 0 : fail(v, rc, "pausedomain: domain {0} is paused too often", d->id, 0);
}

static long op_unpausedomain(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    int rc = domain_unpause_by_controller(d);

    return rc == 0 ? 0 : fail(v, rc, "unpausedomain: domain {0} is not paused by the toolstack", d->id, 0);
}

static long op_resumedomain(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    domain_resume(d);
    return 0;
}

static long op_soft_reset(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    return fail(v, -EINVAL, "soft_reset: domain {0} is a PV domain: its kernel does not survive one", d->id,
                0);
}

/* --- Information --- */

void domctl_domain_info(struct domain *d, struct xen_domctl_getdomaininfo *info)
{
    bool blocked = true, running = false;
    struct vcpu *v;

    *info = (struct xen_domctl_getdomaininfo){
        .domain = d->id,
        .tot_pages = d->tot_pages,
        .max_pages = d->max_pages,
        .outstanding_pages = d->outstanding_pages,
        .shr_pages = d->shared_pages,
        .shared_info_frame = d->shared_info != NULL ? arch_unmap(d->shared_info).n : INVALID_FRAME,
        .max_vcpu_id = XEN_INVALID_MAX_VCPU_ID,
        .ssidref = d->ssid,
        .cpupool = d->pool,
    };
    memcpy(info->handle, d->handle, sizeof(info->handle));
    for_each_vcpu (d, v) {
        info->cpu_time += sched_vcpu_runtime(v);
        info->max_vcpu_id = v->id;
        if (v->state == VCPU_DOWN)
            continue;
        info->nr_online_vcpus++;
        blocked = blocked && v->state == VCPU_BLOCKED;
        running = running || v->sched.running;
    }
    info->flags =
        (d->state >= DOMAIN_DYING ? XEN_DOMINF_dying : 0) | (d->is_shut_down ? XEN_DOMINF_shutdown : 0) |
        (d->controller_pause_count > 0 ? XEN_DOMINF_paused : 0) |
        (blocked && info->nr_online_vcpus != 0 ? XEN_DOMINF_blocked : 0) |
        (running ? XEN_DOMINF_running : 0) |
        (d->create_flags & XEN_DOMCTL_CDF_xs_domain ? XEN_DOMINF_xs_domain : 0) |
        (d->is_shut_down ? (d->shutdown_code & XEN_DOMINF_shutdownmask) << XEN_DOMINF_shutdownshift : 0);
    arch_domain_info(d, info);
}

/* The ABI asks for the first domain with this id or above. */
static long op_getdomaininfo(struct vcpu *v, struct domain *unused, struct xen_domctl *op)
{
    struct domain *d = domain_get_from(op->domain);

    if (d == NULL)
        return fail(v, -ESRCH, "getdomaininfo: there is no domain {0} and none above", op->domain, 0);
    domctl_domain_info(d, &op->u.getdomaininfo);
    op->domain = d->id;
    domain_put(d);
    return 0;
}

static long op_getvcpuinfo(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_getvcpuinfo *info = &op->u.getvcpuinfo;
    struct vcpu *t = domctl_vcpu(v, d, info->vcpu);

    if (t == NULL)
        return -ESRCH;
    info->online = t->state != VCPU_DOWN;
    info->blocked = t->state == VCPU_BLOCKED;
    info->running = t->sched.running;
    info->cpu_time = sched_vcpu_runtime(t);
    info->cpu = t->sched.cpu;
    return 0;
}

/* --- Scheduling --- */

static long op_setvcpuaffinity(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_vcpuaffinity *a = &op->u.vcpuaffinity;
    struct vcpu *t = domctl_vcpu(v, d, a->vcpu);
    uint64_t hard, soft, pool = cpupool_cpus(d->pool);
    int rc;

    if (t == NULL)
        return -ESRCH;
    if (!(a->flags & (XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT)))
        return fail(v, -EINVAL, "setvcpuaffinity: flags {0} name neither hard nor soft affinity", a->flags,
                    0);
    if (a->flags & XEN_VCPUAFFINITY_FORCE) {
        rc = sched_pin_override(t, -1);
        if (rc != 0 && rc != -ENOENT)
            return fail(v, rc, "setvcpuaffinity: the pin override of vcpu {0} cannot be undone", t->id, 0);
    }
    hard = t->sched.hard;
    soft = t->sched.soft;
    if (a->flags & XEN_VCPUAFFINITY_HARD && (rc = bitmap_from_guest(v, &a->cpumap_hard, &hard)) != 0)
        return rc;
    if (a->flags & XEN_VCPUAFFINITY_SOFT && (rc = bitmap_from_guest(v, &a->cpumap_soft, &soft)) != 0)
        return rc;
    rc = sched_set_affinity(t, hard, soft);
    if (rc != 0)
        return fail(v, rc,
                    "setvcpuaffinity: CPUs {0}: none is in the domain's pool ({1}), or a pin override holds",
                    hard, pool);
    if (a->flags & XEN_VCPUAFFINITY_HARD && (rc = bitmap_to_guest(v, &a->cpumap_hard, hard & pool)) != 0)
        return rc;
    if (a->flags & XEN_VCPUAFFINITY_SOFT &&
        (rc = bitmap_to_guest(v, &a->cpumap_soft, soft & hard & pool)) != 0)
        return rc;
    return 0;
}

static long op_getvcpuaffinity(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    const struct xen_domctl_vcpuaffinity *a = &op->u.vcpuaffinity;
    struct vcpu *t = domctl_vcpu(v, d, a->vcpu);
    int rc;

    if (t == NULL)
        return -ESRCH;
    if (a->flags & XEN_VCPUAFFINITY_HARD && (rc = bitmap_to_guest(v, &a->cpumap_hard, t->sched.hard)) != 0)
        return rc;
    if (a->flags & XEN_VCPUAFFINITY_SOFT && (rc = bitmap_to_guest(v, &a->cpumap_soft, t->sched.soft)) != 0)
        return rc;
    return 0;
}

static long op_scheduler_op(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_scheduler_op *s = &op->u.scheduler_op;

    if (s->sched_id != SCHED_CREDIT_ID || s->cmd > XEN_DOMCTL_SCHEDOP_getinfo)
        return fail(v, -EINVAL, "scheduler_op: operation {1} of scheduler {0} is not offered (credit is 5)",
                    s->sched_id, s->cmd);
    if (s->cmd == XEN_DOMCTL_SCHEDOP_putinfo && sched_set_params(d, s->u.credit.weight, s->u.credit.cap) != 0)
        return fail(v, -EINVAL, "scheduler_op: weight {0} or cap {1} is out of range", s->u.credit.weight,
                    s->u.credit.cap);
    s->u.credit.weight = (uint16_t)d->sched.weight;
    s->u.credit.cap = (uint16_t)d->sched.cap;
    return 0;
}

/* There is one node. */
static long op_setnodeaffinity(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    uint64_t nodes;
    int rc = bitmap_from_guest(v, &op->u.nodeaffinity.nodemap, &nodes);

    if (rc != 0)
        return rc;
    return nodes & 1 ? 0
                     : fail(v, -EINVAL, "setnodeaffinity: nodes {0}: the machine has node 0 alone", nodes, 0);
}

static long op_getnodeaffinity(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    return bitmap_to_guest(v, &op->u.nodeaffinity.nodemap, 1);
}

/* --- Memory, rights, names --- */

static long op_max_mem(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    spin_lock(&d->page_lock);
    d->max_pages = op->u.max_mem.max_memkb >> KB_SHIFT;
    spin_unlock(&d->page_lock);
    return 0;
}

static int change_right(struct rangeset *r, uint64_t first, uint64_t last, bool allow)
{
    return allow ? rangeset_add(r, first, last) : rangeset_remove(r, first, last);
}

static long op_irq_permission(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    const struct xen_domctl_irq_permission *p = &op->u.irq_permission;

    if (!rangeset_contains(v->domain->irq_caps, p->pirq, p->pirq))
        return fail(v, -EPERM, "irq_permission: the caller has no right to interrupt {0} itself", p->pirq, 0);
    return change_right(d->irq_caps, p->pirq, p->pirq, p->allow_access != 0);
}

/* A range that ends where it should, and that the caller itself may use. */
static int check_frames(struct vcpu *v, uint64_t first, uint64_t nr)
{
    if (nr == 0 || first + nr - 1 < first || first + nr - 1 > INVALID_FRAME >> PAGE_SHIFT)
        return fail(v, -EINVAL, "domctl: {1} frames from {0} are no range", first, nr);
    if (!rangeset_contains(v->domain->iomem_caps, first, first + nr - 1))
        return fail(v, -EPERM, "domctl: the caller has no right to all of {1} frames from {0} itself", first,
                    nr);
    return 0;
}

static long op_iomem_permission(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    const struct xen_domctl_iomem_permission *p = &op->u.iomem_permission;
    int rc = check_frames(v, p->first_mfn, p->nr_mfns);

    return rc != 0 ? rc
                   : change_right(d->iomem_caps, p->first_mfn, p->first_mfn + p->nr_mfns - 1,
                                  p->allow_access != 0);
}

/* A PV domain maps its frames itself, once it has the right to them. */
static long op_memory_mapping(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    const struct xen_domctl_memory_mapping *m = &op->u.memory_mapping;
    int rc = check_frames(v, m->first_mfn, m->nr_mfns);

    if (rc != 0)
        return rc;
    if (!rangeset_contains(d->iomem_caps, m->first_mfn, m->first_mfn + m->nr_mfns - 1))
        return fail(v, -EPERM, "memory_mapping: domain {0} has no right to frames from {1}", d->id,
                    m->first_mfn);
    return 0;
}

static long op_setdomainhandle(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    memcpy(d->handle, op->u.setdomainhandle.handle, sizeof(d->handle));
    return 0;
}

static long op_setdebugging(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    return op->u.setdebugging.enable == 0
               ? 0
               : fail(v, -EOPNOTSUPP, "setdebugging: domain {0}: debuggers are not offered", d->id, 0);
}

static long op_settimeoffset(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    d->time_offset_s = op->u.settimeoffset.time_offset_seconds;
    arch_update_wallclock(d);
    return 0;
}

static long op_subscribe(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    if (op->u.subscribe.port != 0 && !evtchn_port_valid(d, op->u.subscribe.port))
        return fail(v, -EINVAL, "subscribe: domain {0} has no port {1}", d->id, op->u.subscribe.port);
    d->suspend_port = op->u.subscribe.port;
    return 0;
}

static long op_set_target(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    struct domain *target = domain_get(op->u.set_target.target);
    long rc = 0;

    if (target == NULL)
        return fail(v, -ESRCH, "set_target: there is no domain {0}", op->u.set_target.target, 0);
    spin_lock(&d->lock);
    if (target == d || d->target != NULL || d->state >= DOMAIN_DYING)
        rc = fail(v, -EINVAL, "set_target: domain {0} has a target, is dying, or is the target {1}", d->id,
                  target->id);
    else
        d->target = target;
    spin_unlock(&d->lock);
    if (rc != 0)
        domain_put(target);
    return rc;
}

static long op_set_virq_handler(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    return virq_set_handler(v, d, op->u.set_virq_handler.virq);
}

/* --- Dispatch --- */

static const struct domctl_row rows[] = {
    [XEN_DOMCTL_createdomain] = {op_createdomain, DOMCTL_NO_DOMAIN | DOMCTL_COPY},
    [XEN_DOMCTL_destroydomain] = {op_destroydomain, DOMCTL_OTHER},
    [XEN_DOMCTL_pausedomain] = {op_pausedomain, DOMCTL_OTHER},
    [XEN_DOMCTL_unpausedomain] = {op_unpausedomain, DOMCTL_OTHER},
    [XEN_DOMCTL_getdomaininfo] = {op_getdomaininfo, DOMCTL_NO_DOMAIN | DOMCTL_COPY},
    [XEN_DOMCTL_setvcpuaffinity] = {op_setvcpuaffinity, 0},
    [XEN_DOMCTL_getvcpuaffinity] = {op_getvcpuaffinity, 0},
    [XEN_DOMCTL_max_mem] = {op_max_mem, 0},
    [XEN_DOMCTL_getvcpuinfo] = {op_getvcpuinfo, DOMCTL_COPY},
    [XEN_DOMCTL_max_vcpus] = {op_max_vcpus, DOMCTL_OTHER},
    [XEN_DOMCTL_scheduler_op] = {op_scheduler_op, DOMCTL_COPY},
    [XEN_DOMCTL_setdomainhandle] = {op_setdomainhandle, 0},
    [XEN_DOMCTL_setdebugging] = {op_setdebugging, DOMCTL_OTHER},
    [XEN_DOMCTL_irq_permission] = {op_irq_permission, 0},
    [XEN_DOMCTL_iomem_permission] = {op_iomem_permission, 0},
    [XEN_DOMCTL_memory_mapping] = {op_memory_mapping, 0},
    [XEN_DOMCTL_settimeoffset] = {op_settimeoffset, 0},
    [XEN_DOMCTL_resumedomain] = {op_resumedomain, DOMCTL_OTHER},
    [XEN_DOMCTL_subscribe] = {op_subscribe, 0},
    [XEN_DOMCTL_set_target] = {op_set_target, DOMCTL_OTHER},
    [XEN_DOMCTL_set_virq_handler] = {op_set_virq_handler, 0},
    [XEN_DOMCTL_setnodeaffinity] = {op_setnodeaffinity, 0},
    [XEN_DOMCTL_getnodeaffinity] = {op_getnodeaffinity, 0},
    [XEN_DOMCTL_soft_reset] = {op_soft_reset, DOMCTL_OTHER},
};

static const struct domctl_row *row_of(uint32_t cmd)
{
    return cmd < ARRAY_SIZE(rows) && rows[cmd].handler != NULL ? &rows[cmd] : arch_domctl(cmd);
}

/* The domain that the command names, referenced; NULL with *rc 0: it names none. */
static struct domain *target_of(struct vcpu *v, const struct xen_domctl *op, bool none, long *rc)
{
    struct domain *d = none ? NULL : domain_get(op->domain);

    *rc = 0;
    if (none && !domain_is_control(v->domain))
        *rc = fail(v, -EPERM, "domctl: domain {0} is not the control domain (operation {1})", v->domain->id,
                   op->cmd);
    else if (!none && d == NULL)
        *rc = fail(v, -ESRCH, "domctl: there is no domain {0} (operation {1})", op->domain, op->cmd);
    else if (!none &&
             (!policy_allows(v->domain, POLICY_CONTROL, d) || (d == v->domain && !domain_is_control(d))))
        *rc = fail(v, -EPERM, "domctl: the caller may not control domain {0} (operation {1})", op->domain,
                   op->cmd);
    if (*rc != 0 && d != NULL) {
        domain_put(d);
        d = NULL;
    }
    return d;
}

static long run(struct vcpu *v, const struct domctl_row *row, struct domain *d, struct xen_domctl *op)
{
    if (row == NULL)
        return fail(v, -ENOSYS, "domctl: operation {0} is not offered (domain {1})", op->cmd, op->domain);
    if ((row->flags & DOMCTL_OTHER) && d == v->domain)
        return fail(v, -EINVAL, "domctl: operation {0} on the caller's own domain", op->cmd, 0);
    return row->handler(v, d, op);
}

DECLARE_HYPERCALL(do_domctl)
{
    const struct domctl_row *row;
    struct xen_domctl op;
    struct domain *d;
    long rc;

    if (copy_from_guest(v, &op, a1, sizeof(op)) != 0)
        return fail(v, -EFAULT, "domctl: argument at {0} is not readable", a1, 0);
    if (op.interface_version != XEN_DOMCTL_INTERFACE_VERSION)
        return fail(v, domain_is_control(v->domain) ? -EACCES : -EPERM,
                    "domctl: interface version {0} is not ours, {1}", op.interface_version,
                    XEN_DOMCTL_INTERFACE_VERSION);
    row = row_of(op.cmd);
    d = target_of(v, &op, row != NULL && (row->flags & DOMCTL_NO_DOMAIN), &rc);
    if (rc != 0)
        return rc;
    rc = run(v, row, d, &op);
    if (d != NULL)
        domain_put(d);
    if (rc == -EAGAIN)
        return hypercall_restart(v, a1, a2, a3, a4, a5);
    if (row != NULL && (row->flags & DOMCTL_COPY) && copy_to_guest(v, a1, &op, sizeof(op)) != 0)
        return fail(v, -EFAULT, "domctl: argument at {0} is not writable", a1, 0);
    return rc;
}

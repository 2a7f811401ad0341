/*
 * sysctl: facts about the machine and control of what all domains share. For the control domain only. The
 * argument is one struct with a command; a row per command says who handles it; what is not here the machine
 * has (arch_sysctl).
 */
#include <bh/arch.h>
#include <bh/console.h>
#include <bh/domain.h>
#include <bh/domctl.h>
#include <bh/errno.h>
#include <bh/guest.h>
#include <bh/hypercall.h>
#include <bh/page_alloc.h>
#include <bh/policy.h>
#include <bh/sched.h>

#define KEYS_MAX       64
#define LOCAL_DISTANCE 10 /* of a node to itself, as ACPI's SLIT counts */
#define DOMAINS_A_TURN 32 /* between looks at the interrupts */

int bitmap_from_guest(struct vcpu *v, const struct xenctl_bitmap *map, uint64_t *mask)
{
    uint32_t bits = MIN(map->nr_bits, 64u);

    *mask = 0;
    if (copy_from_guest(v, mask, map->bitmap, DIV_ROUND_UP(bits, 8)) != 0)
        return fail(v, -EFAULT, "bitmap at {0} of {1} bits is not readable", map->bitmap, map->nr_bits);
    if (bits < 64)
        *mask &= (1UL << bits) - 1;
    return 0;
}

int bitmap_to_guest(struct vcpu *v, const struct xenctl_bitmap *map, uint64_t mask)
{
    uint32_t bytes = DIV_ROUND_UP(map->nr_bits, 8), ours = MIN(bytes, (uint32_t)sizeof(mask));

    if (map->nr_bits < 64)
        mask &= (1UL << map->nr_bits) - 1;
    if (map->nr_bits > INT32_MAX || copy_to_guest(v, map->bitmap, &mask, ours) != 0 ||
        clear_guest(v, map->bitmap + ours, bytes - ours) != 0)
        return fail(v, -EFAULT, "bitmap at {0} of {1} bits is not writable", map->bitmap, map->nr_bits);
    return 0;
}

static long op_readconsole(struct vcpu *v, struct domain *self, void *arg)
{
    struct xen_sysctl_readconsole *r = arg;

    return console_ring_read(v, r->buffer, &r->count, &r->index, r->clear != 0, r->incremental != 0);
}

static long op_sched_id(struct vcpu *v, struct domain *self, void *arg)
{
    ((struct xen_sysctl_sched_id *)arg)->sched_id = SCHED_CREDIT_ID;
    return 0;
}

static long op_getdomaininfolist(struct vcpu *v, struct domain *self, void *arg)
{
    struct xen_sysctl_getdomaininfolist *l = arg;
    struct xen_domctl_getdomaininfo info;
    struct domain *d;

    l->num_domains = 0;
    for (d = domain_get_from(l->first_domain); d != NULL && l->num_domains < l->max_domains;
         d = domain_next(d)) {
        domctl_domain_info(d, &info);
        if (copy_to_guest(v, l->buffer + l->num_domains * sizeof(info), &info, sizeof(info)) != 0) {
            domain_put(d);
            return fail(v, -EFAULT, "sysctl: list of domains at {0}: entry {1} is not writable", l->buffer,
                        l->num_domains);
        }
        if (++l->num_domains % DOMAINS_A_TURN == 0)
            arch_irq_window();
    }
    if (d != NULL)
        domain_put(d);
    return 0;
}

static long op_debug_keys(struct vcpu *v, struct domain *self, void *arg)
{
    const struct xen_sysctl_debug_keys *k = arg;
    char keys[KEYS_MAX];

    if (k->nr_keys > KEYS_MAX || copy_from_guest(v, keys, k->keys, k->nr_keys) != 0)
        return fail(v, k->nr_keys > KEYS_MAX ? -E2BIG : -EFAULT,
                    "sysctl: debug_keys: {0} keys at {1} (64 at most)", k->nr_keys, k->keys);
    for (uint32_t i = 0; i < k->nr_keys; i++)
        keyhandler_run(keys[i]);
    return 0;
}

static long op_getcpuinfo(struct vcpu *v, struct domain *self, void *arg)
{
    struct xen_sysctl_getcpuinfo *g = arg;
    uint32_t nr = MIN(g->max_cpus, 64u - (uint32_t)__builtin_clzl(arch_online_cpus()));

    for (uint32_t cpu = 0; cpu < nr; cpu++) {
        struct xen_sysctl_cpuinfo info = {
            .idletime = arch_online_cpus() & CPUMASK(cpu) ? sched_cpu_idle_time(cpu) : 0};

        if (copy_to_guest(v, g->info + cpu * sizeof(info), &info, sizeof(info)) != 0)
            return fail(v, -EFAULT, "sysctl: getcpuinfo: array at {0} is not writable", g->info, 0);
    }
    g->nr_cpus = nr;
    return 0;
}

/* Free memory is not kept by address: what fits any width is told for every width that RAM reaches. */
static long op_availheap(struct vcpu *v, struct domain *self, void *arg)
{
    struct xen_sysctl_availheap *h = arg;

    if (h->node > 0)
        return fail(v, -EINVAL, "sysctl: availheap: there is no node {0}", (uint64_t)h->node, 0);
    h->avail_bytes = page_counts.free << PAGE_SHIFT;
    if (h->min_bitwidth > PAGE_SHIFT && max_page << PAGE_SHIFT <= 1UL << MIN(h->min_bitwidth, 63u))
        h->avail_bytes = 0;
    return 0;
}

static long op_pm_op(struct vcpu *v, struct domain *self, void *arg)
{
    struct xen_sysctl_pm_op *p = arg;

    switch (p->cmd) {
    case XEN_SYSCTL_pm_op_get_max_cstate:
        p->u.get_max_cstate = XEN_SYSCTL_CX_UNLIMITED;
        return 0;
    case XEN_SYSCTL_pm_op_get_vcpu_migration_delay:
        p->u.get_max_cstate = 0;
        return 0;
    case XEN_SYSCTL_pm_op_set_vcpu_migration_delay: /* there is none, whatever is asked */
        return 0;
    default:
        return fail(v, -ENODEV, "sysctl: pm_op: operation {0}: the hypervisor does not manage frequencies",
                    p->cmd, 0);
    }
}

static long op_get_pmstat(struct vcpu *v, struct domain *self, void *arg)
{
    return fail(v, -ENODEV, "sysctl: get_pmstat: type {0}: the hypervisor does not manage power states",
                ((const struct xen_sysctl_get_pmstat *)arg)->type, 0);
}

static long op_page_offline(struct vcpu *v, struct domain *self, void *arg)
{
    const struct xen_sysctl_page_offline_op *p = arg;

    return fail(v, -EOPNOTSUPP, "sysctl: page_offline: frames {0} to {1} stay in use", p->start, p->end);
}

static long op_numainfo(struct vcpu *v, struct domain *self, void *arg)
{
    struct xen_sysctl_numainfo *n = arg;
    struct xen_sysctl_meminfo mem = {.memsize = page_counts.total << PAGE_SHIFT,
                                     .memfree = page_counts.free << PAGE_SHIFT};
    uint32_t distance = LOCAL_DISTANCE;

    if ((n->meminfo != 0 || n->distance != 0) && n->num_nodes == 0)
        return 0;
    if ((n->meminfo != 0 && copy_to_guest(v, n->meminfo, &mem, sizeof(mem)) != 0) ||
        (n->distance != 0 && copy_to_guest(v, n->distance, &distance, sizeof(distance)) != 0))
        return fail(v, -EFAULT, "sysctl: numainfo: arrays at {0} and {1} are not writable", n->meminfo,
                    n->distance);
    n->num_nodes = 1;
    return 0;
}

static long move_domain(struct vcpu *v, const struct xen_sysctl_cpupool_op *p)
{
    struct domain *d;
    long rc;

    rc = p->domid >= DOMID_FIRST_RESERVED
             ? fail(v, -ESRCH, "sysctl: cpupool_op: {0} is no domain", p->domid, 0)
             : domain_get_for(v, (domid_t)p->domid, POLICY_CONTROL, &d);
    if (rc != 0)
        return rc;
    rc = cpupool_move_domain(d, p->cpupool_id);
    domain_put(d);
    return rc;
}

static long cpupool_do(struct vcpu *v, struct xen_sysctl_cpupool_op *p)
{
    cpumask_t cpus;
    long rc;

    switch (p->op) {
    case XEN_SYSCTL_CPUPOOL_OP_CREATE:
        if (p->sched_id != SCHED_CREDIT_ID)
            return fail(v, -EINVAL, "scheduler {0} is not built in ({1} is)", p->sched_id, SCHED_CREDIT_ID);
        return cpupool_create(p->cpupool_id, &p->cpupool_id);
    case XEN_SYSCTL_CPUPOOL_OP_DESTROY:
        return cpupool_destroy(p->cpupool_id);
    case XEN_SYSCTL_CPUPOOL_OP_INFO:
        rc = cpupool_info(p->cpupool_id, p, &cpus);
        return rc != 0 ? rc : bitmap_to_guest(v, &p->cpumap, cpus);
    case XEN_SYSCTL_CPUPOOL_OP_ADDCPU:
        return cpupool_add_cpu(p->cpupool_id, p->cpu);
    case XEN_SYSCTL_CPUPOOL_OP_RMCPU:
        return cpupool_remove_cpu(p->cpupool_id, p->cpu);
    case XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN:
        return move_domain(v, p);
    case XEN_SYSCTL_CPUPOOL_OP_FREEINFO:
        return bitmap_to_guest(v, &p->cpumap, cpupool_free_cpus());
    default:
        return -ENOSYS;
    }
}

static long op_cpupool_op(struct vcpu *v, struct domain *self, void *arg)
{
    struct xen_sysctl_cpupool_op *p = arg;
    uint32_t pool = p->cpupool_id;
    long rc = cpupool_do(v, p);

    return rc == 0
               ? 0
               : fail(v, (int)rc, "sysctl: cpupool_op: operation {0} on pool {1} is refused", p->op, pool);
}

static long op_scheduler_op(struct vcpu *v, struct domain *self, void *arg)
{
    struct xen_sysctl_scheduler_op *s = arg;
    struct xen_sysctl_credit_schedule *c = &s->u.sched_credit;

    if (s->sched_id != SCHED_CREDIT_ID || s->cmd > XEN_SYSCTL_SCHEDOP_getinfo ||
        cpupool_cpus(s->cpupool_id) == 0)
        return fail(v, -EINVAL, "sysctl: scheduler_op: pool {1} does not run scheduler {0}, or has no CPUs",
                    s->sched_id, s->cpupool_id);
    if (s->cmd == XEN_SYSCTL_SCHEDOP_putinfo && sched_set_global(c) != 0)
        return fail(v, -EINVAL, "sysctl: scheduler_op: time slice {0} ms or rate limit {1} us out of range",
                    c->tslice_ms, c->ratelimit_us);
    sched_get_global(c);
    return 0;
}

static const struct subop ops[] = {
    [XEN_SYSCTL_readconsole] = SUBOP(op_readconsole, xen_sysctl_readconsole, ARG_INOUT),
    [XEN_SYSCTL_sched_id] = SUBOP(op_sched_id, xen_sysctl_sched_id, ARG_OUT),
    [XEN_SYSCTL_getdomaininfolist] = SUBOP(op_getdomaininfolist, xen_sysctl_getdomaininfolist, ARG_INOUT),
    [XEN_SYSCTL_debug_keys] = SUBOP(op_debug_keys, xen_sysctl_debug_keys, ARG_IN),
    [XEN_SYSCTL_getcpuinfo] = SUBOP(op_getcpuinfo, xen_sysctl_getcpuinfo, ARG_INOUT),
    [XEN_SYSCTL_availheap] = SUBOP(op_availheap, xen_sysctl_availheap, ARG_INOUT),
    [XEN_SYSCTL_get_pmstat] = SUBOP(op_get_pmstat, xen_sysctl_get_pmstat, ARG_IN),
    [XEN_SYSCTL_pm_op] = SUBOP(op_pm_op, xen_sysctl_pm_op, ARG_INOUT),
    [XEN_SYSCTL_page_offline_op] = SUBOP(op_page_offline, xen_sysctl_page_offline_op, ARG_IN),
    [XEN_SYSCTL_numainfo] = SUBOP(op_numainfo, xen_sysctl_numainfo, ARG_INOUT),
    [XEN_SYSCTL_cpupool_op] = SUBOP(op_cpupool_op, xen_sysctl_cpupool_op, ARG_INOUT),
    [XEN_SYSCTL_scheduler_op] = SUBOP(op_scheduler_op, xen_sysctl_scheduler_op, ARG_INOUT),
};

_Static_assert(offsetof(struct xen_sysctl, u) == COMMAND_HEAD, "a command's argument follows its head");

DECLARE_HYPERCALL(do_sysctl)
{
    uint32_t cmd;
    long rc = command_of(v, a1, XEN_SYSCTL_INTERFACE_VERSION, &cmd);

    if (rc)
        return rc;
    if (cmd < ARRAY_SIZE(ops) && ops[cmd].handler)
        return subop_dispatch(v, ops, ARRAY_SIZE(ops), cmd, a1 + COMMAND_HEAD);
    return arch_sysctl(v, cmd, a1 + COMMAND_HEAD);
}

/*
 * CPU pools: every CPU is in one pool or in none (free), every domain in one pool; its vcpus run on the
 * pool's CPUs only. Pool 0 exists always, starts with all CPUs, and holds the control domain. There is one
 * scheduler, credit.
 *
 * pool_lock covers changes; the masks are read without it, one word each.
 */
#include <bh/errno.h>
#include <bh/sched_cpu.h>
#include <bh/virq.h>
#include <public/sysctl.h>

#define MAX_POOLS 64

static struct spinlock pool_lock;
static struct {
    bool exists;
    cpumask_t cpus;
} pool[MAX_POOLS] = {[0] = {true, ~0UL}};

cpumask_t cpupool_cpus(uint32_t id)
{
    return likely(id < MAX_POOLS) ? READ_ONCE(pool[id].cpus) : 0;
}

cpumask_t cpupool_free_cpus(void)
{
    cpumask_t used = 0;

    for (uint32_t i = 0; i < MAX_POOLS; i++)
        used |= READ_ONCE(pool[i].cpus);
    return atomic_load(&sched_online) & ~used;
}

static uint32_t count_domains(uint32_t id)
{
    struct domain *d;
    uint32_t n = 0;

    for_each_domain (d)
        n += d->pool == id;
    return n;
}

/* Makes every vcpu of the pool's domains look whether it is where it may be. */
static void resettle(uint32_t id)
{
    struct domain *d;
    struct vcpu *v;

    for_each_domain (d)
        if (d->pool == id)
            for_each_vcpu (d, v)
                sched_resettle(v);
}

int cpupool_create(uint32_t wanted_id, uint32_t *id)
{
    uint32_t i = wanted_id == CPUPOOL_ANY ? 0 : wanted_id;
    int ret = 0;

    if (i >= MAX_POOLS)
        return -EINVAL;
    spin_lock(&pool_lock);
    while (wanted_id == CPUPOOL_ANY && i < MAX_POOLS && pool[i].exists)
        i++;
    if (i == MAX_POOLS)
        ret = -ENOSPC;
    else if (pool[i].exists)
        ret = -EEXIST;
    else
        pool[i].exists = true;
    spin_unlock(&pool_lock);
    *id = i;
    return ret;
}

int cpupool_destroy(uint32_t id)
{
    int ret = 0;

    if (id >= MAX_POOLS)
        return -ENOENT;
    spin_lock(&pool_lock);
    if (!pool[id].exists)
        ret = -ENOENT;
    else if (!id || pool[id].cpus || count_domains(id))
        ret = -EBUSY;
    else
        pool[id].exists = false;
    spin_unlock(&pool_lock);
    return ret;
}

int cpupool_info(uint32_t at_least_id, struct xen_sysctl_cpupool_op *out, cpumask_t *cpus)
{
    for (uint32_t i = at_least_id; i < MAX_POOLS; i++) {
        if (!READ_ONCE(pool[i].exists))
            continue;
        out->cpupool_id = i;
        out->sched_id = SCHED_CREDIT_ID;
        out->n_dom = count_domains(i);
        *cpus = cpupool_cpus(i) & atomic_load(&sched_online);
        return 0;
    }
    return -ENOENT;
}

int cpupool_add_cpu(uint32_t id, uint32_t cpu)
{
    cpumask_t free;
    int ret = 0;

    spin_lock(&pool_lock);
    free = cpupool_free_cpus();
    if (cpu == CPUPOOL_ANY && free)
        cpu = (uint32_t)__builtin_ctzl(free);
    if (id >= MAX_POOLS || !pool[id].exists)
        ret = -ENOENT;
    else if (cpu >= NR_CPUS)
        ret = cpu == CPUPOOL_ANY ? -ENODEV : -EINVAL;
    else if (!(free & CPUMASK(cpu)))
        ret = -EBUSY;
    else
        WRITE_ONCE(pool[id].cpus, pool[id].cpus | CPUMASK(cpu));
    spin_unlock(&pool_lock);
    return ret;
}

int cpupool_remove_cpu(uint32_t id, uint32_t cpu)
{
    cpumask_t cpus;
    int ret = 0;

    spin_lock(&pool_lock);
    cpus = cpupool_cpus(id) & atomic_load(&sched_online);
    if (cpu == CPUPOOL_ANY && cpus)
        cpu = 63 - (uint32_t)__builtin_clzl(cpus);
    if (id >= MAX_POOLS || !pool[id].exists)
        ret = -ENOENT;
    else if (cpu >= NR_CPUS || !(cpus & CPUMASK(cpu)))
        ret = -EINVAL;
    else if (cpus == CPUMASK(cpu) && count_domains(id))
        ret = -EBUSY;
    else
        WRITE_ONCE(pool[id].cpus, pool[id].cpus & ~CPUMASK(cpu));
    spin_unlock(&pool_lock);
    if (!ret)
        resettle(id);
    return ret;
}

/*
 * A CPU out of service: in no pool, and no vcpu runs there. It sleeps, and still serves its timers, its interrupts and
 * other CPUs' calls, so that nothing has to be moved off it and it comes back at once.
 */
int cpupool_cpu_offline(uint32_t cpu)
{
    uint32_t id = 0;
    int ret = 0;

    spin_lock(&pool_lock);
    if (cpu >= NR_CPUS || !(atomic_load(&sched_online) & CPUMASK(cpu)))
        ret = -EINVAL;
    while (!ret && id < MAX_POOLS && !(pool[id].cpus & CPUMASK(cpu)))
        id++;
    if (!ret && id < MAX_POOLS) {
        if (!(cpupool_cpus(id) & atomic_load(&sched_online) & ~CPUMASK(cpu)) && count_domains(id))
            ret = -EBUSY;
        else
            WRITE_ONCE(pool[id].cpus, pool[id].cpus & ~CPUMASK(cpu));
    }
    if (!ret)
        atomic_fetch_and(&sched_online, ~CPUMASK(cpu));
    spin_unlock(&pool_lock);
    if (ret)
        return ret;
    resettle(id);
    virq_send_global(VIRQ_PCPU_STATE);
    return 0;
}

int cpupool_cpu_online(uint32_t cpu)
{
    int ret = 0;

    spin_lock(&pool_lock);
    if (cpu >= NR_CPUS || !sched_cpu[cpu].idle)
        ret = -EINVAL;
    else if (!(atomic_load(&sched_online) & CPUMASK(cpu))) {
        WRITE_ONCE(pool[0].cpus, pool[0].cpus | CPUMASK(cpu));
        atomic_fetch_or(&sched_online, CPUMASK(cpu));
    }
    spin_unlock(&pool_lock);
    if (ret)
        return ret;
    resettle(0);
    virq_send_global(VIRQ_PCPU_STATE);
    return 0;
}

cpumask_t cpupool_cpus_in_service(void)
{
    return atomic_load(&sched_online);
}

int cpupool_move_domain(struct domain *d, uint32_t id)
{
    struct vcpu *v;
    int ret = 0;

    if (domain_is_control(d))
        return -EINVAL;
    spin_lock(&pool_lock);
    if (id >= MAX_POOLS || !pool[id].exists)
        ret = -ENOENT;
    else if (!(cpupool_cpus(id) & atomic_load(&sched_online)))
        ret = -EADDRINUSE;
    else
        d->pool = id;
    spin_unlock(&pool_lock);
    if (!ret)
        for_each_vcpu (d, v)
            sched_resettle(v);
    return ret;
}

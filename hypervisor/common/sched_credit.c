/*
 * Credit scheduling: who of the runnable vcpus is next.
 *
 * Time is shared in proportion to the domains' weights, in nanoseconds of credit. Every accounting period
 * (the time slice, 30 ms) hands out as much credit as the CPUs can work in it: to each domain with active
 * vcpus in proportion to its weight, but not more than its vcpus can use or its cap allows; the rest goes to
 * the others. Running costs credit.
 *
 *   BOOST  woke up with credit: ahead of all, until it has run for BOOST_TIME
 *   UNDER  has credit
 *   OVER   has none: runs when nobody else wants the CPU, those with the smallest debt first
 *   parked a capped domain's vcpu without credit: runs not at all until the next accounting
 *
 * Tickless: a CPU has a slice timer only while somebody waits for it (or its vcpu has a cap), and there is
 * accounting only while somebody waits anywhere or a cap is at work. Without contention nothing ticks.
 *
 * Balance: a waking vcpu goes to an idle CPU (its last one, then one of its soft affinity, then any it may
 * use); a CPU that would idle, or run an OVER vcpu, takes a better one from another CPU's queue.
 */
#include <bh/arch.h>
#include <bh/cmdline.h>
#include <bh/errno.h>
#include <bh/sched_cpu.h>
#include <bh/work.h>
#include <public/sysctl.h>

#define BOOST_TIME       (10 * MSEC)
#define TSLICE_MAX_MS    1000
#define RATELIMIT_MAX_US 500000

static uint64_t tslice = 30 * MSEC, ratelimit = 1 * MSEC;
static struct timer accounting;
static _Atomic bool accounting_armed;

void credit_vcpu_init(struct vcpu *v)
{
    v->sched.priority = PRIO_UNDER;
    v->sched.credit = 0;
}

/* slice_armed stays: schedule() sets it as it is from now on, with the lock. */
static void slice_expired(void *arg)
{
    work_raise(WORK_SCHEDULE);
}

void credit_cpu_init(struct sched_cpu *c)
{
    for (int i = 0; i < PRIO_QUEUES; i++)
        list_init(&c->queue[i]);
    timer_init(&c->slice, slice_expired, NULL, c->cpu);
}

static int queue_of(const struct vcpu *v)
{
    return v->sched.yielded ? PRIO_OVER : v->sched.priority;
}

void credit_enqueue(struct sched_cpu *c, struct vcpu *v, bool at_head)
{
    struct list *q = &c->queue[queue_of(v)];
    struct vcpu *i;

    if (v->sched.priority == PRIO_OVER && !v->sched.yielded) {
        list_for_each_entry (i, q, sched.link)
            if (i->sched.credit < v->sched.credit)
                break;
        list_add_between(&v->sched.link, i->sched.link.prev, &i->sched.link);
    } else if (at_head) {
        list_add_head(q, &v->sched.link);
    } else {
        list_add_tail(q, &v->sched.link);
    }
    v->sched.queued = true;
    v->sched.ran = true;
    if (!c->nr_queued++)
        atomic_fetch_or_explicit(&sched_waiting, CPUMASK(c->cpu), memory_order_relaxed);
}

void credit_dequeue(struct sched_cpu *c, struct vcpu *v)
{
    list_del(&v->sched.link);
    v->sched.queued = false;
    if (!--c->nr_queued)
        atomic_fetch_and_explicit(&sched_waiting, ~CPUMASK(c->cpu), memory_order_relaxed);
}

void credit_boost(struct vcpu *v)
{
    if (v->sched.priority == PRIO_UNDER)
        v->sched.priority = PRIO_BOOST;
}

void credit_charge(struct vcpu *v, uint64_t now)
{
    v->sched.ran = true;
    if (now <= v->sched.charged)
        return;
    v->sched.credit -= (int64_t)(now - v->sched.charged);
    v->sched.charged = now;
    if (v->sched.credit < -(int64_t)tslice)
        v->sched.credit = -(int64_t)tslice;
    if (v->sched.credit < 0)
        v->sched.priority = PRIO_OVER;
    else if (v->sched.priority == PRIO_BOOST && now - v->sched.since >= BOOST_TIME)
        v->sched.priority = PRIO_UNDER;
}

bool credit_over_cap(const struct vcpu *v)
{
    return v->domain->sched.cap && v->sched.credit <= 0;
}

/* How long v may run while others wait: an UNDER vcpu until its credit is used up, too. */
static uint64_t slice_of(const struct vcpu *v)
{
    return v->sched.priority == PRIO_UNDER ? tslice : MIN(BOOST_TIME, tslice);
}

bool credit_slice_over(const struct vcpu *v, uint64_t now)
{
    return now - v->sched.since >= slice_of(v);
}

bool credit_rate_limited(const struct vcpu *v, uint64_t now)
{
    return now - v->sched.since < ratelimit;
}

static struct vcpu *queue_head(struct sched_cpu *c, int priority)
{
    return list_empty(&c->queue[priority]) ? NULL : list_first(&c->queue[priority], struct vcpu, sched.link);
}

/* Takes a vcpu of at most `worst` priority from the queue of `from` that may run on `me`. Both locks are
 * held. */
static struct vcpu *steal_from(struct sched_cpu *from, struct sched_cpu *me, int worst)
{
    cpumask_t here = CPUMASK(me->cpu);
    struct vcpu *v;

    for (int p = 0; p <= worst; p++) {
        list_for_each_entry (v, &from->queue[p], sched.link) {
            if (v->sched.running || !(sched_allowed(v) & here))
                continue;
            credit_dequeue(from, v);
            sched_assign(v, me->cpu);
            return v;
        }
    }
    return NULL;
}

static struct vcpu *steal(struct sched_cpu *me, int worst)
{
    cpumask_t others = atomic_load_explicit(&sched_waiting, memory_order_relaxed) & ~CPUMASK(me->cpu);
    struct vcpu *v = NULL;

    for (; others && !v; others &= others - 1) {
        struct sched_cpu *from = &sched_cpu[__builtin_ctzl(others)];

        if (!spin_trylock(&from->lock))
            continue;
        v = steal_from(from, me, worst);
        spin_unlock(&from->lock);
    }
    return v;
}

struct vcpu *credit_pick(struct sched_cpu *c)
{
    struct vcpu *v = NULL, *stolen;

    if (c->nr_queued)
        for (int p = 0; p < PRIO_QUEUES && !v; p++)
            v = queue_head(c, p);
    if (!v)
        return steal(c, PRIO_OVER);
    if (v->sched.priority == PRIO_OVER && (stolen = steal(c, PRIO_UNDER)) != NULL)
        return stolen;
    credit_dequeue(c, v);
    return v;
}

/*
 * c->current's end: after its slice when somebody waits, when its cap is used up, or, shortly after it began,
 * when it was protected from preemption by the rate limit.
 */
void credit_arm_slice(struct sched_cpu *c, uint64_t now)
{
    struct vcpu *v = c->current;
    uint64_t end = 0;

    if (v != c->idle) {
        if (c->nr_queued)
            end = v->sched.since + slice_of(v);
        if (c->nr_queued && v->sched.priority == PRIO_UNDER && now + (uint64_t)v->sched.credit + 1 < end)
            end = now + (uint64_t)v->sched.credit + 1;
        if (c->nr_queued && ratelimit && now - v->sched.since < ratelimit)
            end = v->sched.since + ratelimit;
        if (v->domain->sched.cap && v->sched.credit > 0 && (!end || now + (uint64_t)v->sched.credit < end))
            end = now + (uint64_t)v->sched.credit;
    }
    if (end) {
        c->slice_armed = true;
        timer_set(&c->slice, MAX(end, now + ratelimit / 2));
    } else if (c->slice_armed) {
        c->slice_armed = false;
        timer_stop(&c->slice);
    }
}

/* CPUs that are idle and have not been given anything yet. */
static cpumask_t free_cpus(void)
{
    return atomic_load_explicit(&sched_idle, memory_order_relaxed) &
           ~atomic_load_explicit(&sched_waiting, memory_order_relaxed);
}

/* Somebody waits at c: the CPU that could take it, were it asked, or NR_CPUS. */
uint32_t credit_find_helper(struct sched_cpu *c)
{
    cpumask_t idle = free_cpus();
    struct vcpu *v;

    if (likely(!idle))
        return NR_CPUS;
    for (int p = 0; p < PRIO_QUEUES; p++)
        list_for_each_entry (v, &c->queue[p], sched.link) {
            cpumask_t can = idle & sched_allowed(v);

            if (can && !v->sched.running)
                return (uint32_t)__builtin_ctzl(can);
        }
    return NR_CPUS;
}

bool credit_could_run_elsewhere(const struct vcpu *v)
{
    return sched_allowed(v) & free_cpus();
}

uint32_t credit_choose_cpu(const struct vcpu *v)
{
    cpumask_t allowed = sched_allowed(v), idle = allowed & free_cpus();
    uint32_t last = v->sched.cpu, best = last, load = ~0u;

    if ((idle & v->sched.soft) != 0)
        idle &= v->sched.soft;
    if (idle)
        return idle & CPUMASK(last) ? last : (uint32_t)__builtin_ctzl(idle);
    if (v->state != VCPU_DOWN && allowed & CPUMASK(last))
        return last;
    if (allowed & v->sched.soft)
        allowed &= v->sched.soft;
    for (; allowed; allowed &= allowed - 1) {
        uint32_t cpu = (uint32_t)__builtin_ctzl(allowed);

        if (READ_ONCE(sched_cpu[cpu].nr_queued) < load) {
            load = READ_ONCE(sched_cpu[cpu].nr_queued);
            best = cpu;
        }
    }
    return best;
}

/* Accounting. */

void credit_need_accounting(void)
{
    if (!atomic_load_explicit(&accounting_armed, memory_order_relaxed) &&
        !atomic_exchange(&accounting_armed, true))
        timer_set(&accounting, arch_now() + tslice);
}

/* v wanted a CPU in the last period. Its lock is not held: who changes right now counts either way. */
static bool was_active(const struct vcpu *v)
{
    return READ_ONCE(v->sched.ran) || READ_ONCE(v->sched.queued) || READ_ONCE(v->sched.parked);
}

/* Counts the vcpus that wanted a CPU in the last period; sums the weights of domains that have any. */
static void count_active(struct domain *d, uint64_t *sum)
{
    uint32_t active = 0;
    struct vcpu *v;

    for_each_vcpu (d, v)
        active += was_active(v);
    d->sched.active = active;
    d->sched.share = 0;
    d->sched.settled = !active;
    if (active)
        *sum += d->sched.weight;
}

/* What d's active vcpus can use of a period, at most. */
static uint64_t most_usable(const struct domain *d)
{
    uint64_t most = d->sched.active * tslice;

    return d->sched.cap ? MIN(most, tslice * d->sched.cap / 100) : most;
}

/* One round of sharing out: left, sum of weights that want more, credit settled in this round and its
 * weights. */
enum { LEFT, WEIGHTS, SETTLED, SETTLED_WEIGHTS, ROUND_VALUES };

static void share_out(struct domain *d, uint64_t *r)
{
    uint64_t fair, most;

    if (d->sched.settled)
        return;
    fair = r[LEFT] * d->sched.weight / r[WEIGHTS];
    most = most_usable(d);
    d->sched.share = MIN(fair, most);
    if (fair >= most) {
        d->sched.settled = true;
        r[SETTLED] += most;
        r[SETTLED_WEIGHTS] += d->sched.weight;
    }
}

static void give_credit(struct vcpu *v, int64_t amount)
{
    struct sched_cpu *c = sched_lock_vcpu(v);
    bool queued = v->sched.queued, unpark, preempts;

    if (queued)
        credit_dequeue(c, v);
    if (c->current == v)
        credit_charge(v, arch_now());
    v->sched.credit = MIN(v->sched.credit + amount, (int64_t)tslice);
    if (v->sched.credit >= 0 && v->sched.priority == PRIO_OVER)
        v->sched.priority = PRIO_UNDER;
    unpark = v->sched.parked && !credit_over_cap(v);
    if (unpark)
        v->sched.parked = false;
    if (queued)
        credit_enqueue(c, v, false);
    v->sched.ran = queued || c->current == v;
    preempts = queued && v->sched.priority < c->current->sched.priority;
    spin_unlock(&c->lock);
    if (preempts)
        work_raise_cpu(c->cpu, WORK_SCHEDULE);
    if (unpark)
        sched_vcpu_start(v);
}

static void hand_out(struct domain *d, uint64_t *wanted)
{
    int64_t each = d->sched.active ? (int64_t)(d->sched.share / d->sched.active) : 0;
    struct vcpu *v;

    for_each_vcpu (d, v) {
        if (!was_active(v))
            continue;
        if (READ_ONCE(v->sched.queued) || READ_ONCE(v->sched.parked) || d->sched.cap)
            *wanted = 1;
        give_credit(v, each);
    }
}

static void account(void *arg)
{
    uint64_t r[ROUND_VALUES] = {0}, wanted = 0;
    struct domain *d;
    cpumask_t look;

    r[LEFT] = (uint64_t)__builtin_popcountl(atomic_load(&sched_online)) * tslice;
    for_each_domain (d)
        count_active(d, &r[WEIGHTS]);
    for (int round = 0; round < 4 && r[WEIGHTS]; round++) {
        r[SETTLED] = r[SETTLED_WEIGHTS] = 0;
        for_each_domain (d)
            share_out(d, r);
        if (!r[SETTLED_WEIGHTS])
            break;
        r[LEFT] -= MIN(r[LEFT], r[SETTLED]);
        r[WEIGHTS] -= MIN(r[WEIGHTS], r[SETTLED_WEIGHTS]);
    }
    for_each_domain (d)
        hand_out(d, &wanted);
    atomic_store(&accounting_armed, false);
    if (!wanted)
        return;
    /* A CPU whose vcpu used up its credit while nobody waited there looks for who deserves it more elsewhere.
     */
    look = atomic_load(&sched_online);
    if (!atomic_load(&sched_waiting))
        look &= ~atomic_load(&sched_idle);
    for (cpumask_t m = look; m; m &= m - 1)
        work_raise_cpu((uint32_t)__builtin_ctzl(m), WORK_SCHEDULE);
    credit_need_accounting();
}

/* Control. */

int sched_domain_init(struct domain *d, uint32_t pool)
{
    if (!cpupool_cpus(pool))
        return -ENOENT;
    d->pool = pool;
    d->sched.weight = SCHED_WEIGHT_DEFAULT;
    return 0;
}

int sched_set_params(struct domain *d, uint32_t weight, uint32_t cap)
{
    if (!weight || weight > 65535 || cap > d->max_vcpus * 100)
        return -EINVAL;
    d->sched.weight = weight;
    d->sched.cap = cap;
    if (cap)
        credit_need_accounting();
    return 0;
}

void sched_get_global(struct xen_sysctl_credit_schedule *out)
{
    *out = (struct xen_sysctl_credit_schedule){.tslice_ms = (uint32_t)(tslice / MSEC),
                                               .ratelimit_us = (uint32_t)(ratelimit / 1000)};
}

int sched_set_global(const struct xen_sysctl_credit_schedule *params)
{
    if (!params->tslice_ms || params->tslice_ms > TSLICE_MAX_MS || params->ratelimit_us > RATELIMIT_MAX_US ||
        params->ratelimit_us > params->tslice_ms * 1000)
        return -EINVAL;
    tslice = params->tslice_ms * MSEC;
    ratelimit = params->ratelimit_us * 1000UL;
    return 0;
}

void sched_dump(void)
{
    static const char *const name[] = {"boost", "under", "over"};
    struct vcpu *v;

    for (cpumask_t m = atomic_load(&sched_online); m; m &= m - 1) {
        uint32_t cpu = (uint32_t)__builtin_ctzl(m);
        struct sched_cpu *c = &sched_cpu[cpu];

        spin_lock(&c->lock);
        if (c->current == c->idle)
            printk(LOG_ERROR, "  CPU %u: idle, %u waiting", cpu, c->nr_queued);
        else
            printk(LOG_ERROR, "  CPU %u: d%uv%u runs, credit %ld us, %u waiting", cpu, c->current->domain->id,
                   c->current->id, (long)(c->current->sched.credit / 1000), c->nr_queued);
        for (int p = 0; p < PRIO_QUEUES; p++)
            list_for_each_entry (v, &c->queue[p], sched.link)
                printk(LOG_ERROR, "    %s: d%uv%u, credit %ld us", name[p], v->domain->id, v->id,
                       (long)(v->sched.credit / 1000));
        spin_unlock(&c->lock);
    }
}

void sched_init(void)
{
    if (options.sched_credit_tslice_ms)
        tslice = options.sched_credit_tslice_ms * MSEC;
    ratelimit = options.sched_ratelimit_us * 1000UL;
    timer_init(&accounting, account, NULL, arch_cpu_id());
}

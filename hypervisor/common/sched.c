/*
 * Scheduling: who may run, switching, run states.
 *
 * A vcpu is runnable when it is up, not blocked, and neither it nor its domain is paused. A runnable vcpu is
 * exactly one of: the current one of its CPU, queued at its CPU, parked (over its cap), or on its way out of
 * a CPU that it may not use any more (`migrating`, until its state is saved).
 *
 *   v->sched.running is set when v is picked and cleared when its state is in memory again. While it is set,
 * no other CPU runs or steals v; it may stand in its own CPU's queue meanwhile.
 *
 * v->sched.cpu is the CPU whose lock covers v. It changes only with that lock held, and only while v is not
 * running. Two CPUs' locks are never waited for together: stealing tries the second.
 *
 * A blocking vcpu says BLOCKED first and looks for events then; a sender makes the event pending first and
 * looks at the state then. Both have a full barrier between, so one of them sees the other.
 */
#include <bh/arch.h>
#include <bh/cmdline.h>
#include <bh/errno.h>
#include <bh/guest.h>
#include <bh/sched_cpu.h>
#include <bh/work.h>

struct sched_cpu sched_cpu[NR_CPUS];
_Atomic cpumask_t sched_online, sched_idle, sched_waiting;

struct sched_cpu *sched_lock_vcpu(struct vcpu *v)
{
    for (;;) {
        uint32_t cpu = READ_ONCE(v->sched.cpu);

        spin_lock(&sched_cpu[cpu].lock);
        if (likely(__atomic_load_n(&v->sched.cpu, __ATOMIC_ACQUIRE) == cpu))
            return &sched_cpu[cpu];
        spin_unlock(&sched_cpu[cpu].lock);
    }
}

bool vcpu_runnable(const struct vcpu *v)
{
    return v->state == VCPU_RUNABLE && !atomic_load_explicit(&v->pause_count, memory_order_relaxed) &&
           !atomic_load_explicit(&v->domain->pause_count, memory_order_relaxed);
}

/* The run state of a vcpu that is on no CPU. */
static int waiting_runstate(const struct vcpu *v)
{
    if (vcpu_runnable(v))
        return RUNSTATE_runnable;
    return v->state == VCPU_BLOCKED ? RUNSTATE_blocked : RUNSTATE_offline;
}

void runstate_change(struct vcpu *v, int state, uint64_t now)
{
    struct vcpu_runstate_info *r = &v->runstate;

    if (r->state == state)
        return;
    if (likely(now > r->state_entry_time)) {
        r->time[r->state] += now - r->state_entry_time;
        r->state_entry_time = now;
    }
    r->state = state;
}

/* Writes v's run state where its guest asked for it. v's address space is loaded. */
static void publish_runstate(struct vcpu *v)
{
    struct vcpu_runstate_info info = v->runstate;
    uint64_t entry_field = v->runstate_guest + offsetof(struct vcpu_runstate_info, state_entry_time);
    bool flagged = v->domain->vm_assist & (1UL << VMASST_TYPE_runstate_update_flag);
    size_t missed = 0;

    if (flagged) {
        uint64_t mark = info.state_entry_time | XEN_RUNSTATE_UPDATE;

        missed = copy_to_guest(v, entry_field, &mark, sizeof(mark));
        info.state_entry_time = mark;
        atomic_thread_fence(memory_order_release);
    }
    if (!missed)
        missed = copy_to_guest(v, v->runstate_guest, &info, sizeof(info));
    if (flagged && !missed) {
        atomic_thread_fence(memory_order_release);
        missed = copy_to_guest(v, entry_field, &v->runstate.state_entry_time, sizeof(uint64_t));
    }
    /* An area that cannot be written is the guest's loss: it keeps stale values. */
    (void)missed;
}

void vcpu_runstate_get(struct vcpu *v, struct vcpu_runstate_info *out)
{
    struct sched_cpu *c = sched_lock_vcpu(v);
    uint64_t now = arch_now();

    *out = v->runstate;
    if (now > out->state_entry_time)
        out->time[out->state] += now - out->state_entry_time;
    spin_unlock(&c->lock);
}

uint64_t sched_vcpu_runtime(struct vcpu *v)
{
    struct vcpu_runstate_info info;

    vcpu_runstate_get(v, &info);
    return info.time[RUNSTATE_running];
}

uint64_t sched_cpu_idle_time(unsigned int cpu)
{
    return sched_cpu[cpu].idle ? sched_vcpu_runtime(sched_cpu[cpu].idle) : 0;
}

/*
 * Puts a runnable vcpu that is nowhere into a queue: on an idle CPU if there is one for it. Called with the
 * lock of v's CPU, which it drops.
 */
static void place(struct sched_cpu *c, struct vcpu *v)
{
    uint32_t cpu = c->cpu;

    if (!v->sched.running) {
        cpu = credit_choose_cpu(v);
        if (cpu != v->sched.cpu) {
            sched_assign(v, cpu);
            spin_unlock(&c->lock);
            c = sched_lock_vcpu(v);
            cpu = v->sched.cpu;
            if (!vcpu_runnable(v) || v->sched.queued || v->sched.running || c->current == v) {
                spin_unlock(&c->lock);
                return;
            }
        }
    } else if (!(sched_allowed(v) & CPUMASK(cpu))) {
        v->sched.migrating = true; /* sched_context_saved() comes back here */
        spin_unlock(&c->lock);
        return;
    }
    if (unlikely(credit_over_cap(v))) {
        v->sched.parked = true;
        spin_unlock(&c->lock);
        credit_need_accounting();
        return;
    }
    credit_enqueue(c, v, false);
    if (v->sched.priority < c->current->sched.priority) {
        spin_unlock(&c->lock);
        work_raise_cpu(cpu, WORK_SCHEDULE);
        return;
    }
    credit_arm_slice(c, arch_now());
    spin_unlock(&c->lock);
    credit_need_accounting();
}

void vcpu_wake(struct vcpu *v)
{
    struct sched_cpu *c;

    if (likely(READ_ONCE(v->state) != VCPU_BLOCKED))
        return;
    c = sched_lock_vcpu(v);
    if (v->state != VCPU_BLOCKED) {
        spin_unlock(&c->lock);
        return;
    }
    v->state = VCPU_RUNABLE;
    if (unlikely(v->polling)) {
        evtchn_poll_end(v);
        timer_stop(&v->poll_timer);
    }
    if (c->current == v || !vcpu_runnable(v)) {
        if (c->current != v)
            runstate_change(v, RUNSTATE_offline, arch_now());
        spin_unlock(&c->lock);
        return;
    }
    runstate_change(v, RUNSTATE_runnable, arch_now());
    credit_boost(v);
    place(c, v);
}

void sched_vcpu_start(struct vcpu *v)
{
    struct sched_cpu *c = sched_lock_vcpu(v);

    if (c->current == v) {
        spin_unlock(&c->lock);
        return;
    }
    runstate_change(v, waiting_runstate(v), arch_now());
    if (vcpu_runnable(v) && !v->sched.queued && !v->sched.parked && !v->sched.migrating)
        place(c, v);
    else
        spin_unlock(&c->lock);
}

void sched_vcpu_stop(struct vcpu *v)
{
    struct sched_cpu *c = sched_lock_vcpu(v);
    bool current = c->current == v;

    if (!current && !vcpu_runnable(v)) {
        if (v->sched.queued)
            credit_dequeue(c, v);
        v->sched.parked = false;
        v->sched.migrating = false;
        runstate_change(v, waiting_runstate(v), arch_now());
    }
    spin_unlock(&c->lock);
    if (current)
        work_raise_cpu(c->cpu, WORK_SCHEDULE);
}

static bool is_leaving(struct vcpu *v)
{
    struct sched_cpu *c = sched_lock_vcpu(v);
    bool leaving = !vcpu_runnable(v) && atomic_load_explicit(&v->sched.running, memory_order_acquire);

    spin_unlock(&c->lock);
    return leaving;
}

void sched_vcpu_stop_sync(struct vcpu *v)
{
    sched_vcpu_stop(v);
    while (is_leaving(v))
        arch_cpu_relax();
}

void sched_vcpu_online(struct vcpu *v, bool online)
{
    struct sched_cpu *c = sched_lock_vcpu(v);

    if (online && v->state == VCPU_DOWN)
        v->state = VCPU_RUNABLE;
    else if (!online)
        v->state = VCPU_DOWN;
    spin_unlock(&c->lock);
    if (online)
        sched_vcpu_start(v);
    else
        sched_vcpu_stop(v);
}

void vcpu_block(struct vcpu *v)
{
    struct sched_cpu *c;

    v->info->evtchn_upcall_mask = 0;
    if (READ_ONCE(v->info->evtchn_upcall_pending))
        return;
    c = sched_lock_vcpu(v);
    if (v->state == VCPU_RUNABLE)
        v->state = VCPU_BLOCKED;
    atomic_thread_fence(memory_order_seq_cst);
    if (unlikely(READ_ONCE(v->info->evtchn_upcall_pending)) && v->state == VCPU_BLOCKED)
        v->state = VCPU_RUNABLE;
    spin_unlock(&c->lock);
    work_raise(WORK_SCHEDULE);
}

void vcpu_yield(struct vcpu *v)
{
    if (!READ_ONCE(sched_cpu[v->sched.cpu].nr_queued))
        return;
    v->sched.yielded = true;
    work_raise(WORK_SCHEDULE);
}

/* What becomes of the vcpu that leaves the CPU or may stay: queued, parked, on its way elsewhere, or not
 * runnable. */
static void put_back(struct sched_cpu *c, struct vcpu *prev, uint64_t now)
{
    if (!vcpu_runnable(prev))
        return;
    if (unlikely(!(sched_allowed(prev) & CPUMASK(c->cpu))))
        prev->sched.migrating = true;
    else if (unlikely(credit_over_cap(prev)))
        prev->sched.parked = true;
    else
        credit_enqueue(c, prev, !prev->sched.yielded && !credit_slice_over(prev, now));
}

static void note_idle(struct sched_cpu *c, const struct vcpu *prev, const struct vcpu *next)
{
    cpumask_t me = CPUMASK(c->cpu);

    if (next == c->idle)
        atomic_fetch_or_explicit(&sched_idle, me, memory_order_relaxed);
    else if (prev == c->idle)
        atomic_fetch_and_explicit(&sched_idle, ~me, memory_order_relaxed);
}

/* Timers of a vcpu expire where it runs, so that waking it needs no other CPU. */
static void bring_timers(struct vcpu *v, unsigned int cpu)
{
    if (likely(v->singleshot_timer.cpu == cpu))
        return;
    timer_migrate(&v->singleshot_timer, cpu);
    timer_migrate(&v->periodic_timer, cpu);
    timer_migrate(&v->poll_timer, cpu);
    timer_migrate(&v->upcall_timer, cpu);
}

void schedule(void)
{
    unsigned int cpu = arch_cpu_id();
    struct sched_cpu *c = &sched_cpu[cpu];
    struct vcpu *prev = c->current, *next;
    uint64_t now = arch_now();
    uint32_t helper = NR_CPUS;
    bool contended;

    spin_lock(&c->lock);
    if (prev != c->idle) {
        credit_charge(prev, now);
        if (vcpu_runnable(prev) && !prev->sched.yielded && credit_rate_limited(prev, now) &&
            (sched_allowed(prev) & CPUMASK(cpu)) && !credit_over_cap(prev)) {
            credit_arm_slice(c, now);
            spin_unlock(&c->lock);
            return;
        }
        put_back(c, prev, now);
        prev->sched.yielded = false;
    }
    next = credit_pick(c);
    if (!next)
        next = c->idle;
    if (next == prev) {
        if (credit_slice_over(prev, now))
            prev->sched.since = now;
        credit_arm_slice(c, now);
        spin_unlock(&c->lock);
        return;
    }
    runstate_change(prev, waiting_runstate(prev), now);
    runstate_change(next, RUNSTATE_running, now);
    next->sched.since = next->sched.charged = now;
    next->sched.running = true;
    c->current = next;
    note_idle(c, prev, next);
    credit_arm_slice(c, now);
    contended = c->nr_queued;
    if (unlikely(contended))
        helper = credit_find_helper(c);
    spin_unlock(&c->lock);

    if (unlikely(contended || READ_ONCE(prev->sched.parked) || next->domain->sched.cap))
        credit_need_accounting();
    if (unlikely(helper < NR_CPUS))
        work_raise_cpu(helper, WORK_SCHEDULE);
    if (next != c->idle)
        bring_timers(next, cpu);
    if (prev->runstate_guest)
        publish_runstate(prev);
    arch_context_switch(prev, next);
}

void sched_context_saved(struct vcpu *prev)
{
    struct sched_cpu *c;
    uint32_t helper;

    atomic_store_explicit(&prev->sched.running, false, memory_order_release);
    if (likely(!READ_ONCE(prev->sched.migrating) && !READ_ONCE(prev->sched.queued)))
        return;
    c = sched_lock_vcpu(prev);
    if (prev->sched.queued) { /* it was preempted: an idle CPU may have it */
        helper = credit_find_helper(c);
        spin_unlock(&c->lock);
        if (helper < NR_CPUS)
            work_raise_cpu(helper, WORK_SCHEDULE);
        return;
    }
    if (prev->sched.migrating && vcpu_runnable(prev) && !prev->sched.queued) {
        prev->sched.migrating = false;
        place(c, prev);
        return;
    }
    prev->sched.migrating = false;
    spin_unlock(&c->lock);
}

void sched_switched_in(struct vcpu *next)
{
    if (next->runstate_guest)
        publish_runstate(next);
    if (next->time_guest)
        vcpu_publish_time(next);
}

/* What v may use changed: moves it if it is where it may not be. Drops c's lock. */
static void resettle_locked(struct sched_cpu *c, struct vcpu *v)
{
    bool leave = !(sched_allowed(v) & CPUMASK(c->cpu));

    if (v->sched.queued && !v->sched.running && (leave || credit_could_run_elsewhere(v))) {
        credit_dequeue(c, v);
        place(c, v);
        return;
    }
    spin_unlock(&c->lock);
    if (leave)
        work_raise_cpu(c->cpu, WORK_SCHEDULE);
}

void sched_resettle(struct vcpu *v)
{
    resettle_locked(sched_lock_vcpu(v), v);
}

void sched_set_state(struct vcpu *v, enum vcpu_state from, enum vcpu_state to)
{
    struct sched_cpu *c = sched_lock_vcpu(v);

    if (v->state == from)
        v->state = to;
    spin_unlock(&c->lock);
}

int sched_set_affinity(struct vcpu *v, cpumask_t hard, cpumask_t soft)
{
    cpumask_t usable = cpupool_cpus(v->domain->pool) & atomic_load(&sched_online);
    struct sched_cpu *c;

    if (!(hard & usable))
        return -EINVAL;
    c = sched_lock_vcpu(v);
    if (v->sched.pin_override) {
        spin_unlock(&c->lock);
        return -EBUSY;
    }
    v->sched.hard = hard;
    v->sched.soft = soft;
    resettle_locked(c, v);
    return 0;
}

int sched_pin_override(struct vcpu *v, int32_t cpu)
{
    cpumask_t usable = cpupool_cpus(v->domain->pool) & atomic_load(&sched_online), hard;
    struct sched_cpu *c;

    if (cpu >= 0 && (cpu >= NR_CPUS || !(usable & CPUMASK(cpu))))
        return -EINVAL;
    c = sched_lock_vcpu(v);
    if ((cpu < 0) != v->sched.pin_override) {
        spin_unlock(&c->lock);
        return cpu < 0 ? -ENOENT : -EBUSY;
    }
    hard = cpu < 0 ? v->sched.hard_saved : CPUMASK(cpu);
    v->sched.hard_saved = v->sched.hard;
    v->sched.pin_override = false;
    spin_unlock(&c->lock);
    if (sched_set_affinity(v, hard, v->sched.soft))
        return -EINVAL;
    v->sched.pin_override = cpu >= 0;
    return 0;
}

cpumask_t sched_allowed(const struct vcpu *v)
{
    cpumask_t online = atomic_load_explicit(&sched_online, memory_order_relaxed);
    cpumask_t pool = cpupool_cpus(v->domain->pool) & online;
    cpumask_t both = pool & v->sched.hard;

    if (likely(both))
        return both;
    return pool ? pool : online;
}

void sched_vcpu_init(struct vcpu *v)
{
    v->sched.hard = v->sched.soft = ~0UL;
    list_init(&v->sched.link);
    v->state = VCPU_DOWN;
    v->runstate.state = RUNSTATE_offline;
    v->runstate.state_entry_time = arch_now();
    credit_vcpu_init(v);
    if (options.dom0_vcpus_pin && domain_is_control(v->domain) &&
        atomic_load(&sched_online) & CPUMASK(v->id % NR_CPUS))
        v->sched.hard = CPUMASK(v->id % NR_CPUS);
    v->sched.cpu = vcpu_is_idle(v) ? v->id : credit_choose_cpu(v);
}

void sched_vcpu_destroy(struct vcpu *v)
{
    sched_vcpu_online(v, false);
    sched_vcpu_stop_sync(v);
}

void sched_cpu_init(unsigned int cpu, struct vcpu *idle)
{
    struct sched_cpu *c = &sched_cpu[cpu];

    c->cpu = cpu;
    credit_cpu_init(c);
    c->idle = c->current = idle;
    idle->sched.cpu = cpu;
    idle->sched.priority = PRIO_IDLE;
    idle->sched.running = true;
    idle->state = VCPU_RUNABLE;
    idle->runstate.state = RUNSTATE_running;
    idle->runstate.state_entry_time = arch_now();
    atomic_fetch_or(&sched_idle, CPUMASK(cpu));
    atomic_fetch_or(&sched_online, CPUMASK(cpu));
}

void idle_loop(void)
{
    for (;;) {
        work_run();
        arch_idle_wait();
    }
}

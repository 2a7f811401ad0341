/*
 * The inside of the scheduler: what common/sched.c (who is runnable, switching) and common/sched_credit.c
 * (who of them is next) share. Nobody else includes this.
 */
#ifndef BH_SCHED_CPU_H
#define BH_SCHED_CPU_H

#include <bh/domain.h>

#define MSEC 1000000UL

struct sched_cpu {
    struct spinlock lock;
    uint32_t cpu;
    struct vcpu *current, *idle; /* current changes in schedule() on this CPU only */
    struct list queue[PRIO_QUEUES];
    uint32_t nr_queued;
    bool slice_armed;
    struct timer slice;
} aligned(64);

extern struct sched_cpu sched_cpu[NR_CPUS];
extern _Atomic cpumask_t sched_online;  /* CPUs that schedule */
extern _Atomic cpumask_t sched_idle;    /* of these, the ones whose current vcpu is the idle one */
extern _Atomic cpumask_t sched_waiting; /* of these, the ones with vcpus in their queue */

/* Locks the CPU that v is assigned to, and gives it. */
struct sched_cpu *sched_lock_vcpu(struct vcpu *v);
/* Puts v under another CPU's lock, with its own CPU's held: what was written under that one is seen under the new one. */
static inline void sched_assign(struct vcpu *v, uint32_t cpu)
{
    __atomic_store_n(&v->sched.cpu, cpu, __ATOMIC_RELEASE);
}
void runstate_change(struct vcpu *v, int state, uint64_t now);
/* The machine's CPUs that v may use at all: pool and hard affinity, online. Never empty. */
cpumask_t sched_allowed(const struct vcpu *v);

/* sched_credit.c; all with the lock of v's CPU held */
void credit_vcpu_init(struct vcpu *v);
void credit_cpu_init(struct sched_cpu *c);
void credit_enqueue(struct sched_cpu *c, struct vcpu *v, bool at_head);
void credit_dequeue(struct sched_cpu *c, struct vcpu *v);
void credit_boost(struct vcpu *v);                /* it wakes */
void credit_charge(struct vcpu *v, uint64_t now); /* it ran until now */
bool credit_over_cap(const struct vcpu *v);       /* must wait for the next accounting */
bool credit_slice_over(const struct vcpu *v, uint64_t now);
bool credit_rate_limited(const struct vcpu *v, uint64_t now); /* runs too short yet to be preempted */
struct vcpu *credit_pick(struct sched_cpu *c);                /* off the queue, or stolen; NULL: none */
void credit_arm_slice(struct sched_cpu *c, uint64_t now);     /* for c->current, if it needs an end */
void credit_need_accounting(void);
uint32_t credit_find_helper(struct sched_cpu *c);      /* an idle CPU for one that waits at c, or NR_CPUS */
bool credit_could_run_elsewhere(const struct vcpu *v); /* at once, on an idle CPU */
uint32_t credit_choose_cpu(const struct vcpu *v);      /* where to place a vcpu that waits */

#endif

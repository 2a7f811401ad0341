/*
 * Scheduling: which vcpu runs on which CPU. Model in common/sched.c (states, switching),
 * common/sched_credit.c (queues, priorities, credits), common/cpupool.c (which CPUs a domain may use at all).
 *
 * The scheduler lock of a vcpu is the lock of the CPU it is assigned to (v->sched.cpu).
 *
 * What arch code owes: arch_context_switch(prev, next) calls sched_context_saved(prev) once prev's whole
 * state is in memory (another CPU may run it from then on), and sched_switched_in(next) once next's address
 * space is loaded and guest memory can be written. Neither is called for prev == next.
 */
#ifndef BH_SCHED_H
#define BH_SCHED_H

#include <bh/types.h>
#include <bh/list.h>
#include <bh/lock.h>

struct vcpu_runstate_info;
struct xen_sysctl_cpupool_op;
struct xen_sysctl_credit_schedule;

enum sched_priority {
    PRIO_BOOST, /* woke with credit left: runs before the others, briefly */
    PRIO_UNDER, /* has credit */
    PRIO_OVER,  /* used up its credit */
    PRIO_IDLE,
    PRIO_QUEUES = PRIO_IDLE,
};

struct sched_vcpu {
    uint32_t cpu; /* assigned CPU: its lock covers this struct, v->state and v->runstate */
    uint8_t priority;
    _Atomic bool
        running;       /* from being picked until its state is saved: no other CPU may touch its registers */
    bool queued;       /* stands in the CPU's run queue */
    bool parked;       /* capped and out of credit: waits for the next accounting */
    bool yielded;      /* behind everybody else this once */
    bool migrating;    /* leaves a CPU that it may not use: placed again once its state is saved */
    bool pin_override; /* SCHEDOP_pin_override holds: hard_saved is what comes back */
    bool ran;          /* since the last accounting */
    struct list link;
    cpumask_t hard, soft, hard_saved;
    int64_t credit;   /* ns of CPU time */
    uint64_t since;   /* start of its time slice, system time */
    uint64_t charged; /* up to when its running was charged */
};

struct sched_domain {
    _Atomic uint32_t weight; /* 1..65535, 256 is normal */
    _Atomic uint32_t cap;    /* percent of one CPU; 0: none */
    /* Accounting: vcpus that wanted a CPU in the last period, credit for them, and whether more is of no use.
     */
    uint32_t active;
    bool settled;
    uint64_t share;
};

#define SCHED_WEIGHT_DEFAULT 256
#define SCHED_CREDIT_ID      5 /* XEN_SCHEDULER_CREDIT */

/* Boot and CPU hotplug */
void sched_init(void);
void sched_cpu_init(unsigned int cpu, struct vcpu *idle); /* before the CPU schedules for the first time */
/* A secondary CPU's first step in common code: its idle vcpu becomes current; idle_loop() follows. */
void smp_cpu_ready(unsigned int cpu);
void noreturn_fn idle_loop(void); /* an idle vcpu's life */

/* Life of a vcpu in the scheduler */
int must_check sched_domain_init(struct domain *d, uint32_t pool);
void sched_vcpu_init(struct vcpu *v);
void sched_vcpu_destroy(struct vcpu *v); /* off all queues and CPUs; not for the caller */

/* An event: makes a blocked vcpu runnable. Cheap when it is not blocked. */
void vcpu_wake(struct vcpu *v);
/* v's pause counts or v->state changed so that it must leave its CPU / may run again. */
void sched_vcpu_stop(struct vcpu *v);
void sched_vcpu_stop_sync(struct vcpu *v); /* and waits until its state is saved; v is not the caller */
void sched_vcpu_start(struct vcpu *v);
bool vcpu_runnable(const struct vcpu *v);
/* Takes v from DOWN to running, or to DOWN (VCPUOP_up/down; domctl). */
void sched_vcpu_online(struct vcpu *v, bool online);

/* The calling vcpu waits for an event (upcalls unmasked); returns at once when one is pending. */
void vcpu_block(struct vcpu *v);
void vcpu_yield(struct vcpu *v);

/* Picks and switches. Called by work_run() for WORK_SCHEDULE. */
void schedule(void);
void sched_context_saved(struct vcpu *prev);
void sched_switched_in(struct vcpu *next);

/* Control: 0, -EINVAL (no usable CPU in the mask), -EBUSY (pin override holds). Masks are of machine CPUs. */
int must_check sched_set_affinity(struct vcpu *v, cpumask_t hard, cpumask_t soft);
int must_check sched_set_params(struct domain *d, uint32_t weight, uint32_t cap);
int must_check sched_pin_override(struct vcpu *v, int32_t cpu);
/* The CPUs that v may use changed (its pool did). */
void sched_resettle(struct vcpu *v);
uint64_t sched_vcpu_runtime(struct vcpu *v); /* ns on a CPU so far */
void vcpu_runstate_get(struct vcpu *v, struct vcpu_runstate_info *out);
uint64_t sched_cpu_idle_time(unsigned int cpu);
void sched_dump(void); /* prints the run queues (debug key r) */
/* Writes v's time where its guest asked for a second copy (common/vcpu.c). v's address space is loaded. */
void vcpu_publish_time(struct vcpu *v);

void sched_get_global(struct xen_sysctl_credit_schedule *out);
int must_check sched_set_global(const struct xen_sysctl_credit_schedule *params);

/*
 * CPU pools. Pool 0 exists always and holds every CPU at first. Results: 0, -ENOENT, -EEXIST, -EBUSY,
 * -EINVAL, -ENOMEM, -EADDRINUSE as XEN_SYSCTL_cpupool_op documents them.
 */
#define CPUPOOL_ANY 0xffffffffU
int must_check cpupool_create(uint32_t wanted_id, uint32_t *id);
int must_check cpupool_destroy(uint32_t id);
/* The first pool with this id or above: id, scheduler, number of domains into *out, its CPUs. */
int must_check cpupool_info(uint32_t at_least_id, struct xen_sysctl_cpupool_op *out, cpumask_t *cpus);
int must_check cpupool_add_cpu(uint32_t id, uint32_t cpu);    /* CPUPOOL_ANY cpu: a free one */
int must_check cpupool_remove_cpu(uint32_t id, uint32_t cpu); /* CPUPOOL_ANY: the last one */
int must_check cpupool_move_domain(struct domain *d, uint32_t id);
/* Out of service and back into it, in pool 0. 0, -EINVAL (no such CPU running), -EBUSY (the last of a pool in use). */
int must_check cpupool_cpu_offline(uint32_t cpu);
int must_check cpupool_cpu_online(uint32_t cpu);
cpumask_t cpupool_cpus_in_service(void);
cpumask_t cpupool_free_cpus(void);
cpumask_t cpupool_cpus(uint32_t id); /* 0: no such pool */

#endif

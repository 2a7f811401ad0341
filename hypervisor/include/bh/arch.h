/*
 * All that common/ may ask of the machine. On the host a fake answers (tests/unit/fake).
 */
#ifndef BH_ARCH_H
#define BH_ARCH_H

#include <bh/types.h>

/* CPUs */
unsigned int arch_cpu_id(void);
cpumask_t arch_online_cpus(void);
void arch_cpu_relax(void);   /* while spinning: serves cross-CPU calls */
void arch_irq_window(void);  /* lets pending interrupts in; no lock may be held */
bool arch_irq_pending(void); /* cheap guess: whether work or an interrupt waits on this CPU */
/* Makes `cpu`, another than this one, pass through its work check soon (leave guest mode or the idle loop). */
void arch_kick_cpu(unsigned int cpu);
/* Idle loop's sleep: enables interrupts and halts, unless work is pending; returns with interrupts off. */
void arch_idle_wait(void);
/* Runs fn(arg) on each CPU of mask (the caller's own too if in it) and waits. fn takes no lock. */
void arch_cross_call(cpumask_t mask, void (*fn)(void *arg), void *arg);
/* Flushes all non-global and global TLB entries of the CPUs in mask, and waits. */
void arch_flush_tlb(cpumask_t mask);
/* The TLB clock: advances with full flushes. A page is stamped with it when a mapping of it went. */
uint32_t arch_tlb_clock(void);
/* Which CPUs of mask have not flushed everything since the clock showed `stamp`. */
cpumask_t arch_tlb_stale(cpumask_t mask, uint32_t stamp);
/* The vcpu that runs on this CPU. Read once, at the edge. */
struct vcpu *arch_current(void);
void arch_set_current(struct vcpu *v); /* a CPU's start only */

/* The work word of a CPU (bh/work.h), which the way out of the hypervisor tests. */
_Atomic uint32_t *arch_work_word(unsigned int cpu);
/* The number and first argument of the hypercall that this vcpu is in (the current one), for the cause
 * record. */
void arch_hypercall_args(struct vcpu *v, uint32_t *number, uint32_t *first_arg);

/* Memory */
void *arch_map(mfn_t mfn);                  /* every RAM frame is mapped always: the direct map */
mfn_t arch_unmap(const void *mapped);       /* the frame behind a pointer that arch_map gave */
void arch_set_m2p(mfn_t mfn, uint64_t pfn); /* machine-to-physical table; INVALID_FRAME: none */

/* Time */
uint64_t arch_now(void);                 /* system time: ns since boot, monotonic on all CPUs */
void arch_timer_set(uint64_t deadline);  /* this CPU's one interrupt; 0: none */
uint64_t arch_wallclock(uint32_t *nsec); /* seconds since 1970 when system time was 0 */
void arch_set_wallclock(uint64_t sec, uint32_t nsec, uint64_t system_time);
void arch_update_vcpu_time(struct vcpu *v);   /* publishes vcpu_time_info */
void arch_update_wallclock(struct domain *d); /* publishes shared_info's wall clock */

/* Domains and vcpus */
int must_check arch_domain_create(struct domain *d);
void arch_domain_destroy(struct domain *d);   /* idempotent; accepts half-built */
int arch_domain_relinquish(struct domain *d); /* gives pages back; -EAGAIN: preempted, call again */
int must_check arch_vcpu_create(struct vcpu *v);
void arch_vcpu_destroy(struct vcpu *v);
/* Leaves prev, enters next. Returns only for the idle vcpu's loop; guests continue on their own stack frame.
 */
void arch_context_switch(struct vcpu *prev, struct vcpu *next);
/* An event became pending for v: if it runs on another CPU, make that CPU look. */
void arch_vcpu_kick(struct vcpu *v);
int must_check arch_vcpu_initialise(struct vcpu *caller, struct vcpu *v, uint64_t untrusted_context);
void arch_vcpu_reset(struct vcpu *v);
long arch_vcpu_op(struct vcpu *caller, unsigned int op, struct vcpu *v, uint64_t untrusted_arg);
/* Prints v's registers to the console. */
void arch_dump_vcpu(struct vcpu *v);

/* Operations whose ABI is the machine's */
long arch_memory_op(struct vcpu *v, unsigned int op, uint64_t untrusted_arg);
long arch_sysctl(struct vcpu *v, uint32_t cmd, uint64_t untrusted_arg);
/* Guest-visible mapping made by a grant: map frame at `address` (or through the PTE at it), undo, replace. */
int must_check arch_grant_map(struct vcpu *v, uint64_t address, mfn_t mfn, unsigned int flags);
int must_check arch_grant_unmap(struct vcpu *v, uint64_t address, mfn_t mfn, unsigned int flags,
                                uint64_t replace_by);

/* Physical interrupts, for the domain that owns the pirq. GSI or MSI is decided when the pirq is mapped. */
/* Events for the pirq go to `port` of d (evtchn_pirq_pending) until unbound. -EEXIST: bound already. */
int must_check arch_pirq_bind(struct domain *d, uint32_t pirq, uint32_t port, bool will_share);
void arch_pirq_unbind(struct domain *d, uint32_t pirq);
void arch_pirq_eoi(struct domain *d, uint32_t pirq);
bool arch_pirq_needs_eoi(struct domain *d, uint32_t pirq);
void arch_pirq_set_affinity(struct domain *d, uint32_t pirq, unsigned int cpu);

/* The machine */
void arch_console_write(const char *text, size_t len); /* serial and screen, polled; any context */
void noreturn_fn arch_machine_reboot(void);
void noreturn_fn arch_machine_poweroff(void);
void noreturn_fn arch_machine_halt(void);
void noreturn_fn arch_fatal(void); /* after a panic's message: registers, then as `noreboot` says */

#endif

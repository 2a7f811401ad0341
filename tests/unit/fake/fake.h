/*
 * The machine that host tests run the hypervisor's common code on (bh/arch.h, bh/guest.h): RAM and a frame
 * table in arrays, CPUs that take turns in one thread, time that stands still unless a test moves it, guest
 * memory that is the test's own memory, a console in a buffer. All functions are weak: a test, or another
 * part that brings the real one, defines its own.
 */
#ifndef FAKE_H
#define FAKE_H

#include <setjmp.h>
#include <bh/types.h>
#include <bh/domain.h>

#ifndef FAKE_PAGES
#define FAKE_PAGES 8192u
#endif

/* CPUs. The thread is CPU fake_cpu; each has its current vcpu and its work word. */
extern unsigned int fake_cpu;
extern cpumask_t fake_online;
extern struct vcpu *fake_current[NR_CPUS];
extern _Atomic uint32_t fake_work[NR_CPUS];
extern unsigned int fake_kicks[NR_CPUS];
extern unsigned int fake_vcpu_kicks;
extern bool fake_preempt; /* what arch_irq_pending() says */
extern unsigned int fake_switches;

/* Time: fake_now is what arch_now() says; a CPU's programmed deadline (0: none). */
extern uint64_t fake_now;
extern uint64_t fake_deadline[NR_CPUS];
extern unsigned int fake_timer_writes;

extern cpumask_t fake_flushed; /* CPUs flushed since a test cleared it */
extern uint32_t fake_tlb_clock;

/* Guest addresses in [fake_fault_start, fake_fault_end) fault, as do the first page and the hypervisor's
 * range. */
extern uint64_t fake_fault_start, fake_fault_end;

/* The hypercall that arch_hypercall_args() names. */
extern uint32_t fake_hypercall, fake_hypercall_arg;

/* What was written to the console, NUL-terminated; cut when it is full. */
extern char fake_console[65536];
void fake_console_clear(void);

/* How the machine ended: set by arch_machine_* and arch_fatal(), which jump to fake_end when it is armed. */
enum fake_ending { FAKE_RUNS, FAKE_REBOOT, FAKE_POWEROFF, FAKE_HALT, FAKE_FATAL };
extern enum fake_ending fake_ending;
extern jmp_buf fake_end;
extern bool fake_end_armed;
/* Runs `statement`; gives how it ended the machine, FAKE_RUNS if it did not. */
#define FAKE_ENDS(statement)                                                                                 \
    __extension__({                                                                                          \
        fake_ending = FAKE_RUNS;                                                                             \
        fake_end_armed = true;                                                                               \
        if (!setjmp(fake_end)) {                                                                             \
            statement;                                                                                       \
        }                                                                                                    \
        fake_end_armed = false;                                                                              \
        fake_ending;                                                                                         \
    })

/*
 * Once per program: RAM to the allocator, `cpus` CPUs with idle vcpus, system domains, the scheduler. The
 * thread is CPU 0 then.
 */
void fake_boot(unsigned int cpus);
/* The thread goes on as another CPU. */
void fake_on_cpu(unsigned int cpu);
/* Serves all CPUs' work, timers that are due included, until none has any. */
void fake_run_work(void);
/* Moves time forward to `to`, stopping at every programmed deadline on the way as the interrupt would. */
void fake_advance(uint64_t to);
/* A PV domain with vcpus 0..vcpus-1 initialised and up, not paused, max_pages pages allowed. Fails the
 * program if it cannot. */
struct domain *fake_domain(bool privileged, uint32_t vcpus, uint64_t max_pages);
/* Kills d, drops the creator's reference and runs the work that frees it. */
void fake_domain_end(struct domain *d);

#endif

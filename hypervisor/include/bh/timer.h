/*
 * Timers: one ordered heap per CPU, one hardware deadline per CPU.
 *
 * A timer is embedded in its owner and zeroed at birth. States: idle (not in a heap) or armed (in the heap of
 * t->cpu). Its function runs on t->cpu from work_run(), without locks, after the timer became idle: it may
 * set the timer again. timer_kill() returns when the function runs nowhere and never will again.
 */
#ifndef BH_TIMER_H
#define BH_TIMER_H

#include <bh/types.h>

struct timer {
    uint64_t expires; /* system time, ns; valid while armed */
    void (*fn)(void *arg);
    void *arg;
    uint32_t cpu;
    bool armed, killed;
    /* Pairing heap, under the lock of the CPU's heap: first child, next sibling, previous sibling or parent.
     */
    struct timer *child, *next, *prev;
};

void timer_init(struct timer *t, void (*fn)(void *arg), void *arg, unsigned int cpu);
/* Arms or re-arms. A time that has passed fires as soon as the CPU does its work. A killed timer stays idle.
 */
void timer_set(struct timer *t, uint64_t expires_ns);
void timer_stop(struct timer *t);
void timer_kill(struct timer *t); /* idempotent; also for a zeroed timer. Not from its own function */
/* Moves to another CPU's heap, armed or not. */
void timer_migrate(struct timer *t, unsigned int cpu);
static inline bool timer_is_armed(const struct timer *t)
{
    return t->armed;
}

void timer_interrupt(void); /* the local timer's interrupt: only notes that there is work */
void timer_run(void);       /* runs what expired on this CPU and programs the next deadline */
void timer_cpu_init(unsigned int cpu);
void timer_dump(void); /* debug key */

#endif

/*
 * Spin locks (test and set, C11 atomics: the same source runs on the host under TSan).
 *
 * The hypervisor runs with interrupts off, so there is one kind of lock and no irqsave variants: interrupts are
 * taken in guest mode, in the idle loop and in arch_irq_window(), where no lock may be held. While a CPU spins it
 * serves cross-CPU calls (arch_cpu_relax), so that a lock holder who waits for a TLB flush of the spinner makes
 * progress. A function run by a cross-CPU call therefore takes no lock.
 *
 * Order, outermost first: see docs/locking.md.
 */
#ifndef BH_LOCK_H
#define BH_LOCK_H

#include <bh/types.h>

struct spinlock {
    _Atomic uint32_t held;
};

#define SPINLOCK_INIT                                                                                        \
    {                                                                                                        \
        0                                                                                                    \
    }

void arch_cpu_relax(void);

static inline bool spin_trylock(struct spinlock *l)
{
    return !atomic_exchange_explicit(&l->held, 1, memory_order_acquire);
}

static inline void spin_lock(struct spinlock *l)
{
    while (unlikely(!spin_trylock(l)))
        while (atomic_load_explicit(&l->held, memory_order_relaxed))
            arch_cpu_relax();
}

static inline void spin_unlock(struct spinlock *l)
{
    atomic_store_explicit(&l->held, 0, memory_order_release);
}

static inline bool spin_is_locked(struct spinlock *l)
{
    return atomic_load_explicit(&l->held, memory_order_relaxed);
}

#endif

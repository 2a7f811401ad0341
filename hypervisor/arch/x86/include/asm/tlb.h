/*
 * The TLB. Guests' entries are never global, so loading CR3 flushes all of them; the hypervisor's own mappings are
 * global and change only together with arch_flush_tlb().
 *
 * The TLB clock advances with every flush of guests' entries; each CPU notes what it showed at its last one. A page
 * that was unmapped when the clock showed `stamp` may be cached only by CPUs that have not flushed since.
 */
#ifndef ASM_TLB_H
#define ASM_TLB_H

#include <bh/types.h>
#include <asm/insn.h>
#include <asm/percpu.h>

extern _Atomic uint32_t tlb_clock;

/* After a flush of this CPU. The clock is read before the flush took place, so an unmapping later than that counts. */
static inline void tlb_note_flush(uint32_t clock)
{
    atomic_store_explicit(&this_percpu()->tlb_stamp, clock, memory_order_relaxed);
}

/* Loads, and counts as a flush. */
static inline void tlb_load_cr3(uint64_t cr3)
{
    uint32_t clock = atomic_fetch_add_explicit(&tlb_clock, 1, memory_order_relaxed) + 1;

    write_cr3(cr3);
    tlb_note_flush(clock);
}

/* Everything but global entries, on this CPU. */
static inline void tlb_flush_local(void)
{
    tlb_load_cr3(read_cr3());
}

static inline void tlb_flush_page_local(uint64_t va)
{
    invlpg(va);
}

static inline void cache_flush_local(void)
{
    wbinvd();
}

/* Global entries too, on this CPU. */
void tlb_flush_all_local(void);
/* One page on all CPUs of `mask`; waits. */
void tlb_flush_page(cpumask_t mask, uint64_t va);
/* Writes back and invalidates the caches of all CPUs; waits. */
void cache_flush_all(void);

#endif

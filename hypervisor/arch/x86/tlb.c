/* TLB and cache flushes on several CPUs, by cross calls (smp.c); model in asm/tlb.h. */
#include <bh/arch.h>
#include <asm/cr.h>
#include <asm/smp.h>
#include <asm/tlb.h>

_Atomic uint32_t tlb_clock;

void tlb_flush_all_local(void)
{
    uint32_t clock = atomic_fetch_add_explicit(&tlb_clock, 1, memory_order_relaxed) + 1;
    uint64_t cr4 = read_cr4();

    write_cr4(cr4 ^ CR4_PGE); /* each change of it flushes; off with page-table isolation */
    write_cr4(cr4);
    tlb_note_flush(clock);
}

static void flush_guests(void *arg)
{
    tlb_flush_local();
}

void arch_flush_tlb(cpumask_t mask)
{
    if (mask == CPUMASK(arch_cpu_id())) {
        tlb_flush_local();
        return;
    }
    arch_cross_call(mask, flush_guests, NULL);
}

static void flush_page(void *arg)
{
    invlpg((uint64_t)arg);
}

void tlb_flush_page(cpumask_t mask, uint64_t va)
{
    if (mask == CPUMASK(arch_cpu_id())) {
        invlpg(va);
        return;
    }
    arch_cross_call(mask, flush_page, (void *)va);
}

static void flush_cache(void *arg)
{
    wbinvd();
}

void cache_flush_all(void)
{
    arch_cross_call(cpus_online, flush_cache, NULL);
}

uint32_t arch_tlb_clock(void)
{
    return atomic_load_explicit(&tlb_clock, memory_order_relaxed);
}

cpumask_t arch_tlb_stale(cpumask_t mask, uint32_t stamp)
{
    cpumask_t stale = 0;

    for (cpumask_t rest = mask & cpus_online; rest; rest &= rest - 1) {
        unsigned int cpu = (unsigned int)__builtin_ctzl(rest);

        if ((int32_t)(atomic_load_explicit(&percpu_of(cpu)->tlb_stamp, memory_order_relaxed) - stamp) <= 0)
            stale |= CPUMASK(cpu);
    }
    return stale;
}

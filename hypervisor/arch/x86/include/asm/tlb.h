/* TLB and cache flushes that guests ask for. Host tests have their own. */
#ifndef ASM_TLB_H
#define ASM_TLB_H

#include <bh/types.h>
#include <bh/arch.h>
#include <asm/insn.h>
#include <asm/paging.h>

static inline void tlb_flush_page_local(uint64_t va)
{
    invlpg(va);
}

/* Writes back and empties the caches of this CPU; of all. */
static inline void cache_flush_local(void)
{
    wbinvd();
}
static inline void cache_flush_one(void *unused)
{
    cache_flush_local();
}

static inline void cache_flush_all(void)
{
    arch_cross_call(arch_online_cpus(), cache_flush_one, NULL);
}

#endif

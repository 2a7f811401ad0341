/* Shadows the hypervisor's asm/tlb.h on the host: flushes are counted. */
#ifndef ASM_TLB_H
#define ASM_TLB_H

#include <bh/types.h>

void tlb_flush_local(void);
void tlb_flush_page_local(uint64_t va);
void tlb_flush_page(cpumask_t mask, uint64_t va);
void cache_flush_local(void);
void cache_flush_all(void);

#endif

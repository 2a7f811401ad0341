/*
 * Page-table entries and the hypervisor's own mappings.
 *
 * One master L4 (hv_l4) holds slots HV_FIRST_SLOT to HV_LAST_SLOT; each is filled at boot and never changes, so every
 * guest L4 takes a copy (pv/mmu_validate.c) and sees later additions below. Hypervisor mappings are global; guests' are
 * not. Mappings are made at boot or under iomap's lock; nothing is unmapped but on a CPU's way down.
 */
#ifndef ASM_PAGING_H
#define ASM_PAGING_H

#include <bh/types.h>
#include <asm/layout.h>
#include <asm/pte.h>

#define L1_SIZE (1UL << 12)
#define L2_SIZE (1UL << 21)
#define L3_SIZE (1UL << 30)

/* Any machine address that is RAM (or below 4 GiB during boot) through the direct map. */
static inline void *pa_to_va(paddr_t pa)
{
    return (void *)(DIRECTMAP_START + pa);
}

static inline paddr_t va_to_pa(const void *direct)
{
    return (uint64_t)direct - DIRECTMAP_START;
}

/* Writable view of the machine-to-physical table; guests have it read-only at M2P_START. */
#define m2p_table ((uint64_t *)M2P_RW_START)

extern uint64_t *hv_l4; /* direct-map address */
extern paddr_t hv_cr3;

struct boot_info;
/* Builds and loads the final page tables. Returns NULL or a sentence that says what is wrong. */
const char *must_check paging_init(const struct boot_info *bi);
/* Takes memory before the allocator runs: zeroed when asked, aligned to `align`; panics when there is none. */
paddr_t boot_alloc(uint64_t bytes, uint64_t align, bool zero);
/* Maps device memory uncached , read-write, NX. Any alignment. NULL: no page tables or space. */
void *must_check iomap(paddr_t pa, uint64_t size);
/* Ordinary memory that is not in the direct map (firmware tables): cached, read-only. */
const void *must_check iomap_ram(paddr_t pa, uint64_t size);
/* A root that maps what entry from a guest needs, but for the stacks (isolation.c). NULL: no memory. */
uint64_t *must_check paging_isolated_root(void);
/* Maps the pages of a CPU's stack block (guards stay out), in `root` too unless that is NULL, and returns its top. */
struct cpu_info *must_check paging_map_stack(unsigned int cpu, uint64_t *root);
/* Identity-maps one page of low memory, executable, for the trampoline; and takes it away. */
void paging_map_trampoline(paddr_t pa);
void paging_unmap_trampoline(paddr_t pa);
/* Prints the walk of `va` in the tables that CR3 holds. */
void paging_dump_walk(uint64_t va);

#endif

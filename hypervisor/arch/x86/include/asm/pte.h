/* Page table entries: bits of the AMD64 architecture (APM vol. 2, 5.4), and those that the PV ABI gives a
 * meaning. */
#ifndef ASM_PTE_H
#define ASM_PTE_H

#include <bh/types.h>

#define PTE_PRESENT     0x001UL
#define PTE_WRITE       0x002UL
#define PTE_USER        0x004UL
#define PTE_PWT         0x008UL
#define PTE_PCD         0x010UL
#define PTE_ACCESSED    0x020UL
#define PTE_DIRTY       0x040UL
#define PTE_PAT         0x080UL /* level 1 */
#define PTE_LARGE       0x080UL /* levels 2 and 3 */
#define PTE_GLOBAL      0x100UL
#define PTE_AVAIL       0xe00UL
#define PTE_AVAIL_SHIFT 9
/* Marks a PV guest's kernel mapping: its kernel runs in ring 3, so that PTE_USER is set in all of them. */
#define PTE_GUEST_KERNEL (1UL << 52)
#define PTE_GRANT        (1UL << 62) /* reserved by the ABI */
#define PTE_NX           (1UL << 63)
#define PTE_FRAME_MASK   0x000ffffffffff000UL
#define PTE_CACHE        (PTE_PWT | PTE_PCD | PTE_PAT)

#define PT_ENTRIES 512
/* Index of va in a table of `level` (1 to 4). */
#define PT_INDEX(va, level) (((va) >> (PAGE_SHIFT + 9 * ((level)-1))) & (PT_ENTRIES - 1))

static inline mfn_t pte_mfn(uint64_t pte)
{
    return MFN((pte & PTE_FRAME_MASK) >> PAGE_SHIFT);
}

static inline uint64_t pte_make(mfn_t mfn, uint64_t flags)
{
    return mfn_to_paddr(mfn) | flags;
}

#endif

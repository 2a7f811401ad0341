/*
 * Level-1 entries of every bad kind are refused and leave the entry as it was: frames that do not exist, that
 * belong to the hypervisor, writable mappings of page tables and of descriptor tables, reserved bits. What is
 * refused through mmu_update is refused through update_va_mapping too.
 */
#include "guest.h"

static char *victim;

static void refused(uint64_t pte, const char *name)
{
    uint64_t *slot = slot_of(victim, 1), before = *slot;
    long by_update = set_slot(slot, pte), by_va;
    char text[96];

    if (by_update == 0)
        set_slot(slot, before);
    by_va = update_va(victim, pte, UVMF_INVLPG);
    if (by_va == 0)
        update_va(victim, before, UVMF_INVLPG);
    PROPERTY(by_update < 0 && by_va < 0, name, "%lx: mmu_update %ld, update_va_mapping %ld", pte, by_update,
             by_va);
    memcpy(text, "unchanged after: ", 18);
    memcpy(text + 17, name, strlen(name) + 1);
    PROPERTY((*slot & ~(PTE_A | PTE_D)) == (before & ~(PTE_A | PTE_D)), text, "%lx instead of %lx", *slot,
             before);
}

/* A frame of the hypervisor: the one behind the read-only m2p as the guest's own page tables do not show it
 * is out of reach, so frames are taken by trying low memory that Dom0 was not given. */
static uint64_t foreign_frame(void)
{
    for (uint64_t mfn = 0x400; mfn < 0x4000; mfn++) {
        uint64_t pfn = M2P[mfn];

        if (pfn >= start_info->nr_pages && pfn != 0)
            return mfn;
    }
    return 0;
}

static void store(void *slot)
{
    *(volatile uint64_t *)slot = maddr_of((void *)start_info->pt_base) | PTE_DATA_RW;
}

/* A store into a page table either faults or is checked like any other update. */
static void direct_write(void *page)
{
    uint64_t *slot = slot_of(page, 1), before = *slot;

    attempt(store, slot, NULL);
    PROPERTY((*slot & PTE_MFN) == (before & PTE_MFN), "a store into a page table does not pass unchecked",
             "%lx became %lx", before, *slot);
}

void test_main(void)
{
    void *l1 = (void *)((uint64_t)slot_of(new_page(), 1) & ~(PAGE_SIZE - 1));
    uint64_t mfn;

    victim = new_page();
    mfn = mfn_of(victim);
    refused(maddr_of(l1) | PTE_DATA_RW, "a writable mapping of a level-1 table");
    refused(maddr_of((void *)start_info->pt_base) | PTE_DATA_RW, "a writable mapping of the level-4 table");
    refused(0x000ffffffffff000UL | PTE_DATA_RW, "the largest frame number");
    refused((1UL << 45) | PTE_DATA_RW, "a frame beyond all memory");

    if (foreign_frame()) {
        refused((foreign_frame() << 12) | PTE_DATA_RO, "a frame of the hypervisor, read-only");
        refused((foreign_frame() << 12) | PTE_DATA_RW, "a frame of the hypervisor, writable");
    } else {
        skipped("a frame of the hypervisor", "none found in low memory");
    }
    RETURNS(set_slot(slot_of(victim, 1), (mfn << 12) | PTE_DATA_RO), 0, "a good read-only entry is taken");
    RETURNS(update_va(victim, (mfn << 12) | PTE_DATA_RW, UVMF_INVLPG), 0, "a good writable entry is taken");
    PROPERTY(!write_faults(victim, NULL), "and the page can be written", "it faults");
    direct_write(victim);
    RETURNS(update_va((void *)HV_START, (mfn << 12) | PTE_DATA_RW, 0), -EINVAL_,
            "update_va_mapping in the hypervisor's area");
    REFUSED(update_va((void *)NON_CANONICAL, (mfn << 12) | PTE_DATA_RW, 0),
            "update_va_mapping at a wild address");
    REFUSED(update_va((void *)UNMAPPED, (mfn << 12) | PTE_DATA_RW, 0), "update_va_mapping where no table is");
    REFUSED(hypercall(__HYPERVISOR_update_va_mapping_otherdomain, (uint64_t)victim, (mfn << 12) | PTE_DATA_RW,
                      0, 1234, 0),
            "update_va_mapping for a domain that is not");
}

/*
 * Pages and page tables. Pseudo-physical memory is mapped linearly from VIRT_BASE as far as the domain
 * builder did it; the pool lies inside the image, so every page of it is mapped. Tables are reached by that
 * mapping too.
 */
#include "guest.h"

#define POOL_PAGES 384
static char pool[POOL_PAGES][PAGE_SIZE] __attribute__((aligned(4096)));
static unsigned int pool_used;

void *new_page(void)
{
    if (pool_used == POOL_PAGES)
        test_error("the pool of pages is empty");
    return pool[pool_used++];
}

uint64_t pfn_of(const void *va)
{
    return ((uint64_t)va - VIRT_BASE) / PAGE_SIZE;
}

uint64_t mfn_of(const void *va)
{
    return ((const uint64_t *)start_info->mfn_list)[pfn_of(va)];
}

uint64_t maddr_of(const void *va)
{
    return mfn_of(va) * PAGE_SIZE | ((uint64_t)va & (PAGE_SIZE - 1));
}

void *va_of_mfn(uint64_t mfn)
{
    return (void *)(VIRT_BASE + M2P[mfn] * PAGE_SIZE);
}

uint64_t *slot_of(const void *va, unsigned int level)
{
    uint64_t *table = (uint64_t *)start_info->pt_base;

    for (unsigned int at = 4;; at--) {
        uint64_t *slot = &table[((uint64_t)va >> (12 + 9 * (at - 1))) & 511];

        if (at == level)
            return slot;
        if (!(*slot & PTE_P))
            return NULL;
        table = va_of_mfn((*slot & PTE_MFN) / PAGE_SIZE);
    }
}

long set_slot(uint64_t *slot, uint64_t value)
{
    return mmu_update(maddr_of(slot) | MMU_NORMAL_PT_UPDATE, value, DOMID_SELF);
}

long remap(void *page, uint64_t flags)
{
    return update_va(page, mfn_of(page) * PAGE_SIZE | flags, UVMF_INVLPG);
}

long map_at(uint64_t va, uint64_t pte)
{
    for (unsigned int level = 4; level > 1; level--) {
        uint64_t *slot = slot_of((void *)va, level);
        void *table;
        long rc;

        if (*slot & PTE_P)
            continue;
        table = new_page();
        rc = remap(table, PTE_DATA_RO);
        if (rc == 0)
            rc = set_slot(slot, mfn_of(table) * PAGE_SIZE | PTE_TABLE);
        if (rc != 0)
            return rc;
    }
    return set_slot(slot_of((void *)va, 1), pte);
}

void *memset(void *to, int byte, size_t count)
{
    char *at = to;

    while (count--)
        *at++ = (char)byte;
    return to;
}

void *memcpy(void *to, const void *from, size_t count)
{
    char *at = to;
    const char *source = from;

    while (count--)
        *at++ = *source++;
    return to;
}

int memcmp(const void *a, const void *b, size_t count)
{
    const unsigned char *x = a, *y = b;

    for (; count; count--, x++, y++)
        if (*x != *y)
            return *x < *y ? -1 : 1;
    return 0;
}

size_t strlen(const char *s)
{
    size_t length = 0;

    while (s[length])
        length++;
    return length;
}

/*
 * Small objects of the hypervisor. Sizes up to half a page come from pages cut into equal objects, larger
 * ones are whole blocks of pages.
 *
 * A page of objects uses its own page_info (the hypervisor's pages have no other use for it): `order` the
 * class, link.next/prev its neighbours in the class's list of pages with room, next_in_domain the offset of
 * its first free object + 1 (0: none), prev_in_domain how many are in use. A free object holds the offset + 1
 * of the next free one. Full pages stand in no list. A block of pages has KALLOC_BLOCK | its order in
 * `order`.
 */
#include <bh/page_alloc.h>
#include <bh/arch.h>
#include <bh/assert.h>
#include <bh/lock.h>
#include <bh/string.h>

#define KALLOC_BLOCK 0x80000000u
#define NR_CLASSES   ARRAY_SIZE(class_size)

static const uint16_t class_size[] = {32, 64, 96, 128, 192, 256, 384, 512, 672, 1024, 1360, 2048};

static struct spinlock lock;
static uint32_t with_room[NR_CLASSES]; /* frame numbers; 0: none */

/* A new page of objects of a class, all free. */
static struct page_info *new_page(unsigned int class)
{
    struct page_info *pg = page_alloc(0, 0);
    uint32_t size = class_size[class];
    char *base;

    if (!pg)
        return NULL;
    base = arch_map(page_to_mfn(pg));
    for (uint32_t at = 0; at + size <= PAGE_SIZE; at += size)
        *(uint32_t *)(base + at) = at + 2 * size <= PAGE_SIZE ? at + size + 1 : 0;
    pg->order = class;
    pg->next_in_domain = 1;
    pg->prev_in_domain = 0;
    return pg;
}

static void *alloc_object(unsigned int class)
{
    struct page_info *pg;
    uint32_t *object = NULL;

    spin_lock(&lock);
    if (!with_room[class] && (pg = new_page(class)) != NULL)
        frame_list_add(&with_room[class], pg);
    if (with_room[class]) {
        pg = &frame_table[with_room[class]];
        object = (uint32_t *)((char *)arch_map(page_to_mfn(pg)) + pg->next_in_domain - 1);
        pg->next_in_domain = *object;
        pg->prev_in_domain++;
        if (!pg->next_in_domain)
            frame_list_del(&with_room[class], pg);
    }
    spin_unlock(&lock);
    return object;
}

static void *alloc_block(size_t bytes)
{
    unsigned int order = page_order(bytes);
    struct page_info *pg = page_alloc(order, 0);

    if (!pg)
        return NULL;
    pg->order = KALLOC_BLOCK | order;
    return arch_map(page_to_mfn(pg));
}

void *kalloc(size_t bytes)
{
    unsigned int class = 0;
    void *p;

    while (class < NR_CLASSES && class_size[class] < bytes)
        class ++;
    p = class < NR_CLASSES ? alloc_object(class) : alloc_block(bytes);
    return p ? memset(p, 0, bytes) : NULL;
}

void kfree(void *p)
{
    struct page_info *pg;
    uint32_t class;

    if (!p)
        return;
    pg = mfn_to_page(arch_unmap(p));
    class = pg->order;
    if (class & KALLOC_BLOCK) {
        ASSERT(!((uintptr_t)p & (PAGE_SIZE - 1)));
        page_free(pg, class & ~KALLOC_BLOCK);
        return;
    }
    ASSERT(class < NR_CLASSES);
    if (BULKHEAD_DEBUG)
        memset(p, 0xdb, class_size[class]);
    spin_lock(&lock);
    if (!pg->next_in_domain)
        frame_list_add(&with_room[class], pg);
    *(uint32_t *)p = pg->next_in_domain;
    pg->next_in_domain = (uint32_t)((uintptr_t)p & (PAGE_SIZE - 1)) + 1;
    if (!--pg->prev_in_domain) {
        frame_list_del(&with_room[class], pg);
        page_free(pg, 0);
    }
    spin_unlock(&lock);
}

/*
 * The machine's memory: a buddy allocator over 2^order-page blocks, per-domain accounting, scrubbing.
 *
 * A page belongs to the allocator (free), to the hypervisor (owner NULL), or to a domain. The frame table has one
 * struct page_info for every frame that is RAM.
 */
#ifndef BH_PAGE_ALLOC_H
#define BH_PAGE_ALLOC_H

#include <bh/page.h>

#define PAGE_ORDER_MAX 20
#define ALLOC_NO_SCRUB 2u /* the caller overwrites it all */
#define ALLOC_DMA32    4u /* below 4 GiB */

/* Boot: hands [start, end) frames of RAM to the allocator. The frame table is mapped already. */
void page_alloc_add(mfn_t start, mfn_t end);

/* The smallest order whose block holds so many bytes. */
static inline unsigned int page_order(uint64_t bytes)
{
    return bytes <= PAGE_SIZE ? 0 : 64 - (unsigned int)__builtin_clzl((bytes - 1) >> PAGE_SHIFT);
}

/* Lists of pages by frame number (0: none), through link. */
static inline void frame_list_add(uint32_t *first, struct page_info *pg)
{
    uint32_t frame = (uint32_t)page_to_mfn(pg).n;

    pg->link.prev = 0;
    pg->link.next = *first;
    if (*first)
        frame_table[*first].link.prev = frame;
    *first = frame;
}

static inline void frame_list_del(uint32_t *first, struct page_info *pg)
{
    if (pg->link.prev)
        frame_table[pg->link.prev].link.next = pg->link.next;
    else
        *first = pg->link.next;
    if (pg->link.next)
        frame_table[pg->link.next].link.prev = pg->link.prev;
}

/* 2^order hypervisor pages, contiguous, not scrubbed unless the debug build poisons them; NULL: none. */
struct page_info *must_check page_alloc(unsigned int order, unsigned int flags);
void page_free(struct page_info *pg, unsigned int order);

/*
 * 2^order pages for a domain, scrubbed or zero, each with owner d and one reference (PGC_allocated), counted in
 * d->tot_pages. NULL: no memory, or d is at max_pages or dying.
 */
struct page_info *must_check page_alloc_domain(struct domain *d, unsigned int order, unsigned int flags);
/* Called by put_page() when the last reference goes: takes it off d, scrubs it when the owner was a guest, frees it. */
void page_free_domain(struct page_info *pg);
/* Makes `pg` (hypervisor page, unowned) belong to d, with one allocated reference. -E2BIG over max_pages. */
int must_check page_assign(struct page_info *pg, struct domain *d, bool counted);

/* A zeroed page of the hypervisor that d may map: shared info, grant frames. NULL: no memory. */
void *must_check page_alloc_shared(struct domain *d);
/* Takes it away; who still maps it keeps it. */
void page_free_shared(void *shared);

/* Reserves memory for a domain before it is built (XENMEM_claim_pages). */
int must_check page_claim(struct domain *d, uint64_t pages);

/* What the allocator was given, and what of it is free, claimed, and free but to be scrubbed before a guest gets it. */
struct page_counts {
    uint64_t total, free, claimed, dirty;
};
extern struct page_counts page_counts; /* the allocator's to change */

/* Small hypervisor objects, zeroed; at most a few pages. NULL: none. */
void *must_check kalloc(size_t bytes);
void kfree(void *p); /* NULL: nothing */

#endif

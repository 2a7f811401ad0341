/*
 * The machine's memory: buddy allocator, ownership, accounting, claims.
 *
 * Free memory is blocks of 2^order frames, aligned to their size. Only the first frame's page_info says so:
 * refs has PGC_free, `order` the size, link.next/prev the neighbours in the list of its order (0: none; frame
 * 0 is never ours). The other frames of a free block have refs == 0, which is also what a frame table fresh
 * from the boot holds: memory is added in few big blocks, without a touch of the pages in them. Two buddies
 * are never both free at the same order: freeing merges.
 *
 * Zones: frames below 4 GiB (for who asks for them) and the rest, which is used first. No block crosses the
 * border.
 *
 * PGC_dirty on a free block: it may hold what its former owner, or whatever ran before us, left there. It is
 * scrubbed when a guest gets it; the control domain, which may read all memory anyway, gets it as it is.
 * tlb_stamp on a free block: the newest TLB clock at which a page of it was freed by a guest (0: never); who
 * gets the block must know that no CPU's TLB still maps it for the former owner.
 *
 * States of a frame that was handed out: the hypervisor's (refs == PGC_hypervisor with count 0, so that
 * nobody can take a reference; owner NULL), or a domain's (count > 0). `refs` is published after the other
 * fields.
 *
 * A domain is held (domain_hold) while it owns any page. Locks: a domain's page_lock > the heap lock.
 */
#include <bh/page_alloc.h>
#include <bh/arch.h>
#include <bh/assert.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/string.h>

#define ZONES       2
#define ZONE_BORDER (1UL << 20) /* frames below 4 GiB */

static struct spinlock heap_lock;
static struct {
    uint32_t first[PAGE_ORDER_MAX + 1];
    uint32_t filled; /* bit per order whose list is not empty */
} zone[ZONES];
struct page_counts page_counts;

static unsigned int zone_of(uint64_t frame)
{
    return frame >= ZONE_BORDER;
}

/* Free lists; heap lock held. */

static void list_block(uint64_t frame, unsigned int order, bool dirty, uint32_t stamp)
{
    unsigned int z = zone_of(frame);
    struct page_info *pg = &frame_table[frame];

    pg->order = order;
    pg->tlb_stamp = stamp;
    frame_list_add(&zone[z].first[order], pg);
    zone[z].filled |= 1u << order;
    atomic_store_explicit(&pg->refs, PGC_free | (dirty ? PGC_dirty : 0), memory_order_relaxed);
}

static void unlist_block(uint64_t frame)
{
    unsigned int z = zone_of(frame);
    struct page_info *pg = &frame_table[frame];
    unsigned int order = pg->order;

    frame_list_del(&zone[z].first[order], pg);
    if (!zone[z].first[order])
        zone[z].filled &= ~(1u << order);
    atomic_store_explicit(&pg->refs, 0, memory_order_relaxed);
}

static uint32_t newer_stamp(uint32_t a, uint32_t b)
{
    if (!a || !b)
        return a | b;
    return (int32_t)(a - b) > 0 ? a : b;
}

static bool is_free_block(uint64_t frame, unsigned int order)
{
    return frame < max_page && frame &&
           atomic_load_explicit(&frame_table[frame].refs, memory_order_relaxed) & PGC_free &&
           frame_table[frame].order == order;
}

/* Gives a block back, merged with its free buddies. */
static void release_block(uint64_t frame, unsigned int order, bool dirty, uint32_t stamp)
{
    page_counts.free += 1UL << order;
    if (dirty)
        page_counts.dirty += 1UL << order;
    while (order < PAGE_ORDER_MAX) {
        uint64_t buddy = frame ^ (1UL << order);
        bool buddy_dirty;

        if (!is_free_block(buddy, order))
            break;
        buddy_dirty = atomic_load_explicit(&frame_table[buddy].refs, memory_order_relaxed) & PGC_dirty;
        if (buddy_dirty != dirty)
            page_counts.dirty += 1UL << order; /* the clean half counts as dirty from now on */
        dirty |= buddy_dirty;
        stamp = newer_stamp(stamp, frame_table[buddy].tlb_stamp);
        unlist_block(buddy);
        frame &= ~(1UL << order);
        order++;
    }
    list_block(frame, order, dirty, stamp);
}

/* What came with a block. */
struct taken {
    struct page_info *pg; /* NULL: no memory */
    bool dirty;
    uint32_t stamp;
};

static struct taken take_from(unsigned int z, unsigned int order)
{
    uint32_t fitting = zone[z].filled >> order << order;
    struct taken t = {0};
    unsigned int have;
    uint64_t frame;

    if (!fitting)
        return t;
    have = (unsigned int)__builtin_ctz(fitting);
    frame = zone[z].first[have];
    t.pg = &frame_table[frame];
    t.dirty = atomic_load_explicit(&t.pg->refs, memory_order_relaxed) & PGC_dirty;
    t.stamp = t.pg->tlb_stamp;
    unlist_block(frame);
    while (have > order) {
        have--;
        list_block(frame + (1UL << have), have, t.dirty, t.stamp);
    }
    page_counts.free -= 1UL << order;
    if (t.dirty)
        page_counts.dirty -= 1UL << order;
    return t;
}

/* Takes 2^order pages; `own_claim` pages of the claimed ones are the caller's to use. */
static struct taken take(unsigned int order, unsigned int flags, uint64_t own_claim)
{
    struct taken t = {0};

    if (order > PAGE_ORDER_MAX)
        return t;
    spin_lock(&heap_lock);
    if (page_counts.free + own_claim >= page_counts.claimed + (1UL << order)) {
        if (!(flags & ALLOC_DMA32))
            t = take_from(1, order);
        if (!t.pg)
            t = take_from(0, order);
    }
    spin_unlock(&heap_lock);
    return t;
}

static void forget_mappings(uint32_t stamp)
{
    cpumask_t stale;

    if (!stamp)
        return;
    stale = arch_tlb_stale(arch_online_cpus(), stamp);
    if (stale)
        arch_flush_tlb(stale);
}

void page_alloc_add(mfn_t start, mfn_t end)
{
    uint64_t frame = MAX(start.n, 1UL);

    spin_lock(&heap_lock);
    while (frame < end.n) {
        unsigned int order = MIN((unsigned int)__builtin_ctzl(frame), (unsigned int)PAGE_ORDER_MAX);

        while (frame + (1UL << order) > end.n)
            order--;
        page_counts.total += 1UL << order;
        release_block(frame, order, true, 0);
        frame += 1UL << order;
    }
    spin_unlock(&heap_lock);
}

/* The hypervisor's own pages. */

struct page_info *page_alloc(unsigned int order, unsigned int flags)
{
    struct taken t = take(order, flags, 0);

    if (!t.pg)
        return NULL;
    forget_mappings(t.stamp);
    for (uint64_t i = 0; i < 1UL << order; i++) {
        t.pg[i].owner = NULL;
        atomic_store_explicit(&t.pg[i].type, 0, memory_order_relaxed);
        atomic_store_explicit(&t.pg[i].refs, PGC_hypervisor, memory_order_relaxed);
    }
    if (BULKHEAD_DEBUG)
        memset(arch_map(page_to_mfn(t.pg)), 0xc5, PAGE_SIZE << order);
    return t.pg;
}

void page_free(struct page_info *pg, unsigned int order)
{
    ASSERT(!pg->owner && atomic_load(&pg->refs) == PGC_hypervisor);
    if (BULKHEAD_DEBUG)
        memset(arch_map(page_to_mfn(pg)), 0xdb, PAGE_SIZE << order);
    for (uint64_t i = 0; i < 1UL << order; i++)
        atomic_store_explicit(&pg[i].refs, 0, memory_order_relaxed);
    spin_lock(&heap_lock);
    release_block(page_to_mfn(pg).n, order, true, 0);
    spin_unlock(&heap_lock);
}

/* A domain's pages. */

/* Links pages pg[0..n) in front of d's list, in ascending order; page_lock held. */
static void list_for_domain(struct domain *d, struct page_info *pg, uint64_t n, uint64_t refs)
{
    uint32_t frame = (uint32_t)page_to_mfn(pg).n, next = (uint32_t)d->first_page;

    if (next)
        frame_table[next].prev_in_domain = frame + (uint32_t)n - 1;
    for (uint64_t i = 0; i < n; i++, frame++) {
        pg[i].owner = d;
        atomic_store_explicit(&pg[i].type, 0, memory_order_relaxed);
        pg[i].tlb_stamp = 0;
        pg[i].prev_in_domain = i ? frame - 1 : 0;
        pg[i].next_in_domain = i + 1 < n ? frame + 1 : next;
        atomic_store_explicit(&pg[i].refs, refs, memory_order_release);
    }
    d->first_page = page_to_mfn(pg).n;
    d->nr_listed += n;
}

static void unlist_from_domain(struct domain *d, struct page_info *pg)
{
    if (pg->prev_in_domain)
        frame_table[pg->prev_in_domain].next_in_domain = pg->next_in_domain;
    else
        d->first_page = pg->next_in_domain;
    if (pg->next_in_domain)
        frame_table[pg->next_in_domain].prev_in_domain = pg->prev_in_domain;
    pg->next_in_domain = pg->prev_in_domain = 0;
    d->nr_listed--;
}

static bool owns_nothing(const struct domain *d)
{
    return !d->nr_listed && !d->xenheap_pages;
}

/* The claim shrinks by what was allocated. page_lock held. */
static void use_claim(struct domain *d, uint64_t n)
{
    uint64_t used = MIN(d->outstanding_pages, n);

    if (!used)
        return;
    d->outstanding_pages -= used;
    spin_lock(&heap_lock);
    page_counts.claimed -= used;
    spin_unlock(&heap_lock);
}

static bool may_grow(const struct domain *d, uint64_t n)
{
    return d->state < DOMAIN_DYING && n <= d->max_pages && d->tot_pages <= d->max_pages - n;
}

struct page_info *page_alloc_domain(struct domain *d, unsigned int order, unsigned int flags)
{
    uint64_t n = 1UL << order;
    struct taken t;
    bool granted;

    if (order > PAGE_ORDER_MAX || !may_grow(d, n))
        return NULL;
    t = take(order, flags, READ_ONCE(d->outstanding_pages));
    if (!t.pg)
        return NULL;
    forget_mappings(t.stamp);
    if (t.dirty && !d->privileged && !(flags & ALLOC_NO_SCRUB))
        memset(arch_map(page_to_mfn(t.pg)), 0, PAGE_SIZE << order);

    spin_lock(&d->page_lock);
    granted = may_grow(d, n);
    if (granted) {
        use_claim(d, n);
        if (owns_nothing(d))
            domain_hold(d);
        list_for_domain(d, t.pg, n, PGC_allocated | 1);
        d->tot_pages += n;
    }
    spin_unlock(&d->page_lock);
    if (granted)
        return t.pg;
    spin_lock(&heap_lock);
    release_block(page_to_mfn(t.pg).n, order, t.dirty, 0);
    spin_unlock(&heap_lock);
    return NULL;
}

int page_assign(struct page_info *pg, struct domain *d, bool counted)
{
    int ret = 0;

    ASSERT(!pg->owner && atomic_load(&pg->refs) == PGC_hypervisor);
    spin_lock(&d->page_lock);
    if (counted && !may_grow(d, 1)) {
        ret = -E2BIG;
    } else {
        if (owns_nothing(d))
            domain_hold(d);
        if (counted) {
            list_for_domain(d, pg, 1, PGC_allocated | 1);
            d->tot_pages++;
        } else {
            pg->owner = d;
            pg->tlb_stamp = 0;
            d->xenheap_pages++;
            atomic_store_explicit(&pg->refs, PGC_hypervisor | PGC_extra | PGC_allocated | 1,
                                  memory_order_release);
        }
    }
    spin_unlock(&d->page_lock);
    return ret;
}

void *page_alloc_shared(struct domain *d)
{
    struct page_info *pg = page_alloc(0, 0);

    if (!pg)
        return NULL;
    memset(arch_map(page_to_mfn(pg)), 0, PAGE_SIZE);
    if (!page_assign(pg, d, false))
        return arch_map(page_to_mfn(pg));
    page_free(pg, 0);
    return NULL;
}

void page_free_shared(void *shared)
{
    page_drop_allocated(mfn_to_page(arch_unmap(shared)));
}

void page_free_domain(struct page_info *pg)
{
    uint64_t refs = atomic_load_explicit(&pg->refs, memory_order_acquire);
    struct domain *d = pg->owner;
    bool last;

    ASSERT(!(refs & PGC_count_mask) && d);
    spin_lock(&d->page_lock);
    if (refs & PGC_extra) {
        d->xenheap_pages--;
    } else {
        unlist_from_domain(d, pg);
        d->tot_pages--;
    }
    last = owns_nothing(d);
    spin_unlock(&d->page_lock);

    pg->owner = NULL;
    atomic_store_explicit(&pg->type, 0, memory_order_relaxed);
    atomic_store_explicit(&pg->refs, 0, memory_order_relaxed);
    if (BULKHEAD_DEBUG)
        memset(arch_map(page_to_mfn(pg)), 0xdb, PAGE_SIZE);
    spin_lock(&heap_lock);
    release_block(page_to_mfn(pg).n, 0, true, arch_tlb_clock());
    spin_unlock(&heap_lock);
    if (last)
        domain_put(d);
}

/* Claims `pages` in all for d, those that it has included; 0 gives the claim up. */
int page_claim(struct domain *d, uint64_t pages)
{
    uint64_t want;
    int ret = 0;

    spin_lock(&d->page_lock);
    spin_lock(&heap_lock);
    want = pages > d->tot_pages ? pages - d->tot_pages : 0;
    if (pages && d->outstanding_pages) {
        ret = -EINVAL;
    } else if (pages && (pages > d->max_pages || !want)) {
        ret = -EINVAL;
    } else if (want > page_counts.free - MIN(page_counts.free, page_counts.claimed)) {
        ret = -ENOMEM;
    } else {
        page_counts.claimed += want - d->outstanding_pages;
        d->outstanding_pages = want;
    }
    spin_unlock(&heap_lock);
    spin_unlock(&d->page_lock);
    return ret;
}

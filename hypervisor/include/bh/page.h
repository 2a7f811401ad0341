/*
 * A page of RAM: owner, references, type, type references. The model stands in common/page.c.
 *
 *   refs   count of references | PGC_allocated while the domain holds its own reference
 *   type   type (writable, page table of level n, segment descriptors) | flags | count of uses as that type
 *
 * Invariant: a page is never at once writable by a guest and of another type in use. All uses as a type
 * together hold one general reference. `owner` changes only when refs is zero, or under the owner's
 * page_lock.
 */
#ifndef BH_PAGE_H
#define BH_PAGE_H

#include <bh/types.h>
#include <bh/errno.h>

struct page_info {
    _Atomic uint64_t refs;
    _Atomic uint64_t type;
    struct domain *owner;
    union {
        struct {
            uint32_t next, prev; /* lists of frames by number: free list, domain's pages, grants */
        } link;
        struct {
            uint16_t
                validated; /* page tables: entries below this hold references; valid when locked or partial */
            uint16_t flags; /* PT_CHILD_PARTIAL */
            uint32_t spare;
        } table;
    };
    uint32_t order;     /* of a free block's head */
    uint32_t tlb_stamp; /* TLB clock when a use as a type ended, or it was freed */
    /* The domain's page list: neighbours by frame number (0: none; frame 0 is never a domain's). */
    uint32_t next_in_domain, prev_in_domain;
};
_Static_assert(sizeof(struct page_info) == 48, "one frame table entry");

/* table.flags: the table below entry `validated` is partial, and this table's demotion has to finish it */
#define PT_CHILD_PARTIAL 1u

/* refs */
#define PGC_allocated (1UL << 63)
#define PGC_hypervisor                                                                                       \
    (1UL << 62) /* the hypervisor's own: shared info, grant frames; mapped by guests through refs */
#define PGC_free    (1UL << 61)
#define PGC_extra   (1UL << 60) /* owned but not counted in tot_pages */
#define PGC_foreign (1UL << 59) /* was mapped by another domain: any CPU's TLB may hold it */
#define PGC_dirty                                                                                            \
    (1UL << 58) /* with PGC_free: holds what somebody left, to be scrubbed before a guest gets it */
#define PGC_count_mask ((1UL << 56) - 1)

/* type: numbers of XEN_DOMCTL_PFINFO_* and of the ABI's pin commands follow the levels */
#define PGT_shift     60
#define PGT_none      (0UL << PGT_shift)
#define PGT_l1        (1UL << PGT_shift)
#define PGT_l2        (2UL << PGT_shift)
#define PGT_l3        (3UL << PGT_shift)
#define PGT_l4        (4UL << PGT_shift)
#define PGT_seg_desc  (5UL << PGT_shift)
#define PGT_shared    (6UL << PGT_shift) /* the hypervisor's, read-only for everybody: never writable */
#define PGT_writable  (7UL << PGT_shift)
#define PGT_type_mask (15UL << PGT_shift)
#define PGT_pinned    (1UL << 59) /* holds one type reference by itself */
#define PGT_validated (1UL << 58)
#define PGT_partial                                                                                          \
    (1UL << 57) /* count 0, entries below table.validated hold references; holds a general reference */
#define PGT_locked     (1UL << 56) /* someone promotes or demotes it: spin */
#define PGT_count_mask ((1UL << 40) - 1)

/* The frame table, indexed by mfn; max_page is the first frame number that has no entry. Frames that are no
 * RAM read 0. */
extern struct page_info *const frame_table;
extern uint64_t max_page;

static inline mfn_t page_to_mfn(const struct page_info *pg)
{
    return MFN((uint64_t)(pg - frame_table));
}

static inline struct page_info *mfn_to_page(mfn_t mfn)
{
    return &frame_table[mfn.n];
}

/* Whether the frame is RAM with a frame table entry. */
static inline bool mfn_valid(mfn_t mfn)
{
    return mfn.n < max_page && atomic_load_explicit(&frame_table[mfn.n].refs, memory_order_relaxed) != 0;
}

/* Called when the last reference went (bh/page_alloc.h). */
void page_free_domain(struct page_info *pg);
/* The slow halves of the functions below. */
bool must_check page_get_writable_slow(struct page_info *pg, const struct domain *d);
void page_put_writable_slow(struct page_info *pg);

static inline void put_page(struct page_info *pg)
{
    uint64_t left = atomic_fetch_sub_explicit(&pg->refs, 1, memory_order_acq_rel) - 1;

    if (unlikely(!(left & PGC_count_mask)))
        page_free_domain(pg);
}

/* Takes a reference if `pg` belongs to d. false: it does not, or is being freed. */
static inline bool must_check get_page(struct page_info *pg, const struct domain *d)
{
    uint64_t refs = atomic_load_explicit(&pg->refs, memory_order_relaxed);

    do {
        if (unlikely(!(refs & PGC_count_mask)))
            return false;
    } while (unlikely(!atomic_compare_exchange_weak_explicit(&pg->refs, &refs, refs + 1, memory_order_acquire,
                                                             memory_order_relaxed)));
    if (likely(pg->owner == d))
        return true;
    put_page(pg);
    return false;
}

/*
 * Takes a use as writable, which keeps the page like a reference does. false: not d's, or in use as another
 * type. The fast half: it is writable already, so one word changes.
 */
static inline bool must_check get_page_writable(struct page_info *pg, const struct domain *d)
{
    uint64_t type = atomic_load_explicit(&pg->type, memory_order_relaxed);

    if (likely(type > PGT_writable && pg->owner == d) &&
        likely(atomic_compare_exchange_strong_explicit(&pg->type, &type, type + 1, memory_order_acquire,
                                                       memory_order_relaxed))) {
        if (likely(pg->owner == d))
            return true;
        page_put_writable_slow(pg);
        return false;
    }
    return page_get_writable_slow(pg, d);
}

static inline void put_page_writable(struct page_info *pg)
{
    uint64_t type = atomic_load_explicit(&pg->type, memory_order_relaxed);

    if (likely(type > PGT_writable + 1) &&
        likely(atomic_compare_exchange_strong_explicit(&pg->type, &type, type - 1, memory_order_release,
                                                       memory_order_relaxed)))
        return;
    page_put_writable_slow(pg);
}

/* mfn of a domain to a referenced page, or NULL (not RAM, not the domain's). */
struct page_info *must_check get_page_from_mfn(mfn_t mfn, const struct domain *d);

/* Drops the reference that d holds on its own page by PGC_allocated; false: it was dropped before. */
bool page_drop_allocated(struct page_info *pg);
/* Makes an unowned hypervisor page d's, for everybody to map read-only and nobody ever to write. */
void page_share_readonly(struct page_info *pg, struct domain *d);

/*
 * A use of d's page as `type` (PGT_l1 .. PGT_l4, PGT_seg_desc, PGT_writable). 0; -EINVAL: not d's page, the
 * hypervisor's own, or its contents are refused; -EBUSY: in use as another type; -EPERM; -EAGAIN: preempted,
 * the same call again makes progress. The failing check is noted in v (NULL: in nobody).
 */
int must_check page_get_type(struct vcpu *v, struct page_info *pg, struct domain *d, uint64_t type);
/* Drops a use. 0, or -EAGAIN: preempted, the use is gone and page_demote() continues what is left. */
int page_put_type(struct page_info *pg);
/* Continues a demotion that was preempted, or undoes a promotion; 0: done (or nothing to do), -EAGAIN: call
 * again. */
int page_demote(struct page_info *pg);
static inline bool page_is_partial(const struct page_info *pg)
{
    return atomic_load_explicit(&pg->type, memory_order_relaxed) & PGT_partial;
}

/* Pins: the page keeps `type` by itself. As page_get_type; -EINVAL if it is pinned already. */
int must_check page_pin(struct vcpu *v, struct page_info *pg, struct domain *d, uint64_t type);
/* As page_put_type; -EINVAL: not pinned. */
int must_check page_unpin(struct vcpu *v, struct page_info *pg, struct domain *d);

/*
 * What a level-n table or a page of descriptors may hold (arch/x86/pv/mmu_validate.c). Both work from and on
 * pg->table: entries below table.validated hold references. 0: done; -EAGAIN: preempted; else the entry at
 * table.validated is refused.
 */
int must_check arch_page_validate(struct vcpu *v, struct page_info *pg, struct domain *d, uint64_t type);
int must_check arch_page_invalidate(struct page_info *pg, struct domain *d, uint64_t type);

#endif

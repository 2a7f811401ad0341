/*
 * A page of RAM: owner, references, type, type references. The model stands in common/page.c.
 *
 *   refs   count of references | PGC_allocated while the domain holds its own reference
 *   type   type (writable, page table of level n, segment descriptors) | flags | count of uses as that type
 *
 * Invariant: a page is never at once writable by a guest and of another type in use. A type reference implies a
 * general one. `owner` changes only when refs is zero, or under the owner's page_lock.
 */
#ifndef BH_PAGE_H
#define BH_PAGE_H

#include <bh/types.h>

struct domain;

struct page_info {
    _Atomic uint64_t refs;
    _Atomic uint64_t type;
    struct domain *owner;
    union {
        struct {
            uint32_t next, prev; /* lists of frames by number: free list, domain's pages, grants */
        } link;
        struct {
            uint16_t validated; /* page tables: entries validated so far when PGT_partial */
            uint16_t flags;
            uint32_t spare;
        } table;
    };
    uint32_t order;      /* of a free block's head */
    uint32_t tlb_stamp;  /* TLB clock when it was last unmapped writable, or freed */
    /* The domain's page list: neighbours by frame number (0: none; frame 0 is never a domain's). */
    uint32_t next_in_domain, prev_in_domain;
};
_Static_assert(sizeof(struct page_info) == 48, "one frame table entry");

/* refs */
#define PGC_allocated  (1UL << 63)
#define PGC_hypervisor (1UL << 62) /* the hypervisor's own: shared info, grant frames; mapped by guests through refs */
#define PGC_free       (1UL << 61)
#define PGC_extra      (1UL << 60) /* owned but not counted in tot_pages */
#define PGC_count_mask ((1UL << 56) - 1)

/* type: numbers of XEN_DOMCTL_PFINFO_* and of the ABI's pin commands follow the levels */
#define PGT_shift        60
#define PGT_none         (0UL << PGT_shift)
#define PGT_l1           (1UL << PGT_shift)
#define PGT_l2           (2UL << PGT_shift)
#define PGT_l3           (3UL << PGT_shift)
#define PGT_l4           (4UL << PGT_shift)
#define PGT_seg_desc     (5UL << PGT_shift)
#define PGT_shared       (6UL << PGT_shift)
#define PGT_writable     (7UL << PGT_shift)
#define PGT_type_mask    (15UL << PGT_shift)
#define PGT_pinned       (1UL << 59) /* holds one type reference by itself */
#define PGT_validated    (1UL << 58)
#define PGT_partial      (1UL << 57) /* validated up to table.validated entries; holds a general reference */
#define PGT_locked       (1UL << 56) /* someone changes the type or an entry: spin */
#define PGT_count_mask   ((1UL << 40) - 1)

/* The frame table, indexed by mfn; max_page is the first frame number that has no entry. */
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
bool mfn_valid(mfn_t mfn);

/* Takes a reference if `pg` belongs to d. false: it does not, or is being freed. */
bool must_check get_page(struct page_info *pg, const struct domain *d);
void put_page(struct page_info *pg);
/* Takes a reference and a use as writable. */
bool must_check get_page_writable(struct page_info *pg, struct domain *d);
void put_page_writable(struct page_info *pg);
/* mfn of a domain to a referenced page, or NULL (not RAM, not the domain's). */
struct page_info *must_check get_page_from_mfn(mfn_t mfn, const struct domain *d);

#endif

/* What grant.c, grant_map.c and grant_copy.c share. The model stands in bh/grant.h. */
#ifndef COMMON_GRANT_INTERNAL_H
#define COMMON_GRANT_INTERNAL_H

#include <bh/domain.h>
#include <bh/grant.h>

/* How an entry is in use: four counters in a word, by who (CPU or device) and what for. */
#define PIN_DEV_READ   (1UL << 0)
#define PIN_DEV_WRITE  (1UL << 16)
#define PIN_HOST_READ  (1UL << 32)
#define PIN_HOST_WRITE (1UL << 48)
#define PIN_ANY_WRITE  (0xffffUL * (PIN_DEV_WRITE | PIN_HOST_WRITE))
#define PIN_OVERFLOW   (0x8000UL * (PIN_DEV_READ | PIN_DEV_WRITE | PIN_HOST_READ | PIN_HOST_WRITE))

#define ENTRIES_V1       (PAGE_SIZE / sizeof(struct grant_entry_v1))
#define ENTRIES_V2       (PAGE_SIZE / sizeof(union grant_entry_v2))
#define STATUS_PER_FRAME (PAGE_SIZE / sizeof(grant_status_t))

/* An entry in use. While pins != 0 the rest is fixed. */
struct grant_active {
    uint64_t pins;
    uint64_t frame;
    domid_t user;
    uint16_t start, length; /* what may be accessed of the frame */
    uint16_t spare;
    uint64_t spare2;
};
#define ACTIVE_PER_PAGE (PAGE_SIZE / sizeof(struct grant_active))
_Static_assert(ACTIVE_PER_PAGE == 128, "looked up by shifts");

/* A handle: what this domain maps of another's. Free: owner is NULL. */
struct grant_mapping {
    struct domain *owner; /* referenced */
    uint64_t frame;
    uint32_t ref;
    uint32_t next_free;
    uint16_t flags; /* GNTMAP_host_map and _device_map: these mappings exist; GNTMAP_readonly, _contains_pte:
                       how */
    uint16_t busy;  /* unmaps in flight */
    uint32_t spare;
};
#define MAPPINGS_PER_PAGE (PAGE_SIZE / sizeof(struct grant_mapping))
_Static_assert(MAPPINGS_PER_PAGE == 128, "looked up by shifts");
#define HANDLES_PER_MAPTRACK_FRAME 256 /* as the limit is counted by the ABI */
#define NO_HANDLE                  0xffffffffu

struct grant_table {
    struct spinlock lock;
    uint32_t version, max_version;
    uint32_t nr_frames, max_frames, nr_status;
    uint32_t nr_entries; /* refs below it exist */
    uint32_t nr_pinned;  /* entries with pins */
    uint32_t nr_active;  /* pages of active entries */
    bool dying;          /* no more growth; the frames are given back */
    void **frame;        /* [max_frames]: direct-map addresses of the shared frames */
    grant_status_t **status;
    struct grant_active **active;

    struct spinlock maptrack_lock;
    uint32_t max_handles, nr_handles, free_handle, nr_mapped;
    uint32_t release_next; /* progress of a preempted release */
    struct grant_mapping **mapping;
};

static inline uint32_t grant_entries_per_frame(const struct grant_table *t)
{
    return t->version == 1 ? ENTRIES_V1 : ENTRIES_V2;
}

static inline struct grant_entry_v1 *grant_v1(const struct grant_table *t, uint32_t ref)
{
    return (struct grant_entry_v1 *)t->frame[ref / ENTRIES_V1] + ref % ENTRIES_V1;
}

static inline union grant_entry_v2 *grant_v2(const struct grant_table *t, uint32_t ref)
{
    return (union grant_entry_v2 *)t->frame[ref / ENTRIES_V2] + ref % ENTRIES_V2;
}

static inline grant_status_t *grant_status_word(const struct grant_table *t, uint32_t ref)
{
    return &t->status[ref / STATUS_PER_FRAME][ref % STATUS_PER_FRAME];
}

static inline struct grant_active *grant_active_of(const struct grant_table *t, uint32_t ref)
{
    return &t->active[ref / ACTIVE_PER_PAGE][ref % ACTIVE_PER_PAGE];
}

/* grant.c; the table's lock is held. To `frames` frames at least: 0, -EINVAL, -ENOMEM, -ESRCH. */
int must_check grant_grow(struct vcpu *v, struct domain *d, struct grant_table *t, uint32_t frames);
/* The pages of active entries and (version 2) status words that `frames` frames need. 0, -ENOMEM. */
int must_check grant_grow_books(struct domain *d, struct grant_table *t, uint32_t frames);

/* The claim on a grant that grant_acquire() made. */
struct grant_claim {
    uint64_t frame;
    uint16_t start, length;
};

/*
 * Pins entry `ref` of `owner` for v's domain: `pins` is a sum of PIN_*. sub_page: an entry for part of a page
 * will do. Returns GNTST_okay, or the reason (cause noted in v) and nothing is changed.
 */
int16_t must_check grant_acquire(struct vcpu *v, struct domain *owner, uint32_t ref, uint64_t pins,
                                 bool sub_page, struct grant_claim *out);
void grant_unpin(struct domain *owner, uint32_t ref, uint64_t pins);

/* A reference to (and, write, a use as writable of) a granted frame; NULL: it is no such page of the owner.
 */
static inline struct page_info *grant_get_page(struct domain *owner, uint64_t frame, bool write)
{
    struct page_info *pg = mfn_to_page(MFN(frame));

    return likely(mfn_valid(MFN(frame)) && (write ? get_page_writable(pg, owner) : get_page(pg, owner)))
               ? pg
               : NULL;
}

static inline void grant_put_page(struct page_info *pg, bool write)
{
    if (write)
        put_page_writable(pg);
    else
        put_page(pg);
}

/* Notes the cause and returns the status. */
int16_t grant_refuse(struct vcpu *v, int16_t status, const char *check, uint64_t a, uint64_t b);

/* Whose grant is used: referenced, policy asked. *status says why it is NULL. */
struct domain *must_check grant_owner(struct vcpu *v, domid_t id, int16_t *status);

/* The batch operations: `n` entries at a time, results in their status. */
#define GRANT_BATCH 16
void grant_map_batch(struct vcpu *v, struct gnttab_map_grant_ref *op, uint32_t n);
void grant_unmap_batch(struct vcpu *v, struct gnttab_unmap_grant_ref *op, uint32_t n);
void grant_replace_batch(struct vcpu *v, struct gnttab_unmap_and_replace *op, uint32_t n);
void grant_copy_batch(struct vcpu *v, struct gnttab_copy *op, uint32_t n);

int must_check grant_maptrack_init(struct grant_table *t, uint32_t max_frames);
int must_check grant_maptrack_release(struct domain *d);
void grant_maptrack_destroy(struct grant_table *t);

#endif

#include "grant.h"

#define ENTRIES (GRANT_FRAMES * FE_PAGE / sizeof(struct grant_entry_v1))

static struct grant_entry_v1 *table[GRANT_FRAMES];
static uint16_t next_free[ENTRIES];
static grant_ref_t first_free;

static struct grant_entry_v1 *entry_of(grant_ref_t ref)
{
    const unsigned per_frame = FE_PAGE / sizeof(struct grant_entry_v1);
    return &table[ref / per_frame][ref % per_frame];
}

int grant_init(void)
{
    static uint64_t frames[GRANT_FRAMES];
    struct gnttab_setup_table op = {
        .dom = DOMID_SELF, .nr_frames = GRANT_FRAMES, .frame_list = (uint64_t)(uintptr_t)frames};
    if (fe_grant_table_op(GNTTABOP_setup_table, &op, 1) || op.status != GNTST_okay)
        return FE_ERROR;
    for (unsigned i = 0; i < GRANT_FRAMES; i++) {
        table[i] = fe_map_frame(frames[i]);
        if (!table[i])
            return FE_ERROR;
    }
    for (grant_ref_t ref = GNTTAB_NR_RESERVED_ENTRIES; ref < ENTRIES; ref++) {
        next_free[ref] = (uint16_t)first_free;
        first_free = ref;
    }
    return 0;
}

grant_ref_t grant_give(domid_t domid, const void *page, bool read_only)
{
    grant_ref_t ref = first_free;
    if (ref == GRANT_NONE)
        return GRANT_NONE;
    first_free = next_free[ref];
    struct grant_entry_v1 *e = entry_of(ref);
    e->domid = domid;
    e->frame = (uint32_t)fe_frame_of(page);
    __atomic_store_n(&e->flags, (uint16_t)(GTF_permit_access | (read_only ? GTF_readonly : 0)),
                     __ATOMIC_RELEASE);
    return ref;
}

bool grant_end(grant_ref_t ref)
{
    struct grant_entry_v1 *e = entry_of(ref);
    uint16_t flags = __atomic_load_n(&e->flags, __ATOMIC_ACQUIRE);
    do {
        if (flags & (GTF_reading | GTF_writing))
            return false;
    } while (!__atomic_compare_exchange_n(&e->flags, &flags, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    next_free[ref] = (uint16_t)first_free;
    first_free = ref;
    return true;
}

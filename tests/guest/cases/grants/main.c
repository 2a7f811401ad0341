/*
 * Grants, version 1, with Dom0 granting to itself: mapping shows the page, access rights hold, unmapping ends
 * it, copies stay inside their pages; and abuse: references and handles that are not, entries that change
 * under way, foreign frames.
 */
#include "guest.h"

#define WINDOW (101UL << 39)

static volatile grant_entry_v1_t *table;

static void setup(void)
{
    unsigned long frames[64];
    gnttab_setup_table_t op = {.dom = DOMID_SELF, .nr_frames = 2};
    gnttab_query_size_t size = {.dom = DOMID_SELF};

    op.frame_list.p = frames;
    RETURNS(grant_op(GNTTABOP_setup_table, &op, 1), 0, "setup_table");
    PROPERTY(op.status == GNTST_okay, "two frames", "status %d", op.status);
    for (unsigned int i = 0; i < 2; i++)
        if (map_at(WINDOW + i * PAGE_SIZE, frames[i] * PAGE_SIZE | PTE_DATA_RW) != 0)
            test_error("the grant table could not be mapped");
    table = (grant_entry_v1_t *)WINDOW;
    RETURNS(grant_op(GNTTABOP_query_size, &size, 1), 0, "query_size");
    PROPERTY(size.status == 0 && size.nr_frames >= 2 && size.nr_frames <= size.max_nr_frames,
             "says at least two", "%u of %u", size.nr_frames, size.max_nr_frames);
    op.nr_frames = 100000;
    grant_op(GNTTABOP_setup_table, &op, 1);
    PROPERTY(op.status < 0, "100000 frames are refused", "status %d", op.status);
    op.dom = 77;
    op.nr_frames = 1;
    grant_op(GNTTABOP_setup_table, &op, 1);
    PROPERTY(op.status < 0, "a table of a domain that is not", "status %d", op.status);
}

static void grant(grant_ref_t ref, void *page, unsigned int flags)
{
    table[ref].flags = 0;
    barrier();
    table[ref].domid = 0;
    table[ref].frame = (uint32_t)mfn_of(page);
    barrier();
    table[ref].flags = (uint16_t)flags;
}

static int16_t map(uint64_t where, grant_ref_t ref, unsigned int flags, domid_t dom, grant_handle_t *handle)
{
    gnttab_map_grant_ref_t op = {.host_addr = where, .flags = flags, .ref = ref, .dom = dom};

    if (grant_op(GNTTABOP_map_grant_ref, &op, 1) != 0)
        return -100;
    *handle = op.handle;
    return op.status;
}

static int16_t unmap(uint64_t where, grant_handle_t handle)
{
    gnttab_unmap_grant_ref_t op = {.host_addr = where, .handle = handle};

    return grant_op(GNTTABOP_unmap_grant_ref, &op, 1) != 0 ? -100 : op.status;
}

static void mapping(void)
{
    uint64_t where = WINDOW + 0x100000;
    volatile uint64_t *page = new_page();
    grant_handle_t handle = 0, second = 0;
    struct fault fault;

    map_at(where, 0);
    page[5] = 0x1234;
    grant(10, (void *)page, GTF_permit_access);
    RETURNS(map(where, 10, GNTMAP_host_map, 0, &handle), GNTST_okay, "map");
    PROPERTY(((volatile uint64_t *)where)[5] == 0x1234, "the page is seen", "it is not");
    ((volatile uint64_t *)where)[6] = 0x5678;
    PROPERTY(page[6] == 0x5678, "and can be written", "it cannot");
    PROPERTY(table[10].flags & GTF_reading && table[10].flags & GTF_writing, "the entry says so", "%x",
             table[10].flags);
    RETURNS(unmap(where, handle + 1000), GNTST_bad_handle, "a forged handle");
    REFUSED(unmap(where + PAGE_SIZE, handle), "a wrong address");
    RETURNS(unmap(where, handle), GNTST_okay, "unmap");
    PROPERTY(!(table[10].flags & (GTF_reading | GTF_writing)), "the entry is free again", "%x",
             table[10].flags);
    PROPERTY(read_faults((void *)where, &fault), "the address is gone", "it can be read");
    REFUSED(unmap(where, handle), "unmapping twice");

    grant(11, (void *)page, GTF_permit_access | GTF_readonly);
    REFUSED(map(where, 11, GNTMAP_host_map, 0, &second), "a writable map of a read-only grant");
    RETURNS(map(where, 11, GNTMAP_host_map | GNTMAP_readonly, 0, &second), GNTST_okay, "a read-only map");
    PROPERTY(write_faults((void *)where, NULL), "cannot be written", "it can");
    RETURNS(unmap(where, second), GNTST_okay, "unmap it");
}

/* Linux does this when a process dies with a granted page pinned: the entry goes before the grant is unmapped. */
static void cleared_entries(void)
{
    uint64_t where = WINDOW + 0x102000;
    volatile uint64_t *page = new_page(), *other = new_page();
    grant_handle_t lost = 0, handle = 0;

    map_at(where, 0);
    page[0] = 1;
    other[0] = 2;
    grant(13, (void *)page, GTF_permit_access);
    grant(14, (void *)other, GTF_permit_access);
    RETURNS(map(where, 13, GNTMAP_host_map, 0, &lost), GNTST_okay, "map, to be cleared by the guest");
    RETURNS(map_at(where, 0), 0, "the guest clears the entry");
    RETURNS(unmap(where, lost), GNTST_general_error, "unmap what the guest has cleared");
    PROPERTY(table[13].flags & GTF_reading, "the grant stays in use", "%x", table[13].flags);
    RETURNS(map(where, 14, GNTMAP_host_map, 0, &handle), GNTST_okay, "map another page there");
    RETURNS(unmap(where, lost), GNTST_general_error, "the lost handle does not unmap it");
    PROPERTY(*(volatile uint64_t *)where == 2, "it is still seen", "it is not");
    RETURNS(unmap(where, handle), GNTST_okay, "its own handle does");
    PROPERTY(page[0] == 1, "the first page is whole", "it is not");
}

static void bad_maps(void)
{
    uint64_t where = WINDOW + 0x101000;
    void *page = new_page();
    grant_handle_t handle;

    map_at(where, 0);
    grant(12, page, 0);
    REFUSED(map(where, 12, GNTMAP_host_map, 0, &handle), "an entry that grants nothing");
    grant(12, page, GTF_permit_access);
    table[12].domid = 5;
    REFUSED(map(where, 12, GNTMAP_host_map, 0, &handle), "an entry for another domain");
    grant(12, page, GTF_permit_access);
    table[12].frame = 0xfffffff;
    REFUSED(map(where, 12, GNTMAP_host_map, 0, &handle), "an entry for an absent frame");
    table[12].frame = (uint32_t)(maddr_of((void *)start_info->pt_base) / PAGE_SIZE);
    REFUSED(map(where, 12, GNTMAP_host_map, 0, &handle), "an entry for a page table");
    grant(12, page, GTF_permit_access);
    REFUSED(map(where, 60000, GNTMAP_host_map, 0, &handle), "a reference that is not");
    REFUSED(map(where, ~0u, GNTMAP_host_map, 0, &handle), "the largest reference");
    REFUSED(map(where, 12, GNTMAP_host_map, 77, &handle), "a domain that is not");
    REFUSED(map(where, 12, 0, 0, &handle), "no kind of mapping");
    REFUSED(map(HV_START, 12, GNTMAP_host_map, 0, &handle), "a place in the hypervisor");
    REFUSED(map(NON_CANONICAL, 12, GNTMAP_host_map, 0, &handle), "a place that is not");
    REFUSED(map(UNMAPPED, 12, GNTMAP_host_map, 0, &handle), "a place without tables");
    REFUSED(map(1UL << 51, 12, GNTMAP_host_map | GNTMAP_contains_pte, 0, &handle), "an entry that is not");
    PROPERTY(!(table[12].flags & (GTF_reading | GTF_writing)), "none of them leaves the entry in use", "%x",
             table[12].flags);
    REFUSED(unmap(where, 0xffffffff), "the largest handle");
    REFUSED(unmap(where, 500), "a handle never given");
}

static int16_t copy(gnttab_copy_t op)
{
    return grant_op(GNTTABOP_copy, &op, 1) != 0 ? -100 : op.status;
}

static void copying(void)
{
    char *from = new_page(), *to = new_page();
    gnttab_copy_t op = {.source = {.u.ref = 20, .domid = DOMID_SELF, .offset = 100},
                        .dest = {.u.gmfn = mfn_of(to), .domid = DOMID_SELF, .offset = 200},
                        .len = 300,
                        .flags = GNTCOPY_source_gref};

    for (unsigned int i = 0; i < PAGE_SIZE; i++) {
        from[i] = (char)i;
        to[i] = 0;
    }
    grant(20, from, GTF_permit_access | GTF_readonly);
    RETURNS(copy(op), GNTST_okay, "copy from a grant");
    PROPERTY(memcmp(from + 100, to + 200, 300) == 0, "the bytes are there", "they differ");
    PROPERTY(to[199] == 0 && to[500] == 0, "and no more", "neighbours changed");
    op.len = 4000;
    REFUSED(copy(op), "a copy over the page's end");
    op.len = 65535;
    REFUSED(copy(op), "a copy of 65535 bytes");
    op.len = 1;
    op.source.offset = 4096;
    REFUSED(copy(op), "an offset past the page");
    op.source.offset = 0;
    op.dest.u.gmfn = 1UL << 40;
    REFUSED(copy(op), "a copy to an absent frame");
    op.dest.u.gmfn = maddr_of((void *)start_info->pt_base) / PAGE_SIZE;
    REFUSED(copy(op), "a copy over a page table");
    op = (gnttab_copy_t){.source = {.u.gmfn = mfn_of(from), .domid = DOMID_SELF},
                         .dest = {.u.ref = 20, .domid = DOMID_SELF},
                         .len = 8,
                         .flags = GNTCOPY_dest_gref};
    REFUSED(copy(op), "a copy into a read-only grant");
}

static void versions(void)
{
    gnttab_set_version_t set = {.version = 3};
    gnttab_get_version_t get = {.dom = DOMID_SELF};

    REFUSED(grant_op(GNTTABOP_set_version, &set, 1), "version 3");
    set.version = 2;
    RETURNS(grant_op(GNTTABOP_set_version, &set, 1), 0, "version 2");
    RETURNS(grant_op(GNTTABOP_get_version, &get, 1), 0, "get_version");
    PROPERTY(get.version == 2, "says 2", "%u", get.version);
    set.version = 1;
    RETURNS(grant_op(GNTTABOP_set_version, &set, 1), 0, "and back to version 1");
}

void test_main(void)
{
    setup();
    mapping();
    bad_maps();
    copying();
    versions();
    cleared_entries(); /* last: a grant in use forever */
}

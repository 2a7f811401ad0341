/*
 * Grant tables: both versions, map, unmap, copy, and what is refused. The machine's half (arch_grant_map) is
 * a list of mapped addresses here, so that what is mapped can be asked.
 */
#include "events.h"
#include <bh/grant.h>

#define MAPS 64

static struct domain *owner, *user, *dom0;
static struct grant_entry_v1 *v1;
static struct page_info *page;
static uint64_t frame;

static struct {
    uint64_t address, frame;
} mapped[MAPS];
static bool map_fails;

int arch_grant_map(struct vcpu *v, uint64_t address, mfn_t mfn, unsigned int flags)
{
    if (map_fails)
        return -EINVAL;
    for (int i = 0; i < MAPS; i++) {
        if (mapped[i].address == 0) {
            mapped[i].address = address;
            mapped[i].frame = mfn.n;
            return 0;
        }
    }
    return -ENOMEM;
}

int arch_grant_unmap(struct vcpu *v, uint64_t address, mfn_t mfn, unsigned int flags, uint64_t replace_by)
{
    for (int i = 0; i < MAPS; i++) {
        if (mapped[i].address == address && mapped[i].frame == mfn.n) {
            mapped[i].address = 0;
            return 0;
        }
    }
    return -EINVAL;
}

static long gnttab(struct domain *d, unsigned int cmd, void *arg, unsigned int count)
{
    return do_grant_table_op(d->vcpu[0], cmd, (unsigned long)arg, count, 0, 0);
}

static void *table_frame(struct domain *d, uint32_t index, bool status)
{
    mfn_t mfn;

    assert_int_equal(grant_table_frame(NULL, d, index, status, &mfn), 0);
    return arch_map(mfn);
}

static int setup(void **state)
{
    owner = fake_domain(false, 1, 64);
    user = fake_domain(false, 1, 64);
    v1 = table_frame(owner, 0, false);
    page = page_alloc_domain(owner, 0, 0);
    assert_non_null(page);
    frame = page_to_mfn(page).n;
    memset(mapped, 0, sizeof(mapped));
    map_fails = fake_preempt = false;
    return 0;
}

static int teardown(void **state)
{
    fake_domain_end(user);
    fake_domain_end(owner);
    return 0;
}

static void grant(uint32_t ref, domid_t to, uint64_t what, uint16_t flags)
{
    v1[ref] =
        (struct grant_entry_v1){.flags = GTF_permit_access | flags, .domid = to, .frame = (uint32_t)what};
}

static struct gnttab_map_grant_ref map(uint32_t ref, uint64_t address, uint32_t flags)
{
    struct gnttab_map_grant_ref op = {
        .host_addr = address, .flags = flags | GNTMAP_host_map, .ref = ref, .dom = owner->id};

    assert_int_equal(gnttab(user, GNTTABOP_map_grant_ref, &op, 1), 0);
    return op;
}

static int16_t unmap(uint32_t handle, uint64_t address, uint64_t bus)
{
    struct gnttab_unmap_grant_ref op = {.host_addr = address, .dev_bus_addr = bus, .handle = handle};

    assert_int_equal(gnttab(user, GNTTABOP_unmap_grant_ref, &op, 1), 0);
    return op.status;
}

static uint64_t refs(void)
{
    return page->refs & PGC_count_mask;
}

static uint64_t writers(void)
{
    return page->type & PGT_count_mask;
}

static void test_map_and_unmap(void **state)
{
    uint64_t before = refs();
    struct gnttab_map_grant_ref op;

    grant(9, user->id, frame, 0);
    op = map(9, 0x10000, 0);
    assert_int_equal(op.status, GNTST_okay);
    assert_int_equal(op.dev_bus_addr, frame << PAGE_SHIFT);
    assert_int_equal(v1[9].flags, GTF_permit_access | GTF_reading | GTF_writing);
    assert_int_equal(mapped[0].frame, frame);
    assert_int_equal(writers(), 1);
    fake_flushed = 0;
    user->arch.dirty_cpus = 1;
    assert_int_equal(unmap(op.handle, 0x10000, 0), GNTST_okay);
    assert_int_equal(fake_flushed, 1);
    assert_int_equal(v1[9].flags, GTF_permit_access);
    assert_int_equal(mapped[0].address, 0);
    assert_int_equal(writers(), 0);
    assert_int_equal(refs(), before);
    assert_int_equal(unmap(op.handle, 0x10000, 0), GNTST_bad_handle);
}

static void test_read_only(void **state)
{
    struct gnttab_map_grant_ref r, w;
    uint64_t before = refs();

    grant(1, user->id, frame, GTF_readonly);
    w = map(1, 0x10000, 0);
    assert_int_equal(w.status, GNTST_general_error);
    r = map(1, 0x10000, GNTMAP_readonly);
    assert_int_equal(r.status, GNTST_okay);
    assert_int_equal(v1[1].flags, GTF_permit_access | GTF_readonly | GTF_reading);
    assert_int_equal(writers(), 0);
    assert_int_equal(refs(), before + 1);
    assert_int_equal(unmap(r.handle, 0x10000, 0), GNTST_okay);
    assert_int_equal(refs(), before);
}

static void test_marks_follow_the_pins(void **state)
{
    struct gnttab_map_grant_ref r, w;

    grant(1, user->id, frame, 0);
    r = map(1, 0x10000, GNTMAP_readonly);
    assert_int_equal(v1[1].flags, GTF_permit_access | GTF_reading);
    w = map(1, 0x20000, 0);
    assert_int_equal(v1[1].flags, GTF_permit_access | GTF_reading | GTF_writing);
    assert_int_equal(unmap(w.handle, 0x20000, 0), GNTST_okay);
    assert_int_equal(v1[1].flags, GTF_permit_access | GTF_reading);
    assert_int_equal(unmap(r.handle, 0x10000, 0), GNTST_okay);
    assert_int_equal(v1[1].flags, GTF_permit_access);
}

static void test_device_map(void **state)
{
    struct gnttab_map_grant_ref op;
    uint64_t bus = frame << PAGE_SHIFT;

    grant(1, user->id, frame, 0);
    op = map(1, 0x10000, GNTMAP_device_map);
    assert_int_equal(op.status, GNTST_okay);
    assert_int_equal(writers(), 2);
    assert_int_equal(unmap(op.handle, 0, bus + PAGE_SIZE), GNTST_bad_dev_addr);
    assert_int_equal(unmap(op.handle, 0x10000, 0), GNTST_okay);
    assert_int_equal(v1[1].flags, GTF_permit_access | GTF_reading | GTF_writing);
    assert_int_equal(unmap(op.handle, 0x10000, 0), GNTST_bad_handle);
    assert_int_equal(unmap(op.handle, 0, bus), GNTST_okay);
    assert_int_equal(v1[1].flags, GTF_permit_access);
    assert_int_equal(writers(), 0);
}

static void test_refused_maps_leave_nothing(void **state)
{
    struct gnttab_map_grant_ref op = {.host_addr = 0x1000, .ref = 1, .dom = owner->id};
    struct page_info *foreign = page_alloc_domain(user, 0, 0);
    uint64_t before = refs();

    assert_int_equal(map(1, 0x10000, 0).status, GNTST_general_error); /* not granted */
    grant(1, dom0->id, frame, 0);
    assert_int_equal(map(1, 0x10000, 0).status, GNTST_general_error); /* to somebody else */
    grant(1, user->id, page_to_mfn(foreign).n, 0);
    assert_int_equal(map(1, 0x10000, 0).status, GNTST_general_error); /* of a page that is not the owner's */
    grant(1, user->id, 0xffffffff, 0);
    assert_int_equal(map(1, 0x10000, 0).status, GNTST_general_error); /* of no page */
    assert_int_equal(v1[1].flags, GTF_permit_access);
    v1[1].flags = GTF_accept_transfer;
    assert_int_equal(map(1, 0x10000, 0).status, GNTST_general_error);
    assert_int_equal(map(100000, 0x10000, 0).status, GNTST_bad_gntref);
    assert_int_equal(gnttab(user, GNTTABOP_map_grant_ref, &op, 1), 0);
    assert_int_equal(op.status, GNTST_bad_gntref); /* neither host nor device */
    op.flags = GNTMAP_host_map;
    op.dom = 30000;
    assert_int_equal(gnttab(user, GNTTABOP_map_grant_ref, &op, 1), 0);
    assert_int_equal(op.status, GNTST_bad_domain);
    grant(1, user->id, frame, 0);
    map_fails = true;
    assert_int_equal(map(1, 0x10000, GNTMAP_device_map).status, GNTST_general_error);
    assert_int_equal(v1[1].flags, GTF_permit_access);
    assert_int_equal(refs(), before);
    assert_int_equal(writers(), 0);
}

static void test_entry_is_fixed_while_pinned(void **state)
{
    struct page_info *other = page_alloc_domain(owner, 0, 0);
    struct gnttab_map_grant_ref first, second;

    grant(1, user->id, frame, 0);
    first = map(1, 0x10000, 0);
    v1[1].frame = (uint32_t)page_to_mfn(other).n;
    second = map(1, 0x20000, 0);
    assert_int_equal(second.status, GNTST_okay);
    assert_int_equal(second.dev_bus_addr, frame << PAGE_SHIFT);
    assert_int_equal(unmap(first.handle, 0x10000, 0), GNTST_okay);
    assert_int_equal(unmap(second.handle, 0x20000, 0), GNTST_okay);
    first = map(1, 0x10000, 0);
    assert_int_equal(first.dev_bus_addr, page_to_mfn(other).n << PAGE_SHIFT);
    assert_int_equal(unmap(first.handle, 0x10000, 0), GNTST_okay);
}

static void test_unmap_of_what_is_not_there(void **state)
{
    struct gnttab_map_grant_ref op;

    grant(1, user->id, frame, 0);
    op = map(1, 0x10000, 0);
    assert_int_equal(unmap(op.handle, 0x999000, 0), GNTST_general_error);
    assert_true(v1[1].flags & GTF_writing); /* it counts as mapped still */
    assert_int_equal(unmap(op.handle, 0x10000, 0), GNTST_okay);
    assert_int_equal(unmap(12345678, 0x10000, 0), GNTST_bad_handle);
}

static void test_handles_run_out(void **state)
{
    struct gnttab_map_grant_ref op = {
        .flags = GNTMAP_device_map | GNTMAP_readonly, .ref = 1, .dom = owner->id};
    uint32_t n = 0;

    grant(1, user->id, frame, 0);
    for (;; n++) {
        assert_int_equal(gnttab(user, GNTTABOP_map_grant_ref, &op, 1), 0);
        if (op.status != GNTST_okay)
            break;
    }
    assert_int_equal(op.status, GNTST_no_space);
    assert_int_equal(n, 4 * 256);
    assert_int_equal(unmap(77, 0, frame << PAGE_SHIFT), GNTST_okay);
    assert_int_equal(gnttab(user, GNTTABOP_map_grant_ref, &op, 1), 0);
    assert_int_equal(op.handle, 77);
}

static void test_batches_restart(void **state)
{
    struct gnttab_map_grant_ref op[40];
    unsigned long *args = user->vcpu[0]->restart_args;

    for (uint32_t i = 0; i < 40; i++) {
        grant(20 + i, user->id, frame, 0);
        op[i] = (struct gnttab_map_grant_ref){
            .host_addr = 0x100000 + i * 0x1000, .flags = GNTMAP_host_map, .ref = 20 + i, .dom = owner->id};
    }
    fake_preempt = true;
    assert_int_equal(gnttab(user, GNTTABOP_map_grant_ref, op, 40), HYPERCALL_RESTART);
    assert_int_equal(args[1], (unsigned long)&op[16]);
    assert_int_equal(args[2], 24);
    assert_int_equal(do_grant_table_op(user->vcpu[0], args[0], args[1], args[2], 0, 0), HYPERCALL_RESTART);
    assert_int_equal(do_grant_table_op(user->vcpu[0], args[0], args[1], args[2], 0, 0), 0);
    for (uint32_t i = 0; i < 40; i++) {
        assert_int_equal(op[i].status, GNTST_okay);
        assert_int_equal(mapped[i].address, 0x100000 + i * 0x1000);
    }
}

static void test_user_dies(void **state)
{
    uint64_t before = refs();

    grant(1, user->id, frame, 0);
    assert_int_equal(map(1, 0x10000, GNTMAP_device_map | GNTMAP_readonly).status, GNTST_okay);
    assert_int_equal(refs(), before + 2);
    assert_int_equal(grant_table_release(user), 0);
    assert_int_equal(v1[1].flags, GTF_permit_access);
    assert_int_equal(refs(), before + 1); /* the page-table entry's goes with the page tables */
    put_page(page);
}

static void test_owner_dies_while_mapped(void **state)
{
    struct domain *d = fake_domain(false, 1, 16);
    struct page_info *pg = page_alloc_domain(d, 0, 0);
    struct gnttab_map_grant_ref op = {.host_addr = 0x5000, .flags = GNTMAP_host_map, .ref = 3, .dom = d->id};
    struct grant_entry_v1 *table = table_frame(d, 0, false);
    domid_t id = d->id;

    table[3] = (struct grant_entry_v1){GTF_permit_access, user->id, (uint32_t)page_to_mfn(pg).n};
    assert_int_equal(gnttab(user, GNTTABOP_map_grant_ref, &op, 1), 0);
    assert_int_equal(op.status, GNTST_okay);
    fake_domain_end(d);
    d = domain_get(id);
    assert_non_null(d); /* the mapping keeps it */
    domain_put(d);
    assert_int_equal(unmap(op.handle, 0x5000, 0), GNTST_okay);
    fake_run_work();
    assert_null(domain_get(id));
}

static void test_copy(void **state)
{
    struct page_info *mine = page_alloc_domain(user, 0, 0);
    char *theirs = arch_map(MFN(frame)), *ours = arch_map(page_to_mfn(mine));
    struct gnttab_copy op[3] = {{.source = {.u.ref = 1, .domid = owner->id, .offset = 100},
                                 .dest = {.u.gmfn = page_to_mfn(mine).n, .domid = DOMID_SELF, .offset = 7},
                                 .len = 50,
                                 .flags = GNTCOPY_source_gref},
                                {.source = {.u.gmfn = page_to_mfn(mine).n, .domid = DOMID_SELF, .offset = 7},
                                 .dest = {.u.ref = 2, .domid = owner->id, .offset = 4000},
                                 .len = 96,
                                 .flags = GNTCOPY_dest_gref},
                                {.source = {.u.ref = 1, .domid = owner->id, .offset = 100},
                                 .dest = {.u.gmfn = page_to_mfn(mine).n, .domid = DOMID_SELF, .offset = 1000},
                                 .len = 50,
                                 .flags = GNTCOPY_source_gref}};
    uint64_t before = refs();

    grant(1, user->id, frame, GTF_readonly);
    grant(2, user->id, frame, 0);
    memset(theirs, 'x', PAGE_SIZE);
    memcpy(theirs + 100, "forty-two", 9);
    assert_int_equal(gnttab(user, GNTTABOP_copy, op, 3), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(op[i].status, GNTST_okay);
    assert_memory_equal(ours + 7, "forty-two", 9);
    assert_memory_equal(ours + 1000, "forty-two", 9);
    assert_memory_equal(theirs + 4000, "forty-two", 9);
    assert_int_equal(v1[1].flags, GTF_permit_access | GTF_readonly);
    assert_int_equal(v1[2].flags, GTF_permit_access);
    assert_int_equal(refs(), before);
    assert_int_equal(writers(), 0);
}

static void test_refused_copies(void **state)
{
    struct page_info *mine = page_alloc_domain(user, 0, 0);
    struct gnttab_copy good = {.source = {.u.ref = 1, .domid = owner->id},
                               .dest = {.u.gmfn = page_to_mfn(mine).n, .domid = DOMID_SELF},
                               .len = 4096,
                               .flags = GNTCOPY_source_gref},
                       op;
    uint64_t before = refs();

    grant(1, user->id, frame, GTF_readonly);
    op = good;
    op.source.offset = 1;
    assert_int_equal(gnttab(user, GNTTABOP_copy, &op, 1), 0);
    assert_int_equal(op.status, GNTST_bad_copy_arg);
    op = good;
    op.dest.offset = 65535;
    op.len = 65535;
    assert_int_equal(gnttab(user, GNTTABOP_copy, &op, 1), 0);
    assert_int_equal(op.status, GNTST_bad_copy_arg);
    op = good;
    op.source.u.gmfn = frame;
    op.flags = 0;
    assert_int_equal(gnttab(user, GNTTABOP_copy, &op, 1), 0);
    assert_int_equal(op.status, GNTST_permission_denied);
    op = good;
    op.dest = op.source;
    op.flags |= GNTCOPY_dest_gref;
    assert_int_equal(gnttab(user, GNTTABOP_copy, &op, 1), 0);
    assert_int_equal(op.status, GNTST_general_error); /* read-only */
    op = good;
    op.dest.u.gmfn = frame;
    assert_int_equal(gnttab(user, GNTTABOP_copy, &op, 1), 0);
    assert_int_equal(op.status, GNTST_bad_page); /* not the caller's */
    assert_int_equal(v1[1].flags, GTF_permit_access | GTF_readonly);
    assert_int_equal(refs(), before);
    assert_int_equal(mine->type & PGT_count_mask, 0);
}

static void test_version_2(void **state)
{
    struct gnttab_set_version set = {.version = 2};
    struct gnttab_get_version get = {.dom = DOMID_SELF};
    struct gnttab_map_grant_ref op;
    union grant_entry_v2 *v2;
    uint16_t *status;

    grant(GNTTAB_RESERVED_XENSTORE, user->id, frame, 0);
    op = map(GNTTAB_RESERVED_XENSTORE, 0x10000, 0);
    assert_int_equal(gnttab(owner, GNTTABOP_set_version, &set, 1), -EBUSY);
    assert_int_equal(unmap(op.handle, 0x10000, 0), GNTST_okay);
    grant(100, user->id, frame, 0);
    assert_int_equal(gnttab(owner, GNTTABOP_set_version, &set, 1), 0);
    assert_int_equal(gnttab(owner, GNTTABOP_get_version, &get, 1), 0);
    assert_int_equal(get.version, 2);
    v2 = table_frame(owner, 0, false);
    status = table_frame(owner, 0, true);
    assert_int_equal(v2[GNTTAB_RESERVED_XENSTORE].full_page.frame, frame);
    assert_int_equal(v2[100].hdr.flags, 0);

    op = map(GNTTAB_RESERVED_XENSTORE, 0x10000, 0);
    assert_int_equal(op.status, GNTST_okay);
    assert_int_equal(status[GNTTAB_RESERVED_XENSTORE], GTF_reading | GTF_writing);
    assert_int_equal(v2[GNTTAB_RESERVED_XENSTORE].hdr.flags, GTF_permit_access);
    assert_int_equal(unmap(op.handle, 0x10000, 0), GNTST_okay);
    assert_int_equal(status[GNTTAB_RESERVED_XENSTORE], 0);

    set.version = 1;
    assert_int_equal(gnttab(owner, GNTTABOP_set_version, &set, 1), 0);
    assert_int_equal(v1[GNTTAB_RESERVED_XENSTORE].frame, frame);
    assert_int_equal(map(GNTTAB_RESERVED_XENSTORE, 0x10000, 0).status, GNTST_okay);
    set.version = 3;
    assert_int_equal(gnttab(owner, GNTTABOP_set_version, &set, 1), -EINVAL);
}

static void test_part_of_a_page(void **state)
{
    struct gnttab_set_version set = {.version = 2};
    struct page_info *mine = page_alloc_domain(user, 0, 0);
    struct gnttab_copy op = {.source = {.u.ref = 5, .domid = owner->id, .offset = 512},
                             .dest = {.u.gmfn = page_to_mfn(mine).n, .domid = DOMID_SELF},
                             .len = 512,
                             .flags = GNTCOPY_source_gref};
    union grant_entry_v2 *v2;

    assert_int_equal(gnttab(owner, GNTTABOP_set_version, &set, 1), 0);
    v2 = table_frame(owner, 0, false);
    v2[5].sub_page.hdr = (struct grant_entry_header){GTF_permit_access | GTF_sub_page, user->id};
    v2[5].sub_page.page_off = 512;
    v2[5].sub_page.length = 512;
    v2[5].sub_page.frame = frame;
    assert_int_equal(gnttab(user, GNTTABOP_copy, &op, 1), 0);
    assert_int_equal(op.status, GNTST_okay);
    op.source.offset = 511;
    assert_int_equal(gnttab(user, GNTTABOP_copy, &op, 1), 0);
    assert_int_equal(op.status, GNTST_general_error);
    op.source.offset = 513;
    assert_int_equal(gnttab(user, GNTTABOP_copy, &op, 1), 0);
    assert_int_equal(op.status, GNTST_general_error);
    assert_int_equal(map(5, 0x10000, GNTMAP_readonly).status, GNTST_general_error);
    v2[5].sub_page.page_off = 4000;
    assert_int_equal(gnttab(user, GNTTABOP_copy, &op, 1), 0);
    assert_int_equal(op.status, GNTST_general_error);
    assert_int_equal(((uint16_t *)table_frame(owner, 0, true))[5], 0);
}

static void test_growth(void **state)
{
    uint64_t list[8] = {0};
    struct gnttab_setup_table op = {.dom = DOMID_SELF, .nr_frames = 3, .frame_list = (uint64_t)list};
    struct gnttab_query_size size = {.dom = DOMID_SELF};

    assert_int_equal(gnttab(owner, GNTTABOP_setup_table, &op, 1), 0);
    assert_int_equal(op.status, GNTST_okay);
    assert_ptr_equal(arch_map(MFN(list[0])), v1);
    assert_int_not_equal(list[2], 0);
    assert_int_equal(list[3], 0);
    assert_int_equal(gnttab(owner, GNTTABOP_query_size, &size, 1), 0);
    assert_int_equal(size.nr_frames, 3);
    assert_int_equal(size.max_nr_frames, 4);
    op.nr_frames = 5;
    assert_int_equal(gnttab(owner, GNTTABOP_setup_table, &op, 1), 0);
    assert_int_equal(op.status, GNTST_general_error);
    op.nr_frames = 0xffffffff;
    assert_int_equal(gnttab(owner, GNTTABOP_setup_table, &op, 1), 0);
    assert_int_equal(op.status, GNTST_general_error);
    op.nr_frames = 1;
    op.dom = user->id;
    assert_int_equal(gnttab(owner, GNTTABOP_setup_table, &op, 1), 0);
    assert_int_equal(op.status, GNTST_permission_denied);
    assert_int_equal(gnttab(dom0, GNTTABOP_setup_table, &op, 1), 0);
    assert_int_equal(op.status, GNTST_okay);
    assert_int_equal(gnttab(owner, GNTTABOP_setup_table, &op, 2), -EINVAL);
}

static void test_transfer_is_refused(void **state)
{
    struct gnttab_transfer op = {.mfn = frame, .domid = user->id};

    assert_int_equal(gnttab(owner, GNTTABOP_transfer, &op, 1), 0);
    assert_int_equal(op.status, GNTST_bad_page);
    assert_ptr_equal(page->owner, owner);
}

static void test_bad_arguments(void **state)
{
    char buffer[4096] = {0};

    /* 3 and 11, dumping a table and swapping entries, are not offered: nobody asks for them. */
    for (unsigned int cmd = 0; cmd <= GNTTABOP_cache_flush; cmd++)
        assert_int_equal(gnttab(owner, cmd, (void *)8, 1), cmd == 3 || cmd == 11 ? -ENOSYS : -EFAULT);
    for (unsigned int cmd = 13; cmd < 100; cmd++)
        assert_int_equal(gnttab(owner, cmd, buffer, 1), -ENOSYS);
    assert_int_equal(gnttab(owner, GNTTABOP_map_grant_ref, buffer, 0x80000000), -EINVAL);
    assert_int_equal(gnttab(owner, GNTTABOP_map_grant_ref, (void *)8, 0), 0);
    assert_int_equal(gnttab(owner, GNTTABOP_copy | 1 << 12, buffer, 1), -ENOSYS);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_map_and_unmap),
        T(test_read_only),
        T(test_marks_follow_the_pins),
        T(test_device_map),
        T(test_refused_maps_leave_nothing),
        T(test_entry_is_fixed_while_pinned),
        T(test_unmap_of_what_is_not_there),
        T(test_handles_run_out),
        T(test_batches_restart),
        T(test_user_dies),
        T(test_owner_dies_while_mapped),
        T(test_copy),
        T(test_refused_copies),
        T(test_version_2),
        T(test_part_of_a_page),
        T(test_growth),
        T(test_transfer_is_refused),
        T(test_bad_arguments),
    };

    fake_boot(1);
    dom0 = fake_domain(true, 1, 64);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* memory_op: reservations, exchange, maps, resources. */
#include "mm_test.h"

#include <asm/boot_info.h>
#include <bh/grant.h>

static long memory_op(unsigned long cmd, void *arg)
{
    return fake_call(do_memory_op, world.v, cmd, (unsigned long)arg, 0, 0);
}

static void populate_and_decrease(void **state)
{
    uint64_t list[8] = {100, 200, 300, 400};
    struct xen_memory_reservation r = {(uint64_t)list, 4, 0, 0, DOMID_SELF};

    assert_int_equal(memory_op(XENMEM_populate_physmap, &r), 4);
    assert_int_equal(world.d->tot_pages, 68);
    for (unsigned int i = 0; i < 4; i++) {
        assert_ptr_equal(frame_table[list[i]].owner, world.d);
        assert_int_equal(fake_m2p[list[i]], 100 * (i + 1));
    }
    /* A page in use goes later. */
    assert_true(get_page(&frame_table[list[1]], world.d));
    assert_int_equal(memory_op(XENMEM_decrease_reservation, &r), 4);
    assert_int_equal(world.d->tot_pages, 65);
    put_page(&frame_table[list[1]]);
    assert_int_equal(world.d->tot_pages, 64);
    assert_int_equal(memory_op(XENMEM_decrease_reservation, &r), 0);

    list[0] = own(0);
    list[1] = own(0); /* twice */
    assert_int_equal(memory_op(XENMEM_decrease_reservation, &r), 1);
    assert_int_equal(world.d->tot_pages, 63);
    list[0] = FAKE_IO_FIRST;
    assert_int_equal(memory_op(XENMEM_decrease_reservation, &r), 0);
    list[0] = 1UL << 51;
    assert_int_equal(memory_op(XENMEM_decrease_reservation, &r), 0);
}

static void superpages_and_limits(void **state)
{
    uint64_t list[4] = {512, 1024};
    struct xen_memory_reservation r = {(uint64_t)list, 2, 3, 0, DOMID_SELF};

    assert_int_equal(memory_op(XENMEM_populate_physmap, &r), 2);
    assert_int_equal(list[0] % 8, 0);
    assert_int_equal(fake_m2p[list[1] + 7], 1031);
    assert_int_equal(memory_op(XENMEM_decrease_reservation, &r), 2);
    assert_int_equal(world.d->tot_pages, 64);
    world.d->max_pages = 64 + 8;
    assert_int_equal(memory_op(XENMEM_increase_reservation, &r), 1);
    assert_int_equal(
        memory_op(XENMEM_decrease_reservation, &(struct xen_memory_reservation){(uint64_t)list, 1, 3, 0, 0}),
        1);
    r.extent_order = 13;
    assert_int_equal(memory_op(XENMEM_populate_physmap, &r), 0);
    r.extent_order = 0;
    r.mem_flags = XENMEMF_populate_on_demand;
    assert_int_equal(memory_op(XENMEM_populate_physmap, &r), 0);
    r.mem_flags = 0;
    r.domid = 9;
    assert_int_equal(memory_op(XENMEM_populate_physmap, &r), 0);
    r.domid = DOMID_SELF;
    r.extent_start = 0x10;
    assert_int_equal(memory_op(XENMEM_populate_physmap, &r), 0);
    assert_int_equal(memory_op(XENMEM_decrease_reservation, &r), 0);
    assert_int_equal(memory_op(XENMEM_populate_physmap, FAKE_NO_ACCESS), -EFAULT);
    r.nr_extents = ~0UL;
    assert_int_equal(memory_op(XENMEM_populate_physmap, &r), 0);
}

static void reservations_restart(void **state)
{
    uint64_t list[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    struct xen_memory_reservation r = {(uint64_t)list, 8, 0, 0, DOMID_SELF};
    unsigned int restarts = 0;
    long rc;

    fake_preempt_in = 0;
    rc = do_memory_op(world.v, XENMEM_populate_physmap, (unsigned long)&r, 0, 0, 0);
    while (rc == HYPERCALL_RESTART) {
        restarts++;
        assert_int_equal(world.v->restart_args[0] >> MEMOP_EXTENT_SHIFT, restarts);
        rc = do_memory_op(world.v, world.v->restart_args[0], world.v->restart_args[1], 0, 0, 0);
    }
    assert_int_equal(rc, 8);
    assert_int_equal(restarts, 7);
    fake_preempt_in = -1;
    /* A command that claims more done than there is to do: nothing happens. */
    assert_int_equal(memory_op(XENMEM_populate_physmap | 8 << MEMOP_EXTENT_SHIFT, &r), 8);
    assert_int_equal(memory_op(XENMEM_populate_physmap | 1UL << 60, &r), 1UL << 54);
    assert_int_equal(world.d->tot_pages, 72);
}

static void exchange_many_for_one(void **state)
{
    uint64_t in[8], out[1] = {4096};
    struct xen_memory_exchange x = {
        .in = {(uint64_t)in, 8, 0, 0, DOMID_SELF},
        .out = {(uint64_t)out, 1, 3, XENMEMF_address_bits(32), DOMID_SELF},
    };

    for (unsigned int i = 0; i < 8; i++)
        in[i] = own(i * 3);
    assert_int_equal(memory_op(XENMEM_exchange, &x), 0);
    assert_int_equal(x.nr_exchanged, 8);
    assert_int_equal(world.d->tot_pages, 64);
    assert_int_equal(out[0] % 8, 0);
    for (unsigned int i = 0; i < 8; i++) {
        assert_ptr_equal(frame_table[out[0] + i].owner, world.d);
        assert_int_equal(fake_m2p[out[0] + i], 4096 + i);
        assert_null(frame_table[in[i]].owner);
        assert_int_equal(fake_m2p[in[i]], INVALID_FRAME);
    }
    fake_check();
    /* And back. */
    uint64_t singles[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    struct xen_memory_exchange back = {
        .in = {(uint64_t)out, 1, 3, 0, DOMID_SELF},
        .out = {(uint64_t)singles, 8, 0, 0, DOMID_SELF},
    };
    assert_int_equal(memory_op(XENMEM_exchange, &back), 0);
    assert_int_equal(back.nr_exchanged, 1);
    assert_int_equal(fake_m2p[singles[7]], 8);
    fake_check();
}

static void exchange_refused(void **state)
{
    uint64_t in[2] = {own(0), own(1)}, out[2] = {1, 2};
    struct xen_memory_exchange x =
                                   {
                                       .in = {(uint64_t)in, 2, 0, 0, DOMID_SELF},
                                       .out = {(uint64_t)out, 1, 1, 0, DOMID_SELF},
                                   },
                               bad;

    /* Mapped pages stay. */
    assert_int_equal(pin(1, own(1)), 0);
    assert_int_equal(memory_op(XENMEM_exchange, &x), -EINVAL);
    assert_int_equal(x.nr_exchanged, 0);
    assert_int_equal(unpin(own(1)), 0);
    in[1] = own(0); /* named twice: the second time it is in use */
    assert_int_equal(memory_op(XENMEM_exchange, &x), -EINVAL);
    in[1] = FAKE_IO_FIRST;
    assert_int_equal(memory_op(XENMEM_exchange, &x), -EINVAL);
    fake_check();
    bad = x;
    bad.in.nr_extents = 3;
    assert_int_equal(memory_op(XENMEM_exchange, &bad), -EINVAL);
    bad = x;
    bad.out.domid = 7;
    assert_int_equal(memory_op(XENMEM_exchange, &bad), -EINVAL);
    bad = x;
    bad.nr_exchanged = 3;
    assert_int_equal(memory_op(XENMEM_exchange, &bad), -EINVAL);
    bad = x;
    bad.in.extent_order = 20;
    assert_int_equal(memory_op(XENMEM_exchange, &bad), -EPERM);
    bad = x;
    bad.in.nr_extents = bad.out.nr_extents = ~0UL;
    assert_int_equal(memory_op(XENMEM_exchange, &bad), -EINVAL);
    bad = x;
    bad.in.extent_start = 0x10;
    assert_int_equal(memory_op(XENMEM_exchange, &bad), -EFAULT);
    assert_int_equal(memory_op(XENMEM_exchange, FAKE_NO_ACCESS), -EFAULT);
    /* More than there is free memory for. */
    in[1] = own(1);
    struct page_info *hog;
    while ((hog = page_alloc(0, 0)) != NULL)
        ;
    assert_int_equal(memory_op(XENMEM_exchange, &x), -ENOMEM);
    assert_int_equal(world.d->tot_pages, 64);
    fake_check();
}

static void information(void **state)
{
    struct xen_memory_domain domain = {DOMID_SELF};
    struct xen_machphys_mapping mapping;
    uint64_t extents[4];
    struct xen_machphys_mfn_list list = {4, (uint64_t)extents, 0};

    world.d->shared_info->arch.max_pfn = 1000;
    assert_int_equal(memory_op(XENMEM_current_reservation, &domain), 64);
    assert_int_equal(memory_op(XENMEM_maximum_reservation, &domain), FAKE_FRAMES);
    assert_int_equal(memory_op(XENMEM_maximum_gpfn, &domain), 999);
    assert_int_equal(memory_op(XENMEM_maximum_ram_page, NULL), FAKE_FRAMES - 1);
    domain.domid = 9;
    assert_int_equal(memory_op(XENMEM_current_reservation, &domain), -ESRCH);
    assert_int_equal(memory_op(XENMEM_machphys_mapping, &mapping), 0);
    assert_int_equal(mapping.v_start, M2P_START);
    assert_int_equal(mapping.v_end - mapping.v_start, 1 << 21);
    assert_int_equal(mapping.max_mfn, FAKE_FRAMES - 1);
    /* The table's frames, from the hypervisor's own tables: one large page. */
    uint64_t *t3 = fake_table(own(0)), *t2 = fake_table(own(1));
    hv_l4[HV_FIRST_SLOT] = entry_of(own(0), P);
    t3[0] = entry_of(own(1), P);
    t2[0] = entry_of(0x200, P | PTE_LARGE);
    assert_int_equal(memory_op(XENMEM_machphys_mfn_list, &list), 0);
    assert_int_equal(list.nr_extents, 1);
    assert_int_equal(extents[0], 0x200);
    t2[0] = 0;
    assert_int_equal(memory_op(XENMEM_machphys_mfn_list, &list), 0);
    assert_int_equal(extents[0], 0);
    world.d->privileged = false;
    assert_int_equal(memory_op(XENMEM_machphys_mfn_list, &list), -EPERM);
}

static void memory_maps(void **state)
{
    struct xen_e820entry in[2] = {{0, 0xa0000, 1}, {0x100000, 0x1000000, 1}}, out[4];
    struct xen_foreign_memory_map set = {DOMID_SELF, {2, (uint64_t)in}};
    struct xen_memory_map map = {4, (uint64_t)out};

    assert_int_equal(memory_op(XENMEM_memory_map, &map), -ENOSYS);
    assert_int_equal(memory_op(XENMEM_set_memory_map, &set), 0);
    assert_int_equal(memory_op(XENMEM_set_memory_map, &set), 0); /* replaces */
    assert_int_equal(memory_op(XENMEM_memory_map, &map), 0);
    assert_int_equal(map.nr_entries, 2);
    assert_memory_equal(in, out, sizeof(in));
    set.map.nr_entries = 1000;
    assert_int_equal(memory_op(XENMEM_set_memory_map, &set), -EINVAL);
    set.map.nr_entries = 2;
    set.map.buffer = 0x10;
    assert_int_equal(memory_op(XENMEM_set_memory_map, &set), -EFAULT);
    boot_info.e820 = (struct e820_map){.count = 1, .entry = {{0x1000, 0x2000, E820_ACPI}}};
    map.nr_entries = 4;
    assert_int_equal(memory_op(XENMEM_machine_memory_map, &map), 0);
    assert_int_equal(map.nr_entries, 1);
    assert_int_equal(out[0].addr, 0x1000);
    assert_int_equal(out[0].size, 0x2000);
    assert_int_equal(out[0].type, E820_ACPI);
    world.d->privileged = false;
    assert_int_equal(memory_op(XENMEM_machine_memory_map, &map), -EPERM);
}

static void resources(void **state)
{
    uint64_t frames[4] = {0};
    struct xen_mem_acquire_resource r = {.domid = 0,
                                         .type = XENMEM_resource_grant_table,
                                         .nr_frames = 2,
                                         .frame = 1,
                                         .frame_list = (uint64_t)frames};

    assert_int_equal(memory_op(XENMEM_acquire_resource, &r), 0);
    assert_int_equal(frames[0], 51);
    assert_int_equal(frames[1], 52);
    r.id = XENMEM_resource_grant_table_id_status;
    assert_int_equal(memory_op(XENMEM_acquire_resource, &r), 0);
    assert_int_equal(frames[0], 101);
    r.id = 2;
    assert_int_equal(memory_op(XENMEM_acquire_resource, &r), -EINVAL);
    r.id = 0;
    r.frame = 3;
    assert_int_equal(memory_op(XENMEM_acquire_resource, &r), -EINVAL);
    r.frame = ~0UL;
    assert_int_equal(memory_op(XENMEM_acquire_resource, &r), -EINVAL);
    r.type = XENMEM_resource_ioreq_server;
    assert_int_equal(memory_op(XENMEM_acquire_resource, &r), -EOPNOTSUPP);
    r = (struct xen_mem_acquire_resource){.domid = 0, .type = XENMEM_resource_grant_table};
    assert_int_equal(memory_op(XENMEM_acquire_resource, &r), 0);
    assert_int_equal(r.nr_frames, 3);
    r = (struct xen_mem_acquire_resource){
        .domid = 0, .type = XENMEM_resource_grant_table, .id = XENMEM_resource_grant_table_id_status};
    assert_int_equal(memory_op(XENMEM_acquire_resource, &r), 0);
    assert_int_equal(r.nr_frames, 1);
    r.pad = 1;
    assert_int_equal(memory_op(XENMEM_acquire_resource, &r), -EINVAL);
}

static void the_rest_is_refused(void **state)
{
    struct xen_memory_reservation claim = {0, 32, 0, 0, DOMID_SELF};
    struct xen_reserved_device_memory_map rdm = {.nr_entries = 7};
    const int refused[] = {XENMEM_add_to_physmap,
                           XENMEM_add_to_physmap_batch,
                           XENMEM_remove_from_physmap,
                           XENMEM_set_pod_target,
                           XENMEM_get_pod_target,
                           XENMEM_paging_op,
                           XENMEM_access_op,
                           XENMEM_sharing_op,
                           XENMEM_get_vnumainfo,
                           XENMEM_machphys_compat_mfn_list,
                           8,
                           29,
                           63};

    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        fake_cause.check = NULL;
        assert_true(memory_op((unsigned long)refused[i], FAKE_NO_ACCESS) < 0);
        assert_non_null(fake_cause.check);
    }
    assert_int_equal(memory_op(XENMEM_get_sharing_freed_pages, NULL), 0);
    assert_int_equal(memory_op(XENMEM_reserved_device_memory_map, &rdm), 0);
    assert_int_equal(rdm.nr_entries, 0);
    assert_int_equal(memory_op(XENMEM_claim_pages, &claim), 0);
    claim.nr_extents = 1 << 20;
    assert_int_equal(memory_op(XENMEM_claim_pages, &claim), -ENOMEM);
    claim.extent_order = 1;
    assert_int_equal(memory_op(XENMEM_claim_pages, &claim), -EINVAL);
    world.d->privileged = false;
    claim.extent_order = 0;
    assert_int_equal(memory_op(XENMEM_claim_pages, &claim), -EPERM);
}

const struct CMUnitTest memory_op_tests[] = {
    MM_TEST(populate_and_decrease), MM_TEST(superpages_and_limits),
    MM_TEST(reservations_restart),  MM_TEST(exchange_many_for_one),
    MM_TEST(exchange_refused),      MM_TEST(information),
    MM_TEST(memory_maps),           MM_TEST(resources),
    MM_TEST(the_rest_is_refused),
};
const size_t n_memory_op_tests = ARRAY_SIZE(memory_op_tests);

/* Hypercalls that change entries, base pointers, flushes, I/O memory, grants. */
#include "mm_test.h"

#include <bh/cmdline.h>
#include <bh/domain.h>
#include <public/grant_table.h>

static void single_updates(void **state)
{
    uint64_t *t = fake_table(own(0));

    assert_int_equal(pin(1, own(0)), 0);
    assert_int_equal(update(own(0), 5, entry_of(own(1), P | W), 0), 0);
    assert_int_equal(t[5], entry_of(own(1), P | W | U | PTE_GUEST_KERNEL));
    /* Flags only. */
    assert_int_equal(update(own(0), 5, entry_of(own(1), P | W | U | PTE_NX | PTE_DIRTY), 0), 0);
    assert_int_equal(t[5], entry_of(own(1), P | W | U | PTE_NX | PTE_DIRTY));
    assert_int_equal(uses_of(own(1)), 1);
    /* Write right gone, and back. */
    assert_int_equal(update(own(0), 5, entry_of(own(1), P | U), 0), 0);
    assert_int_equal(uses_of(own(1)), 0);
    assert_int_equal(refs_of(own(1)), 2);
    assert_int_equal(update(own(0), 5, entry_of(own(1), P | W | U), 0), 0);
    assert_int_equal(uses_of(own(1)), 1);
    /* Another frame, then none. */
    assert_int_equal(update(own(0), 5, entry_of(own(2), P | W | U), 0), 0);
    assert_int_equal(uses_of(own(1)), 0);
    assert_int_equal(update(own(0), 5, 0x123456, 0), 0);
    assert_int_equal(t[5], 0x123456);
    assert_int_equal(uses_of(own(2)), 0);
    fake_check();
}

static void preserve_accessed_and_dirty(void **state)
{
    uint64_t *t = fake_table(own(0));

    assert_int_equal(pin(1, own(0)), 0);
    assert_int_equal(update(own(0), 5, entry_of(own(1), P | W | U), 0), 0);
    t[5] |= PTE_ACCESSED | PTE_DIRTY; /* the hardware */
    assert_int_equal(update(own(0), 5, entry_of(own(1), P | U), MMU_PT_UPDATE_PRESERVE_AD), 0);
    assert_int_equal(t[5], entry_of(own(1), P | U | PTE_ACCESSED | PTE_DIRTY));
    assert_int_equal(update(own(0), 5, entry_of(own(1), P | U), MMU_NORMAL_PT_UPDATE), 0);
    assert_int_equal(t[5], entry_of(own(1), P | U));
}

/* On a CPU with L1TF: not-present entries may name frame 0 and what is beyond all RAM. */
static void not_present_entries(void **state)
{
    uint64_t named = entry_of(own(1), W), inverted = ~named & ~P;

    options.pv_l1tf = (struct per_domain_choice){CHOICE_DEFAULT, CHOICE_DEFAULT};
    l1tf_init(true);
    build_hierarchy();
    assert_int_equal(pin(4, own(0)), 0);
    assert_int_equal(update(own(3), 5, named, 0), -EINVAL);
    assert_int_equal(fake_table(own(3))[5], 0);
    assert_int_equal(update(own(3), 0, named, 0), -EINVAL);
    assert_true(fake_table(own(3))[0] & P);
    assert_int_equal(update(own(3), 5, inverted, 0), 0);
    assert_int_equal(update(own(3), 6, 0x180, 0), 0);
    assert_int_equal(update(own(2), 5, named, 0), -EINVAL);
    assert_int_equal(update(own(2), 5, PTE_LARGE, 0), -EINVAL);
    assert_int_equal(update(own(2), 5, inverted, 0), 0);
    /* The same in tables to come. */
    fake_table(own(10))[511] = named;
    assert_int_equal(pin(1, own(10)), -EINVAL);
    fake_table(own(10))[511] = inverted;
    assert_int_equal(pin(1, own(10)), 0);
    fake_table(own(11))[1] = PTE_LARGE;
    assert_int_equal(pin(3, own(11)), -EINVAL);
    fake_table(own(12))[HV_FIRST_SLOT] = named; /* will be ours */
    assert_int_equal(pin(4, own(12)), 0);
    /* The control domain, and CPUs without the fault. */
    control_domain = world.d;
    assert_int_equal(update(own(3), 5, named, 0), 0);
    control_domain = NULL;
    l1tf_init(false);
    assert_int_equal(pin(3, own(11)), 0);
    fake_check();
}

static void higher_levels(void **state)
{
    build_hierarchy();
    assert_int_equal(pin(4, own(0)), 0);
    fake_table(own(10))[0] = entry_of(own(11), P | W | U);
    /* A level-2 entry is replaced: the new table is promoted, the old one demoted. */
    assert_int_equal(update(own(2), 0, entry_of(own(10), P | W | U), 0), 0);
    assert_int_equal(uses_of(own(3)), 0);
    assert_int_equal(uses_of(own(10)), 1);
    assert_int_equal(uses_of(own(11)), 1);
    assert_int_equal(uses_of(own(8)), 0);
    /* Flags only. */
    assert_int_equal(update(own(2), 0, entry_of(own(10), P | PTE_NX), 0), 0);
    assert_int_equal(fake_table(own(2))[0], entry_of(own(10), P | U | PTE_NX));
    assert_int_equal(uses_of(own(10)), 1);
    fake_check();
    assert_int_equal(update(own(0), 0, 0, 0), 0);
    for (unsigned int i = 1; i < 4; i++)
        assert_int_equal(uses_of(own(i)), 0);
}

static void lists(void **state)
{
    struct mmu_update list[100];
    uint32_t done = 0;

    assert_int_equal(pin(1, own(0)), 0);
    assert_int_equal(pin(1, own(1)), 0);
    for (unsigned int i = 0; i < 100; i++)
        list[i] = (struct mmu_update){own(i % 3) << PAGE_SHIFT | i * 8, entry_of(own(10 + i % 7), P | U)};
    /* Page 2 is plain memory: takes values as they are. */
    assert_int_equal(
        fake_call(do_mmu_update, world.v, (unsigned long)list, 100, (unsigned long)&done, DOMID_SELF), 0);
    assert_int_equal(done, 100);
    assert_int_equal(fake_table(own(2))[2], entry_of(own(12), P | U));
    assert_int_equal(uses_of(own(2)), 0);
    fake_check();
    /* The 51st is bad: fifty are done. */
    list[50].val = entry_of(own(0), P | W);
    list[50].ptr = own(0) << PAGE_SHIFT;
    done = 0;
    assert_int_equal(
        fake_call(do_mmu_update, world.v, (unsigned long)list, 100, (unsigned long)&done, DOMID_SELF),
        -EBUSY);
    assert_int_equal(done, 50);
    /* Preempted between pieces: done counts on. */
    list[50].val = 0;
    done = 0;
    fake_preempt_in = 0;
    assert_int_equal(
        fake_call(do_mmu_update, world.v, (unsigned long)list, 100, (unsigned long)&done, DOMID_SELF), 0);
    fake_preempt_in = -1;
    assert_int_equal(done, 100);
    fake_check();
    assert_int_equal(do_mmu_update(world.v, 0x10, 1, 0, DOMID_SELF, 0), -EFAULT);
    assert_int_equal(do_mmu_update(world.v, 0x10, 40, 0, DOMID_SELF, 0), -EFAULT);
    assert_int_equal(do_mmu_update(world.v, (unsigned long)list, 1, 0x10, DOMID_SELF, 0), -EFAULT);
    assert_int_equal(do_mmu_update(world.v, 0x10, 0, 0, DOMID_SELF, 0), 0);
}

static void no_table_no_memory(void **state)
{
    struct domain *other = fake_domain(7, 1, NULL);

    assert_int_equal(update(FAKE_IO_FIRST, 0, 0, 0), -EINVAL);
    assert_int_equal(update(1UL << 45, 0, 0, 0), -EINVAL);
    assert_int_equal(update(0, 0, 0, 0), -EINVAL);
    assert_int_equal(update(other->first_page, 0, 0, 0), -EINVAL);
    /* As a table of the other's, by a domain that may: plain memory. */
    struct mmu_update req = {.ptr = other->first_page << PAGE_SHIFT, .val = 0x77};
    assert_int_equal(fake_call(do_mmu_update, world.v, (unsigned long)&req, 1, 0, 8UL << 16 | 7), 0);
    assert_int_equal(fake_table(other->first_page)[0], 0x77);
    world.d->privileged = false;
    assert_int_equal(fake_call(do_mmu_update, world.v, (unsigned long)&req, 1, 0, 8UL << 16 | 7), -EPERM);
    assert_int_equal(fake_call(do_mmu_update, world.v, (unsigned long)&req, 1, 0, 7), -EPERM);
}

static void machine_to_physical(void **state)
{
    struct domain *other = fake_domain(7, 1, NULL);

    assert_int_equal(update(own(3), 0, 0x4711, MMU_MACHPHYS_UPDATE), 0);
    assert_int_equal(fake_m2p[own(3)], 0x4711);
    assert_int_equal(update(other->first_page, 0, 1, MMU_MACHPHYS_UPDATE), -EINVAL);
    assert_int_equal(update(FAKE_IO_FIRST, 0, 1, MMU_MACHPHYS_UPDATE), -EINVAL);
}

static void base_pointers(void **state)
{
    build_hierarchy();
    assert_int_equal(mmuext(MMUEXT_NEW_BASEPTR, own(0), 0), 0);
    assert_int_equal(fake_cr3, own(0) << PAGE_SHIFT);
    assert_int_equal(uses_of(own(0)), 1);
    assert_int_equal(mmuext(MMUEXT_NEW_BASEPTR, own(0), 0), 0);
    assert_int_equal(uses_of(own(0)), 1);
    assert_int_equal(mmuext(MMUEXT_NEW_BASEPTR, own(1), 0), -EBUSY);
    assert_int_equal(fake_cr3, own(0) << PAGE_SHIFT);
    assert_int_equal(mmuext(MMUEXT_NEW_BASEPTR, FAKE_IO_FIRST, 0), -EINVAL);
    assert_int_equal(mmuext(MMUEXT_NEW_BASEPTR, 1UL << 50, 0), -EINVAL);
    assert_int_equal(mmuext(MMUEXT_NEW_USER_BASEPTR, own(5), 0), 0);
    assert_int_equal(uses_of(own(5)), 1);
    assert_int_equal(fake_table(own(5))[HV_FIRST_SLOT], hv_l4[HV_FIRST_SLOT]);
    assert_int_equal(mmuext(MMUEXT_NEW_USER_BASEPTR, 0, 0), 0);
    assert_int_equal(uses_of(own(5)), 0);
    /* With m2p_strict, user tables do not show the machine-to-physical table. */
    world.d->vm_assist |= 1UL << VMASST_TYPE_m2p_strict;
    assert_int_equal(mmuext(MMUEXT_NEW_USER_BASEPTR, own(5), 0), 0);
    assert_int_equal(fake_table(own(5))[HV_FIRST_SLOT], 0);
    assert_int_equal(mmuext(MMUEXT_NEW_BASEPTR, own(5), 0), 0);
    assert_int_equal(fake_table(own(5))[HV_FIRST_SLOT], hv_l4[HV_FIRST_SLOT]);
    fake_domain(7, 1, NULL);
    assert_int_equal(mmuext_on(MMUEXT_NEW_BASEPTR, own(0), 0, 7), -EPERM);
}

static void va_mapping(void **state)
{
    uint64_t *t = fake_table(own(3)), mask = 1;

    assert_int_equal(mmuext(MMUEXT_NEW_BASEPTR, own(5), 0), 0);
    assert_int_equal(do_update_va_mapping(world.v, 0, 0, 0, 0, 0), -EINVAL); /* no table there */
    build_hierarchy();
    assert_int_equal(mmuext(MMUEXT_NEW_BASEPTR, own(0), 0), 0);
    assert_int_equal(do_update_va_mapping(world.v, 0x5000, entry_of(own(9), P | W | U), UVMF_NONE, 0, 0), 0);
    assert_int_equal(t[5], entry_of(own(9), P | W | U));
    assert_int_equal(fake_page_flushes + fake_flushes, 0);
    assert_int_equal(do_update_va_mapping(world.v, 0x5000, 0, UVMF_INVLPG, 0, 0), 0);
    assert_int_equal(fake_page_flushes, 1);
    assert_int_equal(do_update_va_mapping(world.v, 0x5000, 0, UVMF_INVLPG | UVMF_ALL, 0, 0), 0);
    assert_int_equal(fake_page_flushes, 2);
    assert_int_equal(fake_flushed, world.d->arch.dirty_cpus);
    assert_int_equal(do_update_va_mapping(world.v, 0x5000, 0, UVMF_TLB_FLUSH | (uint64_t)&mask, 0, 0), 0);
    assert_int_equal(fake_flushes, 1);
    assert_int_equal(fake_flushed, CPUMASK(0));
    assert_int_equal(do_update_va_mapping(world.v, 0x5000, 0, UVMF_TLB_FLUSH, 0, 0), 0);
    assert_int_equal(fake_flushes, 2);
    assert_int_equal(do_update_va_mapping(world.v, 0x5000, 0, 3, 0, 0), -EINVAL);
    assert_int_equal(do_update_va_mapping(world.v, 0x5000, 0, UVMF_INVLPG | 0x10, 0, 0), -EFAULT);
    assert_int_equal(do_update_va_mapping(world.v, 0x5000, entry_of(own(0), P | W), 0, 0, 0), -EBUSY);
    assert_int_equal(do_update_va_mapping(world.v, HV_START, entry_of(own(9), P), 0, 0, 0), -EINVAL);
    assert_int_equal(do_update_va_mapping(world.v, HV_END - 1, entry_of(own(9), P), 0, 0, 0), -EINVAL);
    assert_int_equal(do_update_va_mapping(world.v, 1UL << 40, entry_of(own(9), P), 0, 0, 0), -EINVAL);
    fake_check();
}

static void va_mapping_of_another_domain(void **state)
{
    struct domain *other = fake_domain(7, 1, NULL);

    build_hierarchy();
    assert_int_equal(mmuext(MMUEXT_NEW_BASEPTR, own(0), 0), 0);
    uint64_t entry = entry_of(other->first_page, P | W | U);
    assert_int_equal(do_update_va_mapping(world.v, 0x5000, entry, 0, 0, 0), -EBUSY);
    assert_int_equal(do_update_va_mapping_otherdomain(world.v, 0x5000, entry, 0, 9, 0), -ESRCH);
    assert_int_equal(do_update_va_mapping_otherdomain(world.v, 0x5000, entry, 0, 7, 0), 0);
    assert_int_equal(uses_of(other->first_page), 1);
    assert_true(frame_table[other->first_page].refs & PGC_foreign);
    fake_check();
}

static void flushes_and_contents(void **state)
{
    uint64_t mask = 1;

    assert_int_equal(mmuext(MMUEXT_TLB_FLUSH_LOCAL, 0, 0), 0);
    assert_int_equal(fake_local_flushes, 1);
    assert_int_equal(mmuext(MMUEXT_INVLPG_LOCAL, 0x1000, 0), 0);
    assert_int_equal(mmuext(MMUEXT_INVLPG_ALL, 0x1000, 0), 0);
    assert_int_equal(mmuext(MMUEXT_INVLPG_MULTI, 0x1000, (uint64_t)&mask), 0);
    assert_int_equal(fake_page_flushes, 3);
    assert_int_equal(mmuext(MMUEXT_TLB_FLUSH_ALL, 0, 0), 0);
    assert_int_equal(mmuext(MMUEXT_TLB_FLUSH_MULTI, 0, (uint64_t)&mask), 0);
    assert_int_equal(fake_flushes, 2);
    assert_int_equal(mmuext(MMUEXT_TLB_FLUSH_MULTI, 0, 0x10), -EFAULT);
    assert_int_equal(mmuext(MMUEXT_FLUSH_CACHE, 0, 0), -EACCES);
    assert_int_equal(rangeset_add(world.d->iomem_caps, FAKE_IO_FIRST, FAKE_IO_FIRST), 0);
    assert_int_equal(mmuext(MMUEXT_FLUSH_CACHE, 0, 0), 0);
    assert_int_equal(mmuext(MMUEXT_FLUSH_CACHE_GLOBAL, 0, 0), 0);
    assert_int_equal(fake_cache_flushes, 2);
    assert_int_equal(mmuext(MMUEXT_SET_LDT, 0x4000, 12), 0);
    assert_int_equal(world.v->arch.pv.ldt_entries, 12);
    assert_int_equal(mmuext(MMUEXT_MARK_SUPER, own(0), 0), -EOPNOTSUPP);
    assert_int_equal(mmuext(14, 0, 0), -ENOSYS);
    assert_int_equal(mmuext(21, 0, 0), -ENOSYS);
    assert_int_equal(mmuext(0xffffffff, 0, 0), -ENOSYS);

    fake_table(own(0))[7] = 42;
    assert_int_equal(mmuext(MMUEXT_COPY_PAGE, own(1), own(0)), 0);
    assert_int_equal(fake_table(own(1))[7], 42);
    assert_int_equal(mmuext(MMUEXT_CLEAR_PAGE, own(0), 0), 0);
    assert_int_equal(fake_table(own(0))[7], 0);
    assert_int_equal(pin(1, own(0)), 0);
    assert_int_equal(mmuext(MMUEXT_CLEAR_PAGE, own(0), 0), -EINVAL);
    assert_int_equal(mmuext(MMUEXT_COPY_PAGE, own(0), own(1)), -EINVAL);
    assert_int_equal(mmuext(MMUEXT_COPY_PAGE, own(1), 1UL << 40), -EINVAL);
    assert_int_equal(do_mmuext_op(world.v, 0x10, 1, 0, DOMID_SELF, 0), -EFAULT);
    fake_check();
}

static void io_memory(void **state)
{
    uint64_t *t = fake_table(own(0)), frame = FAKE_IO_FIRST + 3, far = 1UL << 30;

    assert_int_equal(pin(1, own(0)), 0);
    assert_int_equal(update(own(0), 0, entry_of(frame, P | W | PTE_PCD), 0), -EINVAL);
    assert_int_equal(update(own(0), 0, entry_of(frame, P | W), 0), -EPERM);
    assert_int_equal(rangeset_add(world.d->iomem_caps, frame, frame + 1), 0);
    assert_int_equal(rangeset_add(world.d->iomem_caps, far, far), 0);
    assert_int_equal(update(own(0), 0, entry_of(frame, P | W | PTE_PCD), 0), 0);
    assert_int_equal(update(own(0), 1, entry_of(far, P | W | PTE_PAT), 0), 0);
    assert_int_equal(update(own(0), 2, entry_of(own(4), P | W | PTE_PWT), 0),
                     0); /* RAM, e.g. for a graphics card */
    struct mmu_update req = {own(0) << PAGE_SHIFT | 24, entry_of(frame, P | W)};
    assert_int_equal(fake_call(do_mmu_update, world.v, (unsigned long)&req, 1, 0, DOMID_IO), 0);
    fake_check();
    /* Some frames only read-only: the right to write is taken away silently. */
    mmio_readonly = rangeset_create();
    assert_int_equal(rangeset_add(mmio_readonly, frame + 1, frame + 1), 0);
    assert_int_equal(update(own(0), 4, entry_of(frame + 1, P | W | U), 0), 0);
    assert_int_equal(t[4], entry_of(frame + 1, P | U));
    assert_int_equal(unpin(own(0)), 0);
    assert_int_equal(uses_of(own(4)), 0);
    t[4] |= W;
    assert_int_equal(pin(1, own(0)), 0);
    assert_false(t[4] & W);
    rangeset_destroy(mmio_readonly);
    mmio_readonly = NULL;
}

static void grants(void **state)
{
    struct domain *other = fake_domain(7, 2, NULL);
    uint64_t frame = other->first_page, *t = fake_table(own(3)), pte = own(3) << PAGE_SHIFT | 6 * 8;

    build_hierarchy();
    assert_int_equal(mmuext(MMUEXT_NEW_BASEPTR, own(0), 0), 0);
    /* By virtual address, writable. */
    assert_true(get_page_writable(&frame_table[frame], other));
    assert_int_equal(arch_grant_map(world.v, 0x5000, MFN(frame), GNTMAP_host_map), 0);
    assert_int_equal(t[5], entry_of(frame, P | W | U | PTE_GUEST_KERNEL | PTE_ACCESSED | PTE_DIRTY));
    fake_check();
    assert_int_equal(arch_grant_unmap(world.v, 0x5000, MFN(frame), GNTMAP_host_map | GNTMAP_readonly, 0),
                     -EINVAL);
    assert_int_equal(arch_grant_unmap(world.v, 0x5000, MFN(frame + 1), GNTMAP_host_map, 0), -EINVAL);
    assert_int_equal(arch_grant_unmap(world.v, 0x5000, MFN(frame), GNTMAP_host_map, 0), 0);
    assert_int_equal(t[5], 0);
    put_page_writable(&frame_table[frame]);
    fake_check();
    /* By entry, read-only, for user mode, over a mapping that goes. */
    unsigned int flags = GNTMAP_host_map | GNTMAP_readonly | GNTMAP_application_map | GNTMAP_contains_pte |
                         5U << _GNTMAP_guest_avail0;
    assert_int_equal(update(own(3), 6, entry_of(own(9), P | W | U), 0), 0);
    assert_true(get_page(&frame_table[frame], other));
    assert_int_equal(arch_grant_map(world.v, pte, MFN(frame), flags), 0);
    assert_int_equal(t[6], entry_of(frame, P | U | PTE_ACCESSED | PTE_DIRTY | 5UL << PTE_AVAIL_SHIFT));
    assert_int_equal(uses_of(own(9)), 0);
    fake_check();
    assert_int_equal(arch_grant_unmap(world.v, pte, MFN(frame), flags, 0x8000), -EINVAL);
    /* The guest forgets how it got it: the entry's reference goes with the entry, and unmapping fails. */
    assert_int_equal(update(own(3), 6, 0, 0), 0);
    assert_int_equal(arch_grant_unmap(world.v, pte, MFN(frame), flags, 0), -EINVAL);
    fake_check();
    /* Unmap and put another mapping in its place. */
    assert_true(get_page(&frame_table[frame], other));
    assert_int_equal(arch_grant_map(world.v, 0x5000, MFN(frame), GNTMAP_host_map | GNTMAP_readonly), 0);
    assert_int_equal(arch_grant_unmap(world.v, 0x5000, MFN(frame), GNTMAP_host_map | GNTMAP_readonly, 0), 0);
    put_page(&frame_table[frame]);
    assert_true(get_page(&frame_table[frame], other));
    assert_int_equal(arch_grant_map(world.v, 0x5000, MFN(frame), GNTMAP_host_map | GNTMAP_readonly), 0);
    assert_int_equal(update(own(3), 7, entry_of(own(9), P | W | U), 0), 0);
    assert_int_equal(arch_grant_unmap(world.v, 0x5000, MFN(frame), GNTMAP_host_map | GNTMAP_readonly, 0x7000),
                     0);
    put_page(&frame_table[frame]);
    assert_int_equal(t[5], entry_of(own(9), P | W | U));
    assert_int_equal(t[7], 0);
    fake_check();
    assert_int_equal(arch_grant_map(world.v, 0x123456789000, MFN(frame), GNTMAP_host_map), -EINVAL);
    assert_int_equal(arch_grant_map(world.v, pte + 4, MFN(frame), flags), -EINVAL);
    assert_int_equal(arch_grant_map(world.v, own(40) << PAGE_SHIFT, MFN(frame), flags), -EINVAL);
    assert_int_equal(arch_grant_map(world.v, 1UL << 60, MFN(frame), flags), -EINVAL);
}

const struct CMUnitTest update_tests[] = {
    MM_TEST(single_updates),
    MM_TEST(preserve_accessed_and_dirty),
    MM_TEST(not_present_entries),
    MM_TEST(higher_levels),
    MM_TEST(lists),
    MM_TEST(no_table_no_memory),
    MM_TEST(machine_to_physical),
    MM_TEST(base_pointers),
    MM_TEST(va_mapping),
    MM_TEST(va_mapping_of_another_domain),
    MM_TEST(flushes_and_contents),
    MM_TEST(io_memory),
    MM_TEST(grants),
};
const size_t n_update_tests = ARRAY_SIZE(update_tests);

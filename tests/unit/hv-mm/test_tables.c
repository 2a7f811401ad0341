/* Page types: promotion and demotion of tables, what they may hold, pins, preemption, TLB flushes. */
#include "mm_test.h"

static void references(void **state)
{
    struct page_info *pg = &frame_table[own(0)];
    struct domain *other = fake_domain(7, 1, NULL);

    assert_true(get_page(pg, world.d));
    assert_int_equal(refs_of(own(0)), 2);
    assert_false(get_page(pg, other));
    assert_int_equal(refs_of(own(0)), 2);
    put_page(pg);
    assert_null(get_page_from_mfn(MFN(FAKE_IO_FIRST), world.d));
    assert_null(get_page_from_mfn(MFN(FAKE_FRAMES), world.d));
    assert_null(get_page_from_mfn(MFN(1UL << 50), world.d));
    assert_true(page_drop_allocated(pg));
    assert_null(pg->owner);
    assert_false(get_page(pg, world.d));
}

static void all_writable_uses_hold_one_reference(void **state)
{
    struct page_info *pg = &frame_table[own(0)];
    struct domain *other = fake_domain(7, 1, NULL);

    assert_true(get_page_writable(pg, world.d));
    assert_true(get_page_writable(pg, world.d));
    assert_false(get_page_writable(pg, other));
    assert_int_equal(uses_of(own(0)), 2);
    assert_int_equal(refs_of(own(0)), 2);
    put_page_writable(pg);
    put_page_writable(pg);
    assert_int_equal(uses_of(own(0)), 0);
    assert_int_equal(refs_of(own(0)), 1);
}

static void page_lives_while_used(void **state)
{
    struct page_info *pg = &frame_table[own(0)];

    assert_true(get_page_writable(pg, world.d));
    assert_true(page_drop_allocated(pg));
    assert_ptr_equal(pg->owner, world.d);
    put_page_writable(pg);
    assert_null(pg->owner);
}

static void level_1_table(void **state)
{
    uint64_t *t = fake_table(own(0));

    t[0] = entry_of(own(1), P | W | U);
    t[1] = entry_of(own(2), P | W);
    t[7] = entry_of(own(3), P | U | PTE_NX);
    t[511] = entry_of(own(0), P | PTE_GLOBAL);
    t[100] = 0xdeadbeef00;
    assert_int_equal(pin(1, own(0)), 0);
    fake_check();
    assert_int_equal(t[0], entry_of(own(1), P | W | U));
    assert_int_equal(t[1], entry_of(own(2), P | W | U | PTE_GUEST_KERNEL));
    assert_int_equal(t[511], entry_of(own(0), P | U | PTE_GUEST_KERNEL));
    assert_int_equal(t[100], 0xdeadbeef00);
    assert_int_equal(uses_of(own(1)), 1);
    assert_int_equal(refs_of(own(3)), 2);
    assert_int_equal(pin(1, own(0)), -EINVAL); /* twice */
    assert_int_equal(pin(2, own(0)), -EBUSY);
    assert_int_equal(unpin(own(0)), 0);
    assert_int_equal(uses_of(own(1)), 0);
    assert_int_equal(refs_of(own(3)), 1);
    assert_int_equal(unpin(own(0)), -EINVAL);
}

/* Entries that no table of the level may hold, and what the guest hears. */
static void bad_entries(void **state)
{
    struct domain *other = fake_domain(7, 2, NULL);
    uint64_t foreign = other->first_page;
    const struct {
        const char *name;
        unsigned int level;
        uint64_t entry;
        int error;
    } cases[] = {
        {"bit 62", 1, entry_of(own(1), P | PTE_GRANT), -EINVAL},
        {"write-through", 1, entry_of(own(1), P | PTE_PWT), -EINVAL},
        {"cache disable", 1, entry_of(own(1), P | PTE_PCD), -EINVAL},
        {"PAT", 1, entry_of(own(1), P | PTE_PAT), -EINVAL},
        {"another domain's page", 1, entry_of(foreign, P), -EBUSY},
        {"another domain's page, writable", 1, entry_of(foreign, P | W), -EBUSY},
        {"free page", 1, entry_of(FAKE_IO_FIRST - 1, P), -EBUSY},
        {"the hypervisor's page", 1, entry_of(0, P | W), -EBUSY},
        {"itself, writable", 1, entry_of(own(0), P | W), -EBUSY},
        {"I/O memory without right", 1, entry_of(FAKE_IO_FIRST, P), -EPERM},
        {"beyond memory", 1, entry_of(1UL << 39, P), -EPERM},
        {"large page", 2, entry_of(own(1), P | W | PTE_LARGE), -EINVAL},
        {"global", 2, entry_of(own(1), P | PTE_GLOBAL), -EINVAL},
        {"cache disable", 2, entry_of(own(1), P | PTE_PCD), -EINVAL},
        {"large page", 3, entry_of(own(1), P | W | PTE_LARGE), -EINVAL},
        {"write-through", 3, entry_of(own(1), P | PTE_PWT), -EINVAL},
        {"large page", 4, entry_of(own(1), P | PTE_LARGE), -EINVAL},
        {"global", 4, entry_of(own(1), P | PTE_GLOBAL), -EINVAL},
        {"another domain's table", 2, entry_of(foreign, P), -EINVAL},
        {"another domain's table", 4, entry_of(foreign, P), -EINVAL},
        {"free page", 2, entry_of(FAKE_IO_FIRST - 1, P), -EINVAL},
        {"I/O memory", 2, entry_of(FAKE_IO_FIRST, P), -EINVAL},
        {"beyond memory", 3, entry_of(1UL << 39, P), -EINVAL},
        {"itself", 2, entry_of(own(0), P), -EBUSY},
        {"itself", 3, entry_of(own(0), P), -EBUSY},
        {"itself", 4, entry_of(own(0), P), -EBUSY},
        {"writable page", 2, entry_of(own(9), P), -EBUSY},
        {"descriptors", 3, entry_of(own(10), P), -EBUSY},
    };

    assert_true(get_page_writable(&frame_table[own(9)], world.d));
    fake_held_writable[own(9)]++;
    assert_int_equal(page_get_type(world.v, &frame_table[own(10)], world.d, PGT_seg_desc), 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint64_t *t = fake_table(own(0));
        unsigned int level = cases[i].level;
        long rc;

        /* In a table to be promoted, behind a good entry. */
        memset(t, 0, PAGE_SIZE);
        t[3] = level == 1 ? entry_of(own(20), P | W) : entry_of(own(20 + level), P);
        t[300] = cases[i].entry;
        fake_cause.check = NULL;
        rc = pin(level, own(0));
        if (rc != cases[i].error)
            fail_msg("level %u, %s: promotion returns %ld", level, cases[i].name, rc);
        assert_non_null(fake_cause.check);
        assert_int_equal(uses_of(own(0)), 0);
        assert_int_equal(uses_of(own(20)), 0);

        /* As an update of a table in use. */
        t[300] = 0;
        assert_int_equal(pin(level, own(0)), 0);
        rc = update(own(0), 300, cases[i].entry, MMU_NORMAL_PT_UPDATE);
        if (rc != cases[i].error)
            fail_msg("level %u, %s: update returns %ld", level, cases[i].name, rc);
        assert_int_equal(t[300], 0);
        assert_int_equal(unpin(own(0)), 0);
        assert_int_equal(uses_of(own(20)), 0);
    }
    assert_int_equal(page_put_type(&frame_table[own(10)]), 0);
    put_page_writable(&frame_table[own(9)]);
    fake_held_writable[own(9)]--;
}

static void never_writable_and_table(void **state)
{
    fake_table(own(0))[0] = entry_of(own(1), P | W);
    assert_int_equal(pin(1, own(0)), 0);
    /* 1 is mapped writable: no table. */
    for (unsigned int level = 1; level <= 4; level++)
        assert_int_equal(pin(level, own(1)), -EBUSY);
    /* 0 is a table: not writable. */
    assert_int_equal(update(own(0), 1, entry_of(own(0), P | W), 0), -EBUSY);
    assert_int_equal(update(own(0), 1, entry_of(own(0), P), 0), 0);
    assert_false(get_page_writable(&frame_table[own(0)], world.d));
    /* Read-only now, so it may become one; and then not writable again. */
    assert_int_equal(update(own(0), 0, entry_of(own(1), P), 0), 0);
    assert_int_equal(pin(1, own(1)), 0);
    assert_int_equal(update(own(0), 0, entry_of(own(1), P | W), 0), -EBUSY);
}

static void hypervisor_pages_are_no_tables(void **state)
{
    struct page_info *pg = page_alloc(0, 0), *shared = page_alloc(0, 0);
    uint64_t mfn = page_to_mfn(pg).n, shared_mfn = page_to_mfn(shared).n;

    assert_int_equal(page_assign(pg, world.d, false), 0);
    for (unsigned int level = 1; level <= 4; level++)
        assert_int_equal(pin(level, mfn), -EINVAL);
    assert_int_equal(page_get_type(world.v, pg, world.d, PGT_seg_desc), -EINVAL);
    assert_int_equal(pin(1, own(0)), 0);
    assert_int_equal(update(own(0), 0, entry_of(mfn, P | W), 0), 0);
    assert_int_equal(update(own(0), 0, 0, 0), 0);

    page_share_readonly(shared, domain_xen);
    struct mmu_update req = {.ptr = own(0) << PAGE_SHIFT, .val = entry_of(shared_mfn, P | W)};
    assert_int_equal(fake_call(do_mmu_update, world.v, (unsigned long)&req, 1, 0, DOMID_XEN), -EBUSY);
    req.val = entry_of(shared_mfn, P);
    assert_int_equal(fake_call(do_mmu_update, world.v, (unsigned long)&req, 1, 0, DOMID_XEN), 0);
    world.d->privileged = false;
    assert_int_equal(fake_call(do_mmu_update, world.v, (unsigned long)&req, 1, 0, DOMID_XEN), -EPERM);
    assert_int_equal(update(own(0), 0, 0, 0), 0);
    assert_int_equal(shared->refs & PGC_count_mask, 2);
    shared->refs = PGC_free;
    shared->type = 0;
    shared->owner = NULL;
    page_drop_allocated(pg);
}

static void hierarchy(void **state)
{
    uint64_t *l4 = fake_table(own(0));

    build_hierarchy();
    l4[HV_FIRST_SLOT + 2] = entry_of(1, P | W); /* what the guest wrote there is of no account */
    assert_int_equal(pin(4, own(0)), 0);
    fake_check();
    for (unsigned int i = 0; i < 4; i++)
        assert_int_equal(type_of(own(i)), (4UL - i) << PGT_shift);
    for (unsigned int i = HV_FIRST_SLOT; i <= HV_LAST_SLOT; i++)
        assert_int_equal(l4[i], i == PERDOMAIN_SLOT ? 0 : hv_l4[i]);
    for (unsigned int i = HV_FIRST_SLOT; i <= HV_LAST_SLOT; i++)
        assert_int_equal(update(own(0), i, 0, 0), -EINVAL);
    assert_int_equal(update(own(0), 255, 0x1000, 0), 0);
    /* A second top-level table that shares the lower ones. */
    fake_table(own(5))[0] = entry_of(own(1), P | W | U);
    fake_table(own(5))[511] = entry_of(own(1), P);
    assert_int_equal(pin(4, own(5)), 0);
    assert_int_equal(uses_of(own(1)), 3);
    assert_int_equal(unpin(own(0)), 0);
    assert_int_equal(uses_of(own(8)), 1);
    assert_int_equal(unpin(own(5)), 0);
    assert_int_equal(uses_of(own(8)), 0);
    assert_int_equal(refs_of(own(8)), 1);
}

static void per_domain_slot(void **state)
{
    world.d->arch.perdomain_l3 = &frame_table[own(60)];
    assert_int_equal(pin(4, own(0)), 0);
    assert_int_equal(pte_mfn(fake_table(own(0))[PERDOMAIN_SLOT]).n, own(60));
    assert_false(fake_table(own(0))[PERDOMAIN_SLOT] & U);
    world.d->arch.perdomain_l3 = NULL;
}

static void descriptor_pages(void **state)
{
    struct page_info *pg = &frame_table[own(0)];

    fake_descriptors_ok = false;
    assert_int_equal(page_get_type(world.v, pg, world.d, PGT_seg_desc), -EINVAL);
    fake_descriptors_ok = true;
    assert_int_equal(page_get_type(world.v, pg, world.d, PGT_seg_desc), 0);
    assert_false(get_page_writable(pg, world.d));
    assert_int_equal(page_put_type(pg), 0);
}

/* Every step preempted: promotion and demotion make progress, and pages hold together at each stop. */
static void preempted_at_every_step(void **state)
{
    struct mmuext_op op = {.cmd = MMUEXT_PIN_L4_TABLE, .arg1.mfn = own(0)};
    unsigned int restarts = 0;
    long rc;

    for (unsigned int i = 0; i < 3; i++) {
        fake_table(own(0))[i * 200] = entry_of(own(1 + i), P);
        for (unsigned int j = 0; j < 3; j++) {
            fake_table(own(1 + i))[j * 7] = entry_of(own(10 + i * 3 + j), P);
            fake_table(own(10 + i * 3 + j))[j] = entry_of(own(20 + i), P);
            fake_table(own(20 + i))[j] = entry_of(own(40), P | W);
        }
    }
    fake_preempt_in = 0;
    rc = do_mmuext_op(world.v, (unsigned long)&op, 1, 0, DOMID_SELF, 0);
    while (rc == HYPERCALL_RESTART) {
        fake_check();
        restarts++;
        rc = do_mmuext_op(world.v, (unsigned long)&op, world.v->restart_args[1], 0, DOMID_SELF, 0);
    }
    assert_int_equal(rc, 0);
    assert_true(restarts > 5);
    fake_check();

    /* The guest hears of the unpin when the table is plain memory again. */
    op.cmd = MMUEXT_UNPIN_TABLE;
    restarts = 0;
    rc = do_mmuext_op(world.v, (unsigned long)&op, 1, 0, DOMID_SELF, 0);
    while (rc == HYPERCALL_RESTART) {
        fake_check();
        restarts++;
        rc = do_mmuext_op(world.v, world.v->restart_args[0], world.v->restart_args[1], 0, DOMID_SELF, 0);
    }
    assert_int_equal(rc, 0);
    assert_null(world.v->arch.pv.demoting);
    assert_true(restarts > 5);
    assert_true(get_page_writable(&frame_table[own(0)], world.d));
    put_page_writable(&frame_table[own(0)]);
    assert_int_equal(uses_of(own(40)), 0);
    assert_int_equal(uses_of(own(1)), 0);
    fake_preempt_in = -1;
}

/* A preempted promotion that meets a bad entry later is undone, also preemptibly. */
static void preempted_then_refused(void **state)
{
    build_hierarchy();
    fake_table(own(0))[400] = entry_of(own(0), P);
    fake_table(own(1))[9] = entry_of(own(4), P);
    fake_table(own(1))[19] = entry_of(own(5), P);
    fake_preempt_in = 0;
    assert_int_equal(pin(4, own(0)), -EBUSY);
    fake_check();
    for (unsigned int i = 0; world.v->arch.pv.demoting && i < 100; i++)
        (void)fake_call(do_mmuext_op, world.v, 0, 0, 0, DOMID_SELF);
    fake_check();
    for (unsigned int i = 0; i < 4; i++)
        assert_int_equal(frame_table[own(i)].type & (PGT_count_mask | PGT_partial), 0);
    fake_preempt_in = -1;
    fake_table(own(0))[400] = 0;
    assert_int_equal(pin(4, own(0)), 0);
}

/* An abandoned promotion: the page is of no other use meanwhile, and the same wish resumes it. */
static void partial_is_resumed_or_ended(void **state)
{
    struct page_info *l2 = &frame_table[own(0)];

    fake_table(own(0))[0] = entry_of(own(1), P);
    fake_table(own(0))[1] = entry_of(own(2), P);
    fake_preempt_in = 0;
    assert_int_equal(page_get_type(world.v, l2, world.d, PGT_l2), -EAGAIN);
    assert_true(page_is_partial(l2));
    fake_check();
    assert_false(get_page_writable(l2, world.d));
    assert_int_equal(page_get_type(world.v, l2, world.d, PGT_l3), -EBUSY);
    assert_int_equal(update(own(0), 1, 0, 0), -EINVAL);
    fake_preempt_in = -1;
    assert_int_equal(page_pin(world.v, l2, world.d, PGT_l2), 0);
    fake_check();
    assert_int_equal(page_unpin(world.v, l2, world.d), 0);

    fake_preempt_in = 0;
    assert_int_equal(page_get_type(world.v, l2, world.d, PGT_l2), -EAGAIN);
    fake_preempt_in = -1;
    assert_int_equal(page_demote(l2), 0);
    assert_int_equal(page_demote(l2), 0);
    assert_true(get_page_writable(l2, world.d));
    put_page_writable(l2);
}

/* A page that was written to through one mapping may not be walked before the last CPU forgot that mapping.
 */
static void retyping_flushes_stale_cpus(void **state)
{
    struct page_info *pg = &frame_table[own(0)];
    unsigned int before;

    world.d->arch.dirty_cpus = CPUMASK(0) | CPUMASK(2);
    assert_int_equal(pin(1, own(0)), 0); /* never used: nothing to flush */
    assert_int_equal(fake_flushes, 0);
    assert_int_equal(unpin(own(0)), 0);
    assert_int_equal(pin(1, own(0)), 0); /* the same type again */
    assert_int_equal(fake_flushes, 0);
    assert_int_equal(unpin(own(0)), 0);
    assert_true(get_page_writable(pg, world.d)); /* a table that becomes writable */
    assert_int_equal(fake_flushes, 1);
    assert_int_equal(fake_flushed, CPUMASK(0) | CPUMASK(2));
    put_page_writable(pg);
    assert_int_equal(pin(2, own(0)), 0); /* and a writable page that becomes a table */
    assert_int_equal(fake_flushes, 2);
    assert_int_equal(unpin(own(0)), 0);

    assert_true(get_page_writable(pg, world.d));
    put_page_writable(pg);
    arch_flush_tlb(CPUMASK(2)); /* one has forgotten already */
    before = fake_flushes;
    assert_int_equal(pin(1, own(0)), 0);
    assert_int_equal(fake_flushes, before + 1);
    assert_int_equal(fake_flushed, CPUMASK(0));
    assert_int_equal(unpin(own(0)), 0);
    assert_true(get_page_writable(pg, world.d));
    put_page_writable(pg);
    arch_flush_tlb(CPUMASK(0) | CPUMASK(2));
    before = fake_flushes;
    assert_int_equal(pin(1, own(0)), 0); /* all have */
    assert_int_equal(fake_flushes, before);
}

static void foreign_mappings_flush_all(void **state)
{
    struct domain *other = fake_domain(7, 2, NULL);
    uint64_t frame = other->first_page;
    struct mmu_update req = {.ptr = own(0) << PAGE_SHIFT, .val = entry_of(frame, P | W)};

    assert_int_equal(pin(1, own(0)), 0);
    assert_int_equal(fake_call(do_mmu_update, world.v, (unsigned long)&req, 1, 0, 7), 0);
    fake_check();
    assert_int_equal(mmuext_on(MMUEXT_PIN_L1_TABLE, frame, 0, 7), -EBUSY);
    assert_int_equal(update(own(0), 0, 0, 0), 0);
    other->arch.dirty_cpus = 0;
    assert_int_equal(mmuext_on(MMUEXT_PIN_L1_TABLE, frame, 0, 7), 0);
    assert_int_equal(fake_flushed, arch_online_cpus());
    world.d->privileged = false;
    assert_int_equal(mmuext_on(MMUEXT_UNPIN_TABLE, frame, 0, 7), -EPERM);
    assert_int_equal(mmuext_on(MMUEXT_UNPIN_TABLE, frame, 0, 9), -ESRCH);
    fake_end(other);
}

static void dying_domain_pins_nothing(void **state)
{
    struct domain *other = fake_domain(7, 4, NULL);
    uint64_t frame = other->first_page;

    other->state = DOMAIN_DYING;
    assert_int_equal(mmuext_on(MMUEXT_PIN_L1_TABLE, frame, 0, 7), -EINVAL);
    assert_int_equal(frame_table[frame].type & (PGT_pinned | PGT_count_mask), 0);
}

/* Tables, partial tables, base pointers, in a domain that ends while preempted at every page. */
static void end_of_a_domain(void **state)
{
    build_hierarchy();
    assert_int_equal(pin(4, own(0)), 0);
    assert_int_equal(mmuext(MMUEXT_NEW_BASEPTR, own(0), 0), 0);
    fake_table(own(12))[0] = entry_of(own(13), P);
    fake_table(own(12))[1] = entry_of(own(14), P);
    fake_table(own(12))[2] = entry_of(own(3), P);
    fake_preempt_in = 0;
    assert_int_equal(page_get_type(world.v, &frame_table[own(12)], world.d, PGT_l2), -EAGAIN);
    /* Somebody else still maps one page. */
    assert_true(get_page(&frame_table[own(30)], world.d));
    fake_held_refs[own(30)]++;
    world.d->state = DOMAIN_DYING;
    for (unsigned int i = 0; arch_domain_relinquish(world.d) == -EAGAIN; i++) {
        assert_true(i < 10000);
        fake_check();
        fake_preempt_in = (int)(i % 3);
    }
    fake_preempt_in = -1;
    fake_check();
    assert_int_equal(world.d->tot_pages, 1);
    put_page(&frame_table[own(30)]);
    fake_held_refs[own(30)]--;
    assert_int_equal(world.d->tot_pages, 0);
}

const struct CMUnitTest table_tests[] = {
    MM_TEST(references),
    MM_TEST(all_writable_uses_hold_one_reference),
    MM_TEST(page_lives_while_used),
    MM_TEST(level_1_table),
    MM_TEST(bad_entries),
    MM_TEST(never_writable_and_table),
    MM_TEST(hypervisor_pages_are_no_tables),
    MM_TEST(hierarchy),
    MM_TEST(per_domain_slot),
    MM_TEST(descriptor_pages),
    MM_TEST(preempted_at_every_step),
    MM_TEST(preempted_then_refused),
    MM_TEST(partial_is_resumed_or_ended),
    MM_TEST(retyping_flushes_stale_cpus),
    MM_TEST(foreign_mappings_flush_all),
    MM_TEST(dying_domain_pins_nothing),
    MM_TEST(end_of_a_domain),
};
const size_t n_table_tests = ARRAY_SIZE(table_tests);

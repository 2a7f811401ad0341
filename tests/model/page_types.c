/*
 * Random operations on PV page tables: two domains' worth of guests that pin, update, map, grant, write through every
 * interface there is, mostly nonsense, with preemption at random places and hypercalls abandoned half-way. After every
 * operation fake_check() derives every count of the frame table from the tables themselves and compares.
 *
 * Argument: seed, and number of operations (default: a few fixed seeds).
 */
#include "../unit/hv-mm/mm_test.h"

#include <asm/regs.h>
#include <public/grant_table.h>

#define PAGES 40

static uint64_t seed;
static struct domain *dom[2];
static uint64_t base[2];
static unsigned int successes, refusals;

static uint32_t rnd(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 16) % n;
}

/* Frames come in roles, so that tables of matching levels meet often: frame i likes to be a table of level i % 6. */
static uint64_t frame_of(unsigned int d, unsigned int level)
{
    unsigned int i = rnd(PAGES);

    if (rnd(8))
        i = (i / 6 * 6 + level) % PAGES;
    return base[d] + i;
}

static uint64_t any_frame(unsigned int d)
{
    switch (rnd(20)) {
    case 0:
        return rnd(FAKE_FRAMES);
    case 1:
        return FAKE_IO_FIRST + rnd(8);
    case 2:
        return base[!d] + rnd(PAGES);
    default:
        return base[d] + rnd(PAGES);
    }
}

static uint64_t random_entry(unsigned int d, unsigned int level)
{
    uint64_t flags = rnd(8) ? P : 0,
             frame = rnd(6) ? frame_of(d, level > 1 ? level - 1 : rnd(2) * 5) : any_frame(d);

    flags |= rnd(3) ? U : 0;
    if (level > 1 || rnd(2))
        flags |= W;
    if (!rnd(4))
        flags |= PTE_NX;
    if (!rnd(4))
        flags |= PTE_ACCESSED | PTE_DIRTY;
    if (!rnd(60))
        flags |= 1UL << rnd(64);
    return entry_of(frame, flags);
}

static unsigned int slot(void)
{
    static const unsigned int slots[] = {0, 1, 7, 8, 100, 255, 256, 260, 271, 272, 510, 511};

    return slots[rnd(ARRAY_SIZE(slots))];
}

/* The hypercall is run to its end, or the vcpu is never heard of again. */
static void call(hypercall_fn fn, struct vcpu *v, unsigned long a1, unsigned long a2, unsigned long a3,
                 unsigned long a4)
{
    long rc = fn(v, a1, a2, a3, a4, 0);

    for (unsigned int i = 0; rc == HYPERCALL_RESTART; i++) {
        const unsigned long *a = v->restart_args;

        fake_check();
        if (!rnd(30))
            return;
        if (fake_preempt_in >= 0)
            fake_preempt_in = (int)rnd(4);
        rc = fn(v, a[0], a[1], a[2], a[3], a[4]);
        assert_true(i < 10000);
    }
    if (rc < 0)
        refusals++;
    else
        successes++;
}

static void op_pin(unsigned int d, struct vcpu *v)
{
    unsigned int level = 1 + rnd(4);
    struct mmuext_op ops[3];

    for (unsigned int i = 0; i < 3; i++)
        ops[i] = (struct mmuext_op){.cmd = rnd(2) ? MMUEXT_PIN_L1_TABLE + level - 1 : MMUEXT_UNPIN_TABLE,
                                    .arg1.mfn = rnd(10) ? frame_of(d, level) : any_frame(d)};
    call(do_mmuext_op, v, (unsigned long)ops, 1 + rnd(3), 0, rnd(4) ? DOMID_SELF : dom[rnd(2)]->id);
}

static void op_base(unsigned int d, struct vcpu *v)
{
    struct mmuext_op op = {.cmd = rnd(2) ? MMUEXT_NEW_BASEPTR : MMUEXT_NEW_USER_BASEPTR,
                           .arg1.mfn = rnd(10) ? frame_of(d, 4) : any_frame(d)};

    if (op.cmd == MMUEXT_NEW_USER_BASEPTR && !rnd(4))
        op.arg1.mfn = 0;
    call(do_mmuext_op, v, (unsigned long)&op, 1, 0, DOMID_SELF);
}

static void op_contents(unsigned int d, struct vcpu *v)
{
    struct mmuext_op op = {.cmd = rnd(2) ? MMUEXT_CLEAR_PAGE : MMUEXT_COPY_PAGE,
                           .arg1.mfn = any_frame(d),
                           .arg2.src_mfn = any_frame(d)};

    call(do_mmuext_op, v, (unsigned long)&op, 1, 0, DOMID_SELF);
}

static void op_update(unsigned int d, struct vcpu *v)
{
    struct mmu_update list[40];
    unsigned int n = rnd(3) ? 1 : 1 + rnd(40), level = 1 + rnd(4);
    uint64_t frame = rnd(20) ? frame_of(d, level) : any_frame(d);
    uint32_t done, foreign = rnd(3) ? DOMID_SELF : rnd(3) ? dom[rnd(2)]->id : rnd(1 << 18);

    for (unsigned int i = 0; i < n; i++) {
        if (!rnd(4))
            frame = frame_of(d, level = 1 + rnd(4));
        list[i].ptr = frame << PAGE_SHIFT | slot() * 8 | rnd(4);
        list[i].val = random_entry(d, level);
    }
    call(do_mmu_update, v, (unsigned long)list, n, rnd(2) ? (unsigned long)&done : 0, foreign);
}

static void op_va(unsigned int d, struct vcpu *v)
{
    uint64_t va = (uint64_t)slot() << 39 | (uint64_t)slot() << 30 | slot() << 21 | slot() << 12;

    v->arch.pv.kernel_mode = true;
    if (v->arch.pv.guest_table.n == INVALID_FRAME)
        return;
    v->arch.cr3 = mfn_to_paddr(v->arch.pv.guest_table);
    va = (uint64_t)((int64_t)(va << 16) >> 16);
    if (rnd(2))
        call(do_update_va_mapping, v, va, random_entry(d, 1), rnd(3), 0);
    else
        call(do_update_va_mapping_otherdomain, v, va, random_entry(!d, 1), rnd(8), dom[!d]->id);
}

/* What a guest does with a page that is no table: writes, as if it prepared one. */
static void op_plain_write(unsigned int d)
{
    unsigned int level = 1 + rnd(5);
    uint64_t frame = frame_of(d, level);
    const uint64_t t = frame_table[frame].type;

    if (frame_table[frame].owner != dom[d] || (t & PGT_partial) ||
        ((t & PGT_type_mask) != PGT_writable && (t & PGT_count_mask)))
        return;
    for (unsigned int i = rnd(6); i; i--)
        fake_table(frame)[slot()] = random_entry(d, level);
    if (!rnd(4))
        memset(fake_table(frame), 0, PAGE_SIZE);
}

/* The hardware sets accessed and dirty bits. */
static void op_hardware(unsigned int d)
{
    uint64_t frame = frame_of(d, 1), *entry = &fake_table(frame)[slot()];

    if (frame_table[frame].type >> PGT_shift == 1 && (frame_table[frame].type & PGT_validated) &&
        (*entry & P))
        *entry |= PTE_ACCESSED | PTE_DIRTY;
}

static void op_fault(unsigned int d, struct vcpu *v)
{
    static const uint8_t code[][16] = {{0x48, 0x89, 0x37},       {0x48, 0x87, 0x37},
                                       {0xf0, 0x80, 0x27, 0xfd}, {0xf0, 0x48, 0x0f, 0xb1, 0x37},
                                       {0x48, 0x83, 0x0f, 0x02}, {0xf0, 0x48, 0x0f, 0xba, 0x37, 0x01}};
    struct cpu_regs regs = {.rip = (uint64_t)code[rnd(ARRAY_SIZE(code))],
                            .rsi = random_entry(d, 1),
                            .error_code = 7,
                            .rax = random_entry(d, 1)};
    uint64_t va = (uint64_t)slot() << 39 | (uint64_t)slot() << 30 | slot() << 21 | slot() << 12 | slot() * 8;

    if (v->arch.pv.guest_table.n == INVALID_FRAME)
        return;
    v->arch.cr3 = mfn_to_paddr(v->arch.pv.guest_table);
    fake_current = v;
    pv_page_fault(&regs, (uint64_t)((int64_t)(va << 16) >> 16));
}

/* One grant mapping at a time: made, and undone or forgotten. */
static void op_grant(unsigned int d, struct vcpu *v)
{
    uint64_t frame = base[!d] + rnd(PAGES), pte = frame_of(d, 1) << PAGE_SHIFT | slot() * 8;
    bool writable = rnd(2);
    unsigned int flags = GNTMAP_host_map | GNTMAP_contains_pte | (writable ? 0 : GNTMAP_readonly);
    struct page_info *pg = &frame_table[frame];

    if (!(writable ? get_page_writable(pg, dom[!d]) : get_page(pg, dom[!d])))
        return;
    if (!arch_grant_map(v, pte, MFN(frame), flags)) {
        fake_check();
        if (rnd(2) || arch_grant_unmap(v, pte, MFN(frame), flags, 0))
            return;
        successes++;
    }
    if (writable)
        put_page_writable(pg);
    else
        put_page(pg);
}

static void op_memory(unsigned int d, struct vcpu *v)
{
    uint64_t in[2] = {any_frame(d), any_frame(d)}, out[2] = {1, 2};

    if (rnd(2)) {
        struct xen_memory_reservation r = {(uint64_t)in, 1, 0, 0, DOMID_SELF};
        /* Gives a page back and takes one, so that the number stays. */
        if (fake_call(do_memory_op, v, XENMEM_decrease_reservation, (unsigned long)&r, 0, 0) != 1)
            return;
        fake_check();
        call(do_memory_op, v, XENMEM_populate_physmap, (unsigned long)&r, 0, 0);
    } else {
        struct xen_memory_exchange x = {
            {(uint64_t)in, 2, 0, 0, DOMID_SELF}, {(uint64_t)out, 1, 1, 0, DOMID_SELF}, 0};
        call(do_memory_op, v, XENMEM_exchange, (unsigned long)&x, 0, 0);
    }
}

static void step(void)
{
    unsigned int d = rnd(2);
    struct vcpu *v = dom[d]->vcpu[0];

    fake_preempt_in = rnd(2) ? -1 : (int)rnd(5);
    dom[d]->vm_assist ^= rnd(50) ? 0 : 1UL << VMASST_TYPE_m2p_strict;
    switch (rnd(16)) {
    case 0:
    case 1:
    case 2:
        op_pin(d, v);
        break;
    case 3:
        op_base(d, v);
        break;
    case 4:
        op_contents(d, v);
        break;
    case 5:
    case 6:
    case 7:
        op_update(d, v);
        break;
    case 8:
    case 9:
        op_va(d, v);
        break;
    case 10:
    case 11:
        op_plain_write(d);
        break;
    case 12:
        op_hardware(d);
        break;
    case 13:
        op_fault(d, v);
        break;
    case 14:
        op_grant(d, v);
        break;
    default:
        if (!rnd(10))
            op_memory(d, v);
        break;
    }
    fake_check();
}

static void run(uint64_t with_seed, unsigned int operations)
{
    seed = with_seed * 0x9e3779b97f4a7c15 + 1;
    fake_reset();
    for (unsigned int d = 0; d < 2; d++) {
        dom[d] = fake_domain((domid_t)d, PAGES, &base[d]);
        assert_int_equal(rangeset_add(dom[d]->iomem_caps, FAKE_IO_FIRST, FAKE_IO_FIRST + 3), 0);
    }
    dom[0]->privileged = true;
    for (unsigned int i = 0; i < operations; i++)
        step();
    /* Whatever it came to: both can end, in any order, and nothing is left. */
    fake_preempt_in = 1;
    fake_end(dom[seed & 1]);
    fake_preempt_in = 1;
    fake_end(dom[!(seed & 1)]);
    for (unsigned int d = 0; d < 2; d++)
        if (dom[d]->tot_pages)
            fail_msg("seed %lu: domain %u still has %lu pages", with_seed, d, dom[d]->tot_pages);
    fake_reset();
}

static void random_operations(void **state)
{
    for (uint64_t s = 1; s <= 40; s++)
        run(s, 1500);
    /* It must have been more than refusals. */
    assert_true(successes > 5000);
    assert_true(refusals > 5000);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_operations)};

    if (argc > 2) {
        run(strtoull(argv[1], NULL, 0), (unsigned int)strtoul(argv[2], NULL, 0));
        return 0;
    }
    return cmocka_run_group_tests_name("hv-mm-model", tests, NULL, NULL);
}

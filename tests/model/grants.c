/*
 * Grants against a naive model: an owner edits its table as it likes, two domains map, unmap and copy, right
 * and wrong, and after every step the marks in the table, the reference counts of the pages and what is
 * mapped have to be what the model derives from a plain list of mappings.
 */
#include <stdlib.h>
#include "../unit/hv-events/events.h"
#include <bh/grant.h>

#define REFS     24
#define PAGES    6
#define USERS    2
#define MAPPINGS 96
#define STEPS    40000

struct mapping {
    bool used, host, device, write;
    int user;
    uint32_t ref, handle;
    uint64_t frame;
};

struct entry {
    bool granted, readonly;
    int user; /* index of who may use it */
    int page;
};

static struct domain *owner, *user[USERS];
static struct page_info *page[PAGES];
static struct grant_entry_v1 *table;
static struct entry model[REFS];
static struct mapping mappings[MAPPINGS];
static bool refuse;
static uint64_t seed;

/* The page-table entries that exist: address is 0x1000 * (index of mapping + 1). */
static uint64_t pte[MAPPINGS];

int arch_grant_map(struct vcpu *v, uint64_t address, mfn_t mfn, unsigned int flags)
{
    if (refuse)
        return -EINVAL;
    assert_int_equal(pte[address / PAGE_SIZE - 1], 0);
    pte[address / PAGE_SIZE - 1] = mfn.n;
    return 0;
}

int arch_grant_unmap(struct vcpu *v, uint64_t address, mfn_t mfn, unsigned int flags, uint64_t replace_by)
{
    if (refuse || pte[address / PAGE_SIZE - 1] != mfn.n)
        return -EINVAL;
    pte[address / PAGE_SIZE - 1] = 0;
    return 0;
}

static uint32_t any(uint32_t limit)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 11) % limit;
}

static bool in_use(uint32_t ref)
{
    for (int i = 0; i < MAPPINGS; i++)
        if (mappings[i].used && mappings[i].ref == ref)
            return true;
    return false;
}

/* The owner writes entries that are not in use; of those in use it may only take the read-only flag on or
 * off. */
static void step_edit(void)
{
    uint32_t ref = any(REFS);
    struct entry *e = &model[ref];

    if (in_use(ref)) {
        e->readonly = any(2);
        if (e->readonly)
            table[ref].flags |= GTF_readonly;
        else
            table[ref].flags &= (uint16_t)~GTF_readonly;
        return;
    }
    *e = (struct entry){
        .granted = any(4) != 0, .readonly = any(2), .user = (int)any(USERS), .page = (int)any(PAGES)};
    table[ref] = (struct grant_entry_v1){
        .flags = (uint16_t)((e->granted ? GTF_permit_access : GTF_accept_transfer) |
                            (e->readonly ? GTF_readonly : 0)),
        .domid = user[e->user]->id,
        .frame = (uint32_t)page_to_mfn(page[e->page]).n,
    };
}

/* Marks are made when a use begins that no present one covers; only then is the entry looked at. */
static bool allowed(int u, uint32_t ref, bool write)
{
    const struct entry *e = &model[ref];
    bool reading = false, writing = false;

    for (int i = 0; i < MAPPINGS; i++) {
        if (mappings[i].used && mappings[i].ref == ref) {
            reading = true;
            writing = writing || mappings[i].write;
        }
    }
    if (!e->granted || e->user != u)
        return false;
    if (!reading || (write && !writing))
        return !(write && e->readonly);
    return true;
}

static void step_map(void)
{
    int i = (int)any(MAPPINGS), u = (int)any(USERS), kind = (int)any(3);
    struct mapping *m = &mappings[i];
    bool write = any(2), host = kind != 1, device = kind != 0;
    uint32_t ref = any(REFS);
    struct gnttab_map_grant_ref op = {
        .host_addr = (uint64_t)(i + 1) * PAGE_SIZE,
        .flags =
            (host ? GNTMAP_host_map : 0) | (device ? GNTMAP_device_map : 0) | (write ? 0 : GNTMAP_readonly),
        .ref = ref,
        .dom = owner->id,
    };
    bool good = allowed(u, ref, write);

    if (m->used)
        return;
    refuse = host && any(8) == 0;
    good = good && !refuse;
    assert_int_equal(do_grant_table_op(user[u]->vcpu[0], GNTTABOP_map_grant_ref, (unsigned long)&op, 1, 0, 0),
                     0);
    refuse = false;
    assert_int_equal(op.status == GNTST_okay, good);
    if (!good)
        return;
    *m = (struct mapping){true, host, device, write, u, ref, op.handle, page_to_mfn(page[model[ref].page]).n};
    assert_int_equal(op.dev_bus_addr, m->frame << PAGE_SHIFT);
}

static void step_unmap(void)
{
    int i = (int)any(MAPPINGS);
    struct mapping *m = &mappings[i];
    bool host = any(4) != 0, device = any(2), wrong = any(10) == 0;
    struct gnttab_unmap_grant_ref op = {
        .host_addr = host ? (uint64_t)(i + 1) * PAGE_SIZE : 0,
        .dev_bus_addr = device ? m->frame << PAGE_SHIFT : 0,
        .handle = wrong ? any(2000) + MAPPINGS * 4 : m->handle,
    };

    if (!m->used)
        return;
    refuse = any(10) == 0;
    assert_int_equal(
        do_grant_table_op(user[m->user]->vcpu[0], GNTTABOP_unmap_grant_ref, (unsigned long)&op, 1, 0, 0), 0);
    host = host && m->host;
    device = device && m->device;
    if (wrong || (!host && !device)) {
        assert_int_equal(op.status, GNTST_bad_handle);
    } else {
        assert_int_equal(op.status, host && refuse ? GNTST_general_error : GNTST_okay);
        if (host && !refuse)
            m->host = false;
        if (device)
            m->device = false;
        m->used = m->host || m->device;
    }
    refuse = false;
}

static void step_copy(void)
{
    int u = (int)any(USERS);
    uint32_t from = any(REFS), to = any(REFS);
    struct gnttab_copy op = {
        .source = {.u.ref = from, .domid = owner->id, .offset = (uint16_t)any(4000)},
        .dest = {.u.ref = to, .domid = owner->id, .offset = (uint16_t)any(4000)},
        .len = (uint16_t)any(96),
        .flags = GNTCOPY_source_gref | GNTCOPY_dest_gref,
    };
    bool good = allowed(u, from, false);
    char *src = arch_map(page_to_mfn(page[model[from].page]));
    char *dst = arch_map(page_to_mfn(page[model[to].page]));
    char expected[96];

    /* The source is in use for reading while the destination is opened. */
    good = good && model[to].granted && model[to].user == u;
    if (good && !allowed(u, to, true))
        good = false;
    src[op.source.offset] = (char)any(256);
    memcpy(expected, src + op.source.offset, op.len);
    assert_int_equal(do_grant_table_op(user[u]->vcpu[0], GNTTABOP_copy, (unsigned long)&op, 1, 0, 0), 0);
    assert_int_equal(op.status == GNTST_okay, good);
    if (good)
        assert_memory_equal(dst + op.dest.offset, expected, op.len);
}

static void compare(void)
{
    uint64_t readers[PAGES] = {0}, writers[PAGES] = {0};

    for (uint32_t ref = 0; ref < REFS; ref++) {
        uint16_t marks = 0;

        for (int i = 0; i < MAPPINGS; i++)
            if (mappings[i].used && mappings[i].ref == ref)
                marks |= GTF_reading | (mappings[i].write ? GTF_writing : 0);
        assert_int_equal(table[ref].flags & (GTF_reading | GTF_writing), marks);
    }
    for (int i = 0; i < MAPPINGS; i++) {
        const struct mapping *m = &mappings[i];

        assert_int_equal(pte[i], m->used && m->host ? m->frame : 0);
        for (int p = 0; p < PAGES && m->used; p++) {
            if (page_to_mfn(page[p]).n != m->frame)
                continue;
            if (m->write)
                writers[p] += m->host + m->device;
            else
                readers[p] += m->host + m->device;
        }
    }
    for (int p = 0; p < PAGES; p++) {
        assert_int_equal(page[p]->type & PGT_count_mask, writers[p]);
        assert_int_equal(page[p]->refs & PGC_count_mask, 1 + readers[p] + (writers[p] != 0));
    }
}

static void run(uint64_t start)
{
    mfn_t mfn;

    seed = start;
    memset(model, 0, sizeof(model));
    memset(mappings, 0, sizeof(mappings));
    memset(pte, 0, sizeof(pte));
    owner = fake_domain(false, 1, 64);
    for (int u = 0; u < USERS; u++)
        user[u] = fake_domain(false, 1, 16);
    for (int p = 0; p < PAGES; p++) {
        page[p] = page_alloc_domain(owner, 0, 0);
        assert_non_null(page[p]);
    }
    assert_int_equal(grant_table_frame(NULL, owner, 0, false, &mfn), 0);
    table = arch_map(mfn);
    for (int i = 0; i < STEPS; i++) {
        switch (any(8)) {
        case 0:
            step_edit();
            break;
        case 1:
        case 2:
        case 3:
            step_map();
            break;
        case 4:
            step_copy();
            break;
        default:
            step_unmap();
        }
        compare();
    }
    /* What is still mapped goes with its user; page-table entries would take their references along. */
    for (int i = 0; i < MAPPINGS; i++) {
        if (mappings[i].used && mappings[i].host) {
            if (mappings[i].write)
                put_page_writable(mfn_to_page(MFN(mappings[i].frame)));
            else
                put_page(mfn_to_page(MFN(mappings[i].frame)));
        }
    }
    for (int u = 0; u < USERS; u++)
        fake_domain_end(user[u]);
    for (int p = 0; p < PAGES; p++)
        assert_int_equal(page[p]->refs & PGC_count_mask, 1);
    for (uint32_t ref = 0; ref < REFS; ref++)
        assert_int_equal(table[ref].flags & (GTF_reading | GTF_writing), 0);
    fake_domain_end(owner);
}

static void test_random_operations(void **state)
{
    for (uint64_t start = 1; start <= 3; start++)
        run(start * 0x9e3779b97f4a7c15UL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_operations)};

    fake_boot(1);
    fake_domain(true, 1, 64);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

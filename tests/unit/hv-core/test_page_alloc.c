/*
 * The page allocator: a random model against a map of who owns each frame, accounting, claims, scrubbing, the
 * TLB rule; and kalloc on top of it.
 */
#include <stdlib.h>
#include "test.h"
#include <bh/arch.h>
#include <bh/errno.h>
#include <bh/page_alloc.h>

#define SLOTS 200

static uint64_t frame_of(const struct page_info *pg)
{
    return page_to_mfn(pg).n;
}

static void fill(struct page_info *pg, unsigned int order, int value)
{
    memset(arch_map(page_to_mfn(pg)), value, PAGE_SIZE << order);
}

/* Drops the domain's own reference: the page is free again. */
static void give_back(struct page_info *pg)
{
    assert_true(page_drop_allocated(pg));
}

static void test_blocks_are_aligned_and_apart(void **state)
{
    static uint8_t taken[FAKE_PAGES];
    struct {
        struct page_info *pg;
        unsigned int order;
    } slot[SLOTS] = {0};
    uint64_t before = page_counts.free, held = 0;

    srand(4);
    memset(taken, 0, sizeof(taken));
    for (int step = 0; step < 20000; step++) {
        int i = rand() % SLOTS;

        if (slot[i].pg) {
            for (uint64_t f = 0; f < 1UL << slot[i].order; f++)
                taken[frame_of(slot[i].pg) + f] = 0;
            page_free(slot[i].pg, slot[i].order);
            held -= 1UL << slot[i].order;
            slot[i].pg = NULL;
        } else {
            unsigned int order = (unsigned int)(rand() % 7);
            struct page_info *pg = page_alloc(order, 0);

            if (!pg)
                continue;
            assert_int_equal(frame_of(pg) & ((1UL << order) - 1), 0);
            assert_true(frame_of(pg) + (1UL << order) <= max_page && frame_of(pg) > 0);
            for (uint64_t f = 0; f < 1UL << order; f++) {
                assert_int_equal(taken[frame_of(pg) + f], 0);
                taken[frame_of(pg) + f] = 1;
            }
            slot[i].pg = pg;
            slot[i].order = order;
            held += 1UL << order;
        }
        assert_int_equal(page_counts.free, before - held);
    }
    for (int i = 0; i < SLOTS; i++)
        if (slot[i].pg)
            page_free(slot[i].pg, slot[i].order);
    assert_int_equal(page_counts.free, before);
}

/* After everything is free again, the biggest block there was is there once more: buddies merged. */
static void test_buddies_merge(void **state)
{
    unsigned int order = 12; /* of 8192 frames, those above 4096 are one block */
    struct page_info *big = page_alloc(order, 0), *single[64];

    assert_non_null(big);
    page_free(big, order);
    for (int i = 0; i < 64; i++)
        single[i] = page_alloc(0, 0);
    for (int i = 0; i < 64; i++)
        page_free(single[(i * 29) % 64], 0);
    big = page_alloc(order, 0);
    assert_non_null(big);
    page_free(big, order);
}

static void test_impossible_orders(void **state)
{
    assert_null(page_alloc(PAGE_ORDER_MAX + 1, 0));
    assert_null(page_alloc(PAGE_ORDER_MAX, 0));
}

static void test_domain_accounting(void **state)
{
    struct domain *d = fake_domain(false, 1, 10);
    uint64_t before = page_counts.free, seen = 0;
    struct page_info *a, *b;
    int refs = atomic_load(&d->refs);

    a = page_alloc_domain(d, 3, 0);
    assert_non_null(a);
    assert_int_equal(d->tot_pages, 8);
    for (int i = 0; i < 8; i++) {
        assert_ptr_equal(a[i].owner, d);
        assert_int_equal(atomic_load(&a[i].refs), PGC_allocated | 1);
    }
    assert_null(page_alloc_domain(d, 2, 0));
    b = page_alloc_domain(d, 1, 0);
    assert_non_null(b);
    assert_null(page_alloc_domain(d, 0, 0));
    for (uint64_t f = d->first_page; f; f = frame_table[f].next_in_domain)
        seen++;
    assert_int_equal(seen, 10);
    assert_int_equal(d->nr_listed, 10);
    give_back(&a[3]);
    assert_int_equal(d->tot_pages, 9);
    assert_int_equal(page_counts.free, before - 9);
    assert_null(a[3].owner);
    assert_non_null(page_alloc_domain(d, 0, 0));
    while (d->first_page)
        give_back(&frame_table[d->first_page]);
    assert_int_equal(d->tot_pages, 0);
    assert_int_equal(page_counts.free, before);
    assert_int_equal(atomic_load(&d->refs), refs);
    fake_domain_end(d);
}

static void test_assign(void **state)
{
    struct domain *d = fake_domain(false, 1, 1);
    struct page_info *a = page_alloc(0, 0), *b = page_alloc(0, 0), *c = page_alloc(0, 0);
    uint64_t extra = d->xenheap_pages;

    assert_int_equal(page_assign(a, d, true), 0);
    assert_int_equal(page_assign(b, d, true), -E2BIG);
    assert_int_equal(page_assign(c, d, false), 0);
    assert_int_equal(d->tot_pages, 1);
    assert_int_equal(d->xenheap_pages, extra + 1);
    assert_true(get_page(c, d));
    put_page(c);
    page_free(b, 0);
    give_back(a);
    give_back(c);
    assert_int_equal(d->xenheap_pages, extra);
    fake_domain_end(d);
}

/* What one guest left is not what the next one sees; the control domain takes pages as they are. */
static void test_scrubbing(void **state)
{
    struct domain *d = fake_domain(false, 1, 4096), *e = fake_domain(false, 1, 4096);
    struct page_info *pg;
    static const char zero[PAGE_SIZE];
    int pages = 0;

    while (pages < 512 && (pg = page_alloc_domain(d, 0, 0))) {
        fill(pg, 0, 0x77);
        pages++;
    }
    while (d->first_page)
        give_back(&frame_table[d->first_page]);
    for (int i = 0; i < 600; i++) {
        pg = page_alloc_domain(e, 0, 0);
        assert_non_null(pg);
        assert_memory_equal(arch_map(page_to_mfn(pg)), zero, PAGE_SIZE);
    }
    assert_true(page_counts.dirty <= page_counts.free);
    fake_domain_end(d);
    fake_domain_end(e);
}

/* A page that a guest gave back may be in TLBs until they are flushed: it is, before anybody gets it. */
static void test_tlb_is_flushed_before_reuse(void **state)
{
    struct domain *d = fake_domain(false, 1, 4096);
    struct page_info *pg = page_alloc_domain(d, 0, 0), *again;
    uint64_t left;

    fake_flushed = 0;
    give_back(pg);
    assert_int_equal(fake_flushed, 0);
    left = page_counts.free;
    for (uint64_t i = 0; i < left && !fake_flushed; i++) {
        again = page_alloc_domain(d, 0, 0);
        if (!again)
            break;
        assert_true(again != pg || fake_flushed);
    }
    assert_int_equal(fake_flushed, fake_online);
    fake_flushed = 0;
    while (d->first_page && d->nr_listed > 2)
        give_back(&frame_table[d->first_page]);
    arch_flush_tlb(fake_online);
    fake_flushed = 0;
    for (int i = 0; i < 20; i++)
        assert_non_null(page_alloc_domain(d, 0, 0));
    assert_int_equal(fake_flushed, 0);
    fake_domain_end(d);
}

static void test_claims(void **state)
{
    struct domain *d = fake_domain(false, 1, FAKE_PAGES), *e = fake_domain(false, 1, FAKE_PAGES);
    uint64_t left = page_counts.free;

    assert_int_equal(page_claim(d, left + 1), -ENOMEM);
    assert_int_equal(page_claim(d, left - 4), 0);
    assert_int_equal(page_claim(d, 10), -EINVAL);
    assert_int_equal(page_counts.claimed, left - 4);
    assert_int_equal(page_claim(e, 5), -ENOMEM);
    assert_null(page_alloc_domain(e, 3, 0));
    assert_non_null(page_alloc_domain(e, 1, 0));
    assert_non_null(page_alloc_domain(d, 3, 0));
    assert_int_equal(page_counts.claimed, left - 12);
    assert_int_equal(page_claim(d, 0), 0);
    assert_int_equal(page_counts.claimed, 0);
    assert_non_null(page_alloc_domain(e, 3, 0));
    assert_int_equal(page_claim(d, 4), -EINVAL);
    fake_domain_end(d);
    fake_domain_end(e);
}

/* A page that another domain still holds outlives its owner's death, and so does the owner's struct. */
static void test_foreign_reference_keeps_the_page(void **state)
{
    struct domain *d = fake_domain(false, 1, 16);
    struct page_info *pg = page_alloc_domain(d, 0, 0);
    domid_t id = d->id;
    struct domain *found;

    assert_true(get_page(pg, d));
    fake_domain_end(d);
    found = domain_get(id);
    assert_non_null(found);
    assert_int_equal(found->state, DOMAIN_DEAD);
    domain_put(found);
    put_page(pg);
    fake_run_work();
    assert_null(domain_get(id));
}

static void test_kalloc(void **state)
{
    static struct {
        unsigned char *p;
        size_t size;
        unsigned char mark;
    } slot[SLOTS];
    uint64_t before = page_counts.free;

    srand(5);
    for (int step = 0; step < 20000; step++) {
        int i = rand() % SLOTS;

        if (slot[i].p) {
            for (size_t b = 0; b < slot[i].size; b++)
                assert_int_equal(slot[i].p[b], slot[i].mark);
            kfree(slot[i].p);
            slot[i].p = NULL;
        } else {
            slot[i].size = (size_t)(rand() % 100 ? rand() % 3000 : rand() % 20000) + 1;
            slot[i].p = kalloc(slot[i].size);
            assert_non_null(slot[i].p);
            assert_int_equal((uintptr_t)slot[i].p % 16, 0);
            slot[i].mark = (unsigned char)(step | 1);
            for (size_t b = 0; b < slot[i].size; b++)
                assert_int_equal(slot[i].p[b], 0);
            memset(slot[i].p, slot[i].mark, slot[i].size);
        }
    }
    for (int i = 0; i < SLOTS; i++)
        kfree(slot[i].p);
    assert_int_equal(page_counts.free, before);
    kfree(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_are_aligned_and_apart),
        cmocka_unit_test(test_buddies_merge),
        cmocka_unit_test(test_impossible_orders),
        cmocka_unit_test(test_domain_accounting),
        cmocka_unit_test(test_assign),
        cmocka_unit_test(test_scrubbing),
        cmocka_unit_test(test_tlb_is_flushed_before_reuse),
        cmocka_unit_test(test_claims),
        cmocka_unit_test(test_foreign_reference_keeps_the_page),
        cmocka_unit_test(test_kalloc),
    };

    fake_boot(2);
    fake_domain(true, 1, 64);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

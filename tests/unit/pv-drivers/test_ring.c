/*
 * The back end's ring: index checks, event suppression, and what a process finds that starts after another
 * was killed at any point between the first byte of a response and the guest's seeing it.
 */
#include "front.h"

#include <stdlib.h>
#include <string.h>

#include "../../../pv-drivers/common/bucket.h"
#include "../../../pv-drivers/common/ring.h"

#define SLOT     16u
#define RESPONSE 8u

static const struct ring_shape shape = {4096, SLOT, RESPONSE};

struct fixture {
    uint8_t page[4096];
    struct ring_journal journal;
    struct back_ring ring;
};

static void fill_requests(struct fixture *f, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i != to; i++) {
        uint64_t request[2] = {0x1111000000000000ull + i, i};
        memcpy(ring_slot(&f->ring, i), request, SLOT);
    }
    ((struct ring_header *)f->page)->req_prod = to;
}

static struct fixture *make(uint32_t start)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct ring_header *h = (struct ring_header *)f->page;
    h->req_prod = h->rsp_prod = start;
    h->rsp_event = start + 1;
    ring_attach(&f->ring, f->page, &shape, &f->journal, false);
    return f;
}

static void sizes_are_powers_of_two(void **state)
{
    assert_int_equal(ring_slots(4096, 112), 32);
    assert_int_equal(ring_slots(4096, 108), 32);
    assert_int_equal(ring_slots(16 * 4096, 112), 512);
    assert_int_equal(ring_slots(4096, 12), 256);
    assert_int_equal(ring_slots(4096, 8), 256);
}

static void a_runaway_index_is_seen(void **state)
{
    struct fixture *f = make(0xfffffff0);
    struct ring_header *h = (struct ring_header *)f->page;
    h->req_prod = 0xfffffff0 + f->ring.size;
    assert_int_equal(ring_waiting(&f->ring), f->ring.size);
    h->req_prod++;
    assert_int_equal(ring_waiting(&f->ring), -1);
    h->req_prod = 0xffffffef;
    assert_int_equal(ring_waiting(&f->ring), -1);
    free(f);
}

static void events_only_when_wanted(void **state)
{
    struct fixture *f = make(0);
    struct ring_header *h = (struct ring_header *)f->page;
    uint64_t answer = 1;
    fill_requests(f, 0, 4);
    f->ring.req_cons = 4;
    h->rsp_event = 3;
    ring_respond(&f->ring, &answer);
    ring_respond(&f->ring, &answer);
    assert_false(ring_publish(&f->ring));
    ring_respond(&f->ring, &answer);
    assert_true(ring_publish(&f->ring));
    ring_respond(&f->ring, &answer);
    assert_false(ring_publish(&f->ring));
    assert_false(ring_publish(&f->ring));
    free(f);
}

/* Killed after `steps` elementary steps of giving and publishing `count` answers. */
static void kill_after(uint32_t start, unsigned count, unsigned steps)
{
    struct fixture *f = make(start), *g = calloc(1, sizeof(*g));
    fill_requests(f, start, start + 10);
    f->ring.req_cons = start + 10;
    for (unsigned i = 0; i < count; i++) {
        uint64_t answer = 0xaaaa000000000000ull + (uint32_t)(start + i);
        ring_respond(&f->ring, &answer);
    }
    bool committed = steps > 0;
    if (committed)
        f->journal.answered = f->ring.rsp_done;
    for (unsigned i = 0; i + 1 < steps && i < count; i++)
        memcpy(ring_slot(&f->ring, start + i), f->journal.response[(start + i) & (f->ring.size - 1)],
               i + 2 == steps ? 3 : RESPONSE); /* the last one only in part */
    if (steps == count + 2)
        ((struct ring_header *)f->page)->rsp_prod = start + count;
    memcpy(g->page, f->page, sizeof(g->page));
    memcpy(&g->journal, &f->journal, sizeof(g->journal));
    ring_attach(&g->ring, g->page, &shape, &g->journal, true);
    uint32_t answered = start + (committed ? count : 0);
    assert_int_equal(((struct ring_header *)g->page)->rsp_prod, answered);
    assert_int_equal(g->ring.req_cons, answered);
    for (uint32_t i = start; i != start + 10; i++) {
        uint64_t slot[2];
        memcpy(slot, ring_slot(&g->ring, i), SLOT);
        if (i - start < answered - start)
            assert_int_equal(slot[0], 0xaaaa000000000000ull + i);
        else
            assert_int_equal(slot[0], 0x1111000000000000ull + i);
    }
    free(f);
    free(g);
}

static void killed_between_response_and_index(void **state)
{
    static const uint32_t starts[] = {0, 5, 250, 0xfffffffb};
    for (unsigned s = 0; s < 4; s++)
        for (unsigned count = 1; count <= 10; count++)
            for (unsigned steps = 0; steps <= count + 2; steps++)
                kill_after(starts[s], count, steps);
}

/* A journal of an earlier connection says nothing about a new one. */
static void a_new_connection_forgets_the_journal(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->journal.valid = 1;
    f->journal.answered = 7;
    ring_attach(&f->ring, f->page, &shape, &f->journal, false);
    assert_int_equal(f->ring.rsp_done, 0);
    assert_int_equal(((struct ring_header *)f->page)->rsp_prod, 0);
    free(f);
}

/* The guest may write nonsense over its own index: our own count stands. */
static void a_forged_response_index_is_ignored(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct ring_header *h = (struct ring_header *)f->page;
    f->journal.valid = 1;
    f->journal.answered = 7;
    h->rsp_prod = 0x80000000;
    ring_attach(&f->ring, f->page, &shape, &f->journal, true);
    assert_int_equal(f->ring.rsp_done, 7);
    assert_int_equal(h->rsp_prod, 7);
    free(f);
}

static void buckets_keep_the_rate(void **state)
{
    struct bucket b;
    uint64_t taken = 0;
    bucket_set(&b, 1000, 50, 0);
    for (uint64_t now = 0; now < 10 * BUCKET_SECOND; now += BUCKET_SECOND / 1000)
        while (bucket_open(&b, now)) {
            bucket_take(&b, 7);
            taken += 7;
        }
    assert_in_range(taken, 9990, 10070);
    bucket_take(&b, 5000); /* a request larger than the depth is paid for afterwards */
    assert_false(bucket_open(&b, 10 * BUCKET_SECOND));
    uint64_t opens = bucket_opens_at(&b);
    assert_in_range(opens, 14 * BUCKET_SECOND, 16 * BUCKET_SECOND);
    assert_true(bucket_open(&b, opens));
    bucket_set(&b, 0, 0, 0);
    assert_true(bucket_open(&b, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_powers_of_two),
        cmocka_unit_test(a_runaway_index_is_seen),
        cmocka_unit_test(events_only_when_wanted),
        cmocka_unit_test(killed_between_response_and_index),
        cmocka_unit_test(a_new_connection_forgets_the_journal),
        cmocka_unit_test(a_forged_response_index_is_ignored),
        cmocka_unit_test(buckets_keep_the_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

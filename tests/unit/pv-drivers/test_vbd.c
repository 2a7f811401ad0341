/*
 * The block back end against a front end and a disk in memory: every kind of request, the order of barriers,
 * limits, and a model test in which the process is killed at random and a new one takes over.
 */
#include "front.h"

#include <stdlib.h>
#include <string.h>

#include "../../../pv-drivers/blkback/vbd.h"

#define DISK_SECTORS 4096u
#define RING_GREF    1u
#define DATA_GREF    16u /* page i of request slot s is DATA_GREF + s * 16 + i */
#define INDIRECT     1000u

static struct fake_image disk;
static struct stats counters;
static struct ring_journal journal[VBD_MAX_QUEUES];

struct guest {
    struct ring_header *header;
    uint32_t req_prod, rsp_cons;
};

static struct guest guest;

static union blkif_sring_entry *slot(uint32_t index)
{
    return (union blkif_sring_entry *)((uint8_t *)guest.header + RING_HEADER_SIZE) + (index & 31);
}

static struct vbd *start(bool resume, bool persistent)
{
    struct vbd *v = calloc(1, sizeof(*v));
    uint32_t gref = RING_GREF;
    v->device.frontend_domid = 5;
    v->device.resumed = resume;
    v->persistent = persistent;
    v->limits = (struct request_limits){.sectors = DISK_SECTORS, .discard = true, .secure_discard = true};
    assert_int_equal(vbd_init(v, front_xen, &disk.image, &counters, journal), 0);
    assert_int_equal(vbd_attach_queue(v, 0, 5, &gref, 1, 3), 0);
    return v;
}

static void stop(struct vbd *v)
{
    disk.hold = false;
    vbd_destroy(v);
    free(v);
    assert_int_equal(front_mapped(), 0);
}

/* Ends a process as SIGKILL does: nothing is told to anyone; only its memory goes. */
static void kill_process(struct vbd *v)
{
    disk.count = disk.ended_count = 0;
    for (unsigned i = 0; i < v->queues; i++) {
        v->queue[i].ring.req_cons = v->queue[i].ring.rsp_done = v->queue[i].ring.published;
        free(v->queue[i].slot);
        v->queue[i].slot = NULL;
    }
    v->running = 0;
    v->barrier = NULL;
    vbd_destroy(v);
    free(v);
}

static int set_up(void **state)
{
    front_open();
    fake_image_open(&disk, DISK_SECTORS * 512);
    guest = (struct guest){.header = front_page(RING_GREF)};
    memset(&counters, 0, sizeof(counters));
    memset(journal, 0, sizeof(journal));
    guest.header->req_event = guest.header->rsp_event = 1;
    return 0;
}

static int tear_down(void **state)
{
    fake_image_close(&disk);
    front_close();
    return 0;
}

static void push(const union blkif_sring_entry *e)
{
    *slot(guest.req_prod) = *e;
    guest.header->req_prod = ++guest.req_prod;
}

static void simple(uint8_t operation, uint64_t id, uint64_t sector, unsigned pages)
{
    union blkif_sring_entry e = {
        .req = {.operation = operation, .nr_segments = (uint8_t)pages, .id = id, .sector_number = sector}};
    for (unsigned i = 0; i < pages; i++)
        e.req.seg[i] = (struct blkif_request_segment){DATA_GREF + (uint32_t)id * 16 + i, 0, 7};
    push(&e);
}

/* The next answer; fails the test when there is none. */
static struct blkif_response answer(void)
{
    struct blkif_response r;
    guest.header->rsp_event = guest.rsp_cons + 1;
    assert_int_not_equal(guest.header->rsp_prod, guest.rsp_cons);
    memcpy(&r, slot(guest.rsp_cons++), sizeof(r));
    return r;
}

static void expect(uint64_t id, int status)
{
    struct blkif_response r = answer();
    assert_int_equal(r.id, id);
    assert_int_equal(r.status, status);
}

static void moves_data(bool persistent)
{
    struct vbd *v = start(false, persistent);
    memset(front_page(DATA_GREF), 0x5a, 4096);
    simple(BLKIF_OP_WRITE, 0, 8, 1);
    simple(BLKIF_OP_READ, 1, 8, 1);
    vbd_run(v);
    expect(0, BLKIF_RSP_OKAY);
    expect(1, BLKIF_RSP_OKAY);
    assert_memory_equal(front_page(DATA_GREF + 16), front_page(DATA_GREF), 4096);
    assert_int_equal(disk.data[8 * 512], 0x5a);
    assert_int_equal(disk.data[16 * 512], 0);
    assert_int_equal(counters.value[VBD_SECTORS_WRITTEN], 8);
    assert_true(front_notified() > 0);
    stop(v);
}

static void data_moves_by_copy(void **state)
{
    moves_data(false);
}

static void data_moves_in_persistent_pages(void **state)
{
    moves_data(true);
}

static void data_moves_by_copy_from_persistent_pages(void **state)
{
    disk.image.pins_memory = true;
    moves_data(true);
}

/* Killed while direct I/O was under way on granted pages, Linux could never unmap them again. */
static void an_image_that_pins_memory_never_gets_granted_pages(void **state)
{
    struct vbd *v = start(false, true);
    disk.image.pins_memory = true;
    disk.hold = true;
    simple(BLKIF_OP_WRITE, 0, 0, 11);
    simple(BLKIF_OP_READ, 1, 128, 11);
    vbd_run(v);
    assert_int_equal(disk.count, 2);
    for (unsigned i = 0; i < disk.count; i++)
        for (unsigned k = 0; k < disk.waiting[i]->niov; k++) {
            const struct iovec *iov = &disk.waiting[i]->iov[k];
            size_t at = (size_t)((char *)iov->iov_base - (char *)v->pool);
            assert_true(at + iov->iov_len <= VBD_POOL_PAGES * XENIO_PAGE);
        }
    fake_image_end(&disk, 1);
    fake_image_end(&disk, 0);
    vbd_run(v);
    expect(0, BLKIF_RSP_OKAY);
    expect(1, BLKIF_RSP_OKAY);
    stop(v);
}

static void indirect_requests(void **state)
{
    struct vbd *v = start(false, false);
    struct blkif_request_segment *list = front_page(INDIRECT);
    union blkif_sring_entry e = {
        .indirect = {
            .operation = BLKIF_OP_INDIRECT, .indirect_op = BLKIF_OP_WRITE, .nr_segments = 200, .id = 9}};
    e.indirect.indirect_grefs[0] = INDIRECT;
    for (unsigned i = 0; i < 200; i++) {
        list[i] = (struct blkif_request_segment){DATA_GREF + i, 1, 2};
        memset(front_page(DATA_GREF + i), (int)i, 4096);
    }
    push(&e);
    vbd_run(v);
    struct blkif_response r = answer();
    assert_int_equal(r.status, BLKIF_RSP_OKAY);
    assert_int_equal(r.operation, BLKIF_OP_WRITE);
    for (unsigned i = 0; i < 400; i++)
        assert_int_equal(disk.data[i * 512], i / 2);
    stop(v);
}

static void a_bad_grant_fails_its_request_only(void **state)
{
    struct vbd *v = start(false, true);
    front_revoke(DATA_GREF, true);
    simple(BLKIF_OP_WRITE, 0, 0, 1);
    simple(BLKIF_OP_WRITE, 1, 0, 1);
    vbd_run(v);
    expect(0, BLKIF_RSP_ERROR);
    expect(1, BLKIF_RSP_OKAY);
    stop(v);
}

static void a_failing_disk_is_told(void **state)
{
    struct vbd *v = start(false, false);
    disk.fail_with = -5;
    simple(BLKIF_OP_READ, 0, 0, 1);
    vbd_run(v);
    expect(0, BLKIF_RSP_ERROR);
    stop(v);
}

static void a_runaway_index_ends_the_device(void **state)
{
    struct vbd *v = start(false, false);
    guest.header->req_prod = 33;
    vbd_run(v);
    assert_non_null(v->broken);
    v->broken = NULL;
    stop(v);
}

/* Answers stay in ring order although the disk ends requests backwards. */
static void answers_keep_the_order(void **state)
{
    struct vbd *v = start(false, false);
    disk.hold = true;
    for (unsigned i = 0; i < 8; i++)
        simple(BLKIF_OP_READ, i, i * 8, 1);
    vbd_run(v);
    for (unsigned i = 7; i > 0; i--) {
        fake_image_end(&disk, i);
        vbd_run(v);
        assert_int_equal(guest.header->rsp_prod, 0);
    }
    fake_image_end(&disk, 0);
    vbd_run(v);
    for (unsigned i = 0; i < 8; i++)
        expect(i, BLKIF_RSP_OKAY);
    stop(v);
}

static void a_barrier_waits_and_is_waited_for(void **state)
{
    struct vbd *v = start(false, false);
    disk.hold = true;
    simple(BLKIF_OP_WRITE, 0, 0, 1);
    simple(BLKIF_OP_WRITE_BARRIER, 1, 0, 1);
    simple(BLKIF_OP_WRITE, 2, 0, 1);
    vbd_run(v);
    assert_int_equal(disk.count, 1); /* only the first write */
    fake_image_end(&disk, 0);
    vbd_run(v);
    for (unsigned step = 0; step < 3; step++) { /* flush, write, flush: alone each time */
        assert_int_equal(disk.count, 1);
        assert_int_equal(disk.waiting[0]->op, step == 1 ? IMAGE_WRITE : IMAGE_FLUSH);
        fake_image_end(&disk, 0);
        vbd_run(v);
    }
    assert_int_equal(disk.flushes, 2);
    assert_int_equal(disk.count, 1);
    fake_image_end(&disk, 0);
    vbd_run(v);
    for (unsigned i = 0; i < 3; i++)
        expect(i, BLKIF_RSP_OKAY);
    stop(v);
}

static void secure_discard_overwrites_first(void **state)
{
    struct vbd *v = start(false, false);
    union blkif_sring_entry e = {.discard = {.operation = BLKIF_OP_DISCARD,
                                             .flag = BLKIF_DISCARD_SECURE,
                                             .id = 1,
                                             .sector_number = 8,
                                             .nr_sectors = 8}};
    disk.hold = true;
    push(&e);
    vbd_run(v);
    static const enum image_op order[] = {IMAGE_ZERO, IMAGE_FLUSH, IMAGE_DISCARD};
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(disk.waiting[0]->op, order[i]);
        fake_image_end(&disk, 0);
        vbd_run(v);
    }
    expect(1, BLKIF_RSP_OKAY);
    stop(v);
}

static void the_rate_limit_holds_requests_back(void **state)
{
    struct vbd *v = start(false, false);
    bucket_set(&v->operations, 1, 2, 0);
    v->operations.filled_at = ~0ull >> 2; /* time stands still for the bucket */
    v->operations.rate = 1;
    for (unsigned i = 0; i < 4; i++)
        simple(BLKIF_OP_READ, i, 0, 1);
    v->operations.level = 0;
    v->operations.depth = 0;
    vbd_run(v);
    assert_int_equal(guest.header->rsp_prod, 0);
    assert_true(v->wake_at != 0);
    bucket_set(&v->operations, 0, 0, 0);
    vbd_run(v);
    assert_int_equal(guest.header->rsp_prod, 4);
    stop(v);
}

/* --- the model
 * ---------------------------------------------------------------------------------------------------- */

static uint64_t seed;

static unsigned dice(unsigned sides)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)(seed >> 33) % sides;
}

struct model {
    uint8_t truth[DISK_SECTORS]; /* what each sector was last written with, by answered or pending writes */
    struct {
        bool busy, writes;
        uint64_t sector;
        unsigned pages;
        uint8_t value;
    } request[32];
    unsigned busy;
    uint64_t answered;
};

static struct model model;

/* Requests under way never overlap, as a guest's never do: each id has its own range of the disk. */
static void submit_random(void)
{
    unsigned id = dice(32);
    if (model.request[id].busy)
        return;
    unsigned pages = 1 + dice(11);
    uint64_t sector = id * 128 + dice(128 - pages * 8 + 1) / 8 * 8;
    bool writes = dice(2);
    uint8_t value = (uint8_t)(1 + dice(255));
    for (unsigned i = 0; i < pages; i++)
        memset(front_page(DATA_GREF + id * 16 + i), writes ? value : 0xee, 4096);
    model.request[id].busy = true;
    model.request[id].writes = writes;
    model.request[id].sector = sector;
    model.request[id].pages = pages;
    model.request[id].value = value;
    simple(writes ? (dice(16) ? BLKIF_OP_WRITE : BLKIF_OP_WRITE_BARRIER) : BLKIF_OP_READ, id, sector, pages);
    model.busy++;
}

static void check_read(unsigned id)
{
    for (unsigned s = 0; s < model.request[id].pages * 8; s++) {
        uint8_t *data = (uint8_t *)front_page(DATA_GREF + id * 16 + s / 8) + s % 8 * 512;
        assert_int_equal(data[0], model.truth[model.request[id].sector + s]);
        assert_int_equal(data[511], model.truth[model.request[id].sector + s]);
    }
}

static void take_answers(void)
{
    while (guest.header->rsp_prod != guest.rsp_cons) {
        struct blkif_response r = answer();
        assert_in_range(r.id, 0, 31);
        assert_int_equal(r.status, BLKIF_RSP_OKAY);
        unsigned id = (unsigned)r.id;
        assert_true(model.request[id].busy); /* not answered twice */
        if (model.request[id].writes)
            memset(model.truth + model.request[id].sector, model.request[id].value,
                   model.request[id].pages * 8);
        else
            check_read(id);
        model.request[id].busy = false;
        model.busy--;
        model.answered++;
    }
}

static void forget(unsigned i)
{
    disk.count--;
    disk.waiting[i] = disk.waiting[disk.count];
}

/* What was on the disk's way when the process died either happens, in part or in whole, or does not. */
static struct vbd *kill_and_restart(struct vbd *v, bool persistent)
{
    while (disk.count) {
        if (dice(2))
            fake_image_end(&disk, dice(disk.count));
        else
            forget(dice(disk.count));
    }
    kill_process(v);
    return start(true, persistent);
}

static void run_model(uint64_t first_seed, bool persistent)
{
    seed = first_seed;
    memset(&model, 0, sizeof(model));
    struct vbd *v = start(false, persistent);
    disk.hold = true;
    unsigned kills = 0;
    for (unsigned step = 0; step < 4000; step++) {
        unsigned what = dice(100);
        if (what < 50) {
            submit_random();
        } else if (what < 70) {
            for (unsigned n = dice(40); n && disk.count; n--)
                fake_image_end(&disk, dice(disk.count));
        } else if (what < 98) {
            vbd_run(v);
            take_answers();
        } else {
            v = kill_and_restart(v, persistent);
            kills++;
        }
        assert_null(v->broken);
    }
    disk.hold = false;
    vbd_run(v);
    take_answers();
    assert_int_equal(model.busy, 0);
    for (unsigned s = 0; s < DISK_SECTORS; s++)
        assert_int_equal(disk.data[s * 512], model.truth[s]);
    assert_true(kills > 50 && model.answered > 200);
    stop(v);
}

static void killed_at_random_nothing_is_lost_or_repeated(void **state)
{
    run_model(1, false);
}

static void killed_at_random_with_persistent_grants(void **state)
{
    run_model(2, true);
}

static void killed_at_random_with_an_image_that_pins_memory(void **state)
{
    disk.image.pins_memory = true;
    run_model(3, true);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(data_moves_by_copy),
        TEST(data_moves_in_persistent_pages),
        TEST(data_moves_by_copy_from_persistent_pages),
        TEST(an_image_that_pins_memory_never_gets_granted_pages),
        TEST(indirect_requests),
        TEST(a_bad_grant_fails_its_request_only),
        TEST(a_failing_disk_is_told),
        TEST(a_runaway_index_ends_the_device),
        TEST(answers_keep_the_order),
        TEST(a_barrier_waits_and_is_waited_for),
        TEST(secure_discard_overwrites_first),
        TEST(the_rate_limit_holds_requests_back),
        TEST(killed_at_random_nothing_is_lost_or_repeated),
        TEST(killed_at_random_with_persistent_grants),
        TEST(killed_at_random_with_an_image_that_pins_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

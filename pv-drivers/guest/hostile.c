/*
 * The front end as an enemy. Every case sends what no honest driver sends and says what must come back: the
 * protocol's error for a bad request, a good answer for the good request that follows it, and silence only
 * where the ring itself was broken.
 */
#include "kernel.h"

#include "../frontend/event.h"
#include "../frontend/grant.h"

#define ANSWER_TIME (20 * FE_SECOND)
#define NO_GRANT    0x7fffffffu

static struct blkfront disk;

/* Sends a request with id 0 as it is, and returns the status of the answer. */
static int ask(union blkif_sring_entry e)
{
    disk.buffer[0].status = BLKFRONT_BUSY;
    disk.buffer[0].operation =
        e.req.operation == BLKIF_OP_INDIRECT ? e.indirect.indirect_op : e.req.operation;
    e.req.id = 0;
    blkfront_raw(&disk, &e);
    return blkfront_finish(&disk, 0, ANSWER_TIME);
}

static int sane(void)
{
    union blkif_sring_entry e = {.req = {.operation = BLKIF_OP_READ, .nr_segments = 1}};
    e.req.seg[0] =
        (struct blkif_request_segment){.gref = disk.buffer[0].gref[0], .first_sect = 0, .last_sect = 7};
    return ask(e);
}

static int expect(const char *name, union blkif_sring_entry e, int wanted)
{
    int got = ask(e), after = sane();
    bool good = got == wanted && after == BLKIF_RSP_OKAY;
    print("%s: status %d, then a good request %d: %s\n", name, got, after, good ? "ok" : "WRONG");
    return good ? 0 : -1;
}

static union blkif_sring_entry read_of(uint8_t segments, uint64_t sector, uint32_t gref, uint8_t first,
                                       uint8_t last)
{
    union blkif_sring_entry e = {
        .req = {.operation = BLKIF_OP_READ, .nr_segments = segments, .sector_number = sector}};
    for (unsigned i = 0; i < BLKIF_MAX_SEGMENTS_PER_REQUEST; i++)
        e.req.seg[i] = (struct blkif_request_segment){.gref = gref, .first_sect = first, .last_sect = last};
    return e;
}

static union blkif_sring_entry indirect_of(uint8_t operation, uint16_t segments, uint64_t sector,
                                           uint32_t gref)
{
    union blkif_sring_entry e = {.indirect = {.operation = BLKIF_OP_INDIRECT,
                                              .indirect_op = operation,
                                              .nr_segments = segments,
                                              .sector_number = sector}};
    for (unsigned i = 0; i < BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST; i++)
        e.indirect.indirect_grefs[i] = gref;
    return e;
}

static union blkif_sring_entry discard_of(uint64_t sector, uint64_t sectors)
{
    return (union blkif_sring_entry){
        .discard = {.operation = BLKIF_OP_DISCARD, .sector_number = sector, .nr_sectors = sectors}};
}

static int bad_requests(void)
{
    uint32_t gref = disk.buffer[0].gref[0];
    uint64_t end = disk.sectors;
    memset(disk.buffer[1].page, 0xff, FE_PAGE);
    uint32_t garbage = disk.buffer[1].gref[0];
    int rc = 0;
    for (unsigned op = 7; op < 256; op += 31) {
        union blkif_sring_entry e = {.req = {.operation = (uint8_t)op, .nr_segments = 1}};
        rc |= expect("an operation that does not exist", e, BLKIF_RSP_EOPNOTSUPP);
    }
    rc |= expect("no segments", read_of(0, 0, gref, 0, 7), BLKIF_RSP_ERROR);
    rc |= expect("255 segments", read_of(255, 0, gref, 0, 7), BLKIF_RSP_ERROR);
    rc |= expect("first sector behind the last", read_of(1, 0, gref, 5, 2), BLKIF_RSP_ERROR);
    rc |= expect("a sector beyond the page", read_of(1, 0, gref, 0, 8), BLKIF_RSP_ERROR);
    rc |= expect("beyond the end of the disk", read_of(1, end, gref, 0, 7), BLKIF_RSP_ERROR);
    rc |= expect("across the end of the disk", read_of(2, end - 8, gref, 0, 7), BLKIF_RSP_ERROR);
    rc |= expect("a sector number that wraps", read_of(1, ~0ull - 3, gref, 0, 7), BLKIF_RSP_ERROR);
    rc |= expect("a grant that does not exist", read_of(1, 0, NO_GRANT, 0, 7), BLKIF_RSP_ERROR);
    rc |= expect("a grant that was never given", read_of(1, 0, 100, 0, 7), BLKIF_RSP_ERROR);
    rc |= expect("the same page for every segment", read_of(11, 0, gref, 0, 7), BLKIF_RSP_OKAY);
    rc |= expect("indirect with no segments", indirect_of(BLKIF_OP_READ, 0, 0, gref), BLKIF_RSP_ERROR);
    rc |= expect("indirect with 65535 segments", indirect_of(BLKIF_OP_READ, 65535, 0, gref), BLKIF_RSP_ERROR);
    rc |=
        expect("indirect inside indirect", indirect_of(BLKIF_OP_INDIRECT, 1, 0, gref), BLKIF_RSP_EOPNOTSUPP);
    rc |=
        expect("indirect page that is no grant", indirect_of(BLKIF_OP_READ, 8, 0, NO_GRANT), BLKIF_RSP_ERROR);
    rc |= expect("indirect page full of ones", indirect_of(BLKIF_OP_WRITE, 256, 0, garbage), BLKIF_RSP_ERROR);
    if (disk.discard) {
        rc |= expect("discard beyond the end", discard_of(end, 8), BLKIF_RSP_ERROR);
        rc |= expect("discard that wraps", discard_of(8, ~0ull), BLKIF_RSP_ERROR);
    }
    return rc;
}

/* A grant taken back while the back end may still use it: the request fails, nothing else does. */
static int revoked_grant(void)
{
    void *page = fe_page_alloc();
    grant_ref_t ref = grant_give(disk.device.backend_domid, page, false);
    grant_end(ref);
    return expect("a grant that was taken back", read_of(1, 0, ref, 0, 7), BLKIF_RSP_ERROR);
}

/* Floods the ring with requests and notifications; every one is answered. */
static int flood(void)
{
    for (unsigned round = 0; round < 200; round++) {
        for (unsigned i = 0; i < BLKFRONT_BUFFERS; i++)
            if (blkfront_start(&disk, i, BLKIF_OP_READ, (round * 64 + i) % 1024, 1))
                return -1;
        for (unsigned i = 0; i < 50; i++)
            event_send(disk.port);
        for (unsigned i = 0; i < BLKFRONT_BUFFERS; i++)
            if (blkfront_finish(&disk, i, ANSWER_TIME) != BLKIF_RSP_OKAY)
                return -1;
    }
    print("a flood of requests and events: ok\n");
    return 0;
}

/* The index runs away: the back end has to give up this device, and only this one. */
static int runaway(void)
{
    disk.ring.header->req_prod = disk.ring.req_prod + disk.ring.size + 1000;
    event_send(disk.port);
    int rc = xenbus_wait(&disk.device, XenbusStateClosing, XenbusStateClosed, ANSWER_TIME);
    print("a request index that runs away: back end state %u: %s\n",
          (unsigned)xenbus_backend_state(&disk.device), rc ? "WRONG" : "ok");
    return rc;
}

int hostile_disk(unsigned number)
{
    if (blkfront_open(&disk, number))
        return -1;
    int rc = bad_requests();
    rc |= revoked_grant();
    rc |= flood();
    rc |= runaway();
    print("hostile disk: %s\n", rc ? "FAILED" : "every case as it should be");
    return rc;
}

/* --- network
 * ------------------------------------------------------------------------------------------------------ */

static struct netfront net;

/* Sends slots and waits until all of them were answered; the number of answers with an error, or FE_TIME. */
static int transmit(const struct netif_tx_request *slots, unsigned count)
{
    uint64_t deadline = fe_now() + ANSWER_TIME;
    int errors = 0;
    netfront_raw(&net, slots, count);
    while (net.tx.rsp_cons != net.tx.req_prod) {
        if (front_ring_answers(&net.tx) == 0) {
            if (fe_now() > deadline)
                return FE_TIME;
            event_take(net.port);
            if (!front_ring_sleep(&net.tx))
                fe_wait(&net.port, 1, fe_now() + FE_SECOND / 10);
            continue;
        }
        struct netif_tx_response r;
        memcpy(&r, front_ring_slot(&net.tx, net.tx.rsp_cons++), sizeof(r));
        errors += r.status == NETIF_RSP_ERROR;
    }
    return errors;
}

static int expect_errors(const char *name, const struct netif_tx_request *slots, unsigned count, int wanted)
{
    struct netif_tx_request good = {.gref = net.tx_gref[0], .size = 60};
    int got = transmit(slots, count), after = transmit(&good, 1);
    print("%s: %d errors, then a good packet %d: %s\n", name, got, after,
          got == wanted && after == 0 ? "ok" : "WRONG");
    return got == wanted && after == 0 ? 0 : -1;
}

static int bad_packets(void)
{
    uint32_t gref = net.tx_gref[0];
    struct netif_tx_request s[4] = {{0}};
    int rc = 0;
    s[0] = (struct netif_tx_request){.gref = gref, .size = 5};
    rc |= expect_errors("a packet shorter than its header", s, 1, 1);
    s[0] = (struct netif_tx_request){.gref = gref, .offset = 4000, .size = 200};
    rc |= expect_errors("a packet across the end of its page", s, 1, 1);
    s[0] = (struct netif_tx_request){.gref = gref, .size = 65535};
    rc |= expect_errors("a packet larger than its page", s, 1, 1);
    s[0] = (struct netif_tx_request){.gref = NO_GRANT, .size = 60};
    rc |= expect_errors("a grant that does not exist", s, 1, 1);
    s[0] = (struct netif_tx_request){.gref = gref, .size = 60, .flags = NETTXF_csum_blank};
    rc |= expect_errors("an open checksum of no protocol", s, 1, 1);
    s[0] = (struct netif_tx_request){.gref = gref, .size = 60, .flags = NETTXF_more_data};
    s[1] = (struct netif_tx_request){.gref = gref, .size = 100};
    rc |= expect_errors("pieces larger than their packet", s, 2, 2);
    struct netif_extra_info e = {.type = XEN_NETIF_EXTRA_TYPE_GSO, .u.gso = {.size = 0, .type = 9}};
    s[0] = (struct netif_tx_request){.gref = gref, .size = 60, .flags = NETTXF_extra_info};
    memcpy(&s[1], &e, sizeof(e));
    rc |= expect_errors("segmentation of an unknown type", s, 2, 1);
    return rc;
}

/* A chain that never ends: the back end has to give up this device. */
static int endless_chain(void)
{
    struct netif_tx_request s[30];
    for (unsigned i = 0; i < 30; i++)
        s[i] = (struct netif_tx_request){.gref = net.tx_gref[0], .size = 10, .flags = NETTXF_more_data};
    s[0].size = 1000;
    netfront_raw(&net, s, 30);
    int rc = xenbus_wait(&net.device, XenbusStateClosing, XenbusStateClosed, ANSWER_TIME);
    print("a chain of slots without an end: back end state %u: %s\n",
          (unsigned)xenbus_backend_state(&net.device), rc ? "WRONG" : "ok");
    return rc;
}

int hostile_net(unsigned number)
{
    if (netfront_open(&net, number))
        return -1;
    int rc = bad_packets();
    rc |= endless_chain();
    print("hostile network: %s\n", rc ? "FAILED" : "every case as it should be");
    return rc;
}

#include "blkfront.h"

#include <public/io/protocols.h>
#include "event.h"
#include "grant.h"

#define STATE_TIME (60 * FE_SECOND)
#define SLOT_BYTES 112u

_Static_assert(sizeof(union blkif_sring_entry) == SLOT_BYTES, "block ring slot");

static int make_buffers(struct blkfront *b)
{
    for (unsigned i = 0; i < BLKFRONT_BUFFERS; i++) {
        b->buffer[i].page = fe_pages_alloc(BLKFRONT_BUFFER_PAGES);
        if (!b->buffer[i].page)
            return FE_ERROR;
        for (unsigned p = 0; p < BLKFRONT_BUFFER_PAGES; p++) {
            b->buffer[i].gref[p] =
                grant_give(b->device.backend_domid, (char *)b->buffer[i].page + p * FE_PAGE, false);
            if (b->buffer[i].gref[p] == GRANT_NONE)
                return FE_ERROR;
        }
    }
    return 0;
}

static int make_ring(struct blkfront *b)
{
    void *page = fe_page_alloc();
    if (!page)
        return FE_ERROR;
    front_ring_init(&b->ring, page, FE_PAGE, SLOT_BYTES);
    b->ring_ref = grant_give(b->device.backend_domid, page, false);
    int port = event_offer(b->device.backend_domid);
    if (b->ring_ref == GRANT_NONE || port < 0)
        return FE_ERROR;
    b->port = (evtchn_port_t)port;
    return 0;
}

static int publish(struct blkfront *b)
{
    int rc = xenbus_put(b->device.path, "ring-ref", b->ring_ref);
    rc = rc ? rc : xenbus_put(b->device.path, "event-channel", b->port);
    rc = rc ? rc : xenbus_put_text(b->device.path, "protocol", XEN_IO_PROTO_ABI_NATIVE);
    rc = rc ? rc : xenbus_put(b->device.path, "feature-persistent", 1);
    return rc ? rc : xenbus_set_state(&b->device, XenbusStateInitialised);
}

int blkfront_open(struct blkfront *b, unsigned number)
{
    int rc = xenbus_open(&b->device, "vbd", number);
    rc = rc ? rc : xenbus_set_state(&b->device, XenbusStateInitialising);
    rc = rc ? rc : xenbus_wait(&b->device, XenbusStateInitWait, XenbusStateInitWait, STATE_TIME);
    rc = rc ? rc : make_buffers(b);
    rc = rc ? rc : make_ring(b);
    rc = rc ? rc : publish(b);
    rc = rc ? rc : xenbus_wait(&b->device, XenbusStateConnected, XenbusStateClosed, STATE_TIME);
    if (rc || xenbus_backend_state(&b->device) != XenbusStateConnected)
        return rc ? rc : FE_ERROR;
    b->sectors = xenbus_get(b->device.backend, "sectors", 0);
    b->info = (unsigned)xenbus_get(b->device.backend, "info", 0);
    b->flush = xenbus_get(b->device.backend, "feature-flush-cache", 0);
    b->discard = xenbus_get(b->device.backend, "feature-discard", 0);
    b->persistent = xenbus_get(b->device.backend, "feature-persistent", 0);
    return xenbus_set_state(&b->device, XenbusStateConnected);
}

void blkfront_close(struct blkfront *b)
{
    xenbus_set_state(&b->device, XenbusStateClosing);
    xenbus_wait(&b->device, XenbusStateClosing, XenbusStateClosed, STATE_TIME);
    xenbus_set_state(&b->device, XenbusStateClosed);
    xenbus_wait(&b->device, XenbusStateClosed, XenbusStateClosed, STATE_TIME);
    event_close(b->port);
    grant_end(b->ring_ref);
    for (unsigned i = 0; i < BLKFRONT_BUFFERS; i++)
        for (unsigned p = 0; p < BLKFRONT_BUFFER_PAGES; p++)
            grant_end(b->buffer[i].gref[p]);
}

void blkfront_raw(struct blkfront *b, const void *request)
{
    memcpy(front_ring_slot(&b->ring, b->ring.req_prod), request, SLOT_BYTES);
    b->ring.req_prod++;
    if (front_ring_push(&b->ring))
        event_send(b->port);
}

static void fill_data(const struct blkfront *b, unsigned i, unsigned sectors, struct blkif_request *r)
{
    for (; sectors; r->nr_segments++) {
        unsigned now = sectors < 8 ? sectors : 8;
        r->seg[r->nr_segments] = (struct blkif_request_segment){
            .gref = b->buffer[i].gref[r->nr_segments], .first_sect = 0, .last_sect = (uint8_t)(now - 1)};
        sectors -= now;
    }
}

int blkfront_start(struct blkfront *b, unsigned i, uint8_t operation, uint64_t sector, unsigned sectors)
{
    union blkif_sring_entry e;
    if (i >= BLKFRONT_BUFFERS || b->buffer[i].status == BLKFRONT_BUSY || front_ring_free(&b->ring) == 0)
        return FE_ERROR;
    memset(&e, 0, sizeof(e));
    if (operation == BLKIF_OP_DISCARD) {
        e.discard = (struct blkif_request_discard){
            .operation = operation, .id = i, .sector_number = sector, .nr_sectors = sectors};
    } else {
        if (sectors > BLKFRONT_SECTORS)
            return FE_ERROR;
        e.req = (struct blkif_request){.operation = operation, .id = i, .sector_number = sector};
        fill_data(b, i, sectors, &e.req);
    }
    b->buffer[i].status = BLKFRONT_BUSY;
    b->buffer[i].operation = operation;
    blkfront_raw(b, &e);
    return 0;
}

unsigned blkfront_poll(struct blkfront *b)
{
    unsigned count = 0;
    for (uint32_t n = front_ring_answers(&b->ring); n; n--) {
        struct blkif_response r;
        memcpy(&r, front_ring_slot(&b->ring, b->ring.rsp_cons++), sizeof(r));
        __asm__ volatile("" ::: "memory");
        if (r.id >= BLKFRONT_BUFFERS || b->buffer[r.id].status != BLKFRONT_BUSY)
            continue; /* not an answer to anything we asked */
        b->buffer[r.id].status = r.operation == b->buffer[r.id].operation ? r.status : BLKIF_RSP_ERROR;
        count++;
    }
    return count;
}

int blkfront_finish(struct blkfront *b, unsigned i, uint64_t timeout)
{
    uint64_t deadline = fe_now() + timeout;
    for (;;) {
        event_take(b->port);
        blkfront_poll(b);
        if (b->buffer[i].status != BLKFRONT_BUSY)
            return b->buffer[i].status;
        if (fe_now() > deadline)
            return BLKFRONT_TIMEOUT;
        if (!front_ring_sleep(&b->ring))
            fe_wait(&b->port, 1, deadline);
    }
}

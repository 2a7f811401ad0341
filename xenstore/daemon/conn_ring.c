/*
 * Domains' connections: the protocol over the two rings of a shared page.
 *
 * Our own indexes (c->cons, c->prod) are what counts; they go to the journal first and into the shared page
 * after. The page is the domain's to write at any time, so nothing is believed from it: the two indexes that
 * belong to the domain are read once and checked, those that belong to us are only written.
 *
 * A request stays in the ring until it has been carried out, unless it is longer than the ring: then its
 * bytes are taken off piece by piece, each piece put into the journal before the ring is told. A crash at any
 * point therefore finds each request either done with its reply queued, or still there in full.
 */
#include "server.h"

#include "log.h"
#include "ring.h"

#include <string.h>

#define TURN_REQUESTS 16

struct ring_record {
    uint32_t domid, cons, prod;
    uint32_t sent;     /* bytes that left the queue */
    uint32_t clear_in; /* the partial request is done with */
    uint32_t in_len;   /* bytes that follow, added to the partial request */
};

static void journal_ring(struct server *s, struct conn *c, uint32_t sent, bool clear_in, const void *in,
                         uint32_t len)
{
    struct ring_record r = {.domid = c->domain->domid,
                            .cons = c->cons,
                            .prod = c->prod,
                            .sent = sent,
                            .clear_in = clear_in,
                            .in_len = len};

    journal_add(&s->journal, REC_RING, &r, sizeof(r), in, len, NULL, 0);
}

/* Begins to serve a mapped ring: from where its indexes are if it is fresh, from where the journal says if
 * not. */
void ring_begin(struct server *s, struct conn *c, bool fresh)
{
    struct xenstore_domain_interface *page = c->domain->ring.page;

    if (fresh) {
        c->cons = ring_load(&page->req_cons);
        c->prod = ring_load(&page->rsp_prod);
        journal_ring(s, c, 0, true, NULL, 0);
    }
    page->server_features = XENSTORE_SERVER_FEATURE_RECONNECTION | XENSTORE_SERVER_FEATURE_ERROR;
    if (fresh) {
        page->error = XENSTORE_ERROR_NONE;
    }
    ring_store(&page->req_cons, c->cons);
    ring_store(&page->rsp_prod, c->prod);
    conn_make_ready(s, c);
    conn_make_dirty(s, c);
    s->platform->notify(s->platform, c->domain);
}

void ring_break(struct server *s, struct conn *c, uint32_t error, const char *why)
{
    struct xenstore_domain_interface *page = c->domain->ring.page;

    log_msg(LOG_LEVEL_ERROR, "domain %u: %s; its connection is stopped, nobody else's", c->who.domid, why);
    ring_store(&page->error, error);
    conn_reset(s, c);
    buf_free(&c->in);
    buf_free(&c->out);
    c->out_at = 0;
    c->broken = true;
    conn_account(s, c);
    s->platform->notify(s->platform, c->domain);
}

/* The domain asks to begin anew (the reconnection feature). */
static void reconnect(struct server *s, struct conn *c)
{
    struct xenstore_domain_interface *page = c->domain->ring.page;
    uint32_t pending = (uint32_t)conn_pending(c);

    conn_reset(s, c);
    buf_free(&c->in);
    buf_free(&c->out);
    c->out_at = 0;
    c->cons = c->prod = 0;
    c->broken = false;
    journal_ring(s, c, pending, true, NULL, 0);
    journal_commit(&s->journal);
    conn_account(s, c);
    ring_store(&page->req_cons, 0);
    ring_store(&page->req_prod, 0);
    ring_store(&page->rsp_cons, 0);
    ring_store(&page->rsp_prod, 0);
    ring_store(&page->error, XENSTORE_ERROR_NONE);
    ring_store(&page->connection, XENSTORE_CONNECTED);
    s->platform->notify(s->platform, c->domain);
    log_msg(LOG_LEVEL_INFO, "domain %u: reconnected", c->who.domid);
}

/* Takes the beginning of a message off the ring, from `from` on: its sender may wait for room, or for the
 * ring to be empty, before it goes on. */
static void keep_partial(struct server *s, struct conn *c, const uint8_t *data, size_t len, size_t from)
{
    if (len > from) {
        buf_add(&c->in, data + from, len - from);
        c->cons += (uint32_t)(len - from);
        journal_ring(s, c, 0, false, data + from, (uint32_t)(len - from));
        journal_commit(&s->journal);
    }
}

bool ring_turn(struct server *s, struct conn *c)
{
    static uint8_t data[WIRE_MESSAGE_MAX + XENSTORE_RING_SIZE];
    struct xenstore_domain_interface *page = c->domain->ring.page;
    uint32_t old_cons = c->cons, prod, filled;
    unsigned budget = quota_over_soft(&s->store.quotas, c->account) ? 1 : TURN_REQUESTS;
    size_t len, at = 0, carried = c->in.len;
    struct xsd_sockmsg hdr;
    int size = 0;

    if (ring_load(&page->connection) == XENSTORE_RECONNECT) {
        reconnect(s, c);
        old_cons = carried = 0;
    }
    if (c->broken || conn_paused(s, c)) {
        return false;
    }
    prod = ring_load(&page->req_prod);
    if (!ring_sane(prod, c->cons)) {
        ring_break(s, c, XENSTORE_ERROR_RINGIDX, "the producer index of its request ring is impossible");
        return false;
    }
    filled = ring_filled(prod, c->cons);
    memcpy(data, carried ? c->in.data : data, carried);
    ring_get(page->req, c->cons, data + carried, filled);
    len = carried + filled;
    while (budget && !c->broken && !conn_paused(s, c) && (size = wire_frame(data + at, len - at, &hdr)) > 0) {
        dispatch(s, c, &hdr, (const char *)data + at + sizeof(hdr));
        at += (size_t)size;
        c->cons = old_cons + (uint32_t)(at - carried);
        c->in.len = 0;
        journal_ring(s, c, 0, true, NULL, 0);
        journal_commit(&s->journal);
        budget--;
    }
    if (size < 0) {
        ring_break(s, c, XENSTORE_ERROR_PROTO, "a message's length is above the protocol's limit");
        return false;
    }
    if (at && c->in.cap) {
        buf_free(&c->in);
    }
    if (size == 0 && at < len) {
        keep_partial(s, c, data, len, at > carried ? at : carried);
    }
    conn_account(s, c);
    if (c->cons != old_cons) {
        ring_store(&page->req_cons, c->cons);
        conn_make_dirty(s, c);
        s->platform->notify(s->platform, c->domain);
    }
    /* The other side sends an event only for a ring that it saw empty: look again after having emptied it. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return ring_load(&page->req_prod) != c->cons && !conn_paused(s, c) && !c->broken;
}

void ring_flush(struct server *s, struct conn *c)
{
    struct xenstore_domain_interface *page = c->domain->ring.page;
    bool sent = false;

    while (conn_pending(c) && !c->broken) {
        uint32_t cons = ring_load(&page->rsp_cons);
        uint32_t n;

        if (!ring_sane(c->prod, cons)) {
            ring_break(s, c, XENSTORE_ERROR_RINGIDX, "the consumer index of its response ring is impossible");
            return;
        }
        n = ring_room(c->prod, cons);
        n = n < conn_pending(c) ? n : (uint32_t)conn_pending(c);
        if (n == 0) {
            break;
        }
        ring_put(page->rsp, c->prod, c->out.data + c->out_at, n);
        c->prod += n;
        journal_ring(s, c, n, false, NULL, 0);
        journal_commit(&s->journal);
        ring_store(&page->rsp_prod, c->prod);
        __atomic_thread_fence(__ATOMIC_SEQ_CST); /* before looking at how much was taken meanwhile */
        conn_sent(s, c, n);
        sent = true;
    }
    if (sent) {
        conn_account(s, c);
        s->platform->notify(s->platform, c->domain);
        if (!conn_paused(s, c)) {
            conn_make_ready(s, c);
        }
    }
}

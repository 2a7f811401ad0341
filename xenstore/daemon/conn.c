/*
 * What local connections and domains have in common: identity, watches, transactions, queue of output.
 *
 * Everything queued for a ring client is also put into the journal batch, since after a crash the queue has
 * to be what it was. Local clients reconnect instead, so theirs is not kept.
 */
#include "server.h"

#include "log.h"

#include <stdlib.h>
#include <string.h>

#define SPARE_MAX 4096u

struct conn *conn_new(struct server *s, enum conn_kind kind, uint32_t key, const struct caller *who)
{
    struct conn *c = xcalloc(1, sizeof(*c));

    c->kind = kind;
    c->key = key;
    c->who = *who;
    c->fd = -1;
    c->account = account_get(&s->store.quotas, who->domid);
    c->account->conns++;
    watch_holder_init(&c->watches);
    list_init(&c->txns);
    list_init(&c->ready);
    list_init(&c->dirty);
    list_add_tail(&s->conns, &c->all);
    s->nconns++;
    return c;
}

void conn_account(struct server *s, struct conn *c)
{
    uint64_t now = c->in.cap + c->out.cap + c->txn_bytes;

    c->account->other_bytes += now - c->charged;
    c->charged = now;
}

void conn_reset(struct server *s, struct conn *c)
{
    uint64_t cost = 0;

    for (struct list *l = c->watches.watches.next; l != &c->watches.watches; l = l->next) {
        cost += watch_cost(container_of(l, struct watch, of_holder));
    }
    c->account->other_bytes -= cost;
    c->account->watches -= c->watches.count;
    watch_del_all(&s->watches, &c->watches);
    c->nmissed = 0;
    while (!list_empty(&c->txns)) {
        struct txn *t = container_of(c->txns.next, struct txn, of_conn);

        conn_txn_drop(s, c, t);
        store_txn_abort(&s->store, t);
    }
    if (c->kind == CONN_RING) {
        journal_add(&s->journal, REC_RESET, &c->key, sizeof(c->key), NULL, 0, NULL, 0);
    }
    conn_account(s, c);
}

void conn_free(struct server *s, struct conn *c)
{
    conn_reset(s, c);
    buf_free(&c->in);
    buf_free(&c->out);
    conn_account(s, c);
    c->account->conns--;
    list_del(&c->all);
    list_del(&c->ready);
    list_del(&c->dirty);
    s->nconns--;
    free(c);
}

void conn_make_ready(struct server *s, struct conn *c)
{
    if (list_empty(&c->ready)) {
        list_add_tail(&s->ready, &c->ready);
        s->work = true;
    }
}

void conn_make_dirty(struct server *s, struct conn *c)
{
    if (list_empty(&c->dirty)) {
        list_add_tail(&s->dirty, &c->dirty);
    }
}

void conn_send(struct server *s, struct conn *c, uint32_t type, uint32_t req_id, uint32_t tx_id,
               const void *data, size_t len)
{
    struct xsd_sockmsg hdr = {.type = type, .req_id = req_id, .tx_id = tx_id, .len = (uint32_t)len};

    if (c->closing || c->broken) {
        return;
    }
    if (!c->out.cap) {
        c->out = s->spare;
        s->spare = (struct buf){0};
    }
    buf_add(&c->out, &hdr, sizeof(hdr));
    buf_add(&c->out, data, len);
    if (c->kind == CONN_RING) {
        journal_add(&s->journal, REC_OUT, &c->key, sizeof(c->key), &hdr, sizeof(hdr), data, len);
    }
    conn_make_dirty(s, c);
}

bool conn_paused(const struct server *s, const struct conn *c)
{
    return s->store.quotas.soft[LIMIT_OUTSTANDING] &&
           conn_pending(c) > s->store.quotas.soft[LIMIT_OUTSTANDING];
}

static void journal_watch(struct server *s, struct conn *c, enum record type, const struct watch *w)
{
    char buf[XENSTORE_ABS_PATH_MAX];
    struct path p = watch_path(w, buf);
    uint32_t head[5] = {c->key, w->depth, w->skip, (uint32_t)p.len, w->missed};

    if (c->kind == CONN_RING) {
        journal_add(&s->journal, type, head, sizeof(head), p.s, p.len, w->token, w->token_len + 1u);
    }
}

/*
 * Queues an event. A client that does not read must not make us hold more and more: beyond its limit an event
 * is only marked on the watch, and when the client has caught up it gets one event for the watched path
 * itself.
 */
void conn_event(struct server *s, struct conn *c, struct watch *w, struct path path)
{
    char payload[XENSTORE_PAYLOAD_MAX];
    uint32_t max = limit_value(&s->store.quotas, c->account, LIMIT_OUTSTANDING);
    size_t path_len = path.len - w->skip;
    size_t len = path_len + 1 + w->token_len + 1u;

    if (max && conn_pending(c) + sizeof(struct xsd_sockmsg) + len > max) {
        if (!w->missed) {
            w->missed = true;
            journal_watch(s, c, REC_MISSED, w);
            if (c->nmissed++ == 0) {
                log_msg(LOG_LEVEL_INFO,
                        "domain %u: client does not read its events (%zu bytes wait, the limit "
                        "outstanding is %u); further ones are merged",
                        c->who.domid, conn_pending(c), max);
            }
        }
        return;
    }
    if (len > sizeof(payload)) {
        log_msg(LOG_LEVEL_WARNING,
                "domain %u: event on %.64s... with its token of %u bytes is longer than a "
                "message; left out",
                c->who.domid, path.s, w->token_len);
        return;
    }
    memcpy(payload, path.s + w->skip, path_len);
    payload[path_len] = '\0';
    memcpy(payload + path_len + 1, w->token, w->token_len + 1u);
    conn_send(s, c, XS_WATCH_EVENT, 0, 0, payload, len);
}

static void send_missed(struct server *s, struct conn *c)
{
    char buf[XENSTORE_ABS_PATH_MAX];

    for (struct list *l = c->watches.watches.next; l != &c->watches.watches && c->nmissed; l = l->next) {
        struct watch *w = container_of(l, struct watch, of_holder);

        if (w->missed && !conn_paused(s, c)) {
            w->missed = false;
            c->nmissed--;
            journal_watch(s, c, REC_MISSED, w);
            conn_event(s, c, w, watch_path(w, buf));
        }
    }
}

void conn_sent(struct server *s, struct conn *c, size_t len)
{
    c->out_at += (uint32_t)len;
    if (c->out_at == c->out.len) {
        /* Idle clients hold no buffers. */
        if (!s->spare.cap && c->out.cap <= SPARE_MAX) {
            s->spare = c->out;
            s->spare.len = 0;
            c->out = (struct buf){0};
        }
        buf_free(&c->out);
        c->out_at = 0;
    } else if (c->out_at > c->out.len / 2 && c->out_at > 65536) {
        buf_drop_front(&c->out, c->out_at);
        c->out_at = 0;
    }
    if (c->nmissed && conn_pending(c) == 0) {
        send_missed(s, c);
    }
}

struct txn *conn_txn(struct server *s, struct conn *c, uint32_t id)
{
    for (struct hlink *l = htab_first(&s->txns, ((uint64_t)c->key << 32) | id); l; l = htab_next(l)) {
        return container_of(l, struct txn, link);
    }
    return NULL;
}

void conn_txn_add(struct server *s, struct conn *c, struct txn *t)
{
    htab_insert(&s->txns, &t->link, ((uint64_t)c->key << 32) | t->id);
    list_add_tail(&c->txns, &t->of_conn);
    c->ntxns++;
    c->account->txns++;
    conn_txn_charge(s, c, t);
}

void conn_txn_charge(struct server *s, struct conn *c, struct txn *t)
{
    c->txn_bytes += txn_bytes(t) - t->charged;
    t->charged = txn_bytes(t);
    conn_account(s, c);
}

void conn_txn_drop(struct server *s, struct conn *c, struct txn *t)
{
    htab_remove(&s->txns, &t->link);
    list_del(&t->of_conn);
    c->ntxns--;
    c->account->txns--;
    c->txn_bytes -= t->charged;
    conn_account(s, c);
}

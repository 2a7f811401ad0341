/*
 * Keeping the state: writing a checkpoint, reading a state file, carrying on.
 *
 * A checkpoint is written in the same records that the journal uses, so there is one reader for both. A
 * directory holds state.<generation>; a new generation becomes valid with its end-of-checkpoint record, only
 * then the older one is deleted. Reading builds domains without rings first (nothing of a bad file may reach
 * a guest) and connects them when the whole file is in.
 */
#include "server.h"

#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOURNAL_SLACK (4u << 20)
#define BATCH_TARGET  (256u << 10)

struct node_head {
    uint16_t path_len;
    uint16_t nperms;
    uint32_t value_len;
};

struct ring_record {
    uint32_t domid, cons, prod, sent, clear_in, in_len;
};

struct socket_record {
    uint32_t key;
    uint32_t fd;
};

/* ---- writing ---- */

void state_note_change(struct server *s, enum change kind, struct path path, struct tree_node *n)
{
    static const enum record type[] = {
        [CHANGE_CREATE] = REC_CREATE,
        [CHANGE_VALUE] = REC_VALUE,
        [CHANGE_PERMS] = REC_PERMS,
        [CHANGE_REMOVE] = REC_REMOVE,
    };
    struct {
        struct node_head h;
        char path[XENSTORE_ABS_PATH_MAX];
    } rec;
    const void *perms = NULL, *value = NULL;
    size_t perms_len = 0, value_len = 0;

    if (!s->journal.on) {
        return;
    }
    rec.h = (struct node_head){.path_len = (uint16_t)path.len};
    memcpy(rec.path, path.s, path.len);
    if (kind == CHANGE_CREATE || kind == CHANGE_PERMS) {
        rec.h.nperms = (uint16_t)n->perms->n;
        perms = n->perms->e;
        perms_len = n->perms->n * sizeof(n->perms->e[0]);
    }
    if (kind == CHANGE_CREATE || kind == CHANGE_VALUE) {
        rec.h.value_len = n->value_len;
        value = node_value(n);
        value_len = n->value_len;
    }
    journal_add(&s->journal, type[kind], &rec, sizeof(rec.h) + path.len, perms, perms_len, value, value_len);
}

static bool save_node(void *ctx, struct path path, struct tree_node *n)
{
    struct server *s = ctx;

    if (path.len == 1) {
        state_note_change(s, CHANGE_VALUE, path, n);
        state_note_change(s, CHANGE_PERMS, path, n);
        return true;
    }
    state_note_change(s, CHANGE_CREATE, path, n);
    return s->journal.batch.len < BATCH_TARGET || journal_commit(&s->journal);
}

static void save_quotas(struct server *s)
{
    struct quotas *q = &s->store.quotas;

    for (unsigned l = 0; l < LIMIT_COUNT; l++) {
        uint32_t hard[4] = {DOMID_NONE, l, 0, q->hard[l]};
        uint32_t soft[4] = {DOMID_NONE, l, 1, q->soft[l]};

        journal_add(&s->journal, REC_QUOTA, hard, sizeof(hard), NULL, 0, NULL, 0);
        journal_add(&s->journal, REC_QUOTA, soft, sizeof(soft), NULL, 0, NULL, 0);
    }
    for (size_t i = 0; i < q->accounts.nbuckets; i++) {
        for (struct hlink *link = q->accounts.bucket[i]; link; link = link->next) {
            struct account *a = container_of(link, struct account, link);

            for (unsigned l = 0; a->hard && l < LIMIT_COUNT; l++) {
                uint32_t own[4] = {a->domid, l, 0, a->hard[l]};

                journal_add(&s->journal, REC_QUOTA, own, sizeof(own), NULL, 0, NULL, 0);
            }
        }
    }
}

static void save_conn(struct server *s, const struct conn *c)
{
    char buf[XENSTORE_ABS_PATH_MAX];

    for (struct list *l = c->watches.watches.next; l != &c->watches.watches; l = l->next) {
        struct watch *w = container_of(l, struct watch, of_holder);
        struct path p = watch_path(w, buf);
        uint32_t head[5] = {c->key, w->depth, w->skip, (uint32_t)p.len, w->missed};

        journal_add(&s->journal, REC_WATCH, head, sizeof(head), p.s, p.len, w->token, w->token_len + 1u);
    }
    for (struct list *l = c->txns.next; l != &c->txns; l = l->next) {
        uint32_t rec[2] = {c->key, container_of(l, struct txn, of_conn)->id};

        journal_add(&s->journal, REC_TXN, rec, sizeof(rec), NULL, 0, NULL, 0);
    }
    if (conn_pending(c)) {
        journal_add(&s->journal, REC_OUT, &c->key, sizeof(c->key), c->out.data + c->out_at, conn_pending(c),
                    NULL, 0);
    }
}

static void save_domain(struct server *s, const struct domain *d)
{
    const struct conn *c = d->conn;
    struct ring_record r = {
        .domid = d->domid, .cons = c->cons, .prod = c->prod, .in_len = (uint32_t)c->in.len};

    domain_journal(s, d);
    journal_add(&s->journal, REC_RING, &r, sizeof(r), c->in.data, c->in.len, NULL, 0);
    save_conn(s, c);
    journal_commit(&s->journal);
}

/* For live update: the connection lives on in the next program, under the same descriptor. */
static void save_socket(struct server *s, const struct conn *c)
{
    struct socket_record r = {.key = c->key, .fd = (uint32_t)c->fd};

    fcntl(c->fd, F_SETFD, 0);
    journal_add(&s->journal, REC_SOCKET, &r, sizeof(r), c->in.data, c->in.len, NULL, 0);
    save_conn(s, c);
    journal_commit(&s->journal);
}

static bool save_all(struct server *s, bool sockets)
{
    uint32_t counters[2] = {s->last_txn, s->last_socket};

    journal_add(&s->journal, REC_COUNTERS, counters, sizeof(counters), NULL, 0, NULL, 0);
    save_quotas(s);
    for (unsigned i = 0; i < SPECIAL_COUNT; i++) {
        const struct perms *p = s->store.special[i];
        uint32_t head[2] = {i, p->n};

        journal_add(&s->journal, REC_SPECIAL, head, sizeof(head), p->e, p->n * sizeof(p->e[0]), NULL, 0);
    }
    if (!node_walk(s->store.tree.root, (struct path){"/", 1}, save_node, s) || !journal_commit(&s->journal)) {
        return false;
    }
    for (struct list *l = s->domain_list.next; l != &s->domain_list; l = l->next) {
        save_domain(s, container_of(l, struct domain, all));
    }
    for (struct list *l = s->conns.next; sockets && l != &s->conns; l = l->next) {
        struct conn *c = container_of(l, struct conn, all);

        if (c->kind == CONN_SOCKET && !c->closing) {
            save_socket(s, c);
        }
    }
    if (sockets) {
        uint32_t fd = (uint32_t)s->listen_fd;

        fcntl(s->listen_fd, F_SETFD, 0);
        journal_add(&s->journal, REC_LISTENER, &fd, sizeof(fd), NULL, 0, NULL, 0);
    }
    journal_add(&s->journal, REC_END_OF_CHECKPOINT, NULL, 0, NULL, 0, NULL, 0);
    return journal_commit(&s->journal);
}

void state_name(const struct server *s, uint64_t generation, char *out, size_t size)
{
    snprintf(out, size, "%s/state.%llu", s->dir, (unsigned long long)generation);
}

int state_checkpoint(struct server *s, bool sockets)
{
    struct journal old = s->journal, next;
    char file[512], old_file[512];
    int rc;

    state_name(s, old.generation + 1, file, sizeof(file));
    rc = journal_create(&next, file, old.generation + 1);
    if (!rc) {
        s->journal = next;
        rc = save_all(s, sockets) ? 0 : ENOSPC;
        next = s->journal;
    }
    if (rc) {
        log_msg(LOG_LEVEL_ERROR, "no checkpoint in %s: %s; the state file before it stays in use", file,
                strerror(rc));
        if (next.fd >= 0) {
            journal_close(&next);
        }
        unlink(file);
        s->journal = old;
        /* Try again only after as much was written again. */
        s->journal.checkpoint = old.used;
        return rc;
    }
    s->journal.checkpoint = s->journal.used;
    state_name(s, old.generation, old_file, sizeof(old_file));
    if (old.fd >= 0) {
        journal_close(&old);
    }
    unlink(old_file);
    log_msg(LOG_LEVEL_DEBUG, "checkpoint %llu: %zu bytes", (unsigned long long)s->journal.generation,
            s->journal.used);
    return 0;
}

void state_checkpoint_if_due(struct server *s)
{
    struct journal *j = &s->journal;

    if (j->on && (j->full || j->used - j->checkpoint > JOURNAL_SLACK + 2 * j->checkpoint)) {
        state_checkpoint(s, false);
    }
}

/* ---- reading ---- */

static struct conn *conn_by_key(struct server *s, uint32_t key)
{
    struct domain *d;

    if (key < SOCKET_KEY) {
        d = domain_find(s, key);
        return d ? d->conn : NULL;
    }
    for (struct list *l = s->conns.prev; l != &s->conns; l = l->prev) {
        struct conn *c = container_of(l, struct conn, all);

        if (c->key == key) {
            return c;
        }
    }
    return NULL;
}

/* Entries of a permission set as they must be: 1 to PERMS_MAX, numbers in range. Copied, since records may be
 * unaligned. */
static bool read_perms(struct reader *r, uint32_t n, struct perm *e)
{
    if (n == 0 || n > PERMS_MAX || !read_bytes(r, e, n * sizeof(*e))) {
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (e[i].domid > 65535 || e[i].bits > (PERM_READ | PERM_WRITE)) {
            return false;
        }
    }
    return true;
}

static bool load_node(struct server *s, enum record type, struct reader *r)
{
    struct perm e[PERMS_MAX];
    struct node_head h;
    struct path path;
    const void *value = NULL, *p;

    if (!read_bytes(r, &h, sizeof(h)) || !read_ref(r, &p, h.path_len)) {
        return false;
    }
    path = (struct path){p, h.path_len};
    if (!path_valid(path.s, path.len) || h.value_len > XENSTORE_PAYLOAD_MAX) {
        return false;
    }
    if ((type == REC_CREATE || type == REC_PERMS) && !read_perms(r, h.nperms, e)) {
        return false;
    }
    if (!read_ref(r, &value, h.value_len)) {
        return false;
    }
    switch (type) {
    case REC_CREATE:
        return store_replay_create(&s->store, path, e, h.nperms, value, h.value_len);
    case REC_VALUE:
        return store_replay_value(&s->store, path, value, h.value_len);
    case REC_PERMS:
        return store_replay_perms(&s->store, path, e, h.nperms);
    default:
        return path.len > 1 && store_replay_remove(&s->store, path);
    }
}

static bool load_special(struct server *s, struct reader *r)
{
    struct perm e[PERMS_MAX];
    uint32_t head[2];

    if (!read_bytes(r, head, sizeof(head)) || head[0] >= SPECIAL_COUNT || !read_perms(r, head[1], e)) {
        return false;
    }
    perms_put(&s->store.perms, s->store.special[head[0]]);
    s->store.special[head[0]] = perms_get(&s->store.perms, e, head[1]);
    return true;
}

static bool load_quota(struct server *s, struct reader *r)
{
    uint32_t v[4];

    if (!read_bytes(r, v, sizeof(v)) || v[1] >= LIMIT_COUNT || (v[0] != DOMID_NONE && v[0] > 65535)) {
        return false;
    }
    if (v[2]) {
        s->store.quotas.soft[v[1]] = v[3];
    } else {
        limit_set(&s->store.quotas, v[0] == DOMID_NONE ? NULL : account_get(&s->store.quotas, v[0]),
                  (enum limit)v[1], v[3]);
    }
    return true;
}

/* A domain without a ring yet: state_restore connects it. */
static bool load_domain(struct server *s, struct reader *r)
{
    uint64_t v[6];
    struct domain *d;

    if (!read_bytes(r, v, sizeof(v)) || v[0] >= 0x7ff0) {
        return false;
    }
    d = domain_find(s, (uint32_t)v[0]);
    if (!d) {
        struct caller who = {.domid = (uint32_t)v[0], .target = DOMID_NONE, .privileged = v[0] == 0};

        d = xcalloc(1, sizeof(*d));
        d->domid = (uint32_t)v[0];
        htab_insert(&s->domains, &d->link, d->domid);
        list_add_tail(&s->domain_list, &d->all);
        d->conn = conn_new(s, CONN_RING, d->domid, &who);
        d->conn->domain = d;
    }
    d->port = (uint32_t)v[1];
    d->mfn = v[2];
    d->identity = v[3];
    d->target = (uint32_t)v[4];
    d->shutdown_told = v[5] != 0;
    d->conn->who.target = d->target;
    return true;
}

static bool load_release(struct server *s, struct reader *r)
{
    uint32_t domid;
    struct domain *d;

    if (!read_bytes(r, &domid, sizeof(domid)) || !(d = domain_find(s, domid))) {
        return false;
    }
    d->conn->domain = NULL;
    conn_free(s, d->conn);
    htab_remove(&s->domains, &d->link);
    list_del(&d->all);
    free(d);
    return true;
}

static bool load_dead(struct server *s, struct reader *r)
{
    uint32_t domid;

    if (!read_bytes(r, &domid, sizeof(domid)) || domid == 0 || domid > 65535) {
        return false;
    }
    perms_forget_domain(&s->store.perms, domid);
    return true;
}

static bool load_watch(struct server *s, enum record type, struct reader *r)
{
    uint32_t head[5];
    struct conn *c;
    struct path path;
    struct watch *w;
    const void *p, *token;
    size_t token_len;

    if (!read_bytes(r, head, sizeof(head)) || !read_ref(r, &p, head[3]) || !(c = conn_by_key(s, head[0]))) {
        return false;
    }
    path = (struct path){p, head[3]};
    token_len = r->left;
    if (token_len == 0 || token_len > XENSTORE_PAYLOAD_MAX || !read_ref(r, &token, token_len) ||
        memchr(token, '\0', token_len) != (const char *)token + token_len - 1 ||
        !(path_valid(path.s, path.len) || path_special(path.s, path.len)) || head[2] >= path.len) {
        return false;
    }
    w = watch_find(&s->watches, &c->watches, path, token);
    if (type == REC_WATCH) {
        w = w ? NULL : watch_add(&s->watches, &c->watches, path, token, (uint16_t)head[2], head[1]);
        if (!w) {
            return false;
        }
        c->account->watches++;
        c->account->other_bytes += watch_cost(w);
    } else if (!w) {
        return false;
    }
    if (type == REC_UNWATCH) {
        c->nmissed -= w->missed;
        c->account->watches--;
        c->account->other_bytes -= watch_cost(w);
        watch_del(&s->watches, w);
    } else if (w->missed != (head[4] != 0)) {
        c->nmissed += head[4] ? 1 : -1;
        w->missed = head[4] != 0;
    }
    return true;
}

/* Transactions do not survive, but whoever had one may go on in it and hears EAGAIN at its end. */
static bool load_txn(struct server *s, enum record type, struct reader *r)
{
    uint32_t v[2];
    struct conn *c;
    struct txn *t;

    if (!read_bytes(r, v, sizeof(v)) || !(c = conn_by_key(s, v[0])) || v[1] == 0) {
        return false;
    }
    t = conn_txn(s, c, v[1]);
    if (type == REC_TXN) {
        if (t) {
            return false;
        }
        t = store_txn_start(&s->store, &c->who, v[1]);
        t->lost = true;
        txn_drop_snapshots(t); /* taken anew when all is read: see state_restore */
        conn_txn_add(s, c, t);
    } else {
        if (!t) {
            return false;
        }
        conn_txn_drop(s, c, t);
        store_txn_abort(&s->store, t);
    }
    s->last_txn = v[1] > s->last_txn ? v[1] : s->last_txn;
    return true;
}

static bool load_out(struct server *s, struct reader *r)
{
    uint32_t key;
    struct conn *c;

    if (!read_bytes(r, &key, sizeof(key)) || !(c = conn_by_key(s, key))) {
        return false;
    }
    buf_add(&c->out, r->at, r->left);
    return true;
}

static bool load_ring(struct server *s, struct reader *r)
{
    struct ring_record v;
    struct domain *d;
    const void *in;

    if (!read_bytes(r, &v, sizeof(v)) || !(d = domain_find(s, v.domid)) || !read_ref(r, &in, v.in_len) ||
        v.sent > conn_pending(d->conn) || d->conn->in.len + v.in_len > WIRE_MESSAGE_MAX) {
        return false;
    }
    d->conn->cons = v.cons;
    d->conn->prod = v.prod;
    if (v.clear_in) {
        buf_free(&d->conn->in);
    }
    buf_add(&d->conn->in, in, v.in_len);
    d->conn->out_at += v.sent;
    if (d->conn->out_at == d->conn->out.len) {
        buf_free(&d->conn->out);
        d->conn->out_at = 0;
    }
    return true;
}

static bool load_socket(struct server *s, struct reader *r)
{
    struct socket_record v;
    struct conn *c;
    struct stat st;

    if (!read_bytes(r, &v, sizeof(v)) || v.key < SOCKET_KEY || r->left > WIRE_MESSAGE_MAX ||
        fstat((int)v.fd, &st) || !S_ISSOCK(st.st_mode) || conn_by_key(s, v.key)) {
        return false;
    }
    fcntl((int)v.fd, F_SETFD, FD_CLOEXEC);
    c = socket_conn_new(s, (int)v.fd, v.key);
    buf_add(&c->in, r->at, r->left);
    return true;
}

static bool load_reset(struct server *s, struct reader *r)
{
    uint32_t key;
    struct conn *c;

    if (!read_bytes(r, &key, sizeof(key)) || !(c = conn_by_key(s, key))) {
        return false;
    }
    conn_reset(s, c);
    return true;
}

static bool load_listener(struct server *s, struct reader *r)
{
    uint32_t fd;
    struct stat st;

    if (!read_bytes(r, &fd, sizeof(fd)) || fstat((int)fd, &st) || !S_ISSOCK(st.st_mode) ||
        s->listen_fd >= 0) {
        return false;
    }
    fcntl((int)fd, F_SETFD, FD_CLOEXEC);
    s->listen_fd = (int)fd;
    return true;
}

static bool load_counters(struct server *s, struct reader *r)
{
    uint32_t v[2];

    if (!read_bytes(r, v, sizeof(v))) {
        return false;
    }
    s->last_txn = v[0];
    s->last_socket = v[1];
    return true;
}

/* Is the record about a local connection? After a crash those are gone; their clients connect again. */
static bool of_socket(enum record type, const uint8_t *data, size_t len)
{
    uint32_t key = 0;

    memcpy(&key, data, len < sizeof(key) ? len : sizeof(key));
    switch (type) {
    case REC_SOCKET:
    case REC_LISTENER:
        return true;
    case REC_WATCH:
    case REC_UNWATCH:
    case REC_MISSED:
    case REC_RESET:
    case REC_TXN:
    case REC_TXN_END:
    case REC_OUT:
        return key >= SOCKET_KEY;
    default:
        return false;
    }
}

bool state_load_record(void *ctx, enum record type, const uint8_t *data, size_t len)
{
    struct server *s = ctx;
    struct reader r = {data, len};

    if (!s->live_update && of_socket(type, data, len)) {
        return true;
    }
    switch (type) {
    case REC_CREATE:
    case REC_VALUE:
    case REC_PERMS:
    case REC_REMOVE:
        return load_node(s, type, &r);
    case REC_SPECIAL:
        return load_special(s, &r);
    case REC_QUOTA:
        return load_quota(s, &r);
    case REC_DOMAIN:
        return load_domain(s, &r);
    case REC_RELEASE:
        return load_release(s, &r);
    case REC_DEAD:
        return load_dead(s, &r);
    case REC_WATCH:
    case REC_UNWATCH:
    case REC_MISSED:
        return load_watch(s, type, &r);
    case REC_RESET:
        return load_reset(s, &r);
    case REC_TXN:
    case REC_TXN_END:
        return load_txn(s, type, &r);
    case REC_OUT:
        return load_out(s, &r);
    case REC_RING:
        return load_ring(s, &r);
    case REC_SOCKET:
        return load_socket(s, &r);
    case REC_LISTENER:
        return load_listener(s, &r);
    case REC_COUNTERS:
        return load_counters(s, &r);
    case REC_END_OF_CHECKPOINT:
        break;
    }
    return false;
}

/*
 * Requests: one table row each. The dispatcher checks what all have in common (type, privilege, transaction),
 * calls the row's function, turns an errno into an error reply, and leaves the trace line. Handlers decode
 * their arguments, call the store, and reply.
 */
#include "server.h"

#include "log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct request {
    struct server *s;
    struct conn *c;
    const struct xsd_sockmsg *hdr;
    const char *payload;
    uint32_t len;
    struct txn *txn;
    char path_buf[XENSTORE_ABS_PATH_MAX + 1];
};

static int reply(struct request *r, const void *data, size_t len)
{
    if (len > XENSTORE_PAYLOAD_MAX) {
        return cause(E2BIG, "the answer has %zu bytes, more than a message of %u", len, XENSTORE_PAYLOAD_MAX);
    }
    conn_send(r->s, r->c, r->hdr->type, r->hdr->req_id, r->hdr->tx_id, data, len);
    return 0;
}

static int ack(struct request *r, int rc)
{
    return rc ? rc : reply(r, "OK", 3);
}

static int bad_args(const char *form)
{
    return cause(EINVAL, "the arguments are not of the form %s", form);
}

static int to_path(struct request *r, const char *s, struct path *out)
{
    const char *why;

    if (!path_from_client(s, strlen(s), r->c->who.domid, r->path_buf, out, &why)) {
        return cause(EINVAL, "%s", why);
    }
    return 0;
}

/* The one argument of most requests. */
static int one_path(struct request *r, struct path *out)
{
    const char *s = wire_one(r->payload, r->len);

    return s ? to_path(r, s, out) : bad_args("<path>|");
}

static int do_read(struct request *r)
{
    const struct tree_node *n;
    struct path path;
    int rc = one_path(r, &path);

    rc = rc ? rc : store_read(&r->s->store, r->txn, &r->c->who, path, &n);
    return rc ? rc : reply(r, node_value(n), n->value_len);
}

static int do_write(struct request *r)
{
    const char *end = memchr(r->payload, '\0', r->len);
    struct path path;
    uint32_t skip;
    int rc;

    if (!end) {
        return bad_args("<path>|<value>");
    }
    rc = to_path(r, r->payload, &path);
    skip = (uint32_t)(end + 1 - r->payload);
    rc = rc ? rc : store_write(&r->s->store, r->txn, &r->c->who, path, r->payload + skip, r->len - skip);
    return ack(r, rc);
}

static int do_mkdir(struct request *r)
{
    struct path path;
    int rc = one_path(r, &path);

    return ack(r, rc ? rc : store_mkdir(&r->s->store, r->txn, &r->c->who, path));
}

static int do_rm(struct request *r)
{
    struct path path;
    int rc = one_path(r, &path);

    return ack(r, rc ? rc : store_rm(&r->s->store, r->txn, &r->c->who, path));
}

/* Copies names of children from index i on, starting `inside` the first one; only whole names beyond that. */
static size_t copy_names(const struct tree_node *n, uint32_t i, uint32_t inside, char *out, size_t max,
                         bool *all)
{
    size_t len = 0;
    uint32_t count = node_kids(n);

    for (; i < count; i++, inside = 0) {
        const struct tree_node *kid = node_kid(n, i);
        size_t part = kid->name_len - inside;

        if (len + part + 1 > max) {
            break;
        }
        memcpy(out + len, kid->bytes + inside, part);
        out[len + part] = '\0';
        len += part + 1;
    }
    *all = i == count;
    return len;
}

static int do_directory(struct request *r)
{
    char names[XENSTORE_PAYLOAD_MAX];
    const struct tree_node *n;
    struct path path;
    bool all;
    int rc = one_path(r, &path);

    rc = rc ? rc : store_list(&r->s->store, r->txn, &r->c->who, path, &n);
    if (rc) {
        return rc;
    }
    if (node_kids_bytes(n) > sizeof(names)) {
        return cause(E2BIG, "the names of %u children do not fit a message; directory-part lists them",
                     node_kids(n));
    }
    return reply(r, names, copy_names(n, 0, 0, names, sizeof(names), &all));
}

static int do_directory_part(struct request *r)
{
    char out[XENSTORE_PAYLOAD_MAX];
    const struct tree_node *n;
    const char *v[2];
    uint64_t offset;
    uint32_t index, inside;
    struct path path;
    size_t len;
    bool all;
    int rc;

    if (wire_strings(r->payload, r->len, v, 2) != 2 || !wire_number(v[1], UINT32_MAX, &offset)) {
        return bad_args("<path>|<offset>|");
    }
    rc = to_path(r, v[0], &path);
    rc = rc ? rc : store_list(&r->s->store, r->txn, &r->c->who, path, &n);
    if (rc) {
        return rc;
    }
    len = (size_t)snprintf(out, sizeof(out), "%llu", (unsigned long long)n->kids_version) + 1;
    index = node_kid_at_byte(n, (uint32_t)offset, &inside);
    len += copy_names(n, index, inside, out + len, sizeof(out) - len - 1, &all);
    if (all) {
        out[len++] = '\0';
    }
    return reply(r, out, len);
}

static int do_get_perms(struct request *r)
{
    char out[PERMS_MAX * 12];
    const struct perms *p;
    const char *s = wire_one(r->payload, r->len);
    struct path path;
    size_t len = 0;
    int rc, special = s ? store_special_index((struct path){s, strlen(s)}) : -1;

    if (special >= 0) {
        p = r->s->store.special[special];
        rc = perms_allow(p, &r->c->who) & PERM_READ
                 ? 0
                 : cause(EACCES, "not readable for domain %u", r->c->who.domid);
    } else {
        rc = one_path(r, &path);
        rc = rc ? rc : store_get_perms(&r->s->store, r->txn, &r->c->who, path, &p);
    }
    if (rc) {
        return rc;
    }
    for (uint32_t i = 0; i < p->n; i++) {
        len += (size_t)perm_format(&p->e[i], out + len) + 1;
    }
    return reply(r, out, len);
}

/* Entries from their texts. Domains that do not exist get no rights, or whoever has their number next would.
 */
static int parse_perms(struct request *r, const char **v, unsigned n, struct perm *e, uint32_t *count)
{
    *count = 0;
    for (unsigned i = 0; i < n; i++) {
        if (!perm_parse(v[i], &e[*count])) {
            return cause(EINVAL, "\"%.20s\" is no permission (n, r, w or b and a domain number)", v[i]);
        }
        if (i == 0 || domain_may_exist(r->s, e[*count].domid)) {
            (*count)++;
        }
    }
    return 0;
}

static void journal_special(struct server *s, int index)
{
    const struct perms *p = s->store.special[index];
    uint32_t head[2] = {(uint32_t)index, p->n};

    journal_add(&s->journal, REC_SPECIAL, head, sizeof(head), p->e, p->n * sizeof(p->e[0]), NULL, 0);
}

static int do_set_perms(struct request *r)
{
    const char *v[PERMS_MAX + 1];
    struct perm e[PERMS_MAX];
    unsigned n = wire_strings(r->payload, r->len, v, PERMS_MAX + 1);
    struct path path;
    uint32_t count;
    int rc, special;

    if (n < 2) {
        return bad_args("<path>|<permission>|+");
    }
    if (n > PERMS_MAX + 1) {
        return cause(ENOSPC, "%u permissions; a node can have %u at most", n - 1, PERMS_MAX);
    }
    rc = parse_perms(r, v + 1, n - 1, e, &count);
    if (rc) {
        return rc;
    }
    special = store_special_index((struct path){v[0], strlen(v[0])});
    if (special >= 0) {
        rc = store_set_special(&r->s->store, &r->c->who, special, e, count);
        if (!rc) {
            journal_special(r->s, special);
        }
        return ack(r, rc);
    }
    rc = to_path(r, v[0], &path);
    return ack(r, rc ? rc : store_set_perms(&r->s->store, r->txn, &r->c->who, path, e, count));
}

/* The path of a watch may be special; *skip is what event paths leave off. */
static int watch_args(struct request *r, const char **v, unsigned max, unsigned *n, struct path *path,
                      uint16_t *skip)
{
    int rc = 0;

    *n = wire_strings(r->payload, r->len, v, max);
    if (*n < 2) {
        return bad_args("<path>|<token>|");
    }
    *skip = 0;
    *path = (struct path){v[0], strlen(v[0])};
    if (v[0][0] == '@') {
        return path_special(path->s, path->len) ? 0 : cause(EINVAL, "\"%.40s\" is no special event", v[0]);
    }
    rc = to_path(r, v[0], path);
    if (!rc && v[0][0] != '/') {
        *skip = (uint16_t)(path->len - strlen(v[0]));
    }
    return rc;
}

static int do_watch(struct request *r)
{
    const char *v[3];
    unsigned n;
    struct path path;
    struct watch *w;
    struct account *a = r->c->account;
    uint16_t skip;
    uint64_t depth = WATCH_ANY_DEPTH;
    int rc = watch_args(r, v, 3, &n, &path, &skip);

    if (rc) {
        return rc;
    }
    if (n >= 3 && v[2][0] && !wire_number(v[2], UINT32_MAX - 1, &depth)) {
        return cause(EINVAL, "the depth \"%.20s\" is no number", v[2]);
    }
    if (!quota_allows(&r->s->store.quotas, a, LIMIT_WATCHES, a->watches + 1ull, "watch") ||
        !quota_allows(&r->s->store.quotas, a, LIMIT_MEMORY, account_memory(a) + path.len + r->len + 150,
                      "watch")) {
        return E2BIG;
    }
    w = watch_add(&r->s->watches, &r->c->watches, path, v[1], skip, (uint32_t)depth);
    if (!w) {
        return cause(EEXIST, "this client already watches %.200s with that token", v[0]);
    }
    a->watches++;
    a->other_bytes += watch_cost(w);
    if (r->c->kind == CONN_RING) {
        uint32_t head[5] = {r->c->key, w->depth, skip, (uint32_t)path.len, 0};

        journal_add(&r->s->journal, REC_WATCH, head, sizeof(head), path.s, path.len, w->token,
                    w->token_len + 1u);
    }
    rc = reply(r, "OK", 3);
    conn_event(r->s, r->c, w, path);
    return rc;
}

static int do_unwatch(struct request *r)
{
    const char *v[2];
    unsigned n;
    struct path path;
    struct watch *w;
    uint16_t skip;
    int rc = watch_args(r, v, 2, &n, &path, &skip);

    if (rc) {
        return rc;
    }
    w = watch_find(&r->s->watches, &r->c->watches, path, v[1]);
    if (!w) {
        return cause(ENOENT, "this client does not watch %.200s with that token", v[0]);
    }
    if (r->c->kind == CONN_RING) {
        uint32_t head[5] = {r->c->key, 0, 0, (uint32_t)path.len, 0};

        journal_add(&r->s->journal, REC_UNWATCH, head, sizeof(head), path.s, path.len, w->token,
                    w->token_len + 1u);
    }
    r->c->nmissed -= w->missed;
    r->c->account->watches--;
    r->c->account->other_bytes -= watch_cost(w);
    watch_del(&r->s->watches, w);
    return reply(r, "OK", 3);
}

static int do_reset_watches(struct request *r)
{
    conn_reset(r->s, r->c);
    return reply(r, "OK", 3);
}

static void journal_txn(struct request *r, enum record type, uint32_t id)
{
    uint32_t rec[2] = {r->c->key, id};

    if (r->c->kind == CONN_RING) {
        journal_add(&r->s->journal, type, rec, sizeof(rec), NULL, 0, NULL, 0);
    }
}

static int do_transaction_start(struct request *r)
{
    struct server *s = r->s;
    char text[12];
    int len;

    if (r->hdr->tx_id != 0) {
        return cause(EBUSY, "transactions cannot be nested");
    }
    if (!quota_allows(&s->store.quotas, r->c->account, LIMIT_TXNS, r->c->account->txns + 1ull,
                      "transaction-start")) {
        return ENOSPC;
    }
    do {
        s->last_txn++;
    } while (s->last_txn == 0 || conn_txn(s, r->c, s->last_txn));
    conn_txn_add(s, r->c, store_txn_start(&s->store, &r->c->who, s->last_txn));
    journal_txn(r, REC_TXN, s->last_txn);
    len = snprintf(text, sizeof(text), "%u", s->last_txn);
    return reply(r, text, (size_t)len + 1);
}

static int do_transaction_end(struct request *r)
{
    const char *arg = wire_one(r->payload, r->len);
    int rc = 0;

    if (!arg || (strcmp(arg, "T") != 0 && strcmp(arg, "F") != 0)) {
        return bad_args("T| or F|");
    }
    if (!r->txn) {
        return cause(ENOENT, "there is no transaction to end");
    }
    conn_txn_drop(r->s, r->c, r->txn);
    journal_txn(r, REC_TXN_END, r->hdr->tx_id);
    if (*arg == 'T') {
        r->s->committing = true;
        rc = store_txn_commit(&r->s->store, r->txn, &r->c->who);
        r->s->committing = false;
        u64set_free(&r->s->told);
    } else {
        store_txn_abort(&r->s->store, r->txn);
    }
    r->txn = NULL;
    return ack(r, rc);
}

static int one_domid(struct request *r, uint32_t *domid)
{
    const char *arg = wire_one(r->payload, r->len);
    uint64_t v;

    if (!arg || !wire_number(arg, 65535, &v)) {
        return bad_args("<domid>|");
    }
    *domid = (uint32_t)v;
    return 0;
}

static int introduced(struct request *r, uint32_t domid, struct domain **d)
{
    *d = domain_find(r->s, domid);
    return *d ? 0 : cause(ENOENT, "domain %u is not introduced", domid);
}

/* A page number may come as the signed rendering of an unsigned one. */
static bool page_number(const char *s, uint64_t *out)
{
    if (*s == '-' && wire_number(s + 1, INT64_MAX, out)) {
        *out = 0 - *out;
        return true;
    }
    return wire_number(s, UINT64_MAX, out);
}

static int do_introduce(struct request *r)
{
    const char *v[3];
    uint64_t domid, mfn, port;
    struct domain *d;
    int rc;

    if (wire_strings(r->payload, r->len, v, 3) < 3 || !wire_number(v[0], 65535, &domid) ||
        !page_number(v[1], &mfn) || !wire_number(v[2], UINT32_MAX, &port)) {
        return bad_args("<domid>|<page>|<event channel>|");
    }
    if (domid == 0 || domid >= 0x7ff0 || port == 0) {
        return cause(EINVAL, "domain %u with event channel %u cannot be introduced", (unsigned)domid,
                     (unsigned)port);
    }
    d = domain_find(r->s, (uint32_t)domid);
    if (d) {
        uint32_t target = d->target;

        domain_release(r->s, d, false);
        rc = domain_introduce(r->s, (uint32_t)domid, mfn, (uint32_t)port, true, &d);
        if (!rc && target != DOMID_NONE) {
            domain_set_target(r->s, d, target);
        }
    } else {
        rc = domain_introduce(r->s, (uint32_t)domid, mfn, (uint32_t)port, true, &d);
        if (!rc) {
            watch_special(&r->s->watches, store_special_name[SPECIAL_INTRODUCE]);
        }
    }
    if (rc) {
        return cause(EINVAL, "domain %u cannot be connected to: %s", (unsigned)domid, strerror(rc));
    }
    return reply(r, "OK", 3);
}

static int do_release(struct request *r)
{
    struct domain *d;
    uint32_t domid;
    uint64_t identity;
    enum domain_state st;
    int rc = one_domid(r, &domid);

    if (!rc && domid == 0) {
        return cause(EINVAL, "domain 0 cannot be released");
    }
    rc = rc ? rc : introduced(r, domid, &d);
    if (rc) {
        return rc;
    }
    st = r->s->platform->state(r->s->platform, domid, &identity);
    domain_release(r->s, d, st == DOMAIN_GONE || st == DOMAIN_UNKNOWN);
    watch_special(&r->s->watches, store_special_name[SPECIAL_RELEASE]);
    return reply(r, "OK", 3);
}

static int do_resume(struct request *r)
{
    struct domain *d;
    uint32_t domid;
    int rc = one_domid(r, &domid);

    rc = rc ? rc : introduced(r, domid, &d);
    if (!rc) {
        d->shutdown_told = false;
        domain_journal(r->s, d);
    }
    return ack(r, rc);
}

static int do_set_target(struct request *r)
{
    const char *v[2];
    uint64_t domid, target;
    struct domain *d, *t;
    int rc;

    if (wire_strings(r->payload, r->len, v, 2) < 2 || !wire_number(v[0], 65535, &domid) ||
        !wire_number(v[1], 65535, &target)) {
        return bad_args("<domid>|<target domid>|");
    }
    rc = introduced(r, (uint32_t)domid, &d);
    rc = rc ? rc : introduced(r, (uint32_t)target, &t);
    if (!rc) {
        domain_set_target(r->s, d, (uint32_t)target);
    }
    return ack(r, rc);
}

static int do_get_domain_path(struct request *r)
{
    char path[40];
    uint32_t domid;
    int rc = one_domid(r, &domid);

    return rc ? rc : reply(r, path, (size_t)snprintf(path, sizeof(path), "/local/domain/%u", domid) + 1);
}

static int do_is_introduced(struct request *r)
{
    uint32_t domid;
    int rc = one_domid(r, &domid);

    if (rc) {
        return rc;
    }
    return reply(r, domid == r->c->who.domid || domain_find(r->s, domid) ? "T" : "F", 2);
}

static int do_control(struct request *r)
{
    const char *v[32];
    unsigned n = wire_strings(r->payload, r->len, v, ARRAY_LEN(v));
    struct buf out = {0};
    int rc;

    if (n == 0 || n > ARRAY_LEN(v)) {
        return bad_args("<command>|<parameter>|...");
    }
    rc = control_run(r->s, v, n, &out);
    if (!rc) {
        if (out.len == 0 || out.data[out.len - 1] != '\0') {
            buf_add(&out, "", 1);
        }
        if (out.len > XENSTORE_PAYLOAD_MAX) {
            out.len = XENSTORE_PAYLOAD_MAX;
            out.data[out.len - 1] = '\0';
        }
        rc = reply(r, out.data, out.len);
    }
    buf_free(&out);
    return rc;
}

#define PRIVILEGED 1u /* control domain only */
#define NO_TXN     2u /* the transaction id means nothing */

static const struct {
    int (*run)(struct request *r);
    uint32_t flags;
} table[XS_TYPE_COUNT] = {
    [XS_CONTROL] = {do_control, PRIVILEGED},
    [XS_DIRECTORY] = {do_directory, 0},
    [XS_READ] = {do_read, 0},
    [XS_GET_PERMS] = {do_get_perms, 0},
    [XS_WATCH] = {do_watch, NO_TXN},
    [XS_UNWATCH] = {do_unwatch, NO_TXN},
    [XS_TRANSACTION_START] = {do_transaction_start, NO_TXN},
    [XS_TRANSACTION_END] = {do_transaction_end, 0},
    [XS_INTRODUCE] = {do_introduce, PRIVILEGED},
    [XS_RELEASE] = {do_release, PRIVILEGED},
    [XS_GET_DOMAIN_PATH] = {do_get_domain_path, NO_TXN},
    [XS_WRITE] = {do_write, 0},
    [XS_MKDIR] = {do_mkdir, 0},
    [XS_RM] = {do_rm, 0},
    [XS_SET_PERMS] = {do_set_perms, 0},
    [XS_IS_DOMAIN_INTRODUCED] = {do_is_introduced, NO_TXN},
    [XS_RESUME] = {do_resume, PRIVILEGED},
    [XS_SET_TARGET] = {do_set_target, PRIVILEGED},
    [XS_RESET_WATCHES] = {do_reset_watches, NO_TXN},
    [XS_DIRECTORY_PART] = {do_directory_part, 0},
};

static int check_txn(struct request *r, uint32_t flags)
{
    struct account *a = r->c->account;

    if (r->hdr->tx_id == 0 || (flags & NO_TXN)) {
        return 0;
    }
    r->txn = conn_txn(r->s, r->c, r->hdr->tx_id);
    if (!r->txn) {
        return cause(ENOENT, "there is no transaction %u", r->hdr->tx_id);
    }
    if (r->hdr->type == XS_TRANSACTION_END) {
        return 0;
    }
    if (!quota_allows(&r->s->store.quotas, a, LIMIT_TXN_NODES, txn_size(r->txn) + 1ull,
                      wire_type_name(r->hdr->type)) ||
        !quota_allows(&r->s->store.quotas, a, LIMIT_MEMORY,
                      account_memory(a) + txn_bytes(r->txn) - r->txn->charged + r->len,
                      wire_type_name(r->hdr->type))) {
        return ENOSPC;
    }
    return 0;
}

static void trace_request(const struct request *r, int rc)
{
    trace_line("dom %u conn %u req %u tx %u %s %.*s -> %s%s%s", r->c->who.domid, r->c->key, r->hdr->req_id,
               r->hdr->tx_id, wire_type_name(r->hdr->type), (int)strnlen(r->payload, r->len), r->payload,
               rc ? wire_error_name(rc) : "OK", rc ? ": " : "", rc ? cause_text() : "");
}

void dispatch(struct server *s, struct conn *c, const struct xsd_sockmsg *hdr, const char *payload)
{
    struct request r;
    uint32_t flags;
    int rc;

    /* Field by field: the path buffer need not be cleared for every request. */
    r.s = s;
    r.c = c;
    r.hdr = hdr;
    r.payload = payload;
    r.len = hdr->len;
    r.txn = NULL;
    s->requests++;
    cause_clear();
    if (hdr->type >= XS_TYPE_COUNT || !table[hdr->type].run) {
        rc = cause(ENOSYS, "request type %u is not known", hdr->type);
    } else {
        flags = table[hdr->type].flags;
        if ((flags & PRIVILEGED) && !c->who.privileged) {
            rc = cause(EACCES, "%s is for the control domain only", wire_type_name(hdr->type));
        } else {
            rc = check_txn(&r, flags);
            rc = rc ? rc : table[hdr->type].run(&r);
        }
    }
    if (r.txn && txn_bytes(r.txn) != r.txn->charged) {
        conn_txn_charge(s, c, r.txn);
    }
    if (rc) {
        const char *name = wire_error_name(rc);

        s->failures++;
        log_msg(LOG_LEVEL_DEBUG, "domain %u: %s refused with %s: %s", c->who.domid, wire_type_name(hdr->type),
                name, cause_text());
        conn_send(s, c, XS_ERROR, hdr->req_id, hdr->tx_id, name, strlen(name) + 1);
    }
    if (trace_enabled()) {
        trace_request(&r, rc);
    }
}

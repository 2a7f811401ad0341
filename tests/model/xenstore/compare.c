/*
 * The same random requests to our daemon and to Xen's xenstored, reply by reply and event by event.
 *
 *   xs-compare [STEPS [SEED]]
 *
 * What is compared: type of every reply, error name, payload (names of a directory as a set, transaction
 * numbers and generation counts not), and after each request the watch events of all clients as a set.
 * Transactions run one at a time: with several, Xen reports conflicts where nothing that was read has
 * changed, and we do not. Where the answers differ by intention, `excused` says so and why.
 */
#include "peers.h"
#include "rawclient.h"

#include <signal.h>
#include <sys/wait.h>

#define CLIENTS    3
#define EVENTS_MAX 4096

struct side {
    struct peer peer;
    struct raw c[CLIENTS];
    uint32_t tx;
    char *event[EVENTS_MAX];
    unsigned nevents;
};

static struct side side[2];
static uint64_t rng = 0x9e3779b97f4a7c15ull;
static unsigned current_client;

static unsigned rnd(unsigned n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (unsigned)((rng >> 11) % n);
}

static void on_event(void *ctx, const char *path, const char *token)
{
    struct side *s = ctx;

    if (s->nevents < EVENTS_MAX &&
        asprintf(&s->event[s->nevents], "client %u: %s %s", current_client, path, token) > 0) {
        s->nevents++;
    }
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in a listing, in order; the order itself is not part of the protocol. */
static void sort_names(char *body, uint32_t len)
{
    char *names[2048], copy[XENSTORE_PAYLOAD_MAX + 1], *at = copy;
    unsigned n = 0;

    memcpy(copy, body, len);
    for (; at < copy + len && n < 2048; at += strlen(at) + 1) {
        names[n++] = at;
    }
    qsort(names, n, sizeof(names[0]), by_text);
    for (unsigned i = 0; i < n; i++) {
        size_t l = strlen(names[i]) + 1;

        memcpy(body, names[i], l);
        body += l;
    }
}

static void random_path(char *out)
{
    static const char *const odd[] = {
        "",  "/a/",   "//a",   "a//b", "/a b",           "/a\n", "@introduceDomain",
        "/", "rel/x", "/tool", "@x",   "@releaseDomain", "/ä",   "."};
    unsigned depth = 1 + rnd(3);

    if (rnd(25) == 0) {
        strcpy(out, odd[rnd(sizeof(odd) / sizeof(odd[0]))]);
        return;
    }
    strcpy(out, "/t");
    while (depth--) {
        sprintf(out + strlen(out), "/%c", 'a' + rnd(4));
    }
}

struct request {
    uint32_t type;
    char data[512];
    size_t len;
    bool in_txn;
};

static void two(struct request *r, const char *b, bool nul)
{
    char path[64];

    random_path(path);
    r->len = raw_pair(r->data, path, b, nul);
}

/* Always with its nul: on some requests without one Xen's daemon hung up. */
static void one(struct request *r)
{
    random_path(r->data);
    r->len = strlen(r->data) + 1;
}

static void random_request(struct request *r, bool txn_open)
{
    static const char *const perms[] = {"n0", "b0", "r1", "w2", "n3", "x1", "b"};
    static const char *const domids[] = {"0", "1", "77", "-1", ""};
    char text[64];

    memset(r, 0, sizeof(*r));
    r->in_txn = txn_open && rnd(2);
    switch (rnd(16)) {
    case 0 ... 3:
        r->type = XS_WRITE;
        sprintf(text, "%u", rnd(50));
        two(r, text, false);
        break;
    case 4:
    case 5:
        r->type = XS_READ;
        one(r);
        break;
    case 6:
        r->type = XS_DIRECTORY;
        one(r);
        break;
    case 7:
        r->type = XS_MKDIR;
        one(r);
        break;
    case 8:
        r->type = XS_RM;
        one(r);
        break;
    case 9:
        r->type = XS_GET_PERMS;
        one(r);
        break;
    case 10:
        r->type = XS_SET_PERMS;
        two(r, perms[rnd(7)], true);
        strcpy(r->data + r->len, perms[rnd(5)]);
        r->len += rnd(2) ? strlen(r->data + r->len) + 1 : 0;
        break;
    case 11:
        r->type = XS_WATCH;
        sprintf(text, "token%u", rnd(3));
        two(r, text, true);
        break;
    case 12:
        r->type = XS_UNWATCH;
        sprintf(text, "token%u", rnd(3));
        two(r, text, true);
        break;
    case 13:
        r->type = rnd(2) ? XS_GET_DOMAIN_PATH : XS_IS_DOMAIN_INTRODUCED;
        strcpy(r->data, domids[rnd(3)]);
        r->len = strlen(r->data) + 1;
        break;
    case 14:
        r->type = txn_open ? XS_TRANSACTION_END : XS_TRANSACTION_START;
        strcpy(r->data, txn_open ? (rnd(3) ? "T" : "F") : "");
        r->len = strlen(r->data) + 1;
        r->in_txn = txn_open;
        break;
    default:
        r->type = rnd(10) ? XS_DIRECTORY_PART : XS_RESET_WATCHES;
        two(r, "0", true);
        if (r->type == XS_RESET_WATCHES) {
            r->len = 1;
            r->data[0] = '\0';
        }
    }
}

/* Differences that are meant: what ours does is what the protocol's text says, or stricter on nonsense. */
static bool excused(const struct request *r, const struct raw *a, const struct raw *b)
{
    bool both_fail = a->hdr.type == XS_ERROR && b->hdr.type == XS_ERROR;

    /* Nonsense is refused by both; which check is hit first may differ. */
    if (both_fail && (strcmp(a->body, "EINVAL") == 0 || strcmp(b->body, "EINVAL") == 0)) {
        return true;
    }
    /* We show the rights of a special event to whoever may read them; Xen lets them be set but not read. */
    return r->type == XS_GET_PERMS && r->data[0] == '@';
}

static bool same_reply(const struct request *r, struct raw *a, struct raw *b)
{
    if (r->type == XS_TRANSACTION_START && raw_ok(a) && raw_ok(b)) {
        return true;
    }
    if (r->type == XS_DIRECTORY_PART && raw_ok(a) && raw_ok(b)) {
        size_t x = strlen(a->body) + 1, y = strlen(b->body) + 1;

        sort_names(a->body + x, a->hdr.len - (uint32_t)x);
        sort_names(b->body + y, b->hdr.len - (uint32_t)y);
        return a->hdr.len - x == b->hdr.len - y && memcmp(a->body + x, b->body + y, a->hdr.len - x) == 0;
    }
    if (r->type == XS_DIRECTORY && raw_ok(a) && raw_ok(b)) {
        sort_names(a->body, a->hdr.len);
        sort_names(b->body, b->hdr.len);
    }
    return a->hdr.type == b->hdr.type && a->hdr.len == b->hdr.len &&
           memcmp(a->body, b->body, a->hdr.len) == 0;
}

/* A round trip on every connection brings in all events caused so far. */
static void collect_events(struct side *s)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        current_client = i;
        if (!raw_path(&s->c[i], XS_GET_DOMAIN_PATH, 0, "0")) {
            fprintf(stderr, "xs-compare: %s hung up\n", s->peer.name);
            exit(1);
        }
    }
    qsort(s->event, s->nevents, sizeof(s->event[0]), by_text);
    /* Two watches of a client with one token: Xen sends one of two equal events if it can, which is timing.
     */
    for (unsigned i = 1; i < s->nevents;) {
        if (strcmp(s->event[i], s->event[i - 1]) == 0) {
            free(s->event[i]);
            memmove(&s->event[i], &s->event[i + 1], (--s->nevents - i) * sizeof(s->event[0]));
        } else {
            i++;
        }
    }
}

/*
 * At the end of a transaction we may tell more: a node created and removed within it fires with us, not with
 * Xen. Watches may fire without need, so then ours have to include Xen's.
 */
static bool same_events(const struct request *r)
{
    bool same = side[0].nevents == side[1].nevents;

    if (r->type == XS_TRANSACTION_END) {
        unsigned k = 0;

        for (unsigned i = 0; i < side[0].nevents && k < side[1].nevents; i++) {
            k += strcmp(side[0].event[i], side[1].event[k]) == 0;
        }
        return k == side[1].nevents;
    }

    for (unsigned i = 0; same && i < side[0].nevents; i++) {
        same = strcmp(side[0].event[i], side[1].event[i]) == 0;
    }
    return same;
}

static void drop_events(struct side *s)
{
    while (s->nevents) {
        free(s->event[--s->nevents]);
    }
}

static void show(const struct request *r, unsigned step)
{
    fprintf(stderr, "xs-compare: step %u: request type %u in transaction %d:", step, r->type, r->in_txn);
    for (size_t i = 0; i < r->len; i++) {
        fputc(r->data[i] >= ' ' ? r->data[i] : '|', stderr);
    }
    fputc('\n', stderr);
    for (unsigned k = 0; k < 2; k++) {
        fprintf(stderr, "  %-10s", side[k].peer.name);
        fprintf(stderr, " type %u %.*s", side[k].c[0].hdr.type, (int)side[k].c[0].hdr.len, side[k].c[0].body);
        for (unsigned i = 0; i < side[k].nevents; i++) {
            fprintf(stderr, " [%s]", side[k].event[i]);
        }
        fputc('\n', stderr);
    }
}

static unsigned run_steps(unsigned steps)
{
    unsigned differences = 0, txn_client = 0;
    bool txn_open = false;

    for (unsigned step = 0; step < steps; step++) {
        struct request r;
        unsigned i = txn_open && rnd(2) ? txn_client : rnd(CLIENTS);
        struct raw reply[2];

        random_request(&r, txn_open);
        if (r.type == XS_TRANSACTION_START) {
            txn_client = i;
        }
        if (txn_open) {
            /* Others keep still meanwhile: see above. */
            i = txn_client;
            r.in_txn = r.type != XS_WATCH && r.type != XS_UNWATCH;
            /* Nor nonsense: on an invalid path in a transaction Xen's daemon may hang up. */
            if (r.type == XS_RESET_WATCHES || (r.data[0] != '/' && r.type != XS_TRANSACTION_END) ||
                strpbrk(r.data, " .\n") || strstr(r.data, "//") ||
                (r.data[1] && r.data[strlen(r.data) - 1] == '/')) {
                continue;
            }
        }
        current_client = i;
        for (unsigned k = 0; k < 2; k++) {
            if (!raw_call(&side[k].c[i], r.type, r.in_txn ? side[k].tx : 0, r.data, r.len)) {
                fprintf(stderr, "xs-compare: %s hung up on this:\n", side[k].peer.name);
                show(&r, step);
                exit(1);
            }
            reply[k] = side[k].c[i];
            if (r.type == XS_TRANSACTION_START) {
                side[k].tx = (uint32_t)strtoul(reply[k].body, NULL, 10);
                txn_open = true;
            }
        }
        txn_open &= r.type != XS_TRANSACTION_END;
        collect_events(&side[0]);
        collect_events(&side[1]);
        if ((!same_reply(&r, &reply[0], &reply[1]) && !excused(&r, &reply[0], &reply[1])) ||
            !same_events(&r)) {
            side[0].c[0] = (struct raw){.fd = side[0].c[0].fd,
                                        .req_id = side[0].c[0].req_id,
                                        .on_event = on_event,
                                        .ctx = &side[0],
                                        .hdr = reply[0].hdr};
            memcpy(side[0].c[0].body, reply[0].body, sizeof(reply[0].body));
            side[1].c[0].hdr = reply[1].hdr;
            memcpy(side[1].c[0].body, reply[1].body, sizeof(reply[1].body));
            show(&r, step);
            if (++differences > 20) {
                break;
            }
        }
        drop_events(&side[0]);
        drop_events(&side[1]);
    }
    return differences;
}

int main(int argc, char **argv)
{
    char base[] = "/dev/shm/bh-xs-compare-XXXXXX", command[80];
    unsigned steps = argc > 1 ? (unsigned)atoi(argv[1]) : 5000, differences;

    rng ^= argc > 2 ? strtoull(argv[2], NULL, 10) * 0xd1342543de82ef95ull : 0;
    if (!peer_present(PEER_XENSTORED)) {
        printf("Xen's xenstored is not installed: nothing to compare with\n");
        return 0;
    }
    if (!mkdtemp(base)) {
        return 1;
    }
    for (unsigned k = 0; k < 2; k++) {
        peer_start(&side[k].peer, k ? PEER_XENSTORED : PEER_OURS, base, NULL);
        for (unsigned i = 0; i < CLIENTS; i++) {
            if (!raw_open(&side[k].c[i], side[k].peer.socket)) {
                return 1;
            }
            side[k].c[i].on_event = on_event;
            side[k].c[i].ctx = &side[k];
        }
    }
    differences = run_steps(steps);
    for (unsigned k = 0; k < 2; k++) {
        peer_stop(&side[k].peer);
    }
    snprintf(command, sizeof(command), "rm -rf %s", base);
    if (system(command)) {
        return 1;
    }
    printf("%u requests to both, %u differences\n", steps, differences);
    return differences ? 1 : 0;
}

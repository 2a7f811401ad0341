/*
 * The whole daemon under simulated domains.
 *
 *   xs-stress domains [N]   N (200) domains at once, one of them flooding: everybody gets all answers in order, and
 *                           the flood does not starve the others
 *   xs-stress kill [N]      N (60) rounds of load, kill -9 and restart. After each: every acknowledged write is
 *                           there, every request of every domain was answered exactly once and in order, every watch
 *                           event arrived exactly once, and a local client of our library noticed nothing but a pause
 *   xs-stress broken        domains that lie about their rings are stopped, alone
 *   xs-stress limits        over a soft limit a domain is slowed down; refusals at a limit set at run time are logged
 */
#include "peers.h"
#include "rawclient.h"
#include "simdomain.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <xenstore.h>

#define KEYS      4
#define BIG_VALUE 2500

struct guest {
    struct simdomain d;
    uint32_t sent, answered; /* request numbers, from 1 */
    uint32_t events;         /* of the watch on data */
    uint32_t writes;         /* acknowledged */
    uint64_t value[KEYS];    /* last one sent */
    uint64_t acked[KEYS];
    struct {
        uint8_t key;
        bool write;
        uint64_t value;
    } pending[64];
};

static struct peer daemon_;
static uint64_t rng = 0x2545f4914f6cdd1dull;

static unsigned rnd(unsigned n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (unsigned)((rng >> 11) % n);
}

#define CHECK(cond, ...)                                                                                     \
    do {                                                                                                     \
        if (!(cond)) {                                                                                       \
            fprintf(stderr, "xs-stress: line %d: ", __LINE__);                                               \
            fprintf(stderr, __VA_ARGS__);                                                                    \
            fputc('\n', stderr);                                                                             \
            kill(daemon_.pid, SIGKILL);                                                                      \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

static void introduce(const char *dir, struct guest *g, uint32_t domid)
{
    struct raw c;
    char b[200], path[64];
    int n;

    CHECK(sim_create(&g->d, dir, domid), "domain %u: %s", domid, strerror(errno));
    CHECK(raw_open(&c, daemon_.socket), "connect");
    snprintf(path, sizeof(path), "/local/domain/%u", domid);
    CHECK(raw_path(&c, XS_MKDIR, 0, path) && raw_ok(&c), "mkdir");
    n = snprintf(b, sizeof(b), "%s%cn%u", path, 0, domid) + 1;
    CHECK(raw_call(&c, XS_SET_PERMS, 0, b, (size_t)n) && raw_ok(&c), "set-perms: %s", c.body);
    n = snprintf(b, sizeof(b), "%u%c1%c1", domid, 0, 0) + 1;
    CHECK(raw_call(&c, XS_INTRODUCE, 0, b, (size_t)n) && raw_ok(&c), "introduce: %s", c.body);
    close(c.fd);
}

static void guest_request(struct guest *g)
{
    static char b[BIG_VALUE + 100];
    uint32_t id = g->sent + 1;
    unsigned key = rnd(KEYS);
    char path[32];
    int n;

    snprintf(path, sizeof(path), "data/k%u", key);
    g->pending[id % 64].key = (uint8_t)key;
    g->pending[id % 64].write = rnd(4) != 0;
    if (g->pending[id % 64].write) {
        bool big = rnd(8) == 0;

        n = snprintf(b, sizeof(b), "%s%c%llu", path, 0, (unsigned long long)g->value[key] + 1);
        if (big) {
            /* Longer than the ring: goes through in pieces. */
            memset(b + n, ' ', BIG_VALUE);
            n += BIG_VALUE;
        }
        if (!sim_send(&g->d, XS_WRITE, id, 0, b, (size_t)n)) {
            return;
        }
        g->pending[id % 64].value = ++g->value[key];
    } else if (!sim_send(&g->d, XS_READ, id, 0, path, strlen(path) + 1)) {
        return;
    }
    g->sent = id;
}

static bool guest_pump(struct guest *g)
{
    static char body[XENSTORE_PAYLOAD_MAX + 1];
    struct xsd_sockmsg hdr;
    bool moved = sim_pump(&g->d);

    while (sim_receive(&g->d, &hdr, body)) {
        unsigned key;

        if (hdr.type == XS_WATCH_EVENT) {
            CHECK(strncmp(body, "data", 4) == 0, "domain %u: event on %s", g->d.domid, body);
            g->events++;
            continue;
        }
        CHECK(hdr.req_id == g->answered + 1, "domain %u: answer to request %u, expected %u", g->d.domid,
              hdr.req_id, g->answered + 1);
        g->answered = hdr.req_id;
        key = g->pending[hdr.req_id % 64].key;
        if (g->pending[hdr.req_id % 64].write) {
            CHECK(hdr.type == XS_WRITE, "domain %u: write answered with %s", g->d.domid, body);
            g->acked[key] = g->pending[hdr.req_id % 64].value;
            g->writes++;
        } else if (hdr.type == XS_READ) {
            uint64_t v = strtoull(body, NULL, 10);

            CHECK(v == g->acked[key], "domain %u: read %llu from key %u after %llu was acknowledged",
                  g->d.domid, (unsigned long long)v, key, (unsigned long long)g->acked[key]);
        }
    }
    return moved;
}

/* The watch: request 1. */
static void guest_watch(struct guest *g)
{
    static const char arg[] = "data\0token";

    g->sent = 1;
    CHECK(sim_send(&g->d, XS_WATCH, 1, 0, arg, sizeof(arg)), "no room for the first request");
}

static void settle(struct guest *g, unsigned n)
{
    time_t end = time(NULL) + 60;

    for (unsigned i = 0; i < n;) {
        bool moved = guest_pump(&g[i]);

        if (g[i].answered == g[i].sent && g[i].events == g[i].writes + 1) {
            i++;
        } else if (!moved) {
            CHECK(time(NULL) < end, "domain %u: %u of %u requests answered, %u events after %u writes",
                  g[i].d.domid, g[i].answered, g[i].sent, g[i].events, g[i].writes);
            sched_yield();
        }
    }
}

static void verify(struct guest *g, unsigned n)
{
    struct raw c;
    char path[64];

    CHECK(raw_open(&c, daemon_.socket), "connect");
    for (unsigned i = 0; i < n; i++) {
        for (unsigned k = 0; k < KEYS; k++) {
            uint64_t v = 0;

            snprintf(path, sizeof(path), "/local/domain/%u/data/k%u", g[i].d.domid, k);
            CHECK(raw_path(&c, XS_READ, 0, path), "read");
            v = raw_ok(&c) ? strtoull(c.body, NULL, 10) : 0;
            CHECK(v >= g[i].acked[k] && v <= g[i].value[k], "%s is %llu, acknowledged %llu, sent %llu", path,
                  (unsigned long long)v, (unsigned long long)g[i].acked[k],
                  (unsigned long long)g[i].value[k]);
        }
    }
    CHECK(raw_call(&c, XS_CONTROL, 0, "check", 6) && strcmp(c.body, "OK") == 0, "check says %s", c.body);
    close(c.fd);
}

static void load(struct guest *g, unsigned n, unsigned ms)
{
    struct timespec a, b;

    clock_gettime(CLOCK_MONOTONIC, &a);
    do {
        for (unsigned i = 0; i < n; i++) {
            if (g[i].sent - g[i].answered < 6) {
                guest_request(&g[i]);
            }
            guest_pump(&g[i]);
        }
        clock_gettime(CLOCK_MONOTONIC, &b);
    } while ((b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000 < (long)ms);
}

/* A program on our library through all the restarts: writes are there when read back, transactions retry. */
static volatile bool local_stop;
static unsigned local_rounds, local_retries;

static void *local_client(void *arg)
{
    struct xs_handle *h = xs_open(0);
    char text[24];

    CHECK(h && xs_watch(h, "/local-client", "t"), "the local client cannot begin");
    for (unsigned i = 1; !local_stop; i++) {
        xs_transaction_t t;
        unsigned len;
        char *v, **e;

        snprintf(text, sizeof(text), "%u", i);
        CHECK(xs_write(h, XBT_NULL, "/local-client/a", text, (unsigned)strlen(text)), "local write: %s",
              strerror(errno));
        v = xs_read(h, XBT_NULL, "/local-client/a", &len);
        CHECK(v && strcmp(v, text) == 0, "local read back %s, wrote %s", v ? v : strerror(errno), text);
        free(v);
        do {
            t = xs_transaction_start(h);
            CHECK(t, "local transaction: %s", strerror(errno));
            v = xs_read(h, t, "/local-client/a", &len);
            CHECK(v, "local read in a transaction: %s", strerror(errno));
            CHECK(xs_write(h, t, "/local-client/b", v, len), "local write in a transaction: %s",
                  strerror(errno));
            free(v);
            local_retries++;
        } while (!xs_transaction_end(h, t, false) && errno == EAGAIN);
        v = xs_read(h, XBT_NULL, "/local-client/b", &len);
        CHECK(v && strcmp(v, text) == 0, "a committed value is %s, not %s", v ? v : strerror(errno), text);
        free(v);
        while ((e = xs_check_watch(h))) {
            free(e);
        }
        local_rounds = i;
    }
    local_retries -= local_rounds;
    xs_close(h);
    return NULL;
}

static void kill_rounds(const char *base, unsigned rounds)
{
    enum { GUESTS = 8 };
    static struct guest g[GUESTS];
    pthread_t local;
    int status;

    peer_start(&daemon_, PEER_OURS, base, NULL);
    setenv("XENSTORED_PATH", daemon_.socket, 1);
    for (unsigned i = 0; i < GUESTS; i++) {
        introduce(daemon_.dir, &g[i], i + 1);
        guest_watch(&g[i]);
    }
    pthread_create(&local, NULL, local_client, NULL);
    for (unsigned r = 0; r < rounds; r++) {
        load(g, GUESTS, rnd(4));
        kill(daemon_.pid, SIGKILL);
        waitpid(daemon_.pid, &status, 0);
        /* Guests go on filling their rings while nobody serves them. */
        load(g, GUESTS, 0);
        peer_restart(&daemon_);
        verify(g, GUESTS);
        settle(g, GUESTS);
        verify(g, GUESTS);
    }
    local_stop = true;
    pthread_join(local, NULL);
    for (unsigned i = 0, total = 0; i < GUESTS; i++) {
        total += g[i].answered;
        if (i == GUESTS - 1) {
            printf("%u kills: %u requests of %u domains answered once each, %u rounds of a local client "
                   "(%u transactions begun again)\n",
                   rounds, total, GUESTS, local_rounds, local_retries);
        }
    }
    peer_stop(&daemon_);
}

static void many_domains(const char *base, unsigned n)
{
    struct guest *g = calloc(n, sizeof(*g));
    unsigned done = 0, flood;
    time_t end = time(NULL) + 120;

    peer_start(&daemon_, PEER_OURS, base, NULL);
    for (unsigned i = 0; i < n; i++) {
        introduce(daemon_.dir, &g[i], i + 1);
        guest_watch(&g[i]);
    }
    while (done < n - 1) {
        done = 0;
        for (unsigned i = 0; i < n; i++) {
            unsigned depth = i == 0 ? 60 : 4;

            /* Domain 1 floods: its ring is always full. */
            while (g[i].sent - g[i].answered < depth && (i == 0 || g[i].sent < 300)) {
                uint32_t before = g[i].sent;

                guest_request(&g[i]);
                if (g[i].sent == before) {
                    break;
                }
            }
            guest_pump(&g[i]);
            done += i && g[i].answered >= 300;
        }
        CHECK(time(NULL) < end, "%u of %u domains are done after 120 s", done, n - 1);
    }
    flood = g[0].answered;
    settle(g, n);
    verify(g, n);
    printf("%u domains: 300 requests each, %u of the flooding one meanwhile\n", n, flood);
    CHECK(flood < 300 * 60, "one flooding domain got %u requests while the others got 300", flood);
    peer_stop(&daemon_);
    free(g);
}

static bool alive(struct guest *g)
{
    uint32_t want = g->sent + 1;

    guest_request(g);
    for (unsigned i = 0; i < 20000 && g->answered < want; i++) {
        guest_pump(g);
        usleep(100);
    }
    return g->answered == want;
}

static void broken_rings(const char *base)
{
    static struct guest g[4];
    struct xsd_sockmsg bad = {.type = XS_READ, .req_id = 7, .len = XENSTORE_PAYLOAD_MAX + 1};

    peer_start(&daemon_, PEER_OURS, base, NULL);
    for (unsigned i = 0; i < 4; i++) {
        introduce(daemon_.dir, &g[i], i + 1);
        guest_watch(&g[i]);
        CHECK(alive(&g[i]), "domain %u is not served", i + 1);
    }
    /* 1: a producer index that cannot be; 2: a header that lies; 3: a consumer index that cannot be. */
    g[0].d.page->req_prod += 5000;
    CHECK(write(g[0].d.to_store, "e", 1) == 1, "kick");
    memcpy(g[1].d.out, &bad, sizeof(bad));
    g[1].d.out_len = sizeof(bad);
    sim_pump(&g[1].d);
    g[2].d.page->rsp_cons += 3000;
    CHECK(sim_send(&g[2].d, XS_READ, 99, 0, "x", 2), "send");
    sim_pump(&g[2].d);
    CHECK(alive(&g[3]), "domain 4 suffers for what others did");
    for (unsigned i = 0; i < 3; i++) {
        uint32_t want = i == 1 ? XENSTORE_ERROR_PROTO : XENSTORE_ERROR_RINGIDX;

        for (unsigned k = 0; k < 20000 && g[i].d.page->error != want; k++) {
            usleep(100);
        }
        CHECK(g[i].d.page->error == want, "domain %u: error %u in its page, expected %u", i + 1,
              g[i].d.page->error, want);
    }
    /* A domain may begin anew: it asks for it in its page. */
    ring_reset_request(&g[0].d);
    for (unsigned k = 0; k < 20000 && g[0].d.page->connection != XENSTORE_CONNECTED; k++) {
        usleep(100);
    }
    g[0].answered = g[0].sent;
    g[0].events = g[0].writes + 1;
    g[0].d.in_len = g[0].d.out_len = 0;
    CHECK(alive(&g[0]), "domain 1 is not served after it reconnected");
    printf("3 broken rings stopped, the others served, one reconnected\n");
    peer_stop(&daemon_);
}

static void control(const char *args, size_t len)
{
    struct raw c;

    CHECK(raw_open(&c, daemon_.socket), "connect");
    CHECK(raw_call(&c, XS_CONTROL, 0, args, len) && strcmp(c.body, "OK") == 0, "control %s: %s", args,
          c.body);
    close(c.fd);
}

static bool log_has(const char *text)
{
    char file[300], line[600];
    bool found = false;
    FILE *f;

    snprintf(file, sizeof(file), "%s/log", daemon_.dir);
    f = fopen(file, "r");
    while (f && !found && fgets(line, sizeof(line), f)) {
        found = strstr(line, text) != NULL;
    }
    if (f) {
        fclose(f);
    }
    return found;
}

static void limits(const char *base)
{
    static const char soft[] = "quota-soft\0memory\0001", hard[] = "quota\0001\0node-size\0002";
    static const char refused[] = "domain 1: write refused: quota node-size would be 3, the limit is 2";
    static struct guest g;
    struct xsd_sockmsg hdr;
    char body[XENSTORE_PAYLOAD_MAX + 1];
    unsigned before;

    peer_start(&daemon_, PEER_OURS, base, NULL);
    introduce(daemon_.dir, &g, 1);
    guest_watch(&g);
    CHECK(alive(&g), "domain 1 is not served");
    settle(&g, 1);
    /* Over the soft limit of memory: each request waits 2 ms, none is refused. */
    control(soft, sizeof(soft));
    before = g.answered;
    load(&g, 1, 500);
    settle(&g, 1);
    CHECK(g.answered > before && g.answered - before < 500, "%u requests in 0.5 s over the soft limit",
          g.answered - before);
    CHECK(log_has("domain 1: slowed down: it uses "), "the log does not say that domain 1 was slowed down");
    printf("%u requests in 0.5 s over the soft limit of memory, none refused\n", g.answered - before);
    /* A hard limit of this one domain, set at run time. */
    control(hard, sizeof(hard));
    CHECK(sim_send(&g.d, XS_WRITE, 77, 0, "data/x\000abc", 10), "no room for a request");
    for (hdr.req_id = 0; hdr.req_id != 77;) {
        sim_pump(&g.d);
        if (!sim_receive(&g.d, &hdr, body)) {
            usleep(100);
        }
    }
    CHECK(hdr.type == XS_ERROR && strcmp(body, "ENOSPC") == 0, "a value above the limit was answered %s",
          body);
    CHECK(log_has(refused), "the log does not say: %s", refused);
    printf("refused and logged: %s\n", refused);
    peer_stop(&daemon_);
}

int main(int argc, char **argv)
{
    char base[] = "/dev/shm/bh-xs-stress-XXXXXX", command[80];
    const char *what = argc > 1 ? argv[1] : "all";
    unsigned n = argc > 2 ? (unsigned)atoi(argv[2]) : 0;

    if (getenv("SEED")) {
        rng ^= strtoull(getenv("SEED"), NULL, 10) * 0x9e3779b97f4a7c15ull;
    }
    if (!mkdtemp(base)) {
        return 1;
    }
    if (strcmp(what, "all") == 0 || strcmp(what, "broken") == 0) {
        broken_rings(base);
    }
    if (strcmp(what, "all") == 0 || strcmp(what, "limits") == 0) {
        limits(base);
    }
    if (strcmp(what, "all") == 0 || strcmp(what, "domains") == 0) {
        many_domains(base, n ? n : 200);
    }
    if (strcmp(what, "all") == 0 || strcmp(what, "kill") == 0) {
        kill_rounds(base, n ? n : 60);
    }
    snprintf(command, sizeof(command), "rm -rf %s", base);
    return system(command) ? 1 : 0;
}

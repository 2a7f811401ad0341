/*
 * The store beside Xen's two daemons: the same client, the same requests, one table.
 *
 * Rates depend on the machine and its other work; the CPU time that the daemon itself used for a request, and
 * the instructions it executed (valgrind's callgrind), do so much less. Each try of a row lasts TRY_SECONDS, whatever
 * a daemon gets done in it. --quick does a tenth of it, --no-counts leaves the instructions out, --only-counts the
 * rates.
 */
#include "peers.h"
#include "rawclient.h"
#include "simdomain.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

static double now_s(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void must(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "bench: %s failed\n", what);
        exit(1);
    }
}

static void op_read(struct raw *c, unsigned i)
{
    must(raw_path(c, XS_READ, 0, "/bench/key") && raw_ok(c), "read");
}

static void op_write(struct raw *c, unsigned i)
{
    char v[16];

    snprintf(v, sizeof(v), "%u", i);
    must(raw_write(c, 0, "/bench/key", v) && raw_ok(c), "write");
}

static void op_txn(struct raw *c, unsigned i)
{
    uint32_t t = raw_start(c);

    must(t, "transaction start");
    must(raw_path(c, XS_READ, t, "/bench/key") && raw_ok(c), "read in a transaction");
    must(raw_write(c, t, "/bench/other", "value") && raw_ok(c), "write in a transaction");
    must(raw_end(c, t, true) && raw_ok(c), "transaction end");
}

static void op_fill(struct raw *c, unsigned i)
{
    char path[64];

    snprintf(path, sizeof(path), "/bench/fill/%u/%u", i / 1000, i % 1000);
    must(raw_write(c, 0, path, "some value") && raw_ok(c), "fill");
}

enum burst_kind { BURST_READ, BURST_WRITE, BURST_TXN };
typedef void op_fn(struct raw *c, unsigned i);

#define TRIES       10
#define TRY_SECONDS 0.05
#define FOR_EVER    1e9

struct result {
    double rate;   /* operations a second */
    double cpu_us; /* of the daemon for each */
};

/* Between these two calls `n` operations were carried out. */
struct clock {
    struct peer *p;
    double start;
    unsigned long long cpu;
};

static struct clock clock_begin(struct peer *p)
{
    return (struct clock){p, now_s(), peer_cpu_ns(p)};
}

static struct result clock_end(const struct clock *k, double n)
{
    return (struct result){n / (now_s() - k->start), (double)(peer_cpu_ns(k->p) - k->cpu) / 1e3 / n};
}

/*
 * Client and daemon on one processor, or wherever the scheduler likes. When each waits for the other anyway, where the
 * scheduler happens to put them makes a factor of two and says nothing about the daemon.
 */
static void share_processor(const struct peer *p, bool share)
{
    static cpu_set_t all;
    cpu_set_t one;

    if (CPU_COUNT(&all) == 0) {
        sched_getaffinity(0, sizeof(all), &all);
    }
    CPU_ZERO(&one);
    for (int cpu = CPU_SETSIZE - 1; CPU_COUNT(&one) == 0; cpu--) {
        if (CPU_ISSET(cpu, &all)) {
            CPU_SET(cpu, &one);
        }
    }
    must(sched_setaffinity(0, sizeof(one), share ? &one : &all) == 0 &&
             sched_setaffinity(p->pid, sizeof(one), share ? &one : &all) == 0,
         "choose a processor");
}

/* At most `max` operations one after the other by one client, for at most `seconds`. */
static struct result measure(struct peer *p, op_fn *op, unsigned max, double seconds)
{
    struct raw c;
    struct clock k;
    unsigned i = 0;
    struct result r;

    must(raw_open(&c, p->socket), "connect");
    must(raw_write(&c, 0, "/bench/key", "value"), "first write");
    must(raw_write(&c, 0, "/bench/other", "value"), "first write");
    share_processor(p, true);
    k = clock_begin(p);
    while (i < max && now_s() - k.start < seconds) {
        op(&c, i++);
    }
    r = clock_end(&k, i);
    share_processor(p, false);
    close(c.fd);
    return r;
}

/* Many clients at once: all send, then all read, in rounds: one read and one write each, or one transaction. */
static struct result measure_many(struct peer *p, unsigned clients, bool txn, double seconds)
{
    struct raw *c = calloc(clients, sizeof(*c));
    uint32_t *tx = calloc(clients, sizeof(*tx));
    struct clock k;
    unsigned rounds = 0;
    struct result r;
    char b[64];
    size_t len = raw_pair(b, "/bench/key", "value", false);

    for (unsigned i = 0; i < clients; i++) {
        must(raw_open(&c[i], p->socket), "connect");
        must(raw_path(&c[i], XS_READ, 0, "/"), "first read");
    }
    k = clock_begin(p);
    for (; now_s() - k.start < seconds; rounds++) {
        for (unsigned step = 0; step < (txn ? 4 : 2); step++) {
            for (unsigned i = 0; i < clients; i++) {
                char path[64];

                snprintf(path, sizeof(path), "/bench/c%u", i);
                if (!txn) {
                    must(step ? raw_send(&c[i], XS_WRITE, 0, b, len)
                              : raw_send(&c[i], XS_READ, 0, "/bench/key", 11),
                         "send");
                } else if (step == 0) {
                    must(raw_send(&c[i], XS_TRANSACTION_START, 0, "", 1), "send");
                } else if (step == 1) {
                    must(raw_send(&c[i], XS_READ, tx[i], "/bench", 7), "send");
                } else if (step == 2) {
                    len = raw_pair(b, path, "value", false);
                    must(raw_send(&c[i], XS_WRITE, tx[i], b, len), "send");
                } else {
                    must(raw_send(&c[i], XS_TRANSACTION_END, tx[i], "T", 2), "send");
                }
            }
            for (unsigned i = 0; i < clients; i++) {
                must(raw_reply(&c[i]), "reply");
                tx[i] = txn && step == 0 ? (uint32_t)strtoul(c[i].body, NULL, 10) : tx[i];
            }
        }
    }
    r = clock_end(&k, (double)clients * rounds * (txn ? 1 : 2));
    for (unsigned i = 0; i < clients; i++) {
        close(c[i].fd);
    }
    free(c);
    free(tx);
    return r;
}

#define BURST 32

/*
 * One client that does not wait for each reply: BURST requests, then their replies. For transactions it
 * starts a burst of them, reads in all, writes in all (each to a node of its own), ends all.
 */
static struct result measure_bursts(struct peer *p, enum burst_kind kind, double seconds)
{
    struct raw c;
    struct result r;
    uint32_t tx[BURST] = {0};
    unsigned steps = kind == BURST_TXN ? 4 : 1, bursts = 0;
    struct clock k;
    char b[64], path[32];
    size_t len;

    must(raw_open(&c, p->socket), "connect");
    must(raw_write(&c, 0, "/bench/key", "value"), "first write");
    for (unsigned i = 0; i < BURST; i++) {
        snprintf(path, sizeof(path), "/bench/b%u/k", i);
        must(raw_write(&c, 0, path, "value"), "first write");
    }
    k = clock_begin(p);
    for (; now_s() - k.start < seconds; bursts++) {
        for (unsigned step = 0; step < steps; step++) {
            for (unsigned i = 0; i < BURST; i++) {
                snprintf(path, sizeof(path), "/bench/b%u/k", i);
                if (kind == BURST_READ || (kind == BURST_TXN && step == 1)) {
                    must(raw_send(&c, XS_READ, tx[i], path, strlen(path) + 1), "send");
                } else if (kind == BURST_WRITE || (kind == BURST_TXN && step == 2)) {
                    len = raw_pair(b, path, "value", false);
                    must(raw_send(&c, XS_WRITE, tx[i], b, len), "send");
                } else {
                    must(step ? raw_send(&c, XS_TRANSACTION_END, tx[i], "T", 2)
                              : raw_send(&c, XS_TRANSACTION_START, 0, "", 1),
                         "send");
                }
            }
            for (unsigned i = 0; i < BURST; i++) {
                must(raw_reply(&c) && raw_ok(&c), "reply in a burst");
                tx[i] = kind != BURST_TXN || step == 3 ? 0
                        : step == 0                    ? (uint32_t)strtoul(c.body, NULL, 10)
                                                       : tx[i];
            }
        }
    }
    r = clock_end(&k, (double)bursts * BURST);
    close(c.fd);
    return r;
}

#define WATCHES_EACH 1000
#define WATCHERS_MAX 100

/* Watches on paths that nobody changes, spread over clients (Xen searches all of one client's for each new
 * one). */
struct watchers {
    struct raw c[WATCHERS_MAX];
    unsigned n;
};

static void add_watches(struct peer *p, unsigned n, struct watchers *w)
{
    char path[64], b[128];

    for (w->n = 0; w->n * WATCHES_EACH < n; w->n++) {
        must(raw_open(&w->c[w->n], p->socket), "connect");
        for (unsigned i = 0; i < WATCHES_EACH && w->n * WATCHES_EACH + i < n; i++) {
            snprintf(path, sizeof(path), "/watched/%u/%u", w->n, i);
            must(raw_call(&w->c[w->n], XS_WATCH, 0, b, raw_pair(b, path, "t", true)) && raw_ok(&w->c[w->n]),
                 "watch");
        }
    }
}

static void drop_watches(struct watchers *w)
{
    while (w->n) {
        close(w->c[--w->n].fd);
    }
}

#define IDLE_DOMAINS 1000

/* What an introduced domain costs that does nothing. Its page is shared memory and not counted. */
static double domain_memory(struct peer *p)
{
    static struct simdomain d[IDLE_DOMAINS];
    double before, after;
    struct raw c;
    char b[32];

    must(raw_open(&c, p->socket), "connect");
    before = (double)peer_memory(p);
    for (unsigned i = 0; i < IDLE_DOMAINS; i++) {
        must(sim_create(&d[i], p->dir, i + 1), "make a simulated domain");
        must(raw_call(&c, XS_INTRODUCE, 0, b, (size_t)snprintf(b, sizeof(b), "%u%c1%c9", i + 1, 0, 0) + 1) &&
                 raw_ok(&c),
             c.body);
    }
    after = (double)peer_memory(p);
    for (unsigned i = 0; i < IDLE_DOMAINS; i++) {
        sim_destroy(&d[i]);
    }
    close(c.fd);
    return (after - before) / IDLE_DOMAINS;
}

/* What a connected client that has done a little and is idle costs. */
static double client_memory(struct peer *p)
{
    static struct raw c[1000];
    double before = (double)peer_memory(p), after;

    for (unsigned i = 0; i < 1000; i++) {
        must(raw_open(&c[i], p->socket), "connect");
        op_write(&c[i], i);
    }
    after = (double)peer_memory(p);
    for (unsigned i = 0; i < 1000; i++) {
        close(c[i].fd);
    }
    return (after - before) / 1000;
}

static void show(const char *what, const struct result *r, const bool *present)
{
    printf("%-32s", what);
    for (unsigned k = 0; k < PEER_COUNT; k++) {
        if (present[k]) {
            printf(" %10.0f/s %7.2f us", r[k].rate, r[k].cpu_us);
        } else {
            printf(" %10s   %7s   ", "-", "-");
        }
    }
    if (present[PEER_XENSTORED] || present[PEER_OXENSTORED]) {
        double best = 0, cpu = 1e9;

        for (unsigned k = 1; k < PEER_COUNT; k++) {
            if (present[k]) {
                best = r[k].rate > best ? r[k].rate : best;
                cpu = r[k].cpu_us < cpu ? r[k].cpu_us : cpu;
            }
        }
        printf("  %5.2fx rate %5.2fx cpu", r[0].rate / best, cpu / r[0].cpu_us);
    }
    printf("\n");
    fflush(stdout);
}

enum load {
    L_READ,
    L_WRITE,
    L_TXN,
    L_BREAD,
    L_BWRITE,
    L_BTXN,
    L_MANY,
    L_MANY_TXN,
    L_THOUSAND,
    L_FILL,
    L_W0,
    L_W10K,
    L_W100K,
    L_COUNT
};
static const char *const load_name[L_COUNT] = {
    "read, one client",
    "write, one client",
    "transaction, one client",
    "read, bursts of 32",
    "write, bursts of 32",
    "transaction, bursts of 32",
    "read+write, 64 clients",
    "transaction, 64 clients",
    "read+write, 1000 clients",
    "fill 100000 nodes",
    "write, no watches",
    "write, 10000 unrelated watches",
    "write, 100000 unrelated watches",
};

/* The best of several tries: other work on the machine only ever makes a try slower. */
static void keep_best(struct result *best, struct result now)
{
    best->rate = now.rate > best->rate ? now.rate : best->rate;
    best->cpu_us = best->cpu_us == 0 || now.cpu_us < best->cpu_us ? now.cpu_us : best->cpu_us;
}

static struct result run_load(struct peer *p, enum load l, double seconds)
{
    switch (l) {
    case L_READ:
        return measure(p, op_read, UINT32_MAX, seconds);
    case L_TXN:
        return measure(p, op_txn, UINT32_MAX, seconds);
    case L_BREAD:
        return measure_bursts(p, BURST_READ, seconds);
    case L_BWRITE:
        return measure_bursts(p, BURST_WRITE, seconds);
    case L_BTXN:
        return measure_bursts(p, BURST_TXN, seconds);
    case L_MANY:
        return measure_many(p, 64, false, seconds);
    case L_MANY_TXN:
        return measure_many(p, 64, true, seconds);
    case L_THOUSAND:
        return measure_many(p, 1000, false, seconds);
    default:
        return measure(p, op_write, UINT32_MAX, seconds);
    }
}

/*
 * A transaction is four round trips. A daemon that does no work at all shows what the client, the socket and the two
 * switches of a round trip take, and so how far any daemon can be from the better of the two.
 */
static void show_bound(const char *base, const struct result *r, double seconds)
{
    struct result floor = {0};
    struct peer p;

    peer_start(&p, PEER_NOTHING, base, NULL);
    for (unsigned try = 0; try < TRIES; try++) {
        keep_best(&floor, measure(&p, op_txn, UINT32_MAX, seconds));
    }
    peer_stop(&p);
    printf("%-32s %10.0f/s %7.2f us  %.2fx ours, %.2fx xenstored\n", "  a daemon that only answers",
           floor.rate, floor.cpu_us, floor.rate / r[PEER_OURS].rate, floor.rate / r[PEER_XENSTORED].rate);
}

static void show_memory(const char *what, const double *bytes, const bool *present)
{
    printf("%-32s", what);
    for (unsigned k = 0; k < PEER_COUNT; k++) {
        if (bytes[k] > 0) {
            printf(" %20.0f   ", bytes[k]);
        } else if (present[k]) {
            printf(" %20s   ", "-");
        }
    }
    printf("\n");
}

struct rates {
    struct peer p[PEER_COUNT];
    struct watchers watchers[PEER_COUNT];
    struct result r[L_COUNT][PEER_COUNT];
    double per_node[PEER_COUNT], per_client[PEER_COUNT], per_domain[PEER_COUNT];
};

/* Fills a store of its own, then measures what idle clients and domains add to a fresh one, which stays. */
static void run_sizes(struct rates *t, const char *base, unsigned scale, unsigned k)
{
    double before;

    peer_start(&t->p[k], (enum peer_kind)k, base, NULL);
    before = (double)peer_memory(&t->p[k]);
    t->r[L_FILL][k] = measure(&t->p[k], op_fill, 100000 / scale, FOR_EVER);
    t->per_node[k] = ((double)peer_memory(&t->p[k]) - before) / (100000 / scale);
    peer_stop(&t->p[k]);
    if (k != PEER_OXENSTORED) { /* which does not survive the shim's pages */
        peer_start(&t->p[k], (enum peer_kind)k, base, NULL);
        t->per_domain[k] = domain_memory(&t->p[k]);
        peer_stop(&t->p[k]);
    }
    peer_start(&t->p[k], (enum peer_kind)k, base, NULL);
    t->per_client[k] = client_memory(&t->p[k]);
}

static void run_row(struct rates *t, enum load l, unsigned scale, const bool *present)
{
    unsigned watches = l == L_W10K ? 10000 : (l == L_W100K ? 100000 : 0);
    unsigned tries = l == L_THOUSAND ? TRIES / 3 : TRIES; /* connecting so many takes the peers long */

    for (unsigned k = 0; k < PEER_COUNT && watches; k++) {
        if (present[k]) {
            add_watches(&t->p[k], watches / scale, &t->watchers[k]);
        }
    }
    for (unsigned try = 0; try < tries * PEER_COUNT && l != L_FILL; try++) {
        unsigned k = try % PEER_COUNT;

        if (present[k]) {
            keep_best(&t->r[l][k], run_load(&t->p[k], l, TRY_SECONDS / scale));
        }
    }
    show(load_name[l], t->r[l], present);
    if (l == L_COUNT - 1) {
        return; /* the daemons end before their clients: hanging up so many takes the peers long, too */
    }
    for (unsigned k = 0; k < PEER_COUNT; k++) {
        drop_watches(&t->watchers[k]);
    }
}

static void run_rates(const char *base, unsigned scale, const bool *present)
{
    static struct rates t;
    const struct result *none, *many, *most;

    for (unsigned k = 0; k < PEER_COUNT; k++) {
        if (present[k]) {
            run_sizes(&t, base, scale, k);
        }
    }
    printf("best of %d tries of %.3f s; time is what the daemon itself used for each operation\n%-32s", TRIES,
           TRY_SECONDS / scale, "");
    for (unsigned k = 0; k < PEER_COUNT; k++) {
        printf(" %23s", peer_name((enum peer_kind)k));
    }
    printf("  bulkhead against the better\n");
    for (unsigned l = 0; l < L_COUNT; l++) {
        run_row(&t, (enum load)l, scale, present);
        if (l == L_TXN && present[PEER_XENSTORED]) {
            show_bound(base, t.r[l], TRY_SECONDS / scale);
        }
    }
    for (unsigned k = 0; k < PEER_COUNT; k++) {
        if (present[k]) {
            peer_stop(&t.p[k]);
            drop_watches(&t.watchers[k]);
        }
    }
    show_memory("memory of a node, bytes", t.per_node, present);
    show_memory("memory of an idle client", t.per_client, present);
    show_memory("memory of an idle domain", t.per_domain, present);
    none = &t.r[L_W0][PEER_OURS];
    many = &t.r[L_W10K][PEER_OURS];
    most = &t.r[L_W100K][PEER_OURS];
    printf("writes with 10000 watches: %.1f %% of the rate with none, %.1f %% of the daemon's time; with "
           "100000: "
           "%.1f %%, %.1f %%\n",
           100 * many->rate / none->rate, 100 * many->cpu_us / none->cpu_us, 100 * most->rate / none->rate,
           100 * most->cpu_us / none->cpu_us);
}

/* Instructions for each of n operations: what callgrind counted between its zero and its dump number `dump`. */
static double count_ops(struct peer *p, const char *counts, unsigned dump, op_fn *op, unsigned n)
{
    char file[320], line[256];
    double sum = 0;
    FILE *f;

    measure(p, op, n / 4, FOR_EVER);
    peer_callgrind(p, "-z");
    measure(p, op, n, FOR_EVER);
    peer_callgrind(p, "-d");
    snprintf(file, sizeof(file), "%s.%u", counts, dump);
    f = fopen(file, "r");
    must(f, file);
    while (fgets(line, sizeof(line), f)) {
        double v;

        if (sscanf(line, "summary: %lf", &v) == 1 || sscanf(line, "totals: %lf", &v) == 1) {
            sum = v;
        }
    }
    fclose(f);
    return sum / n;
}

static void run_counts(const char *base, const bool *present)
{
    static const struct {
        const char *name;
        op_fn *op;
        unsigned watches;
    } row[] = {
        {"read", op_read, 0},
        {"write", op_write, 0},
        {"write, 2000 unrelated watches", op_write, 2000},
        {"transaction (4 requests)", op_txn, 0},
        {"fill", op_fill, 0},
    };
    static struct watchers w;
    double count[sizeof(row) / sizeof(row[0])][PEER_COUNT] = {0};
    char counts[300];

    for (unsigned k = 0; k < PEER_COUNT; k++) {
        struct peer p;

        if (!present[k]) {
            continue;
        }
        snprintf(counts, sizeof(counts), "%s/counts-%u", base, k);
        peer_start(&p, (enum peer_kind)k, base, counts);
        for (unsigned i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
            add_watches(&p, row[i].watches, &w);
            count[i][k] = count_ops(&p, counts, i + 1, row[i].op, 1000);
            drop_watches(&w);
        }
        peer_stop(&p);
    }
    printf("\ninstructions for each operation (user space, callgrind)\n");
    for (unsigned i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        printf("%-34s", row[i].name);
        for (unsigned k = 0; k < PEER_COUNT; k++) {
            if (present[k]) {
                printf(" %12s %9.0f", peer_name((enum peer_kind)k), count[i][k]);
            }
        }
        printf("\n");
    }
}

int main(int argc, char **argv)
{
    char base[] = "/dev/shm/bh-xs-bench-XXXXXX", command[80];
    bool present[PEER_COUNT];
    bool counts = true, rates = true;
    struct rlimit files;
    unsigned scale = 1;

    for (int i = 1; i < argc; i++) {
        counts &= strcmp(argv[i], "--no-counts") != 0;
        rates &= strcmp(argv[i], "--only-counts") != 0;
        scale = strcmp(argv[i], "--quick") == 0 ? 10 : scale;
    }
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    must(setrlimit(RLIMIT_NOFILE, &files) == 0, "raise the limit of open files");
    must(mkdtemp(base), "mkdtemp");
    for (unsigned k = 0; k < PEER_COUNT; k++) {
        present[k] = peer_present((enum peer_kind)k);
    }
    if (rates) {
        run_rates(base, scale, present);
    }
    if (counts) {
        run_counts(base, present);
    }
    snprintf(command, sizeof(command), "rm -rf %s", base);
    return system(command) ? 1 : 0;
}

/*
 * The store beside Xen's two daemons: the same client, the same requests, one table.
 *
 * Rates depend on the machine and its other work; the CPU time that the daemon itself used for a request, and
 * the instructions it executed (valgrind's callgrind, difference of two runs), do so much less. --quick does
 * a tenth of it, --no-counts leaves the instructions out, --only-counts the rates.
 */
#include "peers.h"
#include "rawclient.h"

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

struct result {
    double rate;   /* operations a second */
    double cpu_us; /* of the daemon for each */
};

static struct result measure(struct peer *p, op_fn *op, unsigned n)
{
    struct raw c;
    struct result r;
    double start;
    unsigned long long cpu;

    must(raw_open(&c, p->socket), "connect");
    must(raw_write(&c, 0, "/bench/key", "value"), "first write");
    must(raw_write(&c, 0, "/bench/other", "value"), "first write");
    cpu = peer_cpu_ns(p);
    start = now_s();
    for (unsigned i = 0; i < n; i++) {
        op(&c, i);
    }
    r.rate = n / (now_s() - start);
    r.cpu_us = (double)(peer_cpu_ns(p) - cpu) / 1e3 / n;
    close(c.fd);
    return r;
}

/* Many clients at once: all send, then all read, in rounds. Each round is `steps` requests per client. */
static struct result measure_many(struct peer *p, unsigned clients, unsigned rounds, bool txn)
{
    struct raw *c = calloc(clients, sizeof(*c));
    uint32_t *tx = calloc(clients, sizeof(*tx));
    struct result r;
    double start;
    unsigned long long cpu;
    char b[64];
    size_t len = raw_pair(b, "/bench/key", "value", false);

    for (unsigned i = 0; i < clients; i++) {
        must(raw_open(&c[i], p->socket), "connect");
        must(raw_path(&c[i], XS_READ, 0, "/"), "first read");
    }
    cpu = peer_cpu_ns(p);
    start = now_s();
    for (unsigned k = 0; k < rounds; k++) {
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
    r.rate = (double)clients * rounds * (txn ? 1 : 2) / (now_s() - start);
    r.cpu_us = (double)(peer_cpu_ns(p) - cpu) / 1e3 / clients / rounds / (txn ? 1 : 2);
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
static struct result measure_bursts(struct peer *p, unsigned bursts, enum burst_kind kind)
{
    struct raw c;
    struct result r;
    uint32_t tx[BURST] = {0};
    unsigned steps = kind == BURST_TXN ? 4 : 1;
    unsigned long long cpu;
    double start;
    char b[64], path[32];
    size_t len;

    must(raw_open(&c, p->socket), "connect");
    must(raw_write(&c, 0, "/bench/key", "value"), "first write");
    for (unsigned i = 0; i < BURST; i++) {
        snprintf(path, sizeof(path), "/bench/b%u/k", i);
        must(raw_write(&c, 0, path, "value"), "first write");
    }
    cpu = peer_cpu_ns(p);
    start = now_s();
    for (unsigned k = 0; k < bursts; k++) {
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
    r.rate = (double)bursts * BURST / (now_s() - start);
    r.cpu_us = (double)(peer_cpu_ns(p) - cpu) / 1e3 / bursts / BURST;
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

static struct result run_load(struct peer *p, enum load l, unsigned scale)
{
    switch (l) {
    case L_READ:
        return measure(p, op_read, 20000 / scale);
    case L_TXN:
        return measure(p, op_txn, 5000 / scale);
    case L_BREAD:
        return measure_bursts(p, 1000 / scale, BURST_READ);
    case L_BWRITE:
        return measure_bursts(p, 1000 / scale, BURST_WRITE);
    case L_BTXN:
        return measure_bursts(p, 250 / scale, BURST_TXN);
    case L_MANY:
        return measure_many(p, 64, 100 / scale, false);
    case L_MANY_TXN:
        return measure_many(p, 64, 50 / scale, true);
    case L_THOUSAND:
        return measure_many(p, 1000, 10 / scale + 1, false);
    default:
        return measure(p, op_write, (l == L_W100K ? 1000 : 20000) / scale);
    }
}

#define TRIES 5

static void run_rates(const char *base, unsigned scale, const bool *present)
{
    static struct result r[L_COUNT][PEER_COUNT];
    static struct peer p[PEER_COUNT];
    static struct watchers w[PEER_COUNT];
    double per_node[PEER_COUNT] = {0}, per_client[PEER_COUNT] = {0};

    for (unsigned try = 0; try < 3 * PEER_COUNT; try++) {
        unsigned k = try % PEER_COUNT;
        double before;

        if (!present[k]) {
            continue;
        }
        peer_start(&p[k], (enum peer_kind)k, base, NULL);
        before = (double)peer_memory(&p[k]);
        keep_best(&r[L_FILL][k], measure(&p[k], op_fill, 100000 / scale));
        per_node[k] = ((double)peer_memory(&p[k]) - before) / (100000 / scale);
        peer_stop(&p[k]);
    }
    for (unsigned k = 0; k < PEER_COUNT; k++) {
        if (present[k]) {
            peer_start(&p[k], (enum peer_kind)k, base, NULL);
            per_client[k] = client_memory(&p[k]);
        }
    }
    printf("best of %u tries; time is what the daemon itself used for each operation\n%-32s", TRIES, "");
    for (unsigned k = 0; k < PEER_COUNT; k++) {
        printf(" %23s", peer_name((enum peer_kind)k));
    }
    printf("  bulkhead against the better\n");
    for (unsigned l = 0; l < L_COUNT; l++) {
        unsigned watches = l == L_W10K ? 10000 : (l == L_W100K ? 100000 : 0);

        for (unsigned k = 0; k < PEER_COUNT && watches; k++) {
            if (present[k]) {
                add_watches(&p[k], watches / scale, &w[k]);
            }
        }
        for (unsigned try = 0; try < TRIES * PEER_COUNT && l != L_FILL; try++) {
            unsigned k = try % PEER_COUNT;

            if (present[k]) {
                keep_best(&r[l][k], run_load(&p[k], (enum load)l, scale));
            }
        }
        for (unsigned k = 0; k < PEER_COUNT; k++) {
            drop_watches(&w[k]);
        }
        show(load_name[l], r[l], present);
    }
    for (unsigned k = 0; k < PEER_COUNT; k++) {
        if (present[k]) {
            peer_stop(&p[k]);
        }
    }
    printf("%-32s", "memory for each node, bytes");
    for (unsigned k = 0; k < PEER_COUNT; k++) {
        printf(" %23.0f", per_node[k]);
    }
    printf("\n%-32s", "memory for each idle client");
    for (unsigned k = 0; k < PEER_COUNT; k++) {
        printf(" %23.0f", per_client[k]);
    }
    printf("\nwrites with 10000 watches: %.1f %% of the daemon's time with none; with 100000: %.1f %%\n",
           100 * r[L_W10K][0].cpu_us / r[L_W0][0].cpu_us, 100 * r[L_W100K][0].cpu_us / r[L_W0][0].cpu_us);
}

/* Instructions of a run with n operations, from callgrind's summary. */
static double count_run(const char *base, enum peer_kind kind, op_fn *op, unsigned n, unsigned watches)
{
    char counts[300], line[256];
    struct peer p;
    static struct watchers w;
    double sum = 0;
    FILE *f;

    snprintf(counts, sizeof(counts), "%s/counts", base);
    unlink(counts);
    peer_start(&p, kind, base, counts);
    if (watches) {
        add_watches(&p, watches, &w);
    }
    measure(&p, op, n);
    peer_stop(&p);
    drop_watches(&w);
    f = fopen(counts, "r");
    must(f, "callgrind's result");
    while (fgets(line, sizeof(line), f)) {
        double v;

        if (sscanf(line, "summary: %lf", &v) == 1 || sscanf(line, "totals: %lf", &v) == 1) {
            sum = v;
        }
    }
    fclose(f);
    return sum;
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

    printf("\ninstructions for each operation (user space, callgrind)\n");
    for (unsigned i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        printf("%-34s", row[i].name);
        for (unsigned k = 0; k < PEER_COUNT; k++) {
            double few, many;

            if (!present[k]) {
                continue;
            }
            few = count_run(base, (enum peer_kind)k, row[i].op, 500, row[i].watches);
            many = count_run(base, (enum peer_kind)k, row[i].op, 2500, row[i].watches);
            printf(" %12s %9.0f", peer_name((enum peer_kind)k), (many - few) / 2000);
        }
        printf("\n");
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    char base[] = "/dev/shm/bh-xs-bench-XXXXXX", command[80];
    bool present[PEER_COUNT];
    bool counts = true, rates = true;
    unsigned scale = 1;

    for (int i = 1; i < argc; i++) {
        counts &= strcmp(argv[i], "--no-counts") != 0;
        rates &= strcmp(argv[i], "--only-counts") != 0;
        scale = strcmp(argv[i], "--quick") == 0 ? 10 : scale;
    }
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

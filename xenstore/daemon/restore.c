/*
 * Starting: find the newest state file that verifies, take over what it says, connect the rings again.
 *
 * After a crash of the daemon the newest file is whole up to the last batch. After a power cut the file is
 * from another boot: in a control domain all its domains are gone with that boot, so it is said to be stale,
 * set aside and the store begins empty; a store without a hypervisor uses what verifies and says so.
 */
#include "server.h"

#include "log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define GENERATIONS_MAX 64

static int newest_first(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x < *y) - (*x > *y);
}

static unsigned list_generations(const char *dir, uint64_t *gen)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    unsigned n = 0;

    while (d && n < GENERATIONS_MAX && (e = readdir(d))) {
        uint64_t v;

        if (strncmp(e->d_name, "state.", 6) == 0 && wire_number(e->d_name + 6, UINT64_MAX, &v)) {
            gen[n++] = v;
        }
    }
    if (d) {
        closedir(d);
    }
    qsort(gen, n, sizeof(*gen), newest_first);
    return n;
}

static bool read_state(const char *file, journal_record_fn *f, void *ctx, struct journal_stats *st)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    struct stat sb;
    bool ok = false;
    void *map;

    *st = (struct journal_stats){.why = "the file cannot be read"};
    if (fd >= 0 && fstat(fd, &sb) == 0 && sb.st_size > 0) {
        map = mmap(NULL, (size_t)sb.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (map != MAP_FAILED) {
            ok = journal_read(map, (size_t)sb.st_size, f, ctx, st);
            munmap(map, (size_t)sb.st_size);
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

static bool any_record(void *ctx, enum record type, const uint8_t *data, size_t len)
{
    return type >= REC_END_OF_CHECKPOINT && type <= REC_COUNTERS;
}

bool state_readable(const char *dir)
{
    uint64_t gen[GENERATIONS_MAX];
    struct journal_stats st;
    char file[512];

    if (list_generations(dir, gen) == 0) {
        return true;
    }
    snprintf(file, sizeof(file), "%s/state.%llu", dir, (unsigned long long)gen[0]);
    return read_state(file, any_record, NULL, &st);
}

/* Transactions that were open begin anew on the present state; they can only end with EAGAIN. */
static void renew_txns(struct server *s)
{
    for (size_t i = 0; i < s->txns.nbuckets; i++) {
        for (struct hlink *l = s->txns.bucket[i]; l; l = l->next) {
            struct txn *t = container_of(l, struct txn, link);

            t->base = node_ref(s->store.tree.root);
            t->tree = s->store.tree;
            node_ref(t->tree.root);
        }
    }
}

static void connect_domains(struct server *s)
{
    struct list *next;

    for (struct list *l = s->domain_list.next; l != &s->domain_list; l = next) {
        struct domain *d = container_of(l, struct domain, all);
        uint64_t identity = d->identity;
        enum domain_state st = s->platform->state(s->platform, d->domid, &identity);
        bool gone = st == DOMAIN_GONE || (st != DOMAIN_UNKNOWN && identity != d->identity);
        int rc = gone ? ESRCH : s->platform->connect(s->platform, s, d);

        next = l->next;
        if (rc == 0) {
            ring_begin(s, d->conn, false);
            continue;
        }
        log_msg(LOG_LEVEL_WARNING, "domain %u: not connected again: %s", d->domid,
                gone ? "it ended while the store was down" : strerror(rc));
        domain_release(s, d, gone);
        s->check_domains = true;
    }
}

/* Keeps a file that is not used under another name, for a person to look at. */
static void set_aside(const struct server *s, const char *file, uint64_t gen)
{
    char aside[540];

    snprintf(aside, sizeof(aside), "%s/stale-state.%llu", s->dir, (unsigned long long)gen);
    rename(file, aside);
}

static bool try_generation(struct server *s, uint64_t gen)
{
    struct journal_stats st;
    char file[512];
    bool ok;

    state_name(s, gen, file, sizeof(file));
    s->store.version = (gen + 1) << 40;
    ok = read_state(file, state_load_record, s, &st);
    if (ok && st.other_boot && s->platform->has_domain0) {
        log_msg(LOG_LEVEL_WARNING,
                "%s is from an earlier boot of the machine: stale, kept as stale-state.%llu; the store "
                "begins empty",
                file, (unsigned long long)gen);
        set_aside(s, file, gen);
        ok = false;
    } else if (!ok && st.why) {
        log_msg(LOG_LEVEL_ERROR, "%s is of no use (%s), kept as stale-state.%llu", file, st.why,
                (unsigned long long)gen);
        set_aside(s, file, gen);
    } else if (!ok) {
        log_msg(LOG_LEVEL_WARNING, "%s is of no use: its checkpoint was not finished", file);
    } else if (st.damaged) {
        log_msg(LOG_LEVEL_ERROR,
                "%s is damaged behind %zu bytes (batch %u: %s): the store is as it was before "
                "that, which may be stale",
                file, st.good, st.batches + 1, st.why ? st.why : "cut off");
    } else if (st.other_boot) {
        log_msg(LOG_LEVEL_WARNING,
                "%s is from an earlier boot of the machine; all of it verifies, but what was "
                "written last may be missing (stale)",
                file);
    }
    if (ok) {
        log_msg(LOG_LEVEL_INFO, "state %llu taken over: %u batches", (unsigned long long)gen, st.batches);
        return true;
    }
    server_clear(s);
    return false;
}

/* What is in every store from the start: tools look for it. */
static void begin_empty(struct server *s)
{
    static const struct caller control = {.domid = 0, .target = DOMID_NONE, .privileged = true};
    static const char path[] = "/tool/xenstored";

    store_mkdir(&s->store, NULL, &control, (struct path){path, sizeof(path) - 1});
}

int state_restore(struct server *s)
{
    uint64_t gen[GENERATIONS_MAX];
    unsigned n = list_generations(s->dir, gen), i;
    char file[512];
    int rc;

    for (i = 0; i < n; i++) {
        if (try_generation(s, gen[i])) {
            renew_txns(s);
            connect_domains(s);
            break;
        }
    }
    if (i == n) {
        begin_empty(s);
    }
    s->journal.generation = n ? gen[0] : 0;
    rc = state_checkpoint(s, false);
    for (i = 0; !rc && i < n; i++) {
        state_name(s, gen[i], file, sizeof(file));
        unlink(file);
    }
    return rc;
}

/*
 * The state file: what is there after a crash at any point, and that damage is found.
 *
 * "Crash" here is reading the file as it is at that moment into a second server; nothing was flushed or
 * closed.
 */
#include "fuzz_server.h"
#include "log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/bh-xs-state-XXXXXX";
static struct server s;
static struct conn *dom0;

static int setup(void **state)
{
    strcpy(dir, "/tmp/bh-xs-state-XXXXXX");
    assert_non_null(mkdtemp(dir));
    fuzz_server_begin(&s);
    s.dir = dir;
    assert_int_equal(state_restore(&s), 0);
    dom0 = fuzz_conn(&s, 0);
    return 0;
}

static int teardown(void **state)
{
    char command[80];

    fuzz_server_end(&s);
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command) ? 1 : 0;
}

static void ask(struct server *srv, struct conn *c, uint32_t type, uint32_t tx, const void *data, size_t len)
{
    struct xsd_sockmsg hdr = {.type = type, .req_id = 1, .tx_id = tx, .len = (uint32_t)len};

    dispatch(srv, c, &hdr, data);
    journal_commit(&srv->journal);
}

static void set(const char *path, unsigned value)
{
    char b[200];
    int n = snprintf(b, sizeof(b), "%s%c%u", path, 0, value);

    ask(&s, dom0, XS_WRITE, 0, b, (size_t)n);
}

static unsigned get(struct server *srv, const char *path)
{
    struct tree_node *n = tree_find(srv->store.tree.root, (struct path){path, strlen(path)}, NULL);
    char text[32] = "";

    if (!n) {
        return 0;
    }
    memcpy(text, node_value(n), n->value_len);
    return (unsigned)atoi(text);
}

/* A second server on the same directory, as after kill -9 and a new start. */
static void crash(struct server *after)
{
    server_init(after, &fuzz_platform, NULL);
    after->dir = dir;
    assert_int_equal(state_restore(after), 0);
}

static void everything_comes_back(void **state)
{
    static const char perms[] = "/a/b\0n3\0r4\0b5";
    struct server after;
    struct conn *ring, *back;
    struct domain *d;

    set("/a/b", 17);
    ask(&s, dom0, XS_SET_PERMS, 0, perms, sizeof(perms));
    ask(&s, dom0, XS_INTRODUCE, 0, "6\0001234\00056", 10);
    d = domain_find(&s, 6);
    assert_non_null(d);
    ring = d->conn;
    ask(&s, ring, XS_WATCH, 0, "@releaseDomain\0tok", 19);
    ask(&s, ring, XS_TRANSACTION_START, 0, "", 1);
    ask(&s, dom0, XS_CONTROL, 0, "quota\0nodes\000123", 16);
    ask(&s, dom0, XS_CONTROL, 0, "quota\0006\0watches\00099", 19);
    crash(&after);
    assert_int_equal(get(&after, "/a/b"), 17);
    assert_int_equal(tree_find(after.store.tree.root, (struct path){"/a/b", 4}, NULL)->perms->n, 3);
    back = domain_find(&after, 6)->conn;
    assert_int_equal(domain_find(&after, 6)->mfn, 1234);
    assert_int_equal(domain_find(&after, 6)->port, 56);
    assert_int_equal(back->watches.count, 1);
    assert_int_equal(conn_pending(back), conn_pending(ring));
    assert_memory_equal(back->out.data + back->out_at, ring->out.data + ring->out_at, conn_pending(ring));
    assert_int_equal(after.store.quotas.hard[LIMIT_NODES], 123);
    assert_int_equal(limit_value(&after.store.quotas, account_find(&after.store.quotas, 6), LIMIT_WATCHES),
                     99);
    /* The open transaction may go on, but it ends with EAGAIN. */
    assert_int_equal(after.txns.count, 1);
    conn_sent(&after, back, conn_pending(back));
    ask(&after, back, XS_TRANSACTION_END, 1, "T", 2);
    assert_string_equal((char *)back->out.data + back->out_at + sizeof(struct xsd_sockmsg), "EAGAIN");
    assert_int_equal(account_get(&after.store.quotas, 0)->nodes, account_get(&s.store.quotas, 0)->nodes);
    server_free(&after);
}

static void checkpoints_lose_nothing(void **state)
{
    struct server after;
    char path[64];

    for (unsigned i = 0; i < 3000; i++) {
        snprintf(path, sizeof(path), "/n/%u", i % 500);
        set(path, i + 1);
        if (i % 700 == 0) {
            assert_int_equal(state_checkpoint(&s, false), 0);
        }
    }
    crash(&after);
    for (unsigned i = 2500; i < 3000; i++) {
        snprintf(path, sizeof(path), "/n/%u", i % 500);
        assert_int_equal(get(&after, path), i + 1);
    }
    server_free(&after);
}

static size_t read_file(const char *file, uint8_t **data)
{
    struct stat st;
    int fd = open(file, O_RDONLY);
    size_t len;

    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    *data = malloc((size_t)st.st_size);
    len = (size_t)read(fd, *data, (size_t)st.st_size);
    close(fd);
    return len;
}

/* The counter in /count went 1, 2, 3...: whatever is accepted has to be one of these states, and be so
 * called. */
static unsigned load(const uint8_t *data, size_t len, struct journal_stats *st)
{
    struct server again;
    unsigned v;

    server_init(&again, &fuzz_platform, NULL);
    journal_read(data, len, state_load_record, &again, st);
    v = get(&again, "/count");
    server_free(&again);
    return v;
}

static void damage_is_found(void **state)
{
    enum { N = 40 };
    struct journal_stats st;
    char file[300];
    uint8_t *data;
    size_t used;

    for (unsigned i = 1; i <= N; i++) {
        set("/count", i);
    }
    snprintf(file, sizeof(file), "%s/state.%llu", dir, (unsigned long long)s.journal.generation);
    used = s.journal.used;
    assert_true(read_file(file, &data) > used);
    assert_int_equal(load(data, used + 64, &st), N);
    assert_true(st.complete && !st.damaged);
    /* A power cut leaves any part of the file old: here, zero from some point on, or one byte wrong. */
    for (size_t at = 0; at < used; at += 7) {
        uint8_t *copy = malloc(used + 64);
        unsigned v;

        memcpy(copy, data, used + 64);
        copy[at] ^= 0x41;
        v = load(copy, used + 64, &st);
        assert_true(v < N || at < 88);
        assert_true(!st.complete || st.damaged || st.other_boot || st.good < used);
        memcpy(copy, data, used + 64);
        memset(copy + at, 0, used - at);
        v = load(copy, used + 64, &st);
        assert_true(v < N);
        assert_true(st.good <= used);
        free(copy);
    }
    free(data);
}

static void an_unfinished_checkpoint_is_not_used(void **state)
{
    struct server after;
    char file[300];
    FILE *f;

    set("/count", 5);
    /* The next generation was begun when the crash came: it holds a header and nothing else. */
    snprintf(file, sizeof(file), "%s/state.%llu", dir, (unsigned long long)s.journal.generation + 1);
    f = fopen(file, "w");
    fwrite(s.journal.map, 1, 80, f);
    fclose(f);
    crash(&after);
    assert_int_equal(get(&after, "/count"), 5);
    server_free(&after);
}

/* Does the directory hold this file? Does the log, begun by log_to_file, have this text? */
static bool kept(const char *name)
{
    char file[300];

    snprintf(file, sizeof(file), "%s/%s", dir, name);
    return access(file, R_OK) == 0;
}

static bool logged(const char *text)
{
    char file[300], *all;
    uint8_t *data;
    size_t len;
    bool found;

    snprintf(file, sizeof(file), "%s/log", dir);
    len = read_file(file, &data);
    all = strndup((char *)data, len);
    found = strstr(all, text) != NULL;
    free(all);
    free(data);
    return found;
}

/* Starts on the directory after its state file's header was changed by f, on a platform with or without domains. */
static void start_on(struct server *after, void (*f)(struct journal_header *h), bool has_domain0)
{
    static struct platform p;
    struct journal_header *h = (struct journal_header *)s.journal.map;
    char file[300];

    f(h);
    h->check = hash_bytes(h, offsetof(struct journal_header, check), 3);
    snprintf(file, sizeof(file), "%s/log", dir);
    assert_int_equal(log_to_file(file), 0);
    p = fuzz_platform;
    p.has_domain0 = has_domain0;
    server_init(after, &p, NULL);
    after->dir = dir;
    assert_int_equal(state_restore(after), 0);
    assert_int_equal(log_to_file(NULL), 0);
}

static void of_another_boot(struct journal_header *h)
{
    memcpy(h->boot_id, "00000000-1111-2222-3333-444444444444", 36);
}

static void of_another_version(struct journal_header *h)
{
    h->version++;
}

/* After a power cut: in a control domain all domains ended with the machine, so their store is stale. */
static void state_of_another_boot_is_stale(void **state)
{
    struct server after;

    set("/count", 5);
    start_on(&after, of_another_boot, true);
    assert_int_equal(get(&after, "/count"), 0);
    assert_true(kept("stale-state.1"));
    assert_true(logged("is from an earlier boot of the machine: stale"));
    server_free(&after);
}

static void state_of_another_boot_without_domains_is_used(void **state)
{
    struct server after;

    set("/count", 5);
    start_on(&after, of_another_boot, false);
    assert_int_equal(get(&after, "/count"), 5);
    assert_true(logged("all of it verifies, but what was written last may be missing (stale)"));
    server_free(&after);
}

static void state_of_another_version_is_kept_and_not_used(void **state)
{
    struct server after;

    set("/count", 5);
    start_on(&after, of_another_version, true);
    assert_int_equal(get(&after, "/count"), 0);
    assert_true(kept("stale-state.1"));
    assert_true(logged("is of no use (the state file has another version)"));
    server_free(&after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(everything_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(checkpoints_lose_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(an_unfinished_checkpoint_is_not_used, setup, teardown),
        cmocka_unit_test_setup_teardown(state_of_another_boot_is_stale, setup, teardown),
        cmocka_unit_test_setup_teardown(state_of_another_boot_without_domains_is_used, setup, teardown),
        cmocka_unit_test_setup_teardown(state_of_another_version_is_kept_and_not_used, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

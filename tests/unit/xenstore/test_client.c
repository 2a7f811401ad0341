/*
 * The client library against the daemon: every function once, one handle in several threads, long
 * directories, events and their descriptor, and what happens when the daemon is replaced meanwhile.
 */
#include "peers.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xenstore.h>

#include <cmocka.h>

static char dir[] = "/tmp/bh-xs-client-XXXXXX";
static struct peer daemon_;

static int start(void **state)
{
    strcpy(dir, "/tmp/bh-xs-client-XXXXXX");
    assert_non_null(mkdtemp(dir));
    peer_start(&daemon_, PEER_OURS, dir, NULL);
    setenv("XENSTORED_PATH", daemon_.socket, 1);
    return 0;
}

static int stop(void **state)
{
    char command[80];

    peer_stop(&daemon_);
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command) ? 1 : 0;
}

static void every_function(void **state)
{
    struct xs_handle *h = xs_open(0);
    struct xs_permissions p[2] = {{3, XS_PERM_NONE}, {4, XS_PERM_READ | XS_PERM_WRITE}}, *q;
    unsigned n;
    char *v, **names;

    assert_non_null(h);
    assert_null(xs_read(h, XBT_NULL, "/none", &n));
    assert_int_equal(errno, ENOENT);
    assert_true(xs_write(h, XBT_NULL, "/a/b", "x\0y", 3));
    v = xs_read(h, XBT_NULL, "/a/b", &n);
    assert_int_equal(n, 3);
    assert_memory_equal(v, "x\0y\0", 4);
    free(v);
    assert_true(xs_mkdir(h, XBT_NULL, "/a/c"));
    names = xs_directory(h, XBT_NULL, "/a", &n);
    assert_int_equal(n, 2);
    assert_string_equal(names[1], "c");
    free(names);
    assert_true(xs_set_permissions(h, XBT_NULL, "/a/c", p, 2));
    q = xs_get_permissions(h, XBT_NULL, "/a/c", &n);
    assert_int_equal(n, 2);
    assert_memory_equal(p, q, sizeof(p));
    free(q);
    assert_true(xs_rm(h, XBT_NULL, "/a"));
    v = xs_get_domain_path(h, 7);
    assert_string_equal(v, "/local/domain/7");
    free(v);
    assert_false(xs_is_domain_introduced(h, 7));
    assert_false(xs_introduce_domain(h, 7, 1, 0));
    assert_int_equal(errno, EINVAL);
    assert_false(xs_release_domain(h, 7));
    assert_int_equal(errno, ENOENT);
    assert_false(xs_resume_domain(h, 7));
    assert_false(xs_set_target(h, 7, 8));
    assert_false(xs_restrict(h, 1));
    v = xs_control_command(h, "check", NULL, 0);
    assert_string_equal(v, "OK");
    free(v);
    assert_int_equal(xs_suspend_evtchn_port(7), -1);
    assert_true(xs_path_is_subpath("/a", "/a/b") && xs_path_is_subpath("/a", "/a") &&
                xs_path_is_subpath("/", "/a"));
    assert_false(xs_path_is_subpath("/a", "/ab"));
    assert_false(xs_strings_to_perms(p, 1, "q1"));
    xs_close(h);
    xs_close(NULL);
}

static void long_directory(void **state)
{
    struct xs_handle *h = xs_open(0);
    char path[64], **names;
    unsigned n;

    for (unsigned i = 0; i < 700; i++) {
        snprintf(path, sizeof(path), "/d/some-long-name-of-a-node-%03u", i);
        assert_true(xs_write(h, XBT_NULL, path, "", 0));
    }
    names = xs_directory(h, XBT_NULL, "/d", &n);
    assert_non_null(names);
    assert_int_equal(n, 700);
    assert_string_equal(names[699], "some-long-name-of-a-node-699");
    free(names);
    xs_close(h);
}

static void events(void **state)
{
    struct xs_handle *h = xs_open(XS_UNWATCH_FILTER);
    struct pollfd p = {.events = POLLIN};
    char **v;
    unsigned n;

    p.fd = xs_fileno(h);
    assert_null(xs_check_watch(h));
    assert_int_equal(errno, EAGAIN);
    assert_true(xs_watch(h, "/w", "tok"));
    assert_false(xs_watch(h, "/w", "tok"));
    assert_int_equal(errno, EEXIST);
    assert_int_equal(poll(&p, 1, 10000), 1);
    v = xs_check_watch(h);
    assert_string_equal(v[XS_WATCH_PATH], "/w");
    assert_string_equal(v[XS_WATCH_TOKEN], "tok");
    free(v);
    assert_int_equal(poll(&p, 1, 0), 0);
    assert_true(xs_write(h, XBT_NULL, "/w/x", "1", 1));
    v = xs_read_watch(h, &n);
    assert_int_equal(n, 2);
    assert_string_equal(v[XS_WATCH_PATH], "/w/x");
    free(v);
    assert_true(xs_write(h, XBT_NULL, "/w/x", "2", 1));
    assert_true(xs_unwatch(h, "/w", "tok"));
    assert_null(xs_check_watch(h));
    assert_false(xs_unwatch(h, "/w", "tok"));
    xs_close(h);
}

struct worker {
    struct xs_handle *h;
    unsigned id;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    char path[32], text[16], *v;
    unsigned len;

    for (unsigned i = 0; i < 300; i++) {
        xs_transaction_t t;

        snprintf(path, sizeof(path), "/thread/%u", w->id);
        snprintf(text, sizeof(text), "%u", i);
        assert_true(xs_write(w->h, XBT_NULL, path, text, (unsigned)strlen(text)));
        v = xs_read(w->h, XBT_NULL, path, &len);
        assert_string_equal(v, text);
        free(v);
        do {
            t = xs_transaction_start(w->h);
            v = xs_read(w->h, t, "/sum", &len);
            snprintf(text, sizeof(text), "%d", (v ? atoi(v) : 0) + 1);
            free(v);
            assert_true(xs_write(w->h, t, "/sum", text, (unsigned)strlen(text)));
        } while (!xs_transaction_end(w->h, t, false) && errno == EAGAIN);
    }
    return NULL;
}

static void one_handle_many_threads(void **state)
{
    struct xs_handle *h = xs_open(0);
    struct worker w[4];
    pthread_t t[4];
    unsigned len;
    char *v;

    assert_true(xs_watch(h, "/thread", "t"));
    for (unsigned i = 0; i < 4; i++) {
        w[i] = (struct worker){h, i};
        pthread_create(&t[i], NULL, work, &w[i]);
    }
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(t[i], NULL);
    }
    v = xs_read(h, XBT_NULL, "/sum", &len);
    assert_string_equal(v, "1200");
    free(v);
    xs_close(h);
}

static void daemon_dies_and_returns(void **state)
{
    struct xs_handle *h = xs_open(0), *plain = xs_open(0);
    xs_transaction_t t;
    unsigned n;
    char *v, **e;
    int status;

    assert_true(xs_watch(h, "/w", "tok"));
    free(xs_read_watch(h, &n));
    assert_true(xs_write(h, XBT_NULL, "/w/a", "before", 6));
    free(xs_read_watch(h, &n));
    t = xs_transaction_start(h);
    assert_true(xs_write(h, t, "/w/b", "in it", 5));
    kill(daemon_.pid, SIGKILL);
    waitpid(daemon_.pid, &status, 0);
    peer_restart(&daemon_);
    v = xs_read(plain, XBT_NULL, "/w/a", &n);
    assert_string_equal(v, "before");
    free(v);
    /* The transaction goes on, but its end says: again. */
    assert_true(xs_write(h, t, "/w/b", "more", 4));
    assert_false(xs_transaction_end(h, t, false));
    assert_int_equal(errno, EAGAIN);
    assert_null(xs_read(h, XBT_NULL, "/w/b", &n));
    /* The watch is there again: it fires for having been set, then for the change. */
    e = xs_read_watch(h, &n);
    assert_string_equal(e[XS_WATCH_PATH], "/w");
    free(e);
    assert_true(xs_write(plain, XBT_NULL, "/w/c", "after", 5));
    e = xs_read_watch(h, &n);
    assert_string_equal(e[XS_WATCH_PATH], "/w/c");
    free(e);
    xs_close(plain);
    xs_close(h);
}

/* Live update: nobody notices, a transaction excepted. */
static void live_update(void **state)
{
    static const char file[] = "-f\0" XS_OURS;
    struct xs_handle *h = xs_open(0);
    xs_transaction_t t;
    unsigned n;
    char *v, **e;

    setenv("XENSTORE_RECONNECT_SECONDS", "0", 1);
    assert_true(xs_watch(h, "/w", "tok"));
    free(xs_read_watch(h, &n));
    t = xs_transaction_start(h);
    v = xs_control_command(h, "live-update", (void *)(uintptr_t) "-f\0/bin/false", 14);
    free(v);
    v = xs_control_command(h, "live-update", (void *)(uintptr_t) "-s", 3);
    free(v); /* /bin/false cannot read the state: the daemon goes on */
    v = xs_control_command(h, "live-update", (void *)(uintptr_t)file, sizeof(file));
    assert_string_equal(v, "OK");
    free(v);
    v = xs_control_command(h, "live-update", (void *)(uintptr_t) "-s", 3);
    assert_string_equal(v, "OK");
    free(v);
    assert_true(xs_write(h, XBT_NULL, "/w/x", "1", 1));
    e = xs_read_watch(h, &n);
    assert_string_equal(e[XS_WATCH_PATH], "/w/x");
    free(e);
    assert_false(xs_transaction_end(h, t, false));
    assert_int_equal(errno, EAGAIN);
    xs_close(h);
    unsetenv("XENSTORE_RECONNECT_SECONDS");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_function, start, stop),
        cmocka_unit_test_setup_teardown(long_directory, start, stop),
        cmocka_unit_test_setup_teardown(events, start, stop),
        cmocka_unit_test_setup_teardown(one_handle_many_threads, start, stop),
        cmocka_unit_test_setup_teardown(daemon_dies_and_returns, start, stop),
        cmocka_unit_test_setup_teardown(live_update, start, stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

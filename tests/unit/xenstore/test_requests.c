/*
 * Requests as clients see them: the dispatcher with the store, watches and quotas behind it, connections
 * without sockets. A conversation is a list of requests and the replies they must get.
 */
#include "fuzz_server.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct server s;
static struct conn *dom0, *dom5, *dom6;
static struct xsd_sockmsg last;
static char body[XENSTORE_PAYLOAD_MAX + 1];

static int setup(void **state)
{
    fuzz_server_begin(&s);
    dom0 = fuzz_conn(&s, 0);
    dom5 = fuzz_conn(&s, 5);
    dom6 = fuzz_conn(&s, 6);
    return 0;
}

static int teardown(void **state)
{
    fuzz_server_end(&s);
    return 0;
}

/* Takes the first queued message; false if there is none. */
static bool take(struct conn *c)
{
    if (conn_pending(c) == 0) {
        return false;
    }
    memcpy(&last, c->out.data + c->out_at, sizeof(last));
    memcpy(body, c->out.data + c->out_at + sizeof(last), last.len);
    body[last.len] = '\0';
    conn_sent(&s, c, sizeof(last) + last.len);
    return true;
}

/* Sends a request (its strings separated by '|', which stands for nul) and takes the reply. "|" at the end of
 * `want` likewise. Events that come first are dropped. */
static void ask_tx(struct conn *c, uint32_t tx, uint32_t type, const char *args, const char *want)
{
    struct xsd_sockmsg hdr = {.type = type, .req_id = 77, .tx_id = tx, .len = (uint32_t)strlen(args)};
    char payload[XENSTORE_PAYLOAD_MAX];

    for (size_t i = 0; i < hdr.len; i++) {
        payload[i] = args[i] == '|' ? '\0' : args[i];
    }
    dispatch(&s, c, &hdr, payload);
    do {
        assert_true(take(c));
    } while (last.type == XS_WATCH_EVENT);
    assert_int_equal(last.req_id, 77);
    for (size_t i = 0; i < last.len; i++) {
        body[i] = body[i] ? body[i] : '|';
    }
    if (want) {
        assert_string_equal(body, want);
        assert_int_equal(last.type, want[0] == 'E' && want[1] != '\0' ? XS_ERROR : type);
    }
}

static void ask(struct conn *c, uint32_t type, const char *args, const char *want)
{
    ask_tx(c, 0, type, args, want);
}

static uint32_t start(struct conn *c)
{
    ask(c, XS_TRANSACTION_START, "|", NULL);
    assert_int_equal(last.type, XS_TRANSACTION_START);
    return (uint32_t)atoi(body);
}

static unsigned events(struct conn *c, const char *first)
{
    unsigned n = 0;

    while (take(c)) {
        assert_int_equal(last.type, XS_WATCH_EVENT);
        for (size_t i = 0; i < last.len; i++) {
            body[i] = body[i] ? body[i] : '|';
        }
        if (n++ == 0 && first) {
            assert_string_equal(body, first);
        }
    }
    return n;
}

static void nodes(void **state)
{
    ask(dom0, XS_READ, "/a|", "ENOENT|");
    ask(dom0, XS_WRITE, "/a/b/c|hello", "OK|");
    ask(dom0, XS_READ, "/a/b/c|", "hello");
    ask(dom0, XS_READ, "/a/b|", "");
    ask(dom0, XS_DIRECTORY, "/a|", "b|");
    ask(dom0, XS_MKDIR, "/a/b|", "OK|");
    ask(dom0, XS_RM, "/a/x|", "OK|");
    ask(dom0, XS_RM, "/x/y|", "ENOENT|");
    ask(dom0, XS_RM, "/|", "EINVAL|");
    ask(dom0, XS_RM, "/a|", "OK|");
    ask(dom0, XS_READ, "/a/b/c|", "ENOENT|");
}

static void nonsense(void **state)
{
    ask(dom0, XS_READ, "", "EINVAL|");
    ask(dom0, XS_READ, "/a", "EINVAL|");
    ask(dom0, XS_READ, "/a|/b|", "EINVAL|");
    ask(dom0, XS_WRITE, "/a", "EINVAL|");
    ask(dom0, XS_SET_PERMS, "/|", "EINVAL|");
    ask(dom0, XS_SET_PERMS, "/|z0|", "EINVAL|");
    ask(dom0, XS_WATCH, "/a|", "EINVAL|");
    ask(dom0, XS_TRANSACTION_END, "T|", "ENOENT|");
    ask(dom0, XS_TRANSACTION_END, "X|", "EINVAL|");
    ask(dom0, XS_WATCH_EVENT, "|", "ENOSYS|");
    ask(dom0, 20, "|", "ENOSYS|");
    ask(dom0, 4711, "|", "ENOSYS|");
    ask_tx(dom0, 9, XS_READ, "/|", "ENOENT|");
    ask(dom0, XS_DIRECTORY_PART, "/|x|", "EINVAL|");
    ask(dom0, XS_INTRODUCE, "0|1|1|", "EINVAL|");
    ask(dom0, XS_RELEASE, "9|", "ENOENT|");
    ask(dom0, XS_CONTROL, "no-such-command|", "EINVAL|");
}

static void only_the_control_domain(void **state)
{
    ask(dom5, XS_INTRODUCE, "5|1|1|", "EACCES|");
    ask(dom5, XS_RELEASE, "5|", "EACCES|");
    ask(dom5, XS_RESUME, "5|", "EACCES|");
    ask(dom5, XS_SET_TARGET, "5|6|", "EACCES|");
    ask(dom5, XS_CONTROL, "help|", "EACCES|");
    ask(dom5, XS_SET_PERMS, "@releaseDomain|r5|", "EACCES|");
}

static void rights(void **state)
{
    ask(dom0, XS_WRITE, "/local/domain/5/x|1", "OK|");
    ask(dom5, XS_READ, "x|", "EACCES|");
    ask(dom0, XS_SET_PERMS, "/local/domain/5|n5|r6|", "OK|");
    ask(dom5, XS_WRITE, "data/k|v", "OK|");
    ask(dom5, XS_GET_PERMS, "data/k|", "n5|r6|");
    ask(dom6, XS_READ, "/local/domain/5/data/k|", "v");
    ask(dom6, XS_WRITE, "/local/domain/5/data/k|w", "EACCES|");
    ask(dom6, XS_READ, "/local/domain/5/data/none|", "ENOENT|");
    ask(dom6, XS_RM, "/local/domain/5/data|", "EACCES|");
    ask(dom6, XS_READ, "/secret/thing|", "EACCES|");
    ask(dom5, XS_SET_PERMS, "data/k|n6|", "EPERM|");
    ask(dom5, XS_SET_PERMS, "data/k|n5|b6|", "OK|");
    ask(dom6, XS_WRITE, "/local/domain/5/data/k|w", "OK|");
    /* Who creates owns, with the rights of the parent. */
    ask(dom5, XS_SET_PERMS, "data|n5|w6|", "OK|");
    ask(dom6, XS_WRITE, "/local/domain/5/data/from6|w", "OK|");
    ask(dom0, XS_GET_PERMS, "/local/domain/5/data/from6|", "n6|w6|");
    /* Domains that do not exist get nothing. */
    ask(dom5, XS_SET_PERMS, "data/k|n5|b200|r6|", "OK|");
    ask(dom5, XS_GET_PERMS, "data/k|", "n5|r6|");
}

static void listing_in_parts(void **state)
{
    char path[80], listed[3][XENSTORE_PAYLOAD_MAX];
    unsigned offset = 0, parts = 0, names = 0;

    for (unsigned i = 0; i < 500; i++) {
        sprintf(path, "/d/a-name-of-some-length-%04u|", i);
        ask(dom0, XS_WRITE, path, "OK|");
    }
    ask(dom0, XS_DIRECTORY, "/d|", "E2BIG|");
    for (;;) {
        size_t head;

        sprintf(path, "/d|%u|", offset);
        ask(dom0, XS_DIRECTORY_PART, path, NULL);
        assert_true(parts < 4);
        head = strcspn(body, "|") + 1;
        memcpy(listed[parts++ % 3], body, head);
        for (size_t i = head; i < last.len; i++) {
            names += body[i] == '|' && body[i - 1] != '|';
        }
        offset += last.len - (uint32_t)head;
        if (last.len == head + 1 || (body[last.len - 1] == '|' && body[last.len - 2] == '|')) {
            break;
        }
    }
    assert_int_equal(names, 500);
    assert_int_equal(parts, 4);
}

static void watches(void **state)
{
    ask(dom0, XS_SET_PERMS, "/|r0|", "OK|");
    ask(dom0, XS_WRITE, "/w/a/b|1", "OK|");
    ask(dom6, XS_WATCH, "/w|tok|", "OK|");
    assert_int_equal(events(dom6, "/w|tok|"), 1);
    ask(dom6, XS_WATCH, "/w|tok|", "EEXIST|");
    ask(dom6, XS_WATCH, "/w/a|deep|", "OK|");
    ask(dom6, XS_WATCH, "/w|flat|0|", "OK|");
    ask(dom6, XS_WATCH, "/w|one|1|", "OK|");
    events(dom6, NULL);
    ask(dom0, XS_WRITE, "/w/a/b|2", "OK|");
    assert_int_equal(events(dom6, "/w/a/b|tok|"), 2);
    ask(dom0, XS_WRITE, "/w/a|2", "OK|");
    assert_int_equal(events(dom6, NULL), 3);
    ask(dom0, XS_WRITE, "/w|2", "OK|");
    assert_int_equal(events(dom6, NULL), 3);
    /* Removal fires deeper watches with their own paths. */
    ask(dom6, XS_UNWATCH, "/w|tok|", "OK|");
    ask(dom6, XS_UNWATCH, "/w|tok|", "ENOENT|");
    ask(dom6, XS_UNWATCH, "/w|flat|", "OK|");
    ask(dom6, XS_UNWATCH, "/w|one|", "OK|");
    ask(dom0, XS_RM, "/w|", "OK|");
    assert_int_equal(events(dom6, "/w/a|deep|"), 1);
    /* What may not be read is not told. */
    ask(dom0, XS_WRITE, "/hidden|1", "OK|");
    ask(dom0, XS_SET_PERMS, "/hidden|n0|", "OK|");
    ask(dom6, XS_WATCH, "/hidden|h|", "OK|");
    events(dom6, NULL);
    ask(dom0, XS_WRITE, "/hidden|2", "OK|");
    assert_int_equal(events(dom6, NULL), 0);
    ask(dom6, XS_RESET_WATCHES, "|", "OK|");
    assert_int_equal(s.watches.count, 0);
    assert_int_equal(s.watches.points.count, 0);
}

static void relative_watch_and_special_events(void **state)
{
    struct conn *ring;

    ask(dom0, XS_WRITE, "/local/domain/5/a|1", "OK|");
    ask(dom0, XS_SET_PERMS, "/local/domain/5|n5|", "OK|");
    ask(dom0, XS_SET_PERMS, "/local/domain/5/a|n5|", "OK|");
    ask(dom5, XS_WATCH, "a|t|", "OK|");
    assert_int_equal(events(dom5, "a|t|"), 1);
    ask(dom0, XS_WRITE, "/local/domain/5/a/b|1", "OK|");
    assert_int_equal(events(dom5, "a/b|t|"), 1);
    ask(dom0, XS_WATCH, "@introduceDomain|i|", "OK|");
    ask(dom0, XS_WATCH, "@releaseDomain|r|", "OK|");
    ask(dom5, XS_WATCH, "@releaseDomain|r|", "OK|");
    events(dom0, NULL);
    events(dom5, NULL);
    ask(dom0, XS_INTRODUCE, "6|100|3|", "OK|");
    ask(dom0, XS_IS_DOMAIN_INTRODUCED, "6|", "T|");
    ask(dom0, XS_IS_DOMAIN_INTRODUCED, "7|", "F|");
    ring = domain_find(&s, 6)->conn;
    assert_non_null(ring);
    ask(dom0, XS_RELEASE, "6|", NULL);
    assert_int_equal(events(dom5, NULL), 0);
    ask(dom0, XS_SET_PERMS, "@releaseDomain|r0|", "OK|");
    ask(dom0, XS_INTRODUCE, "6|100|3|", NULL);
    ask(dom0, XS_RELEASE, "6|", NULL);
    assert_int_equal(events(dom5, "@releaseDomain|r|"), 1);
}

static void the_dead_leave_nothing(void **state)
{
    ask(dom0, XS_INTRODUCE, "7|100|3|", "OK|");
    ask(dom0, XS_WRITE, "/local/domain/7/x|1", "OK|");
    ask(dom0, XS_SET_PERMS, "/local/domain/7/x|n7|", "OK|");
    ask(dom0, XS_WRITE, "/shared|1", "OK|");
    ask(dom0, XS_SET_PERMS, "/shared|n0|r7|", "OK|");
    ask(dom0, XS_RELEASE, "7|", "OK|");
    ask(dom0, XS_READ, "/local/domain/7/x|", "ENOENT|");
    ask(dom0, XS_GET_PERMS, "/shared|", "n0|");
    assert_null(account_find(&s.store.quotas, 7));
    ask(dom0, XS_CONTROL, "check|", "OK|");
}

static void transactions(void **state)
{
    uint32_t a, b;

    ask(dom0, XS_WRITE, "/t/x|1", "OK|");
    a = start(dom0);
    ask_tx(dom0, a, XS_TRANSACTION_START, "|", "EBUSY|");
    ask_tx(dom0, a, XS_WRITE, "/t/x|2", "OK|");
    ask(dom0, XS_READ, "/t/x|", "1");
    ask_tx(dom0, a, XS_READ, "/t/x|", "2");
    ask_tx(dom0, a, XS_TRANSACTION_END, "T|", "OK|");
    ask(dom0, XS_READ, "/t/x|", "2");
    ask_tx(dom0, a, XS_READ, "/t/x|", "ENOENT|");
    /* Conflicts: only when what was read or listed changed. */
    a = start(dom0);
    b = start(dom0);
    ask_tx(dom0, a, XS_READ, "/t/x|", "2");
    ask_tx(dom0, b, XS_DIRECTORY, "/t|", "x|");
    ask(dom0, XS_WRITE, "/t/x|3", "OK|");
    ask(dom0, XS_WRITE, "/elsewhere|3", "OK|");
    ask_tx(dom0, a, XS_TRANSACTION_END, "T|", "EAGAIN|");
    ask_tx(dom0, b, XS_WRITE, "/t/from-b|1", "OK|");
    ask_tx(dom0, b, XS_TRANSACTION_END, "T|", "OK|");
    a = start(dom0);
    ask_tx(dom0, a, XS_DIRECTORY, "/t|", "from-b|x|");
    ask(dom0, XS_RM, "/t/from-b|", "OK|");
    ask_tx(dom0, a, XS_TRANSACTION_END, "T|", "EAGAIN|");
    /* That something did not exist is knowledge too. */
    a = start(dom0);
    ask_tx(dom0, a, XS_READ, "/t/new|", "ENOENT|");
    ask(dom0, XS_WRITE, "/t/new|1", "OK|");
    ask_tx(dom0, a, XS_TRANSACTION_END, "T|", "EAGAIN|");
    /* A blind write conflicts with nothing; a dropped one changes nothing. */
    a = start(dom0);
    ask_tx(dom0, a, XS_WRITE, "/t/x|blind", "OK|");
    ask(dom0, XS_WRITE, "/t/x|5", "OK|");
    ask_tx(dom0, a, XS_TRANSACTION_END, "T|", "OK|");
    ask(dom0, XS_READ, "/t/x|", "blind");
    a = start(dom0);
    ask_tx(dom0, a, XS_RM, "/t|", "OK|");
    ask_tx(dom0, a, XS_TRANSACTION_END, "F|", "OK|");
    ask(dom0, XS_READ, "/t/x|", "blind");
    assert_int_equal(s.txns.count, 0);
}

static void quotas(void **state)
{
    struct account *a = account_get(&s.store.quotas, 5);

    ask(dom0, XS_WRITE, "/local/domain/5|", "OK|");
    ask(dom0, XS_SET_PERMS, "/local/domain/5|n5|", "OK|");
    ask(dom0, XS_CONTROL, "quota|5|nodes|3|", "OK|");
    ask(dom0, XS_CONTROL, "quota|5|watches|1|", "OK|");
    ask(dom0, XS_CONTROL, "quota|5|transactions|1|", "OK|");
    ask(dom0, XS_CONTROL, "quota|5|node-size|4|", "OK|");
    ask(dom0, XS_CONTROL, "quota|5|node-permissions|2|", "OK|");
    ask(dom0, XS_CONTROL, "quota|5|transaction-nodes|2|", "OK|");
    ask(dom5, XS_WRITE, "a|1234", "OK|");
    ask(dom5, XS_WRITE, "a|12345", "ENOSPC|");
    ask(dom5, XS_WRITE, "b/c|1", "ENOSPC|");
    ask(dom5, XS_WRITE, "b|1", "OK|");
    ask(dom5, XS_WRITE, "c|1", "ENOSPC|");
    assert_int_equal(a->nodes, 3);
    ask(dom5, XS_RM, "b|", "OK|");
    ask(dom5, XS_WRITE, "c|1", "OK|");
    ask(dom5, XS_SET_PERMS, "a|n5|r1|r2|", "ENOSPC|");
    ask(dom5, XS_WATCH, "a|1|", "OK|");
    ask(dom5, XS_WATCH, "a|2|", "E2BIG|");
    {
        uint32_t t = start(dom5);

        ask(dom5, XS_TRANSACTION_START, "|", "ENOSPC|");
        ask_tx(dom5, t, XS_READ, "a|", "1234");
        ask_tx(dom5, t, XS_READ, "c|", "1");
        ask_tx(dom5, t, XS_READ, "d|", "ENOSPC|");
        ask_tx(dom5, t, XS_TRANSACTION_END, "T|", "OK|");
    }
    assert_int_equal(a->refused, 7);
    assert_int_equal(a->txns, 0);
}

static void events_merge_for_who_does_not_read(void **state)
{
    struct xsd_sockmsg hdr = {.type = XS_WRITE, .len = 4};
    size_t held;

    ask(dom0, XS_SET_PERMS, "/|r0|", "OK|");
    ask(dom0, XS_CONTROL, "quota|6|outstanding|2000|", "OK|");
    ask(dom6, XS_WATCH, "/w|t|", "OK|");
    events(dom6, NULL);
    for (unsigned i = 0; i < 10000; i++) {
        dispatch(&s, dom0, &hdr, "/w\0x");
        while (take(dom0)) {
        }
    }
    held = conn_pending(dom6);
    assert_true(held <= 2000);
    assert_int_equal(dom6->nmissed, 1);
    /* When it reads at last, one event makes up for those left out. */
    assert_int_equal(events(dom6, NULL), held / (sizeof(struct xsd_sockmsg) + 5) + 1);
    assert_int_equal(dom6->nmissed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nodes, setup, teardown),
        cmocka_unit_test_setup_teardown(nonsense, setup, teardown),
        cmocka_unit_test_setup_teardown(only_the_control_domain, setup, teardown),
        cmocka_unit_test_setup_teardown(rights, setup, teardown),
        cmocka_unit_test_setup_teardown(listing_in_parts, setup, teardown),
        cmocka_unit_test_setup_teardown(watches, setup, teardown),
        cmocka_unit_test_setup_teardown(relative_watch_and_special_events, setup, teardown),
        cmocka_unit_test_setup_teardown(the_dead_leave_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(transactions, setup, teardown),
        cmocka_unit_test_setup_teardown(quotas, setup, teardown),
        cmocka_unit_test_setup_teardown(events_merge_for_who_does_not_read, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

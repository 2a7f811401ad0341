/* The console ring with good and hostile indexes; logs that are cut into generations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "dom0-tools/consoled/log.h"
#include "dom0-tools/consoled/ring.h"

/* As the daemon does: what was copied is then done with. */
static size_t console_take(struct console_page *page, char *to, size_t room, bool *broken)
{
    size_t got = console_peek(page, to, room, broken);

    /* A second look sees the same: a daemon killed here loses nothing. */
    assert_int_equal(console_peek(page, to, room, broken), got);
    console_done(page, got);
    return got;
}

static void test_ring(void **state)
{
    struct console_page page = {.out_cons = 0xfffffff0, .out_prod = 0xfffffff0, .in_cons = 5, .in_prod = 5};
    char text[4096];
    bool broken;

    for (unsigned int round = 0; round < 100; round++) {
        for (unsigned int i = 0; i < 100; i++)
            page.out[page.out_prod++ % CONSOLE_OUT_BYTES] = 'a' + i % 26;
        assert_int_equal(console_take(&page, text, 30, &broken), 30);
        assert_int_equal(console_take(&page, text + 30, sizeof(text), &broken), 70);
        assert_false(broken);
        for (unsigned int i = 0; i < 100; i++)
            assert_int_equal(text[i], 'a' + i % 26);
    }
    assert_int_equal(console_give(&page, text, sizeof(text), &broken), CONSOLE_IN_BYTES);
    assert_int_equal(console_give(&page, text, 10, &broken), 0);
    assert_false(broken);
}

static void test_hostile_ring(void **state)
{
    struct console_page page = {.out_cons = 10, .out_prod = 10 + CONSOLE_OUT_BYTES + 1};
    char text[64];
    bool broken;

    assert_int_equal(console_take(&page, text, sizeof(text), &broken), 0);
    assert_true(broken);
    page.out_prod = 9;
    assert_int_equal(console_take(&page, text, sizeof(text), &broken), 0);
    assert_true(broken);
    page.in_cons = page.in_prod + 1;
    assert_int_equal(console_give(&page, "x", 1, &broken), 0);
    assert_true(broken);
}

static void test_log(void **state)
{
    char dir[] = "/tmp/bh-log-XXXXXX", path[500], command[64];
    struct console_log log;
    struct stat st;

    assert_non_null(mkdtemp(dir));
    console_log_open(&log, dir, "../evil/name");
    assert_true(strstr(log.path, "..") == NULL || strstr(log.path, "/..") == NULL);
    for (unsigned int i = 0; i < 10; i++)
        console_log_write(&log, "0123456789", 10, 25, 2);
    console_log_close(&log);
    assert_int_equal(stat(log.path, &st), 0);
    assert_true(st.st_size <= 25);
    snprintf(path, sizeof(path), "%s.2", log.path);
    assert_int_equal(stat(path, &st), 0);
    snprintf(path, sizeof(path), "%s.3", log.path);
    assert_true(stat(path, &st) < 0);
    /* The next life of the domain goes on in the same file. */
    console_log_open(&log, dir, "../evil/name");
    assert_true(log.size > 0);
    console_log_close(&log);
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ring),
        cmocka_unit_test(test_hostile_ring),
        cmocka_unit_test(test_log),
    };

    return cmocka_run_group_tests_name("dom0-tools/console", tests, NULL, NULL);
}

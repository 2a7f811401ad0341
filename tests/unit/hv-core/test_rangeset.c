/* Sets of ranges against a bitmap, with the ends of the number space and the limits. */
#include <stdlib.h>
#include "test.h"
#include <bh/errno.h>
#include <bh/page_alloc.h>
#include <bh/rangeset.h>

#define SPACE 200

static struct rangeset *set;

static int setup(void **state)
{
    set = rangeset_create();
    return set ? 0 : -1;
}

static int teardown(void **state)
{
    rangeset_destroy(set);
    return 0;
}

static void test_model(void **state)
{
    bool bit[SPACE + 2] = {false};

    srand(3);
    for (int step = 0; step < 20000; step++) {
        uint64_t first = (uint64_t)(rand() % SPACE), last = first + (uint64_t)(rand() % 20);
        bool add = rand() % 2, all = true, any = false;

        last = MIN(last, SPACE - 1);
        for (uint64_t i = first; i <= last; i++)
            all &= bit[i];
        assert_int_equal(rangeset_contains(set, first, last), all);
        assert_int_equal(add ? rangeset_add(set, first, last) : rangeset_remove(set, first, last), 0);
        for (uint64_t i = first; i <= last; i++)
            bit[i] = add;
        for (uint64_t i = 0; i < SPACE; i++) {
            assert_int_equal(rangeset_contains(set, i, i), bit[i]);
            any |= bit[i];
        }
        assert_int_equal(rangeset_is_empty(set), !any);
    }
}

static void test_whole_number_space(void **state)
{
    assert_int_equal(rangeset_add(set, 0, UINT64_MAX), 0);
    assert_true(rangeset_contains(set, UINT64_MAX, UINT64_MAX));
    assert_int_equal(rangeset_remove(set, UINT64_MAX, UINT64_MAX), 0);
    assert_int_equal(rangeset_remove(set, 0, 0), 0);
    assert_true(rangeset_contains(set, 1, UINT64_MAX - 1));
    assert_int_equal(rangeset_add(set, UINT64_MAX, UINT64_MAX), 0);
    assert_int_equal(rangeset_add(set, 0, 0), 0);
    assert_true(rangeset_contains(set, 0, UINT64_MAX));
}

static void test_wrong_arguments(void **state)
{
    assert_int_equal(rangeset_add(set, 2, 1), -EINVAL);
    assert_int_equal(rangeset_remove(set, 2, 1), -EINVAL);
    assert_false(rangeset_contains(set, 2, 1));
    assert_false(rangeset_contains(NULL, 1, 2));
    assert_true(rangeset_is_empty(NULL));
    rangeset_destroy(NULL);
}

static void test_limit(void **state)
{
    for (uint64_t i = 0; i < RANGESET_MAX; i++)
        assert_int_equal(rangeset_add(set, i * 2, i * 2), 0);
    assert_int_equal(rangeset_add(set, RANGESET_MAX * 2, RANGESET_MAX * 2), -ENOSPC);
    assert_true(rangeset_contains(set, 2 * RANGESET_MAX - 2, 2 * RANGESET_MAX - 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_model, setup, teardown),
        cmocka_unit_test_setup_teardown(test_whole_number_space, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_arguments, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
    };

    fake_boot(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

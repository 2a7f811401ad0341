/* Formatting beside the C library's; the hypervisor's own string functions; message thresholds and limits. */
#include <stdio.h>
#include <stdlib.h>
#include "test.h"
#include <bh/printk.h>

/* common/string.c and arch/x86/memory.c under other names. */
#define memcpy  own_memcpy
#define memmove own_memmove
#define memset  own_memset
#define memcmp  own_memcmp
#define memchr  own_memchr
#define strlen  own_strlen
#define strnlen own_strnlen
#define strncmp own_strncmp
#undef BH_STRING_H
#include "../../../hypervisor/common/string.c"
#undef BYTE
#include "../../../hypervisor/arch/x86/memory.c"
#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#undef memchr
#undef strlen
#undef strnlen
#undef strncmp

#pragma GCC diagnostic ignored "-Wformat"
#pragma GCC diagnostic ignored "-Wformat-truncation"
#pragma GCC diagnostic ignored "-Wformat-overflow"
#pragma GCC diagnostic ignored "-Wformat-extra-args"

#define SAME(...)                                                                                            \
    do {                                                                                                     \
        char ours[96], theirs[96];                                                                           \
        int n = bh_snprintf(ours, sizeof(ours), __VA_ARGS__);                                                \
        assert_int_equal(n, snprintf(theirs, sizeof(theirs), __VA_ARGS__));                                  \
        assert_string_equal(ours, theirs);                                                                   \
    } while (0)

static void test_formats(void **state)
{
    SAME("%d %i %u", -5, 7, 4000000000u);
    SAME("%ld %lu %lx", -5L, ~0UL, 0xdeadbeefcafeUL);
    SAME("%lld %llu", (long long)INT64_MIN, ~0ULL);
    SAME("%5d|%-5d|%05d", 42, 42, 42);
    SAME("%5d|%-5d|%05d", -42, -42, -42);
    SAME("%x %X %#x %#lx %#010x %016lx", 255, 255, 255, 255UL, 255, 255UL);
    SAME("%hhu %hu %hd %hhd", 300, 70000, 40000, 200);
    SAME("%s|%10s|%-10s|%.3s|%5.2s", "abc", "abc", "abc", "abcdef", "xyz");
    SAME("%c|%3c|%%", 'x', 'y');
    SAME("%.5d|%8.5d|%.0x", 42, 42, 1);
    SAME("%*d|%-*d|%.*s", 6, 1, 6, 2, 2, "abc");
    SAME("%zu %zd", (size_t)77, (ssize_t)-77);
}

static void test_format_is_cut(void **state)
{
    char buf[8];

    memset(buf, 'x', sizeof(buf));
    assert_int_equal(bh_snprintf(buf, 4, "%d", 123456), 6);
    assert_string_equal(buf, "123");
    assert_int_equal(buf[4], 'x');
    assert_int_equal(bh_snprintf(buf, 0, "abc"), 3);
    assert_int_equal(buf[0], '1');
    assert_int_equal(bh_snprintf(NULL, 0, "%s", "abc"), 3);
}

/* Whatever stands after the percent sign, nothing is read or written beyond. */
static void test_odd_formats(void **state)
{
    char buf[32];

    bh_snprintf(buf, sizeof(buf), "%");
    assert_string_equal(buf, "%");
    bh_snprintf(buf, sizeof(buf), "%y");
    assert_string_equal(buf, "%y");
    bh_snprintf(buf, sizeof(buf), "%s", (char *)NULL);
    assert_string_equal(buf, "(null)");
    bh_snprintf(buf, sizeof(buf), "%0200d", 1);
    assert_int_equal(strlen(buf), sizeof(buf) - 1);
}

static void test_string_functions(void **state)
{
    unsigned char a[300], b[300], c[300];

    srand(2);
    for (int round = 0; round < 3000; round++) {
        size_t n = (size_t)(rand() % 200), from = (size_t)(rand() % 90), to = (size_t)(rand() % 90);

        for (size_t i = 0; i < sizeof(a); i++)
            a[i] = b[i] = c[i] = (unsigned char)rand();
        own_memmove(a + to, a + from, n);
        memmove(b + to, b + from, n);
        assert_memory_equal(a, b, sizeof(a));
        own_memcpy(a + to, c + from, n);
        memcpy(b + to, c + from, n);
        assert_memory_equal(a, b, sizeof(a));
        own_memset(a + to, rand() & 1 ? -1 : 0x5a, n);
        memset(b + to, a[to], n);
        assert_memory_equal(a, b, sizeof(a));
        assert_int_equal(own_memcmp(a + to, b + to, n), 0);
        if (n) {
            b[to + n - 1] ^= 1;
            assert_true((own_memcmp(a + to, b + to, n) < 0) == (memcmp(a + to, b + to, n) < 0));
            assert_ptr_equal(own_memchr(a + to, 7, n), memchr(a + to, 7, n));
        }
    }
    assert_int_equal(own_strlen("hello"), 5);
    assert_int_equal(own_strnlen("hello", 3), 3);
    assert_true(own_strncmp("abcd", "abce", 3) == 0 && own_strncmp("a", "ab", 5) < 0);
}

static void test_thresholds(void **state)
{
    fake_console_clear();
    log_threshold = LOG_INFO;
    printk(LOG_DEBUG, "hidden");
    printk(LOG_INFO, "shown %d", 1);
    assert_string_equal(fake_console, "(BH) shown 1\n");
}

static void test_long_message_is_one_line(void **state)
{
    char big[2000];

    memset(big, 'a', sizeof(big) - 1);
    big[sizeof(big) - 1] = 0;
    fake_console_clear();
    printk(LOG_ERROR, "%s", big);
    assert_true(strlen(fake_console) < 600);
    assert_int_equal(fake_console[strlen(fake_console) - 1], '\n');
}

static void test_guest_cannot_flood(void **state)
{
    struct log_limit l = {0};
    unsigned int lines = 0;

    for (int i = 0; i < 1000; i++)
        lines += log_limit_pass(&l);
    assert_int_equal(lines, LOG_LIMIT_LINES);
    fake_now += LOG_LIMIT_WINDOW + 1;
    assert_true(log_limit_pass(&l));
}

static void test_panic_ends_the_machine(void **state)
{
    fake_console_clear();
    assert_int_equal(FAKE_ENDS(panic("it is %s", "over")), FAKE_FATAL);
    assert_non_null(strstr(fake_console, "Panic: it is over"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_format_is_cut),
        cmocka_unit_test(test_odd_formats),
        cmocka_unit_test(test_string_functions),
        cmocka_unit_test(test_thresholds),
        cmocka_unit_test(test_long_message_is_one_line),
        cmocka_unit_test(test_guest_cannot_flood),
        cmocka_unit_test(test_panic_ends_the_machine),
    };

    fake_boot(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

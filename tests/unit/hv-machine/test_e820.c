/* The memory map: overlaps, order, limits. Random maps are checked address by address against a naive rule.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <asm/e820.h>

static void adjacent_entries_merge(void **state)
{
    struct e820_map m = {0};

    assert_true(e820_add(&m, 0x2000, 0x1000, E820_RAM));
    assert_true(e820_add(&m, 0x1000, 0x1000, E820_RAM));
    e820_sanitise(&m);
    assert_int_equal(m.count, 1);
    assert_int_equal(m.entry[0].addr, 0x1000);
    assert_int_equal(m.entry[0].size, 0x2000);
}

static void reserved_beats_ram(void **state)
{
    struct e820_map m = {0};

    e820_add(&m, 0x1000, 0x5000, E820_RAM);
    e820_add(&m, 0x2000, 0x1000, E820_RESERVED);
    e820_sanitise(&m);
    assert_int_equal(m.count, 3);
    assert_int_equal(m.entry[1].type, E820_RESERVED);
    assert_int_equal(m.entry[1].addr, 0x2000);
    assert_int_equal(m.entry[2].addr, 0x3000);
    assert_int_equal(m.entry[2].size, 0x3000);
}

static void empty_entries_vanish(void **state)
{
    struct e820_map m = {0};

    assert_true(e820_add(&m, 0x1000, 0, E820_RAM));
    e820_sanitise(&m);
    assert_int_equal(m.count, 0);
}

static void an_entry_may_end_at_the_top(void **state)
{
    struct e820_map m = {0};

    e820_add(&m, 0xfffffffffffff000UL, 0x1000, E820_RESERVED);
    e820_add(&m, 0xfffffffffffff800UL, 0x5000, E820_RAM); /* runs over the end */
    e820_sanitise(&m);
    assert_int_equal(m.count, 1);
    assert_int_equal(m.entry[0].addr, 0xfffffffffffff000UL);
    assert_int_equal(m.entry[0].size, 0x1000);
}

static void full_map_is_told(void **state)
{
    struct e820_map m = {0};

    for (unsigned int i = 0; i < BOOT_MAX_E820; i++)
        assert_true(e820_add(&m, i * 0x2000UL, 0x1000, E820_RAM));
    assert_false(e820_add(&m, 1UL << 40, 0x1000, E820_RAM));
}

/* The strictest type at an address by the rule, or 0. */
static uint32_t naive_type(const struct e820_map *m, uint64_t at)
{
    static const uint32_t strict_to_lax[] = {E820_UNUSABLE, E820_RESERVED, E820_NVS, E820_ACPI, E820_RAM};

    for (unsigned int t = 0; t < ARRAY_SIZE(strict_to_lax); t++)
        for (uint32_t i = 0; i < m->count; i++)
            if (m->entry[i].type == strict_to_lax[t] && at >= m->entry[i].addr &&
                at - m->entry[i].addr < m->entry[i].size)
                return strict_to_lax[t];
    return 0;
}

static void random_maps_follow_the_rule(void **state)
{
    srand(1);
    for (unsigned int round = 0; round < 2000; round++) {
        struct e820_map given = {0}, m;
        unsigned int n = 1 + (unsigned int)rand() % 12;

        for (unsigned int i = 0; i < n; i++)
            e820_add(&given, (unsigned int)rand() % 64, (unsigned int)rand() % 20,
                     1 + (unsigned int)rand() % 5);
        m = given;
        e820_sanitise(&m);
        for (uint32_t i = 1; i < m.count; i++)
            assert_true(m.entry[i].addr >= m.entry[i - 1].addr + m.entry[i - 1].size);
        for (uint64_t at = 0; at < 100; at++)
            assert_int_equal(naive_type(&m, at), naive_type(&given, at));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adjacent_entries_merge), cmocka_unit_test(reserved_beats_ram),
        cmocka_unit_test(empty_entries_vanish),   cmocka_unit_test(an_entry_may_end_at_the_top),
        cmocka_unit_test(full_map_is_told),       cmocka_unit_test(random_maps_follow_the_rule),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

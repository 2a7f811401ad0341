/* Boot loader information, in a small memory of our own: what is read, and every way in which it can be
 * broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <asm/boot_info.h>

#define MEMORY_SIZE 0x10000
#define INFO        0x1000
#define STRINGS     0x2000
#define MODULES     0x3000
#define MMAP        0x4000

static uint8_t memory[MEMORY_SIZE];
static struct boot_info bi;

static void put32(uint32_t pa, uint32_t v)
{
    memcpy(memory + pa, &v, sizeof(v));
}

static void put64(uint32_t pa, uint64_t v)
{
    memcpy(memory + pa, &v, sizeof(v));
}

static int reset(void **state)
{
    memset(memory, 0, sizeof(memory));
    memset(&bi, 0, sizeof(bi));
    return 0;
}

/* Multiboot 1: a command line, one module, one RAM entry. */
static void make_mb1(const char *cmdline, const char *module)
{
    put32(INFO, 1u << 2 | 1u << 3 | 1u << 6);
    strcpy((char *)memory + STRINGS, cmdline);
    strcpy((char *)memory + STRINGS + 0x800, module);
    put32(INFO + 16, STRINGS);
    put32(INFO + 20, 1);
    put32(INFO + 24, MODULES);
    put32(MODULES, 0x8000);
    put32(MODULES + 4, 0x8100);
    put32(MODULES + 8, STRINGS + 0x800);
    put32(INFO + 44, 24);
    put32(INFO + 48, MMAP);
    put32(MMAP, 20);
    put64(MMAP + 4, 0x100000);
    put64(MMAP + 12, 0x4000000);
    put32(MMAP + 20, E820_RAM);
}

static void mb1_reads_all(void **state)
{
    make_mb1("/boot/bulkhead.elf console=com1 dom0_mem=512M", "/boot/vmlinuz root=/dev/vda quiet");
    assert_null(multiboot1_parse(memory, MEMORY_SIZE, INFO, &bi));
    assert_string_equal(bi.cmdline, "console=com1 dom0_mem=512M");
    assert_int_equal(bi.nr_modules, 1);
    assert_int_equal(bi.module[0].start, 0x8000);
    assert_int_equal(bi.module[0].size, 0x100);
    assert_string_equal(bi.module[0].string, "root=/dev/vda quiet");
    assert_int_equal(bi.e820.count, 1);
    assert_int_equal(bi.e820.entry[0].size, 0x4000000);
}

static void arguments_without_a_file_name_stay(void **state)
{
    make_mb1("console=com1", "root=/dev/vda");
    assert_null(multiboot1_parse(memory, MEMORY_SIZE, INFO, &bi));
    assert_string_equal(bi.cmdline, "console=com1");
    assert_string_equal(bi.module[0].string, "root=/dev/vda");
}

static void mb1_info_outside_memory(void **state)
{
    assert_non_null(multiboot1_parse(memory, MEMORY_SIZE, MEMORY_SIZE - 4, &bi));
    assert_non_null(multiboot1_parse(memory, MEMORY_SIZE, 0xfffffff0, &bi));
}

static void mb1_module_outside_memory(void **state)
{
    make_mb1("", "");
    put32(MODULES + 4, 0xf0000000);
    assert_non_null(multiboot1_parse(memory, MEMORY_SIZE, INFO, &bi));
    put32(MODULES + 4, 0x7000); /* ends before it starts */
    reset(NULL);
    make_mb1("", "");
    put32(MODULES + 4, 0x7000);
    assert_non_null(multiboot1_parse(memory, MEMORY_SIZE, INFO, &bi));
}

static void mb1_too_many_modules(void **state)
{
    make_mb1("", "");
    put32(INFO + 20, BOOT_MAX_MODULES + 1);
    for (uint32_t i = 0; i <= BOOT_MAX_MODULES; i++) {
        put32(MODULES + 16 * i, 0x8000);
        put32(MODULES + 16 * i + 4, 0x8100);
    }
    assert_non_null(multiboot1_parse(memory, MEMORY_SIZE, INFO, &bi));
    assert_int_equal(bi.nr_modules, BOOT_MAX_MODULES);
}

static void mb1_memory_map_broken(void **state)
{
    make_mb1("", "");
    put32(MMAP, 0); /* an entry that would not advance far enough to hold anything */
    assert_non_null(multiboot1_parse(memory, MEMORY_SIZE, INFO, &bi));
}

static void mb1_without_any_memory(void **state)
{
    put32(INFO, 0);
    assert_non_null(multiboot1_parse(memory, MEMORY_SIZE, INFO, &bi));
}

static void mb1_old_memory_sizes(void **state)
{
    put32(INFO, 1);
    put32(INFO + 4, 639);
    put32(INFO + 8, 65536);
    assert_null(multiboot1_parse(memory, MEMORY_SIZE, INFO, &bi));
    assert_int_equal(bi.e820.count, 2);
    assert_int_equal(bi.e820.entry[1].addr, 0x100000);
    assert_int_equal(bi.e820.entry[1].size, 64UL << 20);
}

static void long_strings_are_cut(void **state)
{
    make_mb1("", "");
    memset(memory + STRINGS, 'x', 0x1000);
    assert_null(multiboot1_parse(memory, MEMORY_SIZE, INFO, &bi));
    assert_int_equal(strlen(bi.cmdline), BOOT_STRING_MAX - 1);
}

/* Multiboot 2: adds one tag, returns where the next goes. */
static uint32_t tag(uint32_t at, uint32_t type, const void *body, uint32_t size)
{
    put32(at, type);
    put32(at + 4, size + 8);
    memcpy(memory + at + 8, body, size);
    return (at + 8 + size + 7) & ~7u;
}

static uint32_t make_mb2(void)
{
    struct {
        uint32_t start, end;
        char string[24];
    } module = {0x8000, 0x8200, "root=/dev/vda"};
    struct {
        uint32_t entry_size, version;
        uint64_t addr, len;
        uint32_t type, zero;
    } map = {24, 0, 0, 0x8000000, E820_RAM, 0};
    uint32_t at = INFO + 8;

    at = tag(at, 1, "console=com1", 13);
    at = tag(at, 3, &module, sizeof(module));
    at = tag(at, 6, &map, sizeof(map));
    at = tag(at, 14, "RSD PTR ", 8);
    at = tag(at, 0, "", 0);
    put32(INFO, at - INFO);
    return at;
}

static void mb2_reads_all(void **state)
{
    make_mb2();
    assert_null(multiboot2_parse(memory, MEMORY_SIZE, INFO, &bi));
    assert_string_equal(bi.cmdline, "console=com1");
    assert_int_equal(bi.nr_modules, 1);
    assert_int_equal(bi.module[0].size, 0x200);
    assert_string_equal(bi.module[0].string, "root=/dev/vda");
    assert_int_equal(bi.e820.entry[0].size, 0x8000000);
    assert_memory_equal(memory + bi.rsdp, "RSD PTR ", 8);
}

static void mb2_tag_longer_than_all(void **state)
{
    make_mb2();
    put32(INFO + 8 + 4, 0x100000);
    assert_non_null(multiboot2_parse(memory, MEMORY_SIZE, INFO, &bi));
}

static void mb2_tag_of_no_size(void **state)
{
    make_mb2();
    put32(INFO + 8 + 4, 0); /* would repeat for ever */
    assert_non_null(multiboot2_parse(memory, MEMORY_SIZE, INFO, &bi));
}

static void mb2_total_outside_memory(void **state)
{
    make_mb2();
    put32(INFO, 0x7fffffff);
    assert_non_null(multiboot2_parse(memory, MEMORY_SIZE, INFO, &bi));
}

static void mb2_without_memory_map(void **state)
{
    uint32_t at = tag(INFO + 8, 1, "console=com1", 13);

    at = tag(at, 0, "", 0);
    put32(INFO, at - INFO);
    assert_non_null(multiboot2_parse(memory, MEMORY_SIZE, INFO, &bi));
}

static void mb2_command_line_without_end(void **state)
{
    char text[64];

    memset(text, 'y', sizeof(text));
    put32(INFO, tag(INFO + 8, 1, text, sizeof(text)) - INFO);
    assert_non_null(multiboot2_parse(memory, MEMORY_SIZE, INFO, &bi)); /* and there is no memory map */
    assert_int_equal(strlen(bi.cmdline), sizeof(text));                /* the tag's size ends it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(mb1_reads_all, reset),
        cmocka_unit_test_setup(arguments_without_a_file_name_stay, reset),
        cmocka_unit_test_setup(mb1_info_outside_memory, reset),
        cmocka_unit_test_setup(mb1_module_outside_memory, reset),
        cmocka_unit_test_setup(mb1_too_many_modules, reset),
        cmocka_unit_test_setup(mb1_memory_map_broken, reset),
        cmocka_unit_test_setup(mb1_without_any_memory, reset),
        cmocka_unit_test_setup(mb1_old_memory_sizes, reset),
        cmocka_unit_test_setup(long_strings_are_cut, reset),
        cmocka_unit_test_setup(mb2_reads_all, reset),
        cmocka_unit_test_setup(mb2_tag_longer_than_all, reset),
        cmocka_unit_test_setup(mb2_tag_of_no_size, reset),
        cmocka_unit_test_setup(mb2_total_outside_memory, reset),
        cmocka_unit_test_setup(mb2_without_memory_map, reset),
        cmocka_unit_test_setup(mb2_command_line_without_end, reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Static ACPI tables, built in a small memory: facts found, broken tables refused with a sentence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <asm/acpi.h>

#define MEMORY_SIZE 0x200000
#define RSDP        0xf0000
#define RSDT        0x100000
#define MADT        0x101000
#define FADT        0x102000
#define HPET        0x103000
#define MCFG        0x104000

static uint8_t memory[MEMORY_SIZE];
static struct acpi_facts facts;

static const void *map(paddr_t pa, uint64_t size)
{
    return pa <= MEMORY_SIZE && size <= MEMORY_SIZE - pa ? memory + pa : NULL;
}

static void put32(uint32_t pa, uint32_t v)
{
    memcpy(memory + pa, &v, sizeof(v));
}

static void checksum(uint32_t pa, uint32_t size, uint32_t at)
{
    uint8_t sum = 0;

    memory[pa + at] = 0;
    for (uint32_t i = 0; i < size; i++)
        sum = (uint8_t)(sum + memory[pa + i]);
    memory[pa + at] = (uint8_t)-sum;
}

static void finish(uint32_t pa, const char *signature, uint32_t size)
{
    memcpy(memory + pa, signature, 4);
    put32(pa + 4, size);
    checksum(pa, size, 9);
}

static void make_madt(void)
{
    uint8_t *e = memory + MADT + 44;
    const uint8_t entries[] = {
        0, 8,  0, 0, 1, 0, 0,    0,                               /* CPU 0 */
        0, 8,  1, 2, 1, 0, 0,    0,                               /* CPU with APIC id 2 */
        0, 8,  2, 3, 0, 0, 0,    0,                               /* disabled */
        1, 12, 5, 0, 0, 0, 0xc0, 0xfe, 0,    0, 0, 0,             /* IO-APIC */
        2, 10, 0, 0, 2, 0, 0,    0,    0,    0,                   /* IRQ 0 at GSI 2 */
        2, 10, 0, 9, 9, 0, 0,    0,    0x0f, 0,                   /* IRQ 9: level, low */
        9, 16, 0, 0, 0, 1, 0,    0,    1,    0, 0, 0, 7, 0, 0, 0, /* x2APIC id 256 */
    };

    put32(MADT + 36, 0xfee00000);
    memcpy(e, entries, sizeof(entries));
    finish(MADT, "APIC", 44 + sizeof(entries));
}

static int make_tables(void **state)
{
    memset(memory, 0, sizeof(memory));
    memcpy(memory + RSDP, "RSD PTR ", 8);
    put32(RSDP + 16, RSDT);
    checksum(RSDP, 20, 8);
    put32(RSDT + 36, MADT);
    put32(RSDT + 40, FADT);
    put32(RSDT + 44, HPET);
    put32(RSDT + 48, MCFG);
    finish(RSDT, "RSDT", 52);
    make_madt();
    put32(FADT + 64, 0x604);
    put32(FADT + 76, 0x608);
    put32(FADT + 112, 1u << 10);
    memory[FADT + 116] = 1;
    put32(FADT + 120, 0xcf9);
    memory[FADT + 128] = 6;
    finish(FADT, "FACP", 132);
    put32(HPET + 44, 0xfed00000);
    finish(HPET, "HPET", 56);
    put32(MCFG + 44, 0xb0000000);
    memory[MCFG + 55] = 255;
    finish(MCFG, "MCFG", 60);
    return 0;
}

static void facts_are_found(void **state)
{
    assert_null(acpi_parse(0, map, &facts));
    assert_int_equal(facts.rsdp, RSDP);
    assert_int_equal(facts.nr_cpus, 3);
    assert_int_equal(facts.cpu[1].apic_id, 2);
    assert_int_equal(facts.cpu[2].apic_id, 0x100);
    assert_int_equal(facts.nr_ioapics, 1);
    assert_int_equal(facts.ioapic[0].address, 0xfec00000);
    assert_int_equal(facts.nr_overrides, 2);
    assert_int_equal(facts.override[0].gsi, 2);
    assert_true(facts.override[1].level && facts.override[1].active_low);
    assert_int_equal(facts.pm1a_cnt, 0x604);
    assert_int_equal(facts.pm_timer_port, 0x608);
    assert_int_equal(facts.reset_reg.address, 0xcf9);
    assert_int_equal(facts.reset_value, 6);
    assert_int_equal(facts.hpet_address, 0xfed00000);
    assert_int_equal(facts.mcfg[0].end_bus, 255);
}

static void no_rsdp(void **state)
{
    memory[RSDP] = 'X';
    assert_non_null(acpi_parse(0, map, &facts));
}

static void rsdp_with_wrong_checksum(void **state)
{
    memory[RSDP + 9] ^= 1;
    assert_non_null(acpi_parse(0, map, &facts));
}

static void broken_madt(void **state)
{
    memory[MADT + 50] ^= 1;
    assert_non_null(acpi_parse(0, map, &facts));
}

static void madt_with_an_endless_entry(void **state)
{
    memory[MADT + 44 + 8 + 1] = 0; /* the second entry has length 0: parsing stops there */
    finish(MADT, "APIC", 200);
    assert_non_null(acpi_parse(0, map, &facts)); /* no IO-APIC was seen */
    assert_int_equal(facts.nr_cpus, 1);
}

static void broken_optional_tables_are_absent(void **state)
{
    memory[HPET + 40] ^= 1;
    put32(MCFG + 4, 0xffffffff);
    assert_null(acpi_parse(0, map, &facts));
    assert_int_equal(facts.hpet_address, 0);
    assert_int_equal(facts.nr_mcfg, 0);
}

static void root_table_outside_memory(void **state)
{
    put32(RSDP + 16, 0xfffff000);
    checksum(RSDP, 20, 8);
    assert_non_null(acpi_parse(0, map, &facts));
}

static void rsdp_told_by_the_loader(void **state)
{
    memcpy(memory + 0x180000, memory + RSDP, 36);
    memory[RSDP] = 0;
    assert_null(acpi_parse(0x180000, map, &facts));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(facts_are_found, make_tables),
        cmocka_unit_test_setup(no_rsdp, make_tables),
        cmocka_unit_test_setup(rsdp_with_wrong_checksum, make_tables),
        cmocka_unit_test_setup(broken_madt, make_tables),
        cmocka_unit_test_setup(madt_with_an_endless_entry, make_tables),
        cmocka_unit_test_setup(broken_optional_tables_are_absent, make_tables),
        cmocka_unit_test_setup(root_table_outside_memory, make_tables),
        cmocka_unit_test_setup(rsdp_told_by_the_loader, make_tables),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

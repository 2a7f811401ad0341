/* Boot loader information and ACPI tables made of the fuzzer's bytes: read in bounds, and what comes out is
 * sound. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <asm/acpi.h>
#include <asm/boot_info.h>

#define MEMORY_SIZE 0x2000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t *memory; /* exactly as long as the limit: a read beyond it is caught */

static const void *map(paddr_t pa, uint64_t size)
{
    return pa <= MEMORY_SIZE && size <= MEMORY_SIZE - pa ? memory + pa : NULL;
}

static void check(const char *error, const struct boot_info *bi)
{
    for (uint32_t i = 1; i < bi->e820.count; i++)
        if (bi->e820.entry[i].addr < bi->e820.entry[i - 1].addr + bi->e820.entry[i - 1].size)
            abort();
    if (strnlen(bi->cmdline, sizeof(bi->cmdline)) == sizeof(bi->cmdline) || bi->nr_modules > BOOT_MAX_MODULES)
        abort();
    for (uint32_t i = 0; i < bi->nr_modules; i++)
        if (bi->module[i].start > MEMORY_SIZE || bi->module[i].size > MEMORY_SIZE - bi->module[i].start)
            abort();
    if (!error && bi->e820.count > BOOT_MAX_E820)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct boot_info bi;
    struct acpi_facts facts;

    if (size < 1 || size > MEMORY_SIZE)
        return 0;
    memory = calloc(1, MEMORY_SIZE);
    memcpy(memory, data, size);
    memset(&bi, 0, sizeof(bi));
    check(multiboot1_parse(memory, MEMORY_SIZE, 0, &bi), &bi);
    memset(&bi, 0, sizeof(bi));
    check(multiboot2_parse(memory, MEMORY_SIZE, 0, &bi), &bi);
    if (acpi_parse(16, map, &facts) == NULL && (facts.nr_cpus == 0 || facts.nr_ioapics > ACPI_MAX_IOAPICS))
        abort();
    free(memory);
    return 0;
}

/*
 * What the boot loader told, checked and in our own form. Filled by arch/x86/boot/ from Multiboot 1 or 2; constant
 * afterwards. Addresses are machine-physical; strings are our own copies, NUL-terminated.
 */
#ifndef ASM_BOOT_INFO_H
#define ASM_BOOT_INFO_H

#include <bh/types.h>

#define BOOT_MAX_MODULES 8
#define BOOT_MAX_E820    128
#define BOOT_STRING_MAX  2048

enum e820_type {
    E820_RAM = 1,
    E820_RESERVED = 2,
    E820_ACPI = 3,
    E820_NVS = 4,
    E820_UNUSABLE = 5,
};

struct e820_entry {
    uint64_t start, size;
    uint32_t type;
};

struct e820_map {
    uint32_t count;
    struct e820_entry entry[BOOT_MAX_E820];
};

struct boot_module {
    paddr_t start;
    uint64_t size;
    char string[BOOT_STRING_MAX]; /* without the file's name when the loader put it first */
};

struct boot_framebuffer {
    paddr_t address; /* 0: none (text mode) */
    uint32_t pitch, width, height;
    uint8_t bpp, red_pos, red_size, green_pos, green_size, blue_pos, blue_size;
};

struct boot_info {
    char cmdline[BOOT_STRING_MAX];
    char loader[64];
    uint32_t nr_modules;
    struct boot_module module[BOOT_MAX_MODULES];
    struct e820_map e820; /* sorted, without overlaps */
    paddr_t rsdp;         /* 0: the loader did not tell */
    uint64_t efi_systab;  /* 0: BIOS */
    struct boot_framebuffer framebuffer;
};

extern struct boot_info boot_info;

/* Sorts, and resolves overlaps in favour of the more restrictive type; drops empty entries. */
void e820_sanitise(struct e820_map *map);
/* Adds an entry. false: the map is full. */
bool e820_add(struct e820_map *map, uint64_t start, uint64_t size, uint32_t type);
/* Whether [start, start + size) lies in entries of `type` alone. */
bool e820_covers(const struct e820_map *map, uint64_t start, uint64_t size, uint32_t type);

/*
 * Reads loader information. `base` gives access to physical addresses below `limit`: physical p is at base + p.
 * Returns NULL, or a sentence that says what is wrong.
 */
const char *must_check multiboot1_parse(const uint8_t *base, uint64_t limit, uint32_t info_pa, struct boot_info *bi);
const char *must_check multiboot2_parse(const uint8_t *base, uint64_t limit, uint32_t info_pa, struct boot_info *bi);

/* The value of option `name` on the hypervisor's command line ("name=value"), copied to out; false: not there. */
bool boot_option(const char *cmdline, const char *name, char *out, size_t size);

#endif

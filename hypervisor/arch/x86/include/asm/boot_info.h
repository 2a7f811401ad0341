/*
 * What the boot loader told, checked and in our own form. Filled by arch/x86/boot/ from Multiboot 1 or 2; constant
 * afterwards. Addresses are machine-physical; strings are our own copies, NUL-terminated.
 */
#ifndef ASM_BOOT_INFO_H
#define ASM_BOOT_INFO_H

#include <bh/types.h>
#include <asm/e820.h>

#define BOOT_MAX_MODULES 8
#define BOOT_STRING_MAX  2048

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
    uint32_t nr_modules;
    struct boot_module module[BOOT_MAX_MODULES];
    struct e820_map e820; /* sorted, without overlaps */
    paddr_t rsdp;         /* 0: the loader did not tell */
    uint64_t efi_systab;  /* 0: BIOS */
    struct boot_framebuffer framebuffer;
};

extern struct boot_info boot_info;

/*
 * Reads loader information. `base` gives access to physical addresses below `limit`: physical p is at base + p.
 * Returns NULL, or a sentence that says what is wrong.
 */
const char *must_check multiboot1_parse(const uint8_t *base, uint64_t limit, uint32_t info_pa,
                                        struct boot_info *bi);
const char *must_check multiboot2_parse(const uint8_t *base, uint64_t limit, uint32_t info_pa,
                                        struct boot_info *bi);

#endif

/* The machine's memory map, as the firmware gave it; its entries are the ABI's, which are the firmware's. */
#ifndef ASM_E820_H
#define ASM_E820_H

#include <bh/types.h>
#include <public/memory.h>

#define BOOT_MAX_E820 128

enum e820_type {
    E820_RAM = 1,
    E820_RESERVED = 2,
    E820_ACPI = 3,
    E820_NVS = 4,
    E820_UNUSABLE = 5,
};

struct e820_map {
    uint32_t count;
    struct xen_e820entry entry[BOOT_MAX_E820];
};

/* Sorts, and resolves overlaps in favour of the more restrictive type; drops empty entries. */
void e820_sanitise(struct e820_map *map);
/* Adds an entry. false: the map is full. */
bool e820_add(struct e820_map *map, uint64_t start, uint64_t size, uint32_t type);

#endif

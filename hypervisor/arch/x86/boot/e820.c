/*
 * The machine's memory map. Firmware lists entries in any order and overlapping; e820_sanitise() leaves them
 * sorted, disjoint, with the more restrictive type where two overlap.
 */
#include <asm/e820.h>

bool e820_add(struct e820_map *map, uint64_t start, uint64_t size, uint32_t type)
{
    if (size == 0)
        return true;
    if (map->count == BOOT_MAX_E820)
        return false;
    if (start + size < start)
        size = -start; /* to the end of the address space */
    map->entry[map->count++] = (struct xen_e820entry){start, size, type};
    return true;
}

/* Which of two types wins where entries overlap: RAM loses to everything, unusable and reserved win. */
static unsigned int rank(uint32_t type)
{
    switch (type) {
    case E820_RAM:
        return 0;
    case E820_ACPI:
        return 1;
    case E820_NVS:
        return 2;
    case E820_UNUSABLE:
        return 4;
    default:
        return 3;
    }
}

static uint64_t end_of(const struct xen_e820entry *e)
{
    return e->addr + e->size - 1; /* inclusive: the last entry may end at 2^64 */
}

/* The most restrictive type that covers address `at`; false: none does. */
static bool type_at(const struct e820_map *map, uint64_t at, uint32_t *type)
{
    bool found = false;

    for (uint32_t i = 0; i < map->count; i++) {
        const struct xen_e820entry *e = &map->entry[i];

        if (at >= e->addr && at <= end_of(e) && (!found || rank(e->type) > rank(*type))) {
            *type = e->type;
            found = true;
        }
    }
    return found;
}

/* The first boundary of an entry above `at`; 0: none. */
static uint64_t next_boundary(const struct e820_map *map, uint64_t at)
{
    uint64_t best = 0;

    for (uint32_t i = 0; i < map->count; i++) {
        uint64_t start = map->entry[i].addr, after = end_of(&map->entry[i]) + 1;

        if (start > at && (best == 0 || start < best))
            best = start;
        if (after > at && (best == 0 || after < best))
            best = after;
    }
    return best;
}

void e820_sanitise(struct e820_map *map)
{
    struct e820_map out = {.count = 0};
    uint64_t at = 0, next;

    do {
        uint32_t type = E820_RESERVED;

        next = next_boundary(map, at);
        if (type_at(map, at, &type)) {
            struct xen_e820entry *last = out.count ? &out.entry[out.count - 1] : NULL;

            if (last && last->type == type && last->addr + last->size == at)
                last->size += next - at;
            else if (!e820_add(&out, at, next - at, type))
                break; /* more pieces than we can hold: the rest is as if absent */
        }
        at = next;
    } while (next != 0);
    *map = out;
}

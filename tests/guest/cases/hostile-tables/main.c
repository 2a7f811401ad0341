/*
 * Entries of levels 2, 3 and 4 of every bad kind. A table may only be pointed to at the level it has: a frame
 * that is writable data, a table of another level, a frame that does not exist, a superpage or an entry in
 * the hypervisor's slots must be refused, and nothing of it stays.
 */
#include "guest.h"

/* An address with nothing mapped: level-4 slot 100 is the guest's own to use. */
#define PLACE (100UL << 39)

static uint64_t *fresh_table(void)
{
    uint64_t *table = new_page();

    memset(table, 0, PAGE_SIZE);
    if (remap(table, PTE_DATA_RO) != 0)
        test_error("a page could not be made read-only");
    return table;
}

static uint64_t table_entry(const void *table)
{
    return maddr_of(table) | PTE_TABLE;
}

static void bad_entries(unsigned int level, uint64_t *slot)
{
    static const char *const names[5][6] = {
        [2] = {"L2: writable data as a table", "L2: a level-3 table", "L2: no such frame", "L2: a superpage",
               "L2: reserved bits", "L2: the table itself"},
        [3] = {"L3: writable data as a table", "L3: a level-4 table", "L3: no such frame", "L3: a 1 GiB page",
               "L3: reserved bits", "L3: the table itself"},
        [4] = {"L4: writable data as a table", "L4: a level-1 table", "L4: no such frame",
               "L4: a superpage bit", "L4: reserved bits", "L4: the table itself, writable"},
    };
    uint64_t l4 = table_entry((void *)start_info->pt_base), l3 = *slot_of(new_page(), 4);
    uint64_t wrong_level = level == 2 ? l3 : level == 3 ? l4 : *slot_of(new_page(), 2);
    void *data = new_page(), *own = (void *)((uint64_t)slot & ~(PAGE_SIZE - 1));
    uint64_t *empty = fresh_table();
    uint64_t entries[6] = {
        table_entry(data),
        wrong_level,
        (0x000ffffffffff000UL) | PTE_TABLE,
        (maddr_of(data) & ~0x1fffffUL) | PTE_TABLE | PTE_PSE,
        table_entry(empty) | (1UL << 51),
        table_entry(own),
    };

    for (unsigned int i = 0; i < 6; i++) {
        long rc = set_slot(slot, entries[i]);

        if (rc == 0)
            set_slot(slot, 0);
        PROPERTY(rc < 0, names[level][i], "entry %lx was accepted", entries[i]);
    }
}

void test_main(void)
{
    uint64_t *l3 = fresh_table(), *l2 = fresh_table(), *l1 = fresh_table();
    uint64_t *l4_slot = slot_of((void *)PLACE, 4);

    bad_entries(4, l4_slot);
    RETURNS(set_slot(l4_slot, table_entry(l3)), 0, "a good level-4 entry is taken");
    bad_entries(3, &l3[0]);
    RETURNS(set_slot(&l3[0], table_entry(l2)), 0, "a good level-3 entry is taken");
    bad_entries(2, &l2[0]);
    RETURNS(set_slot(&l2[0], table_entry(l1)), 0, "a good level-2 entry is taken");
    RETURNS(set_slot(&l1[0], maddr_of(new_page()) | PTE_DATA_RW), 0, "a good level-1 entry is taken");
    PROPERTY(!write_faults((void *)PLACE, NULL), "and the new address works", "it faults");
    for (unsigned int slot = 256; slot < 272; slot++) {
        uint64_t *at = (uint64_t *)start_info->pt_base + slot, before = *at;
        long rc = set_slot(at, table_entry(l3));

        if (rc >= 0 || *at != before) {
            PROPERTY(false, "the hypervisor's level-4 slots", "slot %u: %ld", slot, rc);
            break;
        }
        if (slot == 271)
            PROPERTY(true, "the hypervisor's level-4 slots", "refused");
    }
    REFUSED(remap(l1, PTE_DATA_RW), "a table in use cannot be made writable");
    RETURNS(set_slot(&l2[0], 0), 0, "the level-1 table is let go");
    RETURNS(remap(l1, PTE_DATA_RW), 0, "and then it is data again");
    PROPERTY(read_faults((void *)PLACE, NULL), "the address is gone", "it can be read");
    RETURNS(set_slot(l4_slot, 0), 0, "the level-4 entry is taken back");
    RETURNS(remap(l2, PTE_DATA_RW), 0, "level 2 is data again");
    RETURNS(remap(l3, PTE_DATA_RW), 0, "level 3 is data again");
}

/*
 * Pinning: a page can be pinned at one level only, not while it is writable, not twice; unpinning gives it
 * back; a wrong level, a foreign or absent frame is refused. A table with one bad entry among 512 good ones
 * is refused whole.
 */
#include "guest.h"

static const unsigned int pin_at[5] = {0, MMUEXT_PIN_L1_TABLE, MMUEXT_PIN_L2_TABLE, MMUEXT_PIN_L3_TABLE,
                                       MMUEXT_PIN_L4_TABLE};

static void all_levels(void)
{
    static const char *const pinned[] = {"", "pin as L1", "pin as L2", "pin as L3"};
    static const char *const twice[] = {"", "L1 pinned twice", "L2 pinned twice", "L3 pinned twice"};
    static const char *const unpinned[] = {"", "unpin L1", "unpin L2", "unpin L3"};

    for (unsigned int level = 1; level <= 3; level++) {
        uint64_t *table = new_page();

        memset(table, 0, PAGE_SIZE);
        REFUSED(mmuext(pin_at[level], mfn_of(table), 0), "pinning a writable page is refused");
        remap(table, PTE_DATA_RO);
        RETURNS(mmuext(pin_at[level], mfn_of(table), 0), 0, pinned[level]);
        REFUSED(mmuext(pin_at[level], mfn_of(table), 0), twice[level]);
        REFUSED(mmuext(pin_at[level == 3 ? 1 : level + 1], mfn_of(table), 0),
                "pinning at another level is refused");
        REFUSED(remap(table, PTE_DATA_RW), "a pinned table cannot be mapped writable");
        RETURNS(mmuext(MMUEXT_UNPIN_TABLE, mfn_of(table), 0), 0, unpinned[level]);
        RETURNS(remap(table, PTE_DATA_RW), 0, "an unpinned table can be mapped writable");
    }
}

static void one_bad_entry(void)
{
    uint64_t *table = new_page();
    uint64_t good = maddr_of(new_page()) | PTE_DATA_RO;

    for (unsigned int i = 0; i < 512; i++)
        table[i] = good;
    table[300] = maddr_of((void *)start_info->pt_base) | PTE_DATA_RW;
    remap(table, PTE_DATA_RO);
    REFUSED(mmuext(MMUEXT_PIN_L1_TABLE, mfn_of(table), 0), "one bad entry among 512 refuses the table");
    RETURNS(remap(table, PTE_DATA_RW), 0, "and the refused table is plain data still");
    table[300] = good;
    remap(table, PTE_DATA_RO);
    RETURNS(mmuext(MMUEXT_PIN_L1_TABLE, mfn_of(table), 0), 0, "mended, it is taken");
    RETURNS(mmuext(MMUEXT_UNPIN_TABLE, mfn_of(table), 0), 0, "and let go");
}

static void data_referenced_by_tables(void)
{
    uint64_t *table = new_page(), *data = new_page();

    memset(table, 0, PAGE_SIZE);
    table[7] = maddr_of(data) | PTE_DATA_RW;
    remap(table, PTE_DATA_RO);
    RETURNS(mmuext(MMUEXT_PIN_L1_TABLE, mfn_of(table), 0), 0, "a table that maps data writable");
    memset(data, 0, PAGE_SIZE);
    remap(data, PTE_DATA_RO);
    REFUSED(mmuext(MMUEXT_PIN_L1_TABLE, mfn_of(data), 0), "data mapped writable elsewhere is no table");
    RETURNS(set_slot(&table[7], 0), 0, "the writable mapping is removed");
    RETURNS(mmuext(MMUEXT_PIN_L1_TABLE, mfn_of(data), 0), 0, "now it can be a table");
    RETURNS(mmuext(MMUEXT_UNPIN_TABLE, mfn_of(data), 0), 0, "and be let go");
    RETURNS(mmuext(MMUEXT_UNPIN_TABLE, mfn_of(table), 0), 0, "the first one too");
}

void test_main(void)
{
    all_levels();
    one_bad_entry();
    data_referenced_by_tables();
    REFUSED(mmuext(MMUEXT_PIN_L1_TABLE, 1UL << 40, 0), "a frame beyond all memory");
    REFUSED(mmuext(MMUEXT_PIN_L4_TABLE, ~0UL, 0), "the largest frame number");
    REFUSED(mmuext(MMUEXT_UNPIN_TABLE, mfn_of(new_page()), 0), "unpinning what is not pinned");
    REFUSED(mmuext(MMUEXT_UNPIN_TABLE, 1UL << 40, 0), "unpinning a frame beyond all memory");
    REFUSED(mmuext(MMUEXT_NEW_BASEPTR, mfn_of(new_page()), 0), "a data page as the base of the tables");
    REFUSED(mmuext(MMUEXT_NEW_USER_BASEPTR, mfn_of(new_page()), 0),
            "a data page as the base of the user tables");
    REFUSED(mmuext(MMUEXT_NEW_BASEPTR, 1UL << 40, 0), "no frame as the base of the tables");
    RETURNS(mmuext(MMUEXT_NEW_USER_BASEPTR, 0, 0), 0, "no user tables is allowed");
    RETURNS(mmuext(MMUEXT_TLB_FLUSH_LOCAL, 0, 0), 0, "flush");
    RETURNS(mmuext(MMUEXT_INVLPG_LOCAL, NON_CANONICAL, 0), 0, "flush of a wild address");
    REFUSED(mmuext(99, 0, 0), "an unknown command");
}

/*
 * Grant mappings in a PV guest's page tables.
 *
 * The caller (common/grant_map.c) has taken what the mapping needs: a reference on the frame, or a use as
 * writable. On success of a map the level-1 entry holds it, like any other entry; if the guest then changes
 * the entry by itself, it is dropped there and then, and unmapping fails. A successful unmap hands it back to
 * the caller, who drops it after the TLB flush. Only entries that still are what the map made of them are
 * unmapped.
 */
#include <asm/mm.h>
#include <bh/arch.h>
#include <bh/cause.h>
#include <bh/domain.h>
#include <public/grant_table.h>

static uint64_t grant_entry(mfn_t mfn, unsigned int flags)
{
    uint64_t entry = PTE_PRESENT | PTE_ACCESSED | PTE_DIRTY;

    if (!(flags & GNTMAP_readonly))
        entry |= PTE_WRITE;
    if (flags & GNTMAP_application_map)
        entry |= PTE_USER;
    entry |= ((uint64_t)(flags >> _GNTMAP_guest_avail0) << PTE_AVAIL_SHIFT) & PTE_AVAIL;
    return l1_adjust(pte_make(mfn, entry));
}

/*
 * The entry that `address` names, in a level-1 table that is in use for the caller until put_table: by the
 * machine address of the entry (contains_pte) or by the virtual address it maps. NULL: none (cause noted).
 */
static inline __attribute__((always_inline)) uint64_t *hold_entry(struct vcpu *v, uint64_t address,
                                                                  bool contains_pte, struct page_info **table)
{
    mfn_t mfn = paddr_to_mfn(address);
    uint64_t *entry;

    if (contains_pte) {
        if (unlikely((address & 7) || mfn.n >= max_page)) {
            (void)fail(v, -EINVAL, "grant mapping: {0} is no machine address of a page-table entry", address,
                       0);
            return NULL;
        }
        entry = (uint64_t *)map_frame(mfn) + (address & ~PAGE_MASK) / sizeof(*entry);
    } else {
        entry = pv_find_l1e(v, address, &mfn);
    }
    if (unlikely(!entry) || unlikely(!get_table(mfn_to_page(mfn), v->domain, PGT_l1))) {
        (void)fail(v, -EINVAL,
                   "grant mapping: address {0} has no validated level-1 table (contains_pte: {1})", address,
                   contains_pte);
        return NULL;
    }
    *table = mfn_to_page(mfn);
    return entry;
}

int arch_grant_map(struct vcpu *v, uint64_t address, mfn_t mfn, unsigned int flags)
{
    struct page_info *table, *pg = mfn_to_page(mfn);
    uint64_t *entry = hold_entry(v, address, flags & GNTMAP_contains_pte, &table);
    uint64_t old;

    if (!entry)
        return -EINVAL;
    if (mfn.n < max_page && pg->owner != v->domain)
        atomic_fetch_or(&pg->refs, PGC_foreign);
    old = __atomic_exchange_n(entry, grant_entry(mfn, flags), __ATOMIC_SEQ_CST);
    l1_put(old);
    put_table(v, table);
    return 0;
}

static bool is_mapping_of(uint64_t entry, mfn_t mfn, unsigned int flags)
{
    return (entry & PTE_PRESENT) && mfn_eq(pte_mfn(entry), mfn) &&
           !(entry & PTE_WRITE) == !!(flags & GNTMAP_readonly);
}

/* Takes the entry out of the table of `address`: what it holds is the caller's. */
static int steal_entry(struct vcpu *v, uint64_t address, uint64_t *out)
{
    struct page_info *table;
    uint64_t *entry = hold_entry(v, address, false, &table);

    if (!entry)
        return -EINVAL;
    *out = __atomic_exchange_n(entry, 0, __ATOMIC_SEQ_CST);
    put_table(v, table);
    return 0;
}

/* Puts `new` where the mapping is. */
static int replace_mapping(struct vcpu *v, uint64_t *entry, uint64_t address, mfn_t mfn, unsigned int flags,
                           uint64_t new)
{
    uint64_t old = __atomic_load_n(entry, __ATOMIC_RELAXED);

    do {
        if (!is_mapping_of(old, mfn, flags))
            return fail(v, -EINVAL, "grant unmap: the entry of address {0} is {1}, not what was mapped",
                        address, old);
    } while (!__atomic_compare_exchange_n(entry, &old, new, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
    return 0;
}

int arch_grant_unmap(struct vcpu *v, uint64_t address, mfn_t mfn, unsigned int flags, uint64_t replace_by)
{
    struct page_info *table;
    uint64_t *entry, new = 0;
    int rc;

    if (replace_by && (flags & GNTMAP_contains_pte))
        return fail(v, -EINVAL,
                    "grant unmap: address {0} is a page-table entry, which cannot be replaced by {1}",
                    address, replace_by);
    entry = hold_entry(v, address, flags & GNTMAP_contains_pte, &table);
    if (!entry)
        return -EINVAL;
    rc = replace_by ? steal_entry(v, replace_by, &new) : 0;
    if (!rc) {
        rc = replace_mapping(v, entry, address, mfn, flags, new);
        if (rc)
            l1_put(new);
    }
    put_table(v, table);
    return rc;
}

/*
 * What the entries of a PV guest's page tables may say.
 *
 * Level 1: a present entry maps
 *   - RAM of the table's owner (or, for foreign and grant mappings, of the domain the caller named), and
 * holds a reference on it, or, if writable, a use as writable;
 *   - or I/O memory, frames that are no RAM, within the domain's iomem_caps: holds nothing. Frames in
 * mmio_readonly lose their write bit. Level 2 to 4: a present entry refers to a table of the level below, of
 * the same domain, and holds a use of it. Large pages are refused, and so is a table of the same level
 * ("linear" page tables). Slots HV_FIRST_SLOT to HV_LAST_SLOT of level 4 are the hypervisor's: filled in on
 * promotion, skipped otherwise.
 *
 * A guest's kernel and user mode both run in ring 3, so present entries get PTE_USER on all levels; in level
 * 1 those that lacked it are marked PTE_GUEST_KERNEL. No entry of a guest is global: loading CR3 forgets all
 * of them (asm/tlb.h). Cache attributes are for domains with I/O memory.
 *
 * An entry changes by compare-and-exchange: what the new value refers to is taken first, and what the
 * replaced value referred to is dropped after. The changer holds a use of the table, so that it stays
 * validated; no lock.
 *
 * Host builds (tests) run this very file: no privileged instruction here.
 */
#include <asm/layout.h>
#include <asm/mm.h>
#include <asm/mm_preempt.h>
#include <asm/pv.h>
#include <bh/cause.h>
#include <bh/domain.h>
#include <bh/string.h>

/* Bits that need a look: refused, or, cache attributes, for some domains only. */
#define L1_SUSPECT      (PTE_CACHE | PTE_GRANT)
#define TABLE_FORBIDDEN (PTE_PWT | PTE_PCD | PTE_LARGE | PTE_GLOBAL)

/* I/O frames that guests may map read-only at most (MSI-X tables). NULL: none. */
struct rangeset *mmio_readonly;

static inline uint64_t entry_load(const uint64_t *entry)
{
    return __atomic_load_n(entry, __ATOMIC_RELAXED);
}

static inline bool entry_cas(uint64_t *entry, uint64_t old, uint64_t new)
{
    return __atomic_compare_exchange_n(entry, &old, new, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

uint64_t l1_adjust(uint64_t entry)
{
    entry &= ~PTE_GLOBAL;
    return entry & PTE_USER ? entry : entry | PTE_USER | PTE_GUEST_KERNEL;
}

/* Whether the frame is memory of a device, not RAM: nobody counts references on it. */
static inline bool is_io_frame(mfn_t mfn)
{
    return !mfn_valid(mfn);
}

/* 0; 1: only read-only; negative: refused. */
static int l1_get_io(struct vcpu *v, struct domain *d, struct domain *owner, uint64_t entry)
{
    uint64_t mfn = pte_mfn(entry).n;

    if (owner == domain_io)
        owner = v ? v->domain : d;
    if (!owner->iomem_caps || !rangeset_contains(owner->iomem_caps, mfn, mfn))
        return fail(v, -EPERM, "level-1 entry {0}: domain {1} has no right to this I/O memory frame (iomem)",
                    entry, owner->id);
    if (owner != d && (!d->iomem_caps || !rangeset_contains(d->iomem_caps, mfn, mfn)))
        return fail(v, -EPERM,
                    "level-1 entry {0}: the table's domain {1} has no right to this I/O memory frame (iomem)",
                    entry, d->id);
    return (entry & PTE_WRITE) && mmio_readonly && rangeset_contains(mmio_readonly, mfn, mfn);
}

/* Takes what the entry refers to, when it is not as simple as a page of the domain. 0, 1 (read-only), or
 * refused. */
static int l1_get_slow(struct vcpu *v, struct domain *d, struct domain *owner, uint64_t entry)
{
    mfn_t mfn = pte_mfn(entry);
    struct page_info *pg;

    if (entry & PTE_GRANT)
        return fail(v, -EINVAL, "level-1 entry {0}: bit 62 is reserved (mask {1})", entry, PTE_GRANT);
    if ((entry & PTE_CACHE) && (!d->iomem_caps || rangeset_is_empty(d->iomem_caps)))
        return fail(v, -EINVAL, "level-1 entry {0}: cache attributes {1} are for domains with I/O memory",
                    entry, entry & PTE_CACHE);
    if (is_io_frame(mfn))
        return l1_get_io(v, d, owner, entry);
    pg = mfn_to_page(mfn);
    if (entry & PTE_WRITE ? !get_page_writable(pg, owner) : !get_page(pg, owner)) {
        if (pg->owner != owner)
            return fail(v, -EBUSY, "level-1 entry {0}: the frame does not belong to domain {1}", entry,
                        owner->id);
        return fail(v, -EBUSY, "level-1 entry {0}: writable, but the page is of another type (type word {1})",
                    entry, atomic_load(&pg->type));
    }
    if (owner != d)
        atomic_fetch_or(&pg->refs, PGC_foreign);
    return 0;
}

/* The same, the fast half. */
static inline int l1_get(struct vcpu *v, struct domain *d, struct domain *owner, uint64_t entry)
{
    mfn_t mfn = pte_mfn(entry);

    if (likely(!(entry & L1_SUSPECT) && mfn.n < max_page && owner == d)) {
        struct page_info *pg = mfn_to_page(mfn);

        if (entry & PTE_WRITE ? get_page_writable(pg, d) : get_page(pg, d))
            return 0;
    }
    return l1_get_slow(v, d, owner, entry);
}

static void l1_put_slow(struct page_info *pg)
{
    if (!is_io_frame(page_to_mfn(pg)))
        page_put_writable_slow(pg);
}

static inline void l1_put_inline(uint64_t entry)
{
    mfn_t mfn = pte_mfn(entry);
    struct page_info *pg;

    if (!(entry & PTE_PRESENT) || unlikely(mfn.n >= max_page))
        return;
    pg = mfn_to_page(mfn);
    if (entry & PTE_WRITE) {
        uint64_t t = atomic_load_explicit(&pg->type, memory_order_relaxed);

        if (likely(t > PGT_writable + 1) &&
            likely(atomic_compare_exchange_strong_explicit(&pg->type, &t, t - 1, memory_order_release,
                                                           memory_order_relaxed)))
            return;
        l1_put_slow(pg);
    } else if (likely(atomic_load_explicit(&pg->refs, memory_order_relaxed) & PGC_count_mask)) {
        put_page(pg);
    }
}

void l1_put(uint64_t entry)
{
    l1_put_inline(entry);
}

static inline int l1_replace_inline(struct vcpu *v, struct domain *d, struct domain *owner, uint64_t *entry,
                                    uint64_t old, uint64_t new)
{
    if (new &PTE_PRESENT) {
        new = l1_adjust(new);
        /* Same frame, same rights over it: nothing to count. */
        if (!((old ^ new) & (PTE_FRAME_MASK | PTE_PRESENT | PTE_WRITE | L1_SUSPECT)))
            return entry_cas(entry, old, new) ? 0 : L1_CHANGED;

        int rc = l1_get(v, d, owner, new);
        if (unlikely(rc < 0))
            return rc;
        if (unlikely(rc > 0))
            new &= ~PTE_WRITE;
        if (unlikely(!entry_cas(entry, old, new))) {
            l1_put(new);
            return L1_CHANGED;
        }
    } else {
        if (unlikely(l1tf_on) && l1tf_check(v, d, 1, new))
            return -EINVAL;
        if (unlikely(!entry_cas(entry, old, new)))
            return L1_CHANGED;
    }
    l1_put_inline(old);
    return 0;
}

int l1_replace(struct vcpu *v, struct domain *d, struct domain *owner, uint64_t *entry, uint64_t old,
               uint64_t val)
{
    return l1_replace_inline(v, d, owner, entry, old, val);
}

int l1_update(struct vcpu *v, struct domain *d, struct domain *owner, uint64_t *entry, uint64_t val,
              bool preserve_ad)
{
    for (;;) {
        uint64_t old = entry_load(entry), new = val;

        if (preserve_ad)
            new |= old &(PTE_ACCESSED | PTE_DIRTY);
        int rc = l1_replace_inline(v, d, owner, entry, old, new);
        if (likely(rc != L1_CHANGED))
            return rc;
    }
}

static inline uint64_t level_type(unsigned int level)
{
    return (uint64_t)level << PGT_shift;
}

static inline bool is_hv_slot(unsigned int level, unsigned int i)
{
    return level == 4 && i >= HV_FIRST_SLOT && i <= HV_LAST_SLOT;
}

/* Takes the table of level - 1 that an entry refers to. As page_get_type. */
static int child_get(struct vcpu *v, struct domain *d, unsigned int level, uint64_t entry)
{
    mfn_t mfn = pte_mfn(entry);
    uint64_t type = level_type(level - 1);

    if (unlikely(entry & TABLE_FORBIDDEN))
        return fail(v, -EINVAL, "page table entry {0} of level {1}: large, global and cache bits are refused",
                    entry, level);
    if (unlikely(mfn.n >= max_page))
        return fail(v, -EINVAL, "page table entry {0} of level {1}: no such frame", entry, level);
    if (likely(get_table(mfn_to_page(mfn), d, type)))
        return 0;
    return page_get_type(v, mfn_to_page(mfn), d, type);
}

void put_table_slow(struct vcpu *v, struct page_info *pg)
{
    if (page_put_type(pg) == -EAGAIN)
        v->arch.pv.demoting = pg;
}

int mm_finish_demotion(struct vcpu *v)
{
    struct page_info *pg = v->arch.pv.demoting;

    if (pg && page_demote(pg))
        return -EAGAIN;
    v->arch.pv.demoting = NULL;
    return 0;
}

/* Puts `new` in place of `old`. L1_CHANGED: it is not old any more. */
static int table_replace(struct vcpu *v, struct domain *d, unsigned int level, uint64_t *entry, uint64_t old,
                         uint64_t new)
{
    if (new &PTE_PRESENT) {
        new |= PTE_USER;
        if (!((old ^ new) & (PTE_FRAME_MASK | PTE_PRESENT | TABLE_FORBIDDEN)))
            return entry_cas(entry, old, new) ? 0 : L1_CHANGED;

        int rc = child_get(v, d, level, new);
        if (rc) {
            struct page_info *child = mfn_to_page(pte_mfn(new));
            if (rc != -EAGAIN && pte_mfn(new).n < max_page && page_is_partial(child))
                v->arch.pv.demoting = child;
            return rc;
        }
    } else if (unlikely(l1tf_on) && l1tf_check(v, d, level, new)) {
        return -EINVAL;
    }
    if (!entry_cas(entry, old, new)) {
        if (new &PTE_PRESENT)
            put_table(v, mfn_to_page(pte_mfn(new)));
        return L1_CHANGED;
    }
    if (old & PTE_PRESENT)
        put_table(v, mfn_to_page(pte_mfn(old)));
    return 0;
}

int table_update(struct vcpu *v, struct domain *d, unsigned int level, struct page_info *table,
                 uint64_t *entry, uint64_t val, bool preserve_ad)
{
    if (is_hv_slot(level, ((uint64_t)entry & ~PAGE_MASK) / sizeof(*entry)))
        return fail(v, -EINVAL, "level-4 table {0}: slot {1} is the hypervisor's", page_to_mfn(table).n,
                    ((uint64_t)entry & ~PAGE_MASK) / sizeof(*entry));
    for (;;) {
        uint64_t old = entry_load(entry), new = val;

        if (preserve_ad)
            new |= old &(PTE_ACCESSED | PTE_DIRTY);
        int rc = table_replace(v, d, level, entry, old, new);
        if (rc != L1_CHANGED)
            return rc;
        /* Both ends of a lost race may have left a table to demote: one at a time. */
        if (v->arch.pv.demoting)
            return -EAGAIN;
    }
}

/* Whether n entries (a constant, so that the loop is written out) from `e` on are all empty. */
static inline __attribute__((always_inline)) bool none_present(const uint64_t *e, unsigned int n)
{
    uint64_t any = 0;

#pragma GCC unroll 32
    for (unsigned int k = 0; k < n; k++)
        any |= e[k];
    return !(any & PTE_PRESENT);
}

/*
 * How many entries from i on, a multiple of GLANCE_SMALL, are empty and can be skipped at once: most of most
 * tables. A process's end spends half its instructions here, hence two sizes.
 */
#define GLANCE_LARGE 32
#define GLANCE_SMALL 8
static inline unsigned int skip_empty(const uint64_t *table, unsigned int i)
{
    if (i % GLANCE_LARGE == 0 && none_present(table + i, GLANCE_LARGE))
        return GLANCE_LARGE;
    return none_present(table + i, GLANCE_SMALL) ? GLANCE_SMALL : 0;
}

static int l1_validate_some(struct vcpu *v, struct page_info *pg, struct domain *d, uint64_t *table,
                            unsigned int i)
{
    for (unsigned int end = i + GLANCE_SMALL; i < end; i++) {
        uint64_t entry = table[i];

        if (!(entry & PTE_PRESENT))
            continue;
        entry = l1_adjust(entry);
        int rc = l1_get(v, d, d, entry);
        if (unlikely(rc < 0)) {
            pg->table.validated = (uint16_t)i;
            return rc;
        }
        table[i] = unlikely(rc) ? entry & ~PTE_WRITE : entry;
    }
    return 0;
}

static int l1_validate(struct vcpu *v, struct page_info *pg, struct domain *d)
{
    uint64_t *table = map_frame(page_to_mfn(pg));
    unsigned int skip;

    for (unsigned int i = 0; i < PT_ENTRIES; i += skip) {
        skip = skip_empty(table, i);
        if (skip)
            continue;
        int rc = l1_validate_some(v, pg, d, table, i);
        if (unlikely(rc))
            return rc;
        skip = GLANCE_SMALL;
    }
    return 0;
}

static void l1_invalidate(struct page_info *pg)
{
    const uint64_t *table = map_frame(page_to_mfn(pg));
    unsigned int end = MIN(pg->table.validated, PT_ENTRIES), skip;

    for (unsigned int i = 0; i < end; i += skip) {
        skip = skip_empty(table, i);
        if (skip)
            continue;
        skip = GLANCE_SMALL;
        for (unsigned int k = i; k < MIN(i + GLANCE_SMALL, end); k++)
            l1_put_inline(table[k]);
    }
}

/* The hypervisor's slots of a top-level table. */
static void fill_hv_slots(uint64_t *table, struct domain *d)
{
    memcpy(table + HV_FIRST_SLOT, hv_l4 + HV_FIRST_SLOT, (HV_LAST_SLOT - HV_FIRST_SLOT + 1) * sizeof(*table));
    table[PERDOMAIN_SLOT] =
        d->arch.perdomain_l3
            ? pte_make(page_to_mfn(d->arch.perdomain_l3), PTE_PRESENT | PTE_WRITE | PTE_ACCESSED | PTE_DIRTY)
            : 0;
}

static int table_validate(struct vcpu *v, struct page_info *pg, struct domain *d, unsigned int level)
{
    uint64_t *table = map_frame(page_to_mfn(pg));
    unsigned int visited = 0, skip;

    pg->table.flags = 0;
    for (unsigned int i = pg->table.validated; i < PT_ENTRIES; i++) {
        if (is_hv_slot(level, i)) {
            i = HV_LAST_SLOT;
            continue;
        }
        if (i % GLANCE_SMALL == 0 && (skip = skip_empty(table, i)) != 0) {
            i += skip - 1;
            continue;
        }
        uint64_t entry = table[i];
        if (!(entry & PTE_PRESENT))
            continue;
        int rc = child_get(v, d, level, entry);
        if (rc) {
            pg->table.validated = (uint16_t)i;
            if (pte_mfn(entry).n < max_page && page_is_partial(mfn_to_page(pte_mfn(entry))))
                pg->table.flags = PT_CHILD_PARTIAL;
            return rc;
        }
        table[i] = entry | PTE_USER;
        if (i + 1 < PT_ENTRIES && mm_preempt_check(&visited)) {
            pg->table.validated = (uint16_t)(i + 1);
            return -EAGAIN;
        }
    }
    if (level == 4)
        fill_hv_slots(table, d);
    return 0;
}

/* Entry i's use of the table below is gone; what is left of its demotion waits for the next call. */
static int child_is_partial(struct page_info *pg, unsigned int i)
{
    pg->table.validated = (uint16_t)i;
    pg->table.flags = PT_CHILD_PARTIAL;
    return -EAGAIN;
}

static int table_invalidate(struct page_info *pg, unsigned int level)
{
    const uint64_t *table = map_frame(page_to_mfn(pg));
    unsigned int i = MIN(pg->table.validated, PT_ENTRIES), visited = 0;

    if (pg->table.flags & PT_CHILD_PARTIAL) {
        if (page_demote(mfn_to_page(pte_mfn(table[i]))))
            return child_is_partial(pg, i);
        pg->table.flags = 0;
    }
    while (i > 0) {
        i--;
        if (is_hv_slot(level, i)) {
            i = HV_FIRST_SLOT;
            continue;
        }
        if (i % GLANCE_LARGE == GLANCE_LARGE - 1 &&
            none_present(table + i - (GLANCE_LARGE - 1), GLANCE_LARGE)) {
            i -= GLANCE_LARGE - 1;
            continue;
        }
        if (i % GLANCE_SMALL == GLANCE_SMALL - 1 &&
            none_present(table + i - (GLANCE_SMALL - 1), GLANCE_SMALL)) {
            i -= GLANCE_SMALL - 1;
            continue;
        }
        if (!(table[i] & PTE_PRESENT))
            continue;
        if (page_put_type(mfn_to_page(pte_mfn(table[i]))))
            return child_is_partial(pg, i);
        if (i > 0 && mm_preempt_check(&visited)) {
            pg->table.validated = (uint16_t)i;
            return -EAGAIN;
        }
    }
    return 0;
}

static int descriptors_validate(struct vcpu *v, struct page_info *pg, struct domain *d)
{
    uint64_t *table = map_frame(page_to_mfn(pg));

    for (unsigned int i = 0; i < PAGE_SIZE / sizeof(*table); i++)
        if (!pv_descriptor_ok(d, &table[i]))
            return fail(v, -EINVAL, "descriptor page {0}: descriptor {1} is refused", page_to_mfn(pg).n, i);
    return 0;
}

int arch_page_validate(struct vcpu *v, struct page_info *pg, struct domain *d, uint64_t type)
{
    if (unlikely(l1tf_on) && l1tf_check_page(v, d, pg, type))
        return -EINVAL;
    if (type == PGT_l1)
        return l1_validate(v, pg, d);
    if (type == PGT_seg_desc)
        return descriptors_validate(v, pg, d);
    return table_validate(v, pg, d, (unsigned int)(type >> PGT_shift));
}

int arch_page_invalidate(struct page_info *pg, struct domain *d, uint64_t type)
{
    if (type == PGT_seg_desc)
        return 0;
    if (type == PGT_l1) {
        l1_invalidate(pg);
        return 0;
    }
    return table_invalidate(pg, (unsigned int)(type >> PGT_shift));
}

/*
 * Pages of RAM: owners, references, types.
 *
 * References. A page is in somebody's hands while refs counts more than zero. The domain's own hold on it is
 * one reference, told by PGC_allocated; every mapping of it in a page table, every grant in use and every
 * look-up in progress is another. The last put gives the page back (page_free_domain). The owner changes only
 * at refs zero.
 *
 * Types. PV guests see their page tables and may read them, but only the hypervisor writes them. So at any
 * time a page is in use as at most one of: writable, page table of level 1 to 4, segment descriptors. Each
 * use counts one: a writable mapping uses the page as writable, an entry of a level-n table uses the table
 * below as level n-1, a loaded CR3 uses a level-4 table, a pin is a use by itself. All uses of a page
 * together hold one reference.
 *
 *            +----------------- count 0: free to become anything -----------------+
 *            |                          |                                         |
 *      first writable use         locked: promotion                         locked: demotion <---+
 *            |                (entries checked one by one,               (entries given back,    |
 *            v                 each takes what it refers to)              from the last down)    |
 *     writable, count > 0          |         | preempted, or refused         ^     | preempted    |
 *                                  |         +------------> partial <--------|-----+             |
 *                                  v                        (count 0)  resumed in either         |
 *                       validated, count > 0                           direction                 |
 *                                  +------------------- last use ends ---------------------------+
 *
 * partial: count 0, PGT_partial, entries below table.validated hold their references, and the page holds one
 * on itself. Who wants the same type resumes the promotion; page_demote() undoes it; nobody may use it as
 * anything else. Who starts a promotion that is refused, or ends a use, and is preempted, has to see that
 * page_demote() is called again (a vcpu remembers the page; a dying domain's pages are all visited). If
 * nobody does, a page of that domain stays useless to it: no harm to others.
 *
 * locked: one CPU promotes or demotes; whoever wants that very type spins, others are refused (-EBUSY). A
 * locked table of level n only ever waits for tables of level n-1, so waiting cannot go round.
 *
 * TLBs. When the last use ends, the page is stamped with the TLB clock. Before it is used as another type,
 * the CPUs that may hold old entries (the owner's; every CPU if another domain has mapped the page) and have
 * not flushed since are flushed. A level-n table read by hardware is thus never writable through a forgotten
 * entry, nor is a page written by the guest still walked as a table.
 *
 * No lock: both words change by compare-and-exchange, PGT_locked guards `table`.
 */
#include <bh/arch.h>
#include <bh/assert.h>
#include <bh/cause.h>
#include <bh/domain.h>
#include <bh/page.h>

static inline bool type_cas(struct page_info *pg, uint64_t *expected, uint64_t to)
{
    return atomic_compare_exchange_strong_explicit(&pg->type, expected, to, memory_order_acq_rel,
                                                   memory_order_relaxed);
}

static inline uint64_t type_load(struct page_info *pg)
{
    return atomic_load_explicit(&pg->type, memory_order_relaxed);
}

static inline void type_publish(struct page_info *pg, uint64_t type)
{
    atomic_store_explicit(&pg->type, type, memory_order_release);
}

struct page_info *get_page_from_mfn(mfn_t mfn, const struct domain *d)
{
    if (mfn.n >= max_page || !get_page(mfn_to_page(mfn), d))
        return NULL;
    return mfn_to_page(mfn);
}

bool page_drop_allocated(struct page_info *pg)
{
    uint64_t refs = atomic_fetch_and_explicit(&pg->refs, ~PGC_allocated, memory_order_relaxed);

    if (!(refs & PGC_allocated))
        return false;
    put_page(pg);
    return true;
}

void page_share_readonly(struct page_info *pg, struct domain *d)
{
    pg->owner = d;
    atomic_store(&pg->type, PGT_shared | 1);
    atomic_store(&pg->refs, PGC_hypervisor | PGC_extra | PGC_allocated | 2);
}

/* No TLB may hold an entry from the page's former life when it starts another. */
static void flush_former_uses(struct page_info *pg)
{
    uint64_t refs = atomic_load_explicit(&pg->refs, memory_order_relaxed);
    cpumask_t mask = refs & PGC_foreign ? arch_online_cpus() : atomic_load(&pg->owner->arch.dirty_cpus);

    mask = arch_tlb_stale(mask, pg->tlb_stamp);
    if (mask)
        arch_flush_tlb(mask);
}

static bool is_other_type(uint64_t former, uint64_t type)
{
    former &= PGT_type_mask;
    return former != PGT_none && former != type;
}

bool page_get_writable_slow(struct page_info *pg, const struct domain *d)
{
    if (!get_page(pg, d))
        return false;
    for (uint64_t t = type_load(pg);;) {
        if (t & (PGT_locked | PGT_partial)) {
            break;
        } else if (t & PGT_count_mask) {
            if ((t & PGT_type_mask) != PGT_writable)
                break;
            if (type_cas(pg, &t, t + 1)) {
                put_page(pg); /* the first use holds one for all */
                return true;
            }
        } else if (is_other_type(t, PGT_writable)) {
            if (type_cas(pg, &t, PGT_writable | PGT_locked)) {
                flush_former_uses(pg);
                type_publish(pg, PGT_writable | 1);
                return true;
            }
        } else if (type_cas(pg, &t, PGT_writable | 1)) {
            return true;
        }
    }
    put_page(pg);
    return false;
}

void page_put_writable_slow(struct page_info *pg)
{
    for (uint64_t t = type_load(pg);;) {
        BUG_ON(t <= PGT_writable);
        if ((t & PGT_count_mask) == 1)
            pg->tlb_stamp = arch_tlb_clock();
        if (!type_cas(pg, &t, t - 1))
            continue;
        if ((t & PGT_count_mask) == 1)
            put_page(pg);
        return;
    }
}

/* pg is locked. Ends as count 0, or partial. */
static int demote(struct page_info *pg, uint64_t type)
{
    int rc = arch_page_invalidate(pg, pg->owner, type);

    if (rc == -EAGAIN) {
        type_publish(pg, type | PGT_partial);
        return rc;
    }
    BUG_ON(rc);
    pg->tlb_stamp = arch_tlb_clock();
    type_publish(pg, type);
    put_page(pg);
    return 0;
}

/* pg is locked and holds its reference. Ends as validated with one use, or partial, or demoted again. */
static int promote(struct vcpu *v, struct page_info *pg, struct domain *d, uint64_t type)
{
    int rc = arch_page_validate(v, pg, d, type);

    if (!rc)
        type_publish(pg, type | PGT_validated | 1);
    else if (rc == -EAGAIN)
        type_publish(pg, type | PGT_partial);
    else
        (void)demote(pg, type); /* partial, if preempted: the caller looks */
    return rc;
}

int page_demote(struct page_info *pg)
{
    uint64_t t = type_load(pg);

    do {
        if ((t & (PGT_partial | PGT_locked)) != PGT_partial)
            return 0;
    } while (!type_cas(pg, &t, (t & PGT_type_mask) | PGT_locked));
    return demote(pg, t & PGT_type_mask);
}

static int refuse_type(struct vcpu *v, struct page_info *pg, int error, uint64_t type)
{
    uint64_t mfn = page_to_mfn(pg).n;

    if (error == -EBUSY)
        return fail(v, error, "page {0}: in use as another type (type word {1})", mfn, type);
    return fail(v, error, "page {0}: not owned by the domain, or the hypervisor's, wanted as type {1}", mfn,
                type >> PGT_shift);
}

/* The caller holds a reference, which becomes the uses' or is given back. */
static int get_type_referenced(struct vcpu *v, struct page_info *pg, struct domain *d, uint64_t type)
{
    for (uint64_t t = type_load(pg);;) {
        bool in_use = t & (PGT_locked | PGT_partial | PGT_count_mask);

        if (in_use && (t & PGT_type_mask) != type) {
            put_page(pg);
            return refuse_type(v, pg, -EBUSY, t);
        }
        if (t & PGT_locked) {
            arch_cpu_relax();
            t = type_load(pg);
        } else if (t & PGT_count_mask) {
            if (type_cas(pg, &t, t + 1)) {
                put_page(pg);
                return 0;
            }
        } else if (type_cas(pg, &t, type | PGT_locked)) {
            if (t & PGT_partial) {
                put_page(pg); /* it holds one on itself */
            } else {
                if (is_other_type(t, type))
                    flush_former_uses(pg);
                pg->table.validated = 0;
                pg->table.flags = 0;
            }
            return promote(v, pg, d, type);
        }
    }
}

int page_get_type(struct vcpu *v, struct page_info *pg, struct domain *d, uint64_t type)
{
    if (type == PGT_writable) {
        if (get_page_writable(pg, d))
            return 0;
        return refuse_type(v, pg, pg->owner == d ? -EBUSY : -EINVAL, type);
    }
    if (!get_page(pg, d))
        return refuse_type(v, pg, -EINVAL, type);
    if (atomic_load_explicit(&pg->refs, memory_order_relaxed) & PGC_hypervisor) {
        put_page(pg);
        return refuse_type(v, pg, -EINVAL, type);
    }
    return get_type_referenced(v, pg, d, type);
}

int page_put_type(struct page_info *pg)
{
    for (uint64_t t = type_load(pg);;) {
        BUG_ON(!(t & PGT_count_mask));
        if ((t & PGT_type_mask) == PGT_writable) {
            put_page_writable(pg);
            return 0;
        }
        if ((t & PGT_count_mask) > 1) {
            if (type_cas(pg, &t, t - 1))
                return 0;
        } else if (type_cas(pg, &t, (t & PGT_type_mask) | PGT_locked)) {
            pg->table.validated = UINT16_MAX;
            pg->table.flags = 0;
            return demote(pg, t & PGT_type_mask);
        }
    }
}

int page_pin(struct vcpu *v, struct page_info *pg, struct domain *d, uint64_t type)
{
    int rc = page_get_type(v, pg, d, type);

    if (rc)
        return rc;
    if (atomic_fetch_or(&pg->type, PGT_pinned) & PGT_pinned) {
        (void)page_put_type(pg); /* not the last: the pin is another */
        return fail(v, -EINVAL, "page {0}: pinned already (type {1})", page_to_mfn(pg).n, type >> PGT_shift);
    }
    return 0;
}

int page_unpin(struct vcpu *v, struct page_info *pg, struct domain *d)
{
    int rc;

    if (!get_page(pg, d))
        return refuse_type(v, pg, -EINVAL, 0);
    if (!(atomic_fetch_and(&pg->type, ~PGT_pinned) & PGT_pinned)) {
        put_page(pg);
        return fail(v, -EINVAL, "page {0}: not pinned (type word {1})", page_to_mfn(pg).n, type_load(pg));
    }
    rc = page_put_type(pg);
    put_page(pg);
    return rc;
}

/*
 * Page-table updates that a PV guest asks for: mmu_update (a list of entries by machine address) and
 * update_va_mapping (one level-1 entry by virtual address, with a flush).
 *
 * The table of the last entry is kept mapped and in use while the next entries lie in it: lists are sorted in
 * practice. A frame that is no page table now takes the value as plain memory (kernels prepare tables before
 * they pin them). Every request is read once, into a copy; a list is taken in pieces, and between them, or
 * when a bigger table is promoted or demoted, the hypercall may be restarted with the rest of the list.
 */
#include <asm/guest_access.h>
#include <asm/layout.h>
#include <asm/mm.h>
#include <asm/tlb.h>
#include <bh/arch.h>
#include <bh/cause.h>
#include <bh/domain.h>
#include <bh/guest.h>
#include <bh/hypercall.h>
#include <bh/policy.h>
#include <public/xen.h>

/* In `count`: a restarted call, whose earlier requests are in *pdone already. */
#define MMU_UPDATE_PREEMPTED 0x80000000U

#define BATCH 32

struct update_context {
    struct domain *table_owner, *page_owner;
    /* The table in use: a use as its type, or as writable for plain memory. NULL: none. */
    struct page_info *table;
    uint64_t mfn;
    unsigned int level; /* 1 to 4; 0: plain memory */
    uint8_t *mapped;
};

int mm_get_owner(struct vcpu *v, uint32_t domid, struct domain **out)
{
    struct domain *d = v->domain;

    if (likely(domid == DOMID_SELF || domid == d->id)) {
        *out = d;
        return 0;
    }
    if (domid == DOMID_IO) {
        *out = domain_io;
        return 0;
    }
    if (domid == DOMID_XEN) {
        *out = domain_xen;
        if (policy_allows(d, POLICY_MAP_FOREIGN, domain_xen))
            return 0;
        return fail(v, -EPERM, "domain {0} may not map the hypervisor's shared frames (policy)", d->id, 0);
    }
    return domain_get_for(v, (domid_t)domid, POLICY_MAP_FOREIGN, out);
}

void mm_put_owner(struct vcpu *v, struct domain *d)
{
    if (d != v->domain && d != domain_io && d != domain_xen)
        domain_put(d);
}

static void leave_table(struct vcpu *v, struct update_context *c)
{
    if (!c->table)
        return;
    if (likely(c->level))
        put_table(v, c->table);
    else
        put_page_writable(c->table);
    c->table = NULL;
}

static int enter_table(struct vcpu *v, struct update_context *c, mfn_t mfn)
{
    struct page_info *pg;
    uint64_t type;

    leave_table(v, c);
    if (unlikely(mfn.n >= max_page))
        return fail(v, -EINVAL, "mmu_update: frame {0} of the entry is no RAM (first invalid {1})", mfn.n,
                    max_page);
    pg = mfn_to_page(mfn);
    type = atomic_load_explicit(&pg->type, memory_order_relaxed) & PGT_type_mask;
    if (likely(type >= PGT_l1 && type <= PGT_l4) && likely(get_table(pg, c->table_owner, type)))
        c->level = (unsigned int)(type >> PGT_shift);
    else if (get_page_writable(pg, c->table_owner))
        c->level = 0;
    else
        return fail(v, -EINVAL,
                    "mmu_update: frame {0} is neither a validated page table nor plain memory of the domain "
                    "(type word {1})",
                    mfn.n, atomic_load(&pg->type));
    c->table = pg;
    c->mfn = mfn.n;
    c->mapped = map_frame(mfn);
    return 0;
}

static int update_entry(struct vcpu *v, struct update_context *c, const struct mmu_update *req)
{
    uint64_t mfn = req->ptr >> PAGE_SHIFT;
    bool preserve_ad = (req->ptr & 3) == MMU_PT_UPDATE_PRESERVE_AD;
    uint64_t *entry;

    if (!c->table || c->mfn != mfn) {
        int rc = enter_table(v, c, MFN(mfn));
        if (unlikely(rc))
            return rc;
    }
    entry = (uint64_t *)(c->mapped + (req->ptr & ~PAGE_MASK & ~7UL));
    if (likely(c->level == 1))
        return l1_update(v, c->table_owner, c->page_owner, entry, req->val, preserve_ad);
    if (c->level == 0) {
        WRITE_ONCE(*entry, req->val);
        return 0;
    }
    return table_update(v, c->table_owner, c->level, c->table, entry, req->val, preserve_ad);
}

static int update_m2p(struct vcpu *v, struct update_context *c, const struct mmu_update *req)
{
    mfn_t mfn = MFN(req->ptr >> PAGE_SHIFT);
    struct page_info *pg = get_page_from_mfn(mfn, c->page_owner);

    if (!pg)
        return fail(v, -EINVAL,
                    "mmu_update: machine-to-physical entry of frame {0}: not a page of domain {1}", mfn.n,
                    c->page_owner->id);
    arch_set_m2p(mfn, req->val);
    put_page(pg);
    return 0;
}

/* Performs n requests; *done tells how many succeeded. -EAGAIN: preempted, after or before requests[*done].
 */
static int run_batch(struct vcpu *v, struct update_context *c, const struct mmu_update *requests,
                     unsigned int n, unsigned int *done)
{
    int rc = 0;

    for (*done = 0; *done < n; ++*done) {
        const struct mmu_update *req = &requests[*done];

        rc =
            unlikely((req->ptr & 3) == MMU_MACHPHYS_UPDATE) ? update_m2p(v, c, req) : update_entry(v, c, req);
        if (unlikely(rc))
            break;
        if (unlikely(v->arch.pv.demoting)) {
            ++*done;
            rc = -EAGAIN;
            break;
        }
    }
    return rc;
}

static int get_owners(struct vcpu *v, uint32_t foreigndom, struct update_context *c)
{
    uint32_t table_domid = foreigndom >> 16;
    int rc;

    c->table_owner = c->page_owner = v->domain;
    if (likely(foreigndom == DOMID_SELF))
        return 0;
    if (table_domid) {
        rc = mm_get_owner(v, table_domid - 1, &c->table_owner);
        if (rc)
            return rc;
        if (c->table_owner->kind != KIND_PV) {
            mm_put_owner(v, c->table_owner);
            return fail(v, -EINVAL, "mmu_update: domain {0} has no PV page tables", table_domid - 1, 0);
        }
    }
    rc = mm_get_owner(v, foreigndom & 0xffff, &c->page_owner);
    if (rc)
        mm_put_owner(v, c->table_owner);
    return rc;
}

static void put_owners(struct vcpu *v, struct update_context *c)
{
    if (unlikely(c->table_owner != v->domain))
        mm_put_owner(v, c->table_owner);
    if (unlikely(c->page_owner != v->domain))
        mm_put_owner(v, c->page_owner);
}

static long update_list(struct vcpu *v, unsigned long a1, unsigned long a2, unsigned long a3,
                        unsigned long a4)
{
    struct update_context c;
    struct mmu_update requests[BATCH];
    uint32_t count = (uint32_t)a2 & ~MMU_UPDATE_PREEMPTED, before = 0, done = 0;
    int rc;

    if (unlikely(a2 & MMU_UPDATE_PREEMPTED) && a3 && copy_from_guest(v, &before, a3, sizeof(before)))
        return fail(v, -EFAULT, "mmu_update: cannot read the done count at {0}", a3, 0);
    if (unlikely(v->arch.pv.demoting) && mm_finish_demotion(v))
        return hypercall_restart(v, a1, a2, a3, a4, 0);
    c.table = NULL;
    rc = get_owners(v, (uint32_t)a4, &c);
    if (unlikely(rc))
        return rc;

    while (!rc && done < count) {
        unsigned int n = MIN(count - done, BATCH), ok = 0;

        if (unlikely(
                copy_from_guest(v, requests, a1 + done * sizeof(requests[0]), n * sizeof(requests[0])))) {
            rc = fail(v, -EFAULT, "mmu_update: cannot read request {0} of {1}", done, count);
            break;
        }
        rc = run_batch(v, &c, requests, n, &ok);
        done += ok;
        if (done < count && !rc && hypercall_preempt_check())
            rc = -EAGAIN;
    }
    leave_table(v, &c);
    put_owners(v, &c);

    before += done;
    if (unlikely(a3) && copy_to_guest(v, a3, &before, sizeof(before)))
        return fail(v, -EFAULT, "mmu_update: cannot write the done count at {0}", a3, 0);
    if (rc == -EAGAIN)
        return hypercall_restart(v, a1 + done * sizeof(requests[0]), (count - done) | MMU_UPDATE_PREEMPTED,
                                 a3, a4, 0);
    return rc;
}

/* The commonest call by far: one entry of a level-1 table of the caller's own. false: not that simple,
 * nothing done. */
static inline bool update_single(struct vcpu *v, uint64_t untrusted_request, long *result)
{
    struct domain *d = v->domain;
    struct mmu_update req;
    struct page_info *table;
    uint64_t *entry;

    if (unlikely(copy_words_from_guest(&req, untrusted_request, sizeof(req) / 8)) ||
        unlikely((req.ptr & 3) == MMU_MACHPHYS_UPDATE) || unlikely(req.ptr >> PAGE_SHIFT >= max_page))
        return false;
    table = mfn_to_page(paddr_to_mfn(req.ptr));
    if (unlikely(!get_table(table, d, PGT_l1)))
        return false;
    entry = (uint64_t *)map_frame(MFN(0)) + req.ptr / sizeof(*entry);
    *result = l1_update(v, d, d, entry, req.val, (req.ptr & 3) == MMU_PT_UPDATE_PRESERVE_AD);
    put_table(v, table);
    return true;
}

/* mmu_update(const struct mmu_update *requests, count, uint32_t *done, foreigndom) */
DECLARE_HYPERCALL(do_mmu_update)
{
    long result;

    if (likely(a2 == 1 && a4 == DOMID_SELF && !a3) && likely(!v->arch.pv.demoting) &&
        likely(update_single(v, a1, &result)))
        return result;
    return update_list(v, a1, a2, a3, a4);
}

uint64_t *pv_find_l1e(const struct vcpu *v, uint64_t va, mfn_t *table)
{
    /*
     * No table is held on the way down. What is reached through a table in use was validated when it was
     * read, and cannot be freed or written by a guest before this CPU has answered a TLB flush, which it does
     * not while it walks.
     */
    const uint64_t *t = map_frame(paddr_to_mfn(v->arch.cr3));
    uint64_t entry = t[PT_INDEX(va, 4)];

    if (unlikely(va - HV_START < HV_END - HV_START) || unlikely(!(entry & PTE_PRESENT)))
        return NULL;
    t = map_frame(pte_mfn(entry));
    entry = t[PT_INDEX(va, 3)];
    if (unlikely(!(entry & PTE_PRESENT)))
        return NULL;
    t = map_frame(pte_mfn(entry));
    entry = t[PT_INDEX(va, 2)];
    if (unlikely(!(entry & PTE_PRESENT)))
        return NULL;
    *table = pte_mfn(entry);
    return (uint64_t *)map_frame(*table) + PT_INDEX(va, 1);
}

int mm_vcpu_mask(struct vcpu *v, uint64_t untrusted_mask, cpumask_t *out)
{
    struct domain *d = v->domain;
    uint64_t bitmap[DIV_ROUND_UP(DOMAIN_MAX_VCPUS, 64)] = {0};

    *out = 0;
    if (copy_from_guest(v, bitmap, untrusted_mask, DIV_ROUND_UP(d->max_vcpus, 8)))
        return fail(v, -EFAULT, "TLB flush: cannot read the vcpu bitmap at {0}", untrusted_mask, 0);
    for (uint32_t i = 0; i < d->max_vcpus; i++) {
        const struct vcpu *other = d->vcpu[i];
        int cpu = other && (bitmap[i / 64] >> (i % 64) & 1) ? READ_ONCE(other->arch.last_cpu) : -1;

        if (cpu >= 0)
            *out |= CPUMASK(cpu);
    }
    return 0;
}

/* The flush that update_va_mapping asks for. */
static int flush_for_va(struct vcpu *v, uint64_t va, uint64_t flags)
{
    uint64_t where = flags & ~UVMF_FLUSHTYPE_MASK;
    cpumask_t mask;

    if (flags & ~(UVMF_FLUSHTYPE_MASK | UVMF_ALL)) {
        int rc = mm_vcpu_mask(v, where, &mask);
        if (rc)
            return rc;
    } else {
        mask = where ? atomic_load(&v->domain->arch.dirty_cpus) : CPUMASK(arch_cpu_id());
    }
    switch (flags & UVMF_FLUSHTYPE_MASK) {
    case UVMF_TLB_FLUSH:
        arch_flush_tlb(mask);
        return 0;
    case UVMF_INVLPG:
        tlb_flush_page(mask, va);
        return 0;
    case UVMF_NONE:
        return 0;
    default:
        return fail(v, -EINVAL, "update_va_mapping: flush type {0} is unknown (flags {1})",
                    flags & UVMF_FLUSHTYPE_MASK, flags);
    }
}

static inline long update_va(struct vcpu *v, uint64_t va, uint64_t val, uint64_t flags, struct domain *owner)
{
    struct domain *d = v->domain;
    mfn_t table;
    uint64_t *entry = pv_find_l1e(v, va, &table);
    int rc;

    if (unlikely(!entry) || unlikely(!get_table(mfn_to_page(table), d, PGT_l1)))
        return fail(v, -EINVAL, "update_va_mapping: no page table maps address {0}", va, 0);
    rc = l1_update(v, d, owner, entry, val, false);
    put_table(v, mfn_to_page(table));
    if (unlikely(rc) || likely(flags == 0))
        return rc;
    if (flags == (UVMF_INVLPG | UVMF_LOCAL)) {
        tlb_flush_page_local(va);
        return 0;
    }
    return flush_for_va(v, va, flags);
}

/* update_va_mapping(va, value, flags) */
DECLARE_HYPERCALL(do_update_va_mapping)
{
    /* A table that an unpin left half undone may be the frame that becomes writable now. */
    if (unlikely(v->arch.pv.demoting) && mm_finish_demotion(v))
        return hypercall_restart(v, a1, a2, a3, 0, 0);
    return update_va(v, a1, a2, a3, v->domain);
}

/* update_va_mapping_otherdomain(va, value, flags, domid) */
DECLARE_HYPERCALL(do_update_va_mapping_otherdomain)
{
    struct domain *owner;
    long rc = mm_get_owner(v, (uint32_t)a4, &owner);

    if (rc)
        return rc;
    rc = update_va(v, a1, a2, a3, owner);
    mm_put_owner(v, owner);
    return rc;
}

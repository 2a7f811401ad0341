/*
 * PV guests' page tables: what the parts of pv/mm share. The model of page types stands in common/page.c,
 * that of entries in pv/mmu_validate.c. Nothing here executes a privileged instruction: flushes go through
 * asm/tlb.h.
 */
#ifndef ASM_MM_H
#define ASM_MM_H

#include <bh/types.h>
#include <bh/page.h>
#include <asm/map.h>
#include <asm/pte.h>

struct rangeset;

/* The hypervisor's own top-level table (paging.c): slots HV_FIRST_SLOT to HV_LAST_SLOT go into every guest's.
 */
extern uint64_t *hv_l4;

/*
 * Puts `val` into *entry of a validated level-1 table of `d` (the caller holds a use of it), after checking
 * that d may map the frame, which must belong to `owner`. Returns 0, -EINVAL, -EPERM, -EBUSY (cause noted in
 * v).
 */
int must_check l1_update(struct vcpu *v, struct domain *d, struct domain *owner, uint64_t *entry,
                         uint64_t val, bool preserve_ad);
/* The same, if the entry still is `old`; L1_CHANGED: it is not. */
#define L1_CHANGED 1
int must_check l1_replace(struct vcpu *v, struct domain *d, struct domain *owner, uint64_t *entry,
                          uint64_t old, uint64_t val);
/* Levels 2 to 4, likewise; -EAGAIN: preempted, try again after a restart. A table that goes may stay
 * v->demoting. */
int must_check table_update(struct vcpu *v, struct domain *d, unsigned int level, struct page_info *table,
                            uint64_t *entry, uint64_t val, bool preserve_ad);
/* What a level-1 entry refers to: drops it. */
void l1_put(uint64_t entry);
/* As entries of a level-1 table look once the ABI's rules for user and kernel mappings were applied. */
uint64_t l1_adjust(uint64_t entry);

/*
 * Finds the level-1 entry for a guest virtual address in the tables v uses now. NULL: no table there (or the
 * hypervisor's range). The table itself may go away as soon as the caller leaves the hypervisor or waits;
 * take a use of it (get_l1_table) before changing the entry.
 */
uint64_t *pv_find_l1e(const struct vcpu *v, uint64_t va, mfn_t *table);

/* A use of a table that is validated as `type` (PGT_l1..l4) already; false: it is not, or not d's. */
static inline bool must_check get_table(struct page_info *pg, const struct domain *d, uint64_t type)
{
    uint64_t t = atomic_load_explicit(&pg->type, memory_order_relaxed);

    if (unlikely((t & (PGT_type_mask | PGT_validated | PGT_locked)) != (type | PGT_validated)))
        return false;
    if (unlikely(!atomic_compare_exchange_strong_explicit(&pg->type, &t, t + 1, memory_order_acquire,
                                                          memory_order_relaxed))) {
        do {
            if ((t & (PGT_type_mask | PGT_validated | PGT_locked)) != (type | PGT_validated))
                return false;
        } while (!atomic_compare_exchange_weak_explicit(&pg->type, &t, t + 1, memory_order_acquire,
                                                        memory_order_relaxed));
    }
    if (likely(pg->owner == d))
        return true;
    (void)page_put_type(pg);
    return false;
}

void put_table_slow(struct vcpu *v, struct page_info *pg);

/* Gives the use back; the table that nobody uses any more is demoted, if need be later by v's next mmu
 * hypercall. */
static inline void put_table(struct vcpu *v, struct page_info *pg)
{
    uint64_t t = atomic_load_explicit(&pg->type, memory_order_relaxed);

    if (likely((t & PGT_count_mask) > 1) &&
        likely(atomic_compare_exchange_strong_explicit(&pg->type, &t, t - 1, memory_order_release,
                                                       memory_order_relaxed)))
        return;
    put_table_slow(v, pg);
}

/* Continues v->demoting; 0 or -EAGAIN. */
int must_check mm_finish_demotion(struct vcpu *v);

/* CPUs whose TLB may hold entries of the vcpus in a guest's bitmap at `untrusted_mask`. 0 or -EFAULT. */
int must_check mm_vcpu_mask(struct vcpu *v, uint64_t untrusted_mask, cpumask_t *out);

/*
 * Who owns the pages that v names with `domid`: itself, DOMID_IO, DOMID_XEN or another domain that the policy
 * lets it map. *out is referenced unless it is v's own or a system domain; give it back with mm_put_owner. 0,
 * -ESRCH, -EPERM.
 */
int must_check mm_get_owner(struct vcpu *v, uint32_t domid, struct domain **out);
void mm_put_owner(struct vcpu *v, struct domain *d);

/* A page fault of a guest; regs are its registers, cr2 the address. v is the current vcpu. */
void pv_page_fault(struct cpu_regs *regs, uint64_t cr2);
/* A fault of the hypervisor itself at a guest's address or in the per-domain window; true: cured, try again.
 */
bool pv_hypervisor_page_fault(struct vcpu *v, uint32_t error_code, uint64_t cr2);

/* Makes the table the current vcpu's kernel table and loads it. 0, -EINVAL, -EBUSY, -EAGAIN (preempted). */
int must_check pv_new_kernel_base(struct vcpu *v, mfn_t mfn);

/* l1tf.c. Whether not-present entries are looked at; constant after l1tf_init(). */
extern bool l1tf_on;
void l1tf_init(bool vulnerable);
const char *l1tf_summary(void);
/* Whether d's tables may hold the entry, if it is a not-present one. 0 or -EINVAL. */
int must_check l1tf_check(struct vcpu *v, const struct domain *d, unsigned int level, uint64_t entry);
/* The same for all entries of a page that becomes a table, or whatever `type` says. */
int must_check l1tf_check_page(struct vcpu *v, const struct domain *d, const struct page_info *pg,
                               uint64_t type);

/* I/O frames that guests may map read-only at most (MSI-X tables); NULL: none. Whoever adds the first creates
 * it. */
extern struct rangeset *mmio_readonly;

#endif

/*
 * mmuext_op: pins, base pointers, TLB and cache flushes, LDT, page contents.
 *
 * A list of operations, each read once. An operation that is preempted (-EAGAIN) is tried again by the
 * restarted hypercall; one that left a table half demoted is done, and the restarted hypercall ends the
 * demotion before the next.
 */
#include <asm/context.h>
#include <asm/layout.h>
#include <asm/mm.h>
#include <asm/pv.h>
#include <asm/tlb.h>
#include <bh/arch.h>
#include <bh/cause.h>
#include <bh/domain.h>
#include <bh/guest.h>
#include <bh/hypercall.h>
#include <bh/string.h>
#include <public/xen.h>

#define MMU_UPDATE_PREEMPTED 0x80000000U

/* A page number that a guest told, as a page of the machine; NULL: no RAM (noted). */
static struct page_info *named_page(struct vcpu *v, uint64_t mfn)
{
    if (likely(mfn < max_page))
        return mfn_to_page(MFN(mfn));
    (void)fail(v, -EINVAL, "mmuext_op: frame {0} is no RAM (first invalid {1})", mfn, max_page);
    return NULL;
}

/* A refused promotion may have left its table half undone. */
static int note_partial(struct vcpu *v, struct page_info *pg, int rc)
{
    if (rc && rc != -EAGAIN && page_is_partial(pg))
        v->arch.pv.demoting = pg;
    return rc;
}

static int op_unpin(struct vcpu *v, struct domain *owner, struct page_info *pg)
{
    int rc = page_unpin(v, pg, owner);

    if (rc != -EAGAIN)
        return rc;
    v->arch.pv.demoting = pg;
    return 0;
}

static int op_pin(struct vcpu *v, struct domain *owner, uint64_t mfn, unsigned int level)
{
    struct page_info *pg = named_page(v, mfn);
    int rc;

    if (!pg)
        return -EINVAL;
    if (owner->kind != KIND_PV)
        return fail(v, -EINVAL, "mmuext_op: pin frame {0}: domain {1} is not PV", mfn, owner->id);
    rc = note_partial(v, pg, page_pin(v, pg, owner, (uint64_t)level << PGT_shift));
    if (rc)
        return rc;
    /* Teardown has visited this page, or sees the pin: one of the two. */
    atomic_thread_fence(memory_order_seq_cst);
    if (unlikely(owner->state >= DOMAIN_DYING)) {
        (void)op_unpin(v, owner, pg);
        return fail(v, -EINVAL, "mmuext_op: pin frame {0}: domain {1} is dying", mfn, owner->id);
    }
    return 0;
}

/* A use of a level-4 table for a base pointer. */
static int get_root(struct vcpu *v, uint64_t mfn, struct page_info **out)
{
    struct page_info *pg = named_page(v, mfn);

    if (!pg)
        return -EINVAL;
    *out = pg;
    if (likely(get_table(pg, v->domain, PGT_l4)))
        return 0;
    return note_partial(v, pg, page_get_type(v, pg, v->domain, PGT_l4));
}

/* With m2p_strict user mode does not see the machine-to-physical table: its slot is empty in user tables. */
static void set_m2p_slot(struct vcpu *v, mfn_t root, bool user)
{
    uint64_t *slot = (uint64_t *)map_frame(root) + HV_FIRST_SLOT;

    if (unlikely(v->domain->vm_assist & (1UL << VMASST_TYPE_m2p_strict)))
        WRITE_ONCE(*slot, user ? 0 : hv_l4[HV_FIRST_SLOT]);
}

int pv_new_kernel_base(struct vcpu *v, mfn_t mfn)
{
    struct pv_vcpu *pv = &v->arch.pv;
    struct page_info *root;
    mfn_t old = pv->guest_table;
    int rc = get_root(v, mfn.n, &root);

    if (unlikely(rc))
        return rc;
    set_m2p_slot(v, mfn, false);
    pv->guest_table = mfn;
    v->arch.cr3 = mfn_to_paddr(mfn);
    context_load_cr3(v);
    if (likely(old.n != INVALID_FRAME))
        put_table(v, mfn_to_page(old));
    return 0;
}

/* The kernel's table is in use while the guest makes hypercalls: nothing to load. */
static int op_new_user_baseptr(struct vcpu *v, uint64_t mfn)
{
    struct pv_vcpu *pv = &v->arch.pv;
    mfn_t old = pv->guest_table_user, new = INVALID_MFN;

    if (likely(mfn)) {
        struct page_info *root;
        int rc = get_root(v, mfn, &root);

        if (unlikely(rc))
            return rc;
        new = MFN(mfn);
        if (!mfn_eq(new, pv->guest_table))
            set_m2p_slot(v, new, true);
    }
    pv->guest_table_user = new;
    if (old.n != INVALID_FRAME)
        put_table(v, mfn_to_page(old));
    return 0;
}

static int op_flush_multi(struct vcpu *v, const struct mmuext_op *op)
{
    cpumask_t mask;
    int rc = mm_vcpu_mask(v, op->arg2.vcpumask, &mask);

    if (rc)
        return rc;
    if (op->cmd == MMUEXT_TLB_FLUSH_MULTI)
        arch_flush_tlb(mask);
    else
        tlb_flush_page(mask, op->arg1.linear_addr);
    return 0;
}

static int op_flush_cache(struct vcpu *v, bool everywhere)
{
    struct domain *d = v->domain;

    if (!d->iomem_caps || rangeset_is_empty(d->iomem_caps))
        return fail(v, -EACCES, "mmuext_op: domain {0} has no I/O memory, so no need to flush caches", d->id,
                    0);
    if (everywhere)
        cache_flush_all();
    else
        cache_flush_local();
    return 0;
}

static int op_clear_page(struct vcpu *v, struct domain *owner, uint64_t mfn)
{
    struct page_info *pg = named_page(v, mfn);

    if (!pg)
        return -EINVAL;
    if (!get_page_writable(pg, owner))
        return fail(v, -EINVAL, "mmuext_op: clear frame {0}: not plain memory of domain {1}", mfn, owner->id);
    memset(map_frame(MFN(mfn)), 0, PAGE_SIZE);
    put_page_writable(pg);
    return 0;
}

static int op_copy_page(struct vcpu *v, struct domain *owner, uint64_t mfn, uint64_t src_mfn)
{
    struct page_info *src = named_page(v, src_mfn), *dst = named_page(v, mfn);

    if (!src || !dst)
        return -EINVAL;
    if (!get_page(src, owner))
        return fail(v, -EINVAL, "mmuext_op: copy from frame {0}: not a page of domain {1}", src_mfn,
                    owner->id);
    if (!get_page_writable(dst, owner)) {
        put_page(src);
        return fail(v, -EINVAL, "mmuext_op: copy to frame {0}: not plain memory of domain {1}", mfn,
                    owner->id);
    }
    memcpy(map_frame(MFN(mfn)), map_frame(MFN(src_mfn)), PAGE_SIZE);
    put_page_writable(dst);
    put_page(src);
    return 0;
}

/* What concerns the calling vcpu's own tables and CPU. */
static int run_own(struct vcpu *v, const struct mmuext_op *op)
{
    switch (op->cmd) {
    case MMUEXT_NEW_BASEPTR:
        return pv_new_kernel_base(v, MFN(op->arg1.mfn));
    case MMUEXT_NEW_USER_BASEPTR:
        return op_new_user_baseptr(v, op->arg1.mfn);
    case MMUEXT_TLB_FLUSH_LOCAL:
        tlb_flush_local();
        return 0;
    case MMUEXT_INVLPG_LOCAL:
        tlb_flush_page_local(op->arg1.linear_addr);
        return 0;
    case MMUEXT_TLB_FLUSH_MULTI:
    case MMUEXT_INVLPG_MULTI:
        return op_flush_multi(v, op);
    case MMUEXT_TLB_FLUSH_ALL:
        arch_flush_tlb(atomic_load(&v->domain->arch.dirty_cpus));
        return 0;
    case MMUEXT_INVLPG_ALL:
        tlb_flush_page(atomic_load(&v->domain->arch.dirty_cpus), op->arg1.linear_addr);
        return 0;
    case MMUEXT_FLUSH_CACHE:
    case MMUEXT_FLUSH_CACHE_GLOBAL:
        return op_flush_cache(v, op->cmd == MMUEXT_FLUSH_CACHE_GLOBAL);
    case MMUEXT_SET_LDT:
        return pv_set_ldt(v, op->arg1.linear_addr, op->arg2.nr_ents);
    case MMUEXT_MARK_SUPER:
    case MMUEXT_UNMARK_SUPER:
        return fail(v, -EOPNOTSUPP, "mmuext_op: large pages of guests are not offered (op {0})", op->cmd, 0);
    default:
        return fail(v, -ENOSYS, "mmuext_op: operation {0} is unknown", op->cmd, 0);
    }
}

static int run_op(struct vcpu *v, struct domain *owner, const struct mmuext_op *op)
{
    struct page_info *pg;

    switch (op->cmd) {
    case MMUEXT_PIN_L1_TABLE:
    case MMUEXT_PIN_L2_TABLE:
    case MMUEXT_PIN_L3_TABLE:
    case MMUEXT_PIN_L4_TABLE:
        return op_pin(v, owner, op->arg1.mfn, op->cmd - MMUEXT_PIN_L1_TABLE + 1);
    case MMUEXT_UNPIN_TABLE:
        pg = named_page(v, op->arg1.mfn);
        return pg ? op_unpin(v, owner, pg) : -EINVAL;
    case MMUEXT_CLEAR_PAGE:
        return op_clear_page(v, owner, op->arg1.mfn);
    case MMUEXT_COPY_PAGE:
        return op_copy_page(v, owner, op->arg1.mfn, op->arg2.src_mfn);
    default:
        if (unlikely(owner != v->domain))
            return fail(v, -EPERM, "mmuext_op: operation {0} is for the caller's own domain, not {1}",
                        op->cmd, owner->id);
        return run_own(v, op);
    }
}

/* mmuext_op(const struct mmuext_op *ops, count, uint32_t *done, foreigndom) */
DECLARE_HYPERCALL(do_mmuext_op)
{
    uint32_t count = (uint32_t)a2 & ~MMU_UPDATE_PREEMPTED, before = 0, done = 0;
    struct domain *owner;
    struct mmuext_op op;
    int rc;

    if (unlikely(a2 & MMU_UPDATE_PREEMPTED) && a3 && copy_from_guest(v, &before, a3, sizeof(before)))
        return fail(v, -EFAULT, "mmuext_op: cannot read the done count at {0}", a3, 0);
    if (unlikely(v->arch.pv.demoting) && mm_finish_demotion(v))
        return hypercall_restart(v, a1, a2, a3, a4, a5);
    owner = v->domain;
    rc = likely(a4 == DOMID_SELF) ? 0 : mm_get_owner(v, (uint32_t)a4, &owner);
    if (unlikely(rc))
        return rc;

    for (; done < count; done++) {
        if (done && (unlikely(v->arch.pv.demoting) || hypercall_preempt_check())) {
            rc = -EAGAIN;
            break;
        }
        if (unlikely(copy_from_guest(v, &op, a1 + done * sizeof(op), sizeof(op)))) {
            rc = fail(v, -EFAULT, "mmuext_op: cannot read operation {0} of {1}", done, count);
            break;
        }
        rc = run_op(v, owner, &op);
        if (unlikely(rc))
            break;
    }
    if (unlikely(owner != v->domain))
        mm_put_owner(v, owner);
    /* The guest may use the table as anything as soon as it hears of the unpin: it hears when all is done. */
    if (!rc && unlikely(v->arch.pv.demoting))
        rc = -EAGAIN;

    before += done;
    if (unlikely(a3) && copy_to_guest(v, a3, &before, sizeof(before)))
        return fail(v, -EFAULT, "mmuext_op: cannot write the done count at {0}", a3, 0);
    if (rc == -EAGAIN)
        return hypercall_restart(v, a1 + done * sizeof(op), (count - done) | MMU_UPDATE_PREEMPTED, a3, a4,
                                 a5);
    return rc;
}

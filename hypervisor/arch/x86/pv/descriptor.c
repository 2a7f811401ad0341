/*
 * A PV guest's segment descriptors.
 *
 * The GDT and LDT of a vcpu are seen by the CPU through the vcpu's window of the per-domain area
 * (asm/layout.h). Frames that show there are typed PGT_seg_desc: the guest cannot write them, and every
 * descriptor in them was checked, so that none can reach a ring other than 3 or the hypervisor. GDT frames
 * are named by set_gdt; LDT pages are mapped when first touched, since only a base address is named. The
 * window's entries belong to the vcpu; they change only while it is current or does not run.
 */
#include <asm/context.h>
#include <asm/layout.h>
#include <asm/mm.h>
#include <asm/pte.h>
#include <asm/pv.h>
#include <bh/arch.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/guest.h>
#include <bh/hypercall.h>
#include <bh/page_alloc.h>

#define WINDOW_PAGES 32
#define LDT_FIRST    16
#define WINDOW_FLAGS (PTE_PRESENT | PTE_WRITE | PTE_ACCESSED | PTE_DIRTY | PTE_NX)

/* Descriptor bits (AMD64 APM vol. 2, 4.7 and 4.8). */
#define DESC_SYSTEM_NOT (1UL << 44)
#define DESC_DPL        (3UL << 45)
#define DESC_PRESENT    (1UL << 47)

bool pv_descriptor_ok(struct domain *d, uint64_t *descriptor)
{
    uint64_t e = *descriptor;

    if (!(e & DESC_PRESENT))
        return true; /* loads fault */
    if (!(e & DESC_SYSTEM_NOT))
        return false; /* gates, TSS, LDT: the hypervisor's */
    /* Ring 3 whatever it says; a conforming code segment would run at the caller's level, so that is fine
     * too. */
    *descriptor = e | DESC_DPL;
    return true;
}

/* A use of a frame of v's domain as a page of descriptors; what the frame holds is checked when it becomes
 * one. */
static int use_descriptors(struct vcpu *caller, struct vcpu *v, mfn_t mfn)
{
    if (!mfn_valid(mfn))
        return fail(caller, -EINVAL, "descriptor page: mfn {0} is no RAM", mfn.n, 0);
    return page_get_type(caller, mfn_to_page(mfn), v->domain, PGT_seg_desc);
}

/* Descriptors hold no references: giving a use back never has to be continued. */
static void drop_descriptors(mfn_t mfn)
{
    (void)page_put_type(mfn_to_page(mfn));
}

static uint64_t *window(struct vcpu *v)
{
    return v->arch.pv.perdomain_l1;
}

static void unmap_window(struct vcpu *v, unsigned int first, unsigned int count)
{
    for (unsigned int i = first; i < first + count; i++) {
        uint64_t pte = window(v)[i];
        window(v)[i] = 0;
        if (pte & PTE_PRESENT)
            drop_descriptors(pte_mfn(pte));
    }
}

void pv_drop_gdt(struct vcpu *v)
{
    if (!window(v))
        return;
    unmap_window(v, 0, PV_GDT_FRAMES);
    for (unsigned int i = 0; i < PV_GDT_FRAMES; i++)
        v->arch.pv.gdt_frame[i] = INVALID_MFN;
    v->arch.pv.gdt_entries = 0;
}

void pv_drop_ldt(struct vcpu *v)
{
    if (!window(v) || !v->arch.pv.ldt_mapped)
        return;
    unmap_window(v, LDT_FIRST, WINDOW_PAGES - LDT_FIRST);
    v->arch.pv.ldt_mapped = 0;
}

int pv_set_gdt(struct vcpu *caller, struct vcpu *v, const uint64_t *frames, uint32_t entries)
{
    unsigned int count = DIV_ROUND_UP(entries, 512U), got;
    int rc = 0;

    if (entries > FIRST_RESERVED_GDT_ENTRY)
        return fail(caller, -EINVAL, "GDT: {0} entries, at most {1}", entries, FIRST_RESERVED_GDT_ENTRY);
    for (got = 0; got < count && !rc; got++)
        rc = use_descriptors(caller, v, MFN(frames[got]));
    if (rc) {
        for (unsigned int i = 0; i + 1 < got; i++)
            drop_descriptors(MFN(frames[i]));
        return rc;
    }
    pv_drop_gdt(v);
    for (unsigned int i = 0; i < count; i++) {
        v->arch.pv.gdt_frame[i] = MFN(frames[i]);
        window(v)[i] = frames[i] << PAGE_SHIFT | WINDOW_FLAGS;
    }
    v->arch.pv.gdt_entries = entries;
    return 0;
}

int pv_set_ldt(struct vcpu *v, uint64_t base, uint32_t entries)
{
    if (entries > 8192 || (entries && (base & ~PAGE_MASK)) ||
        (entries && base < HV_END && base + entries * 8UL > HV_START))
        return fail(v, -EINVAL,
                    "LDT: {1} entries at {0}: not page-aligned, too many, or in the hypervisor's range", base,
                    entries);
    pv_drop_ldt(v);
    v->arch.pv.ldt_base = base;
    v->arch.pv.ldt_entries = entries;
    return 0;
}

/* Maps the LDT page that holds byte `offset` of the table. */
static bool map_ldt_page(struct vcpu *v, uint64_t offset)
{
    struct pv_vcpu *pv = &v->arch.pv;
    unsigned int slot = offset >> PAGE_SHIFT;
    mfn_t table;

    if (offset >= (uint64_t)pv->ldt_entries * 8)
        return false;
    uint64_t *entry = pv_find_l1e(v, pv->ldt_base + (offset & PAGE_MASK), &table);
    uint64_t pte = entry ? READ_ONCE(*entry) : 0;
    if (!(pte & PTE_PRESENT) || use_descriptors(v, v, pte_mfn(pte)))
        return false;
    window(v)[LDT_FIRST + slot] = pte_make(pte_mfn(pte), WINDOW_FLAGS);
    pv->ldt_mapped |= 1U << slot;
    return true;
}

bool pv_descriptor_fault(struct vcpu *v, uint64_t address, uint32_t error_code, struct cpu_regs *regs)
{
    uint64_t base = PERDOMAIN_GDT(v->id), offset = address - base;

    if (address < base || offset >= WINDOW_PAGES * PAGE_SIZE)
        return false;
    if (offset >= LDT_FIRST * PAGE_SIZE && map_ldt_page(v, offset - LDT_FIRST * PAGE_SIZE))
        return true;
    if ((regs->cs & 3) != 3)
        return false; /* the hypervisor's own load of a guest selector: its fix-up decides */
    if (offset >= LDT_FIRST * PAGE_SIZE)
        /* As for any unmapped LDT page: the guest sees the fault where its own table lies. */
        pv_inject_page_fault(v, error_code & ~1U, v->arch.pv.ldt_base + (offset - LDT_FIRST * PAGE_SIZE));
    else
        pv_inject_exception(v, TRAP_GP, offset & 0xfff8);
    return true;
}

/*
 * Makes the per-domain window of vcpu `v`: page tables below d->arch.perdomain_l3, kept in hypervisor pages
 * that the domain is charged for by their number (one L1 per 16 vcpus).
 */
static uint64_t *next_table(uint64_t *entry)
{
    if (!(*entry & PTE_PRESENT)) {
        void *table = kalloc(PAGE_SIZE);

        if (!table)
            return NULL;
        *entry = mfn_to_paddr(arch_unmap(table)) | PTE_PRESENT | PTE_WRITE | PTE_ACCESSED;
    }
    return arch_map(pte_mfn(*entry));
}

int pv_perdomain_map(struct vcpu *v)
{
    uint64_t *l3 = arch_map(page_to_mfn(v->domain->arch.perdomain_l3)), *l2, *l1;
    uint64_t offset = (uint64_t)v->id << PERDOMAIN_VCPU_SHIFT;

    l2 = next_table(&l3[offset >> 30 & 511]);
    l1 = l2 ? next_table(&l2[offset >> 21 & 511]) : NULL;
    if (!l1)
        return -ENOMEM;
    v->arch.pv.perdomain_l1 = &l1[offset >> PAGE_SHIFT & 511];
    return 0;
}

void pv_perdomain_free(struct domain *d)
{
    if (!d->arch.perdomain_l3)
        return;
    uint64_t *l3 = arch_map(page_to_mfn(d->arch.perdomain_l3));
    for (unsigned int i = 0; i < 512; i++) {
        if (!(l3[i] & PTE_PRESENT))
            continue;
        uint64_t *l2 = arch_map(pte_mfn(l3[i]));
        for (unsigned int j = 0; j < 512; j++)
            if (l2[j] & PTE_PRESENT)
                kfree(arch_map(pte_mfn(l2[j])));
        kfree(l2);
    }
    page_free(d->arch.perdomain_l3, 0);
    d->arch.perdomain_l3 = NULL;
}

DECLARE_HYPERCALL(do_set_gdt)
{
    uint64_t untrusted_frames[PV_GDT_FRAMES];
    unsigned int count;

    if (a2 > FIRST_RESERVED_GDT_ENTRY)
        return fail(v, -EINVAL, "GDT: {0} entries, at most {1}", a2, FIRST_RESERVED_GDT_ENTRY);
    count = DIV_ROUND_UP((unsigned int)a2, 512U);
    if (copy_from_guest(v, untrusted_frames, a1, count * sizeof(untrusted_frames[0])))
        return fail(v, -EFAULT, "GDT: list of {0} frames at {1} is not readable", count, a1);
    int rc = pv_set_gdt(v, v, untrusted_frames, (uint32_t)a2);
    if (!rc)
        context_load_gdt(v);
    return rc;
}

/* One descriptor at machine address a1: in a page of descriptors, or in one that may be written anyway. */
DECLARE_HYPERCALL(do_update_descriptor)
{
    uint64_t descriptor = a2;
    mfn_t mfn = paddr_to_mfn(a1);
    struct page_info *pg;

    if (a1 & 7)
        return fail(v, -EINVAL, "update_descriptor: address {0} is not aligned", a1, 0);
    if (!pv_descriptor_ok(v->domain, &descriptor))
        return fail(v, -EINVAL, "update_descriptor: {1} at {0} is a gate or system segment", a1, a2);
    if (!mfn_valid(mfn))
        return fail(v, -EINVAL, "update_descriptor: mfn {0} is no RAM", mfn.n, 0);
    pg = mfn_to_page(mfn);
    bool in_use = (atomic_load(&pg->type) & PGT_type_mask) == PGT_seg_desc;
    int rc = page_get_type(v, pg, v->domain, in_use ? PGT_seg_desc : PGT_writable);
    if (rc)
        return rc;
    WRITE_ONCE(*(uint64_t *)((uint8_t *)arch_map(mfn) + (a1 & ~PAGE_MASK)), descriptor);
    (void)page_put_type(pg);
    return 0;
}

/*
 * Page faults of PV guests.
 *
 * Nearly all of them are the guest's own business and bounce to its handler at once. Three kinds are ours:
 *   - the CPU read a descriptor in the window of GDT and LDT: the LDT page is mapped now, or the guest gets
 * the fault of its own descriptor table (pv/descriptor.c);
 *   - the guest's kernel wrote to a level-1 page table that it sees read-only, with the writable_pagetables
 * assist on: the instruction's effect on the entry is checked and performed (pv/pte_write.c);
 *   - the control domain's kernel wrote to I/O memory that guests see read-only: the write is dropped.
 */
#include <asm/current.h>
#include <asm/guest_access.h>
#include <asm/layout.h>
#include <asm/mm.h>
#include <asm/pte_write.h>
#include <asm/pv.h>
#include <asm/regs.h>
#include <bh/domain.h>
#include <bh/guest.h>
#include <public/xen.h>

/* Page fault error code (APM vol. 2, 8.2.15). */
#define PF_PRESENT  1U
#define PF_WRITE    2U
#define PF_USER     4U
#define PF_RESERVED 8U
#define PF_FETCH    16U

#define RFLAGS_TF 0x100UL
#define DR6_BS    0x4000UL

static bool fetch_insn(struct vcpu *v, uint64_t rip, struct write_insn *insn)
{
    uint8_t bytes[16];
    unsigned int n = INSN_MAX;

    if (unlikely(copy_words_from_guest(bytes, rip, sizeof(bytes) / 8)))
        n -= (unsigned int)copy_from_guest(v, bytes, rip, INSN_MAX);
    return write_decode(bytes, n, insn);
}

static void after_insn(struct vcpu *v, struct cpu_regs *regs)
{
    if (unlikely(regs->rflags & RFLAGS_TF)) {
        v->arch.debugreg[6] |= DR6_BS;
        pv_inject_exception(v, TRAP_DB, 0);
    }
}

/* The write at byte cr2 of a level-1 entry in `table`, which is in use. */
static bool emulate_entry_write(struct vcpu *v, struct cpu_regs *regs, struct page_info *table, uint64_t cr2)
{
    uint64_t *entry = (uint64_t *)map_frame(page_to_mfn(table)) + (cr2 & ~PAGE_MASK) / sizeof(*entry);
    unsigned int shift = (cr2 & 7) * 8;
    struct write_insn insn;
    uint64_t old, new, mask, result;
    int rc;

    if (unlikely(!fetch_insn(v, regs->rip, &insn)) || unlikely((cr2 & 7) + insn.size > sizeof(*entry)))
        return false;
    mask = ~0UL >> (64 - 8 * insn.size) << shift;
    for (;;) {
        old = __atomic_load_n(entry, __ATOMIC_RELAXED);
        result = write_result(&insn, regs, old >> shift);
        new = (old & ~mask) | result << shift;
        rc = l1_replace(v, v->domain, v->domain, entry, old, new);
        if (likely(!rc))
            break;
        if (rc != L1_CHANGED)
            return false;
    }
    write_finish(&insn, regs, old >> shift, result);
    after_insn(v, regs);
    return true;
}

static bool drop_io_write(struct vcpu *v, struct cpu_regs *regs)
{
    struct write_insn insn;

    if (!fetch_insn(v, regs->rip, &insn))
        return false;
    regs->rip += insn.length;
    after_insn(v, regs);
    return true;
}

/* The guest's kernel wrote to a present, read-only page. */
static bool read_only_fault(struct vcpu *v, struct cpu_regs *regs, uint64_t cr2)
{
    struct domain *d = v->domain;
    mfn_t l1, frame;
    const uint64_t *l1e = pv_find_l1e(v, cr2, &l1);
    uint64_t entry = l1e ? *l1e : 0;
    bool done;

    if ((entry & (PTE_PRESENT | PTE_WRITE)) != PTE_PRESENT)
        return false;
    frame = pte_mfn(entry);
    if (unlikely(!mfn_valid(frame)))
        return d->privileged && mmio_readonly && rangeset_contains(mmio_readonly, frame.n, frame.n) &&
               drop_io_write(v, regs);
    if (unlikely(!(d->vm_assist & (1UL << VMASST_TYPE_writable_pagetables))))
        return false;
    if (!get_table(mfn_to_page(frame), d, PGT_l1))
        return false;
    done = emulate_entry_write(v, regs, mfn_to_page(frame), cr2);
    put_table(v, mfn_to_page(frame));
    return done;
}

static inline bool in_perdomain_window(uint64_t address)
{
    return address - PERDOMAIN_START < (uint64_t)DOMAIN_MAX_VCPUS << PERDOMAIN_VCPU_SHIFT;
}

void pv_page_fault(struct cpu_regs *regs, uint64_t cr2)
{
    struct vcpu *v = current_vcpu();
    uint32_t ec = regs->error_code;

    if (v->arch.pv.kernel_mode &&
        (ec & (PF_PRESENT | PF_WRITE | PF_RESERVED | PF_FETCH)) == (PF_PRESENT | PF_WRITE) &&
        likely(cr2 - HV_START >= HV_END - HV_START) && likely(read_only_fault(v, regs, cr2)))
        return;
    if (unlikely(!(ec & PF_USER)) && in_perdomain_window(cr2) && pv_descriptor_fault(v, cr2, ec, regs))
        return;
    pv_inject_page_fault(v, ec, cr2);
}

/* Whether v's tables let the hypervisor write at the address now: then the fault came from an old TLB entry.
 */
static bool is_writable_now(const struct vcpu *v, uint64_t va)
{
    const uint64_t *t = map_frame(paddr_to_mfn(v->arch.cr3));

    if (va - HV_START < HV_END - HV_START)
        return false;
    for (unsigned int level = 4;; level--) {
        uint64_t entry = t[PT_INDEX(va, level)];

        if ((entry & (PTE_PRESENT | PTE_WRITE)) != (PTE_PRESENT | PTE_WRITE))
            return false;
        if (level == 1)
            return true;
        t = map_frame(pte_mfn(entry));
    }
}

bool pv_hypervisor_page_fault(struct vcpu *v, uint32_t error_code, uint64_t cr2)
{
    if (error_code & (PF_RESERVED | PF_FETCH))
        return false;
    if (in_perdomain_window(cr2)) {
        struct cpu_regs ours = {.cs = SEL_HV_CS}; /* nothing is injected for them */

        return pv_descriptor_fault(v, cr2, error_code, &ours);
    }
    return (error_code & (PF_PRESENT | PF_WRITE)) == (PF_PRESENT | PF_WRITE) && is_writable_now(v, cr2);
}

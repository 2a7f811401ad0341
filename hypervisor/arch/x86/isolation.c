/*
 * Page-table isolation, against Meltdown: a CPU that reads ahead of its permission checks shows a guest all that its tables
 * map. So while an isolated guest runs, CR3 holds a root of the CPU's own, which maps
 *
 *   - the guest's half and the machine-to-physical table: slots copied from the guest's root on each way out, since any CPU
 *     may have changed it. What another CPU adds while the guest runs here is missed: the fault that follows is dropped,
 *     and the copy made on the way out has it. What another CPU removes is gone when its flush has brought this CPU in;
 *   - the per-domain slot: descriptors that the guest gave, and those of the CPU;
 *   - of the hypervisor: .text.entry, the IDT, and this CPU's stacks with struct cpu_info and the TSS. All that entry needs.
 *
 * cpu_info.full_cr3 is the guest's own root while the CPU is, or may be, on the other one; 0 otherwise. The way in from a guest
 * (spec_entry_thunk) loads and clears it before anything else is touched; the way out (spec_exit_thunk) sets it, and loads the
 * CPU's root last. NMI, #MC, #DB, #DF and a fault of the last IRETQ may come in between, in ring 0: they find full_cr3
 * set, run on that, and put back what CR3 held (spec_handler_entry, spec_handler_exit). Interrupts cannot: they are off.
 *
 * No translation is global then, else those of the hypervisor would stay in the TLB; each change of CR3 forgets all.
 * Without isolation no CPU has a root, and full_cr3 stays 0.
 */
#include <bh/arch.h>
#include <bh/cmdline.h>
#include <bh/domain.h>
#include <bh/string.h>
#include <asm/isolation.h>
#include <asm/mm.h>
#include <asm/percpu.h>
#include <asm/pv.h>

bool isolation_on;
static bool isolate_dom0, isolate_domu;

void isolation_init(bool meltdown)
{
    isolate_dom0 = options.xpti.dom0 == CHOICE_DEFAULT ? meltdown : options.xpti.dom0;
    isolate_domu = options.xpti.domu == CHOICE_DEFAULT ? meltdown : options.xpti.domu;
    isolation_on = isolate_dom0 || isolate_domu;
}

const char *isolation_summary(void)
{
    if (isolate_dom0 && isolate_domu)
        return "on";
    return isolate_dom0 ? "Dom0 only" : isolate_domu ? "guests only" : "off";
}

static bool isolated(const struct domain *d)
{
    return d == control_domain ? isolate_dom0 : isolate_domu;
}

static void copy_slots(uint64_t *to, const uint64_t *from, unsigned int first, unsigned int end)
{
    memcpy(to + first, from + first, (end - first) * sizeof(*to)); /* word by word: none is torn */
}

paddr_t isolation_leave(struct vcpu *v)
{
    struct percpu *p = this_percpu();
    const uint64_t *guest = map_frame(paddr_to_mfn(v->arch.cr3));

    if (!isolated(v->domain))
        return 0;
    copy_slots(p->root, guest, 0, HV_FIRST_SLOT + 1);
    p->root[PERDOMAIN_SLOT] = guest[PERDOMAIN_SLOT];
    copy_slots(p->root, guest, HV_LAST_SLOT + 1, PT_ENTRIES);
    p->info->full_cr3 = v->arch.cr3;
    return mfn_to_paddr(arch_unmap(p->root));
}

/* Whether the guest's root has an entry that the copy that v ran on lacks. */
static bool root_is_behind(const struct vcpu *v, uint64_t cr2)
{
    const uint64_t *guest = map_frame(paddr_to_mfn(v->arch.cr3));
    unsigned int slot = PT_INDEX(cr2, 4);

    return isolated(v->domain) && (slot < HV_FIRST_SLOT || slot > HV_LAST_SLOT) &&
           (READ_ONCE(guest[slot]) & PTE_PRESENT) && !(this_percpu()->root[slot] & PTE_PRESENT);
}

void isolation_page_fault(struct cpu_regs *regs, uint64_t cr2)
{
    if (!root_is_behind(cpu_info()->current, cr2))
        pv_page_fault(regs, cr2);
}

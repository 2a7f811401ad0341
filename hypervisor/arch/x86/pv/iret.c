/*
 * HYPERVISOR_iret: a PV guest's kernel returns from a frame, to its user mode or to itself.
 *
 * The context lies at the guest's rsp (public/arch-x86_64.h, struct iret_context); rcx, r11 and rax were
 * pushed by the hypercall page. Nothing in it is trusted: cs and ss get privilege level 3, rflags loses what
 * the guest may not set and IF becomes the event mask. This is the long form: the usual return to user mode
 * is in entry_pv.S. What hardware still refuses faults at our IRETQ and comes back as a #GP (pv/trap.c).
 */
#include <asm/pv.h>
#include <asm/cr.h>
#include <asm/guest_access.h>
#include <asm/layout.h>
#include <bh/domain.h>
#include <bh/hypercall.h>

#define FLAG_FIXED (1UL << 1)

static bool read_context(struct iret_context *to, uint64_t untrusted_from)
{
    if (untrusted_from >= HV_START - sizeof(*to) && untrusted_from < HV_END)
        return false;
    guest_access_begin();
    GUEST_READ_WORD(to, untrusted_from, 0, fault);
    GUEST_READ_WORD(to, untrusted_from, 1, fault);
    GUEST_READ_WORD(to, untrusted_from, 2, fault);
    GUEST_READ_WORD(to, untrusted_from, 3, fault);
    GUEST_READ_WORD(to, untrusted_from, 4, fault);
    GUEST_READ_WORD(to, untrusted_from, 5, fault);
    GUEST_READ_WORD(to, untrusted_from, 6, fault);
    GUEST_READ_WORD(to, untrusted_from, 7, fault);
    GUEST_READ_WORD(to, untrusted_from, 8, fault);
    guest_access_end();
    return true;
fault:
    guest_access_end();
    return false;
}

DECLARE_HYPERCALL(do_iret)
{
    struct cpu_regs *regs = &cpu_info()->guest;
    struct pv_vcpu *pv = &v->arch.pv;
    struct iret_context context;

    if (unlikely(!read_context(&context, regs->rsp))) {
        domain_crash(v->domain, "vcpu %u: iret context at %#lx is not readable", v->id,
                     (unsigned long)regs->rsp);
        return 0;
    }
    if ((context.cs & 3) == 3) {
        if (unlikely(mfn_eq(pv->guest_table_user, INVALID_MFN))) {
            domain_crash(v->domain, "vcpu %u: iret to user mode %#lx, but no user page table was set", v->id,
                         (unsigned long)context.rip);
            return 0;
        }
        if (pv->kernel_mode)
            pv_toggle_mode(v);
    }
    regs->rip = context.rip;
    regs->cs = context.cs | 3;
    regs->rflags = (context.rflags & FLAG_GUEST) | FLAG_IF | FLAG_FIXED;
    regs->rsp = context.rsp;
    regs->ss = context.ss | 3;
    if (!(context.flags & VGCF_in_syscall)) {
        regs->error_code = 0; /* all registers count: leave by IRETQ */
        regs->rcx = context.rcx;
    }
    regs->r11 = context.r11;
    pv->nmi_active = 0;
    WRITE_ONCE(v->info->evtchn_upcall_mask, !(context.rflags & FLAG_IF));
    return (long)context.rax;
}

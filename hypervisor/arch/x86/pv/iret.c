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

/* After so many upcalls in a row at one place, the next is held back: so long (ns), doubled so often at most. */
#define STUCK_LIMIT 16
#define HOLD_TIME   20000UL
#define HOLD_DOUBLE 6

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

/*
 * The return lets events in, and one is there: the next upcall comes before the interrupted code has run one
 * instruction. A guest whose event handler sends itself an event each time would never leave the place.
 *
 * Linux with CONFIG_RCU_BOOST (its PREEMPT_RT kernels; seen in 6.1) is one: xen_evtchn_do_upcall() ends with
 * rcu_read_unlock(), which, when the task has a quiescent state to report, cannot do so with events masked
 * and sends itself an IPI. That IPI's handler, rcu_preempt_deferred_qs_handler(), runs in the next upcall's
 * own read-side section, where it is of no use, and the end of that section sends the next. The report is
 * made by the scheduler, which is what the interrupted code was about to enter.
 *
 * So the upcall that would be one too many at its place comes a little later, as an interrupt from a machine's
 * APIC does. (Xen 4.17 delivers it at once, and such a kernel stays there.) If the place is not left even so,
 * because the timer is over before the guest got the CPU, the next one is held back for longer.
 */
static void upcall_again(struct vcpu *v, const struct cpu_regs *regs)
{
    struct pv_vcpu *pv = &v->arch.pv;

    if (regs->rip != pv->stuck_rip || regs->rsp != pv->stuck_rsp) {
        pv->stuck_rip = regs->rip;
        pv->stuck_rsp = regs->rsp;
        pv->stuck = 0;
    }
    if (++pv->stuck % STUCK_LIMIT == 0)
        vcpu_hold_upcall(v, HOLD_TIME << MIN(pv->stuck / STUCK_LIMIT - 1, HOLD_DOUBLE));
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
    if (context.rflags & FLAG_IF) {
        if (unlikely(READ_ONCE(v->info->evtchn_upcall_pending)))
            upcall_again(v, regs);
        else
            pv->stuck = 0;
    }
    return (long)context.rax;
}

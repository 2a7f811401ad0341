/*
 * Entering a PV guest's kernel: exceptions, events, system calls and NMIs as frames on its stack.
 *
 * The guest's kernel runs in ring 3, so what hardware would do is done here. A frame, lowest address first:
 *
 *   rcx  r11  [error code]  rip  cs | saved upcall mask << 32  rflags  rsp  ss
 *
 * cs has privilege level 0 when the guest's kernel was interrupted, 3 for its user mode; rflags.IF is the
 * inverse of the event mask. From user mode the vcpu changes to its kernel's page tables and the frame goes
 * to the kernel stack it named last (stack_switch); from kernel mode to where rsp is. rcx and r11 stand in
 * the frame because the way in may be SYSRETQ, which destroys them. A guest whose stack cannot take the frame
 * is crashed: it has no way to hear of anything.
 *
 * An exception is prepared first (v->arch.pv.bounce) and delivered on the way out, so that whoever handles a
 * trap need not care about the frame. At most one is prepared at a time: an exception is the last thing that
 * happens to an instruction.
 */
#include <asm/context.h>
#include <asm/cr.h>
#include <asm/guest_access.h>
#include <asm/insn.h>
#include <asm/irq.h>
#include <asm/layout.h>
#include <asm/pv.h>
#include <bh/domain.h>
#include <bh/arch.h>
#include <bh/guest.h>
#include <public/xen.h>

#define FRAME_MAX_BYTES 64

static inline bool guest_range_ok(uint64_t address)
{
    return address < HV_START - FRAME_MAX_BYTES || address >= HV_END;
}

/* Stores one word of the frame; jumps to `fault` if the guest's page does not take it. */
#define FRAME_STORE(sp, index, value)                                                                        \
    __asm__ goto("1: movq %0, %c2(%1)\n" EXTABLE("1b", "%l3")                                                \
                 :                                                                                           \
                 : "er"((uint64_t)(value)), "r"(sp), "i"((index)*8)                                          \
                 : "memory"                                                                                  \
                 : fault)

/*
 * Builds the frame and points `regs` at `entry`. `has_error`: push `error`. Inlined into each kind of entry,
 * so that the constants fold.
 */
static inline __attribute__((always_inline)) void enter_kernel(struct vcpu *v, struct cpu_regs *regs,
                                                               uint64_t entry, bool mask_events,
                                                               bool has_error, uint32_t error)
{
    struct vcpu_info *info = v->info;
    uint8_t mask = READ_ONCE(info->evtchn_upcall_mask);
    uint64_t cs = regs->cs, sp;
    uint64_t rflags = regs->rflags & ~FLAG_IF;

    if (!mask)
        rflags |= FLAG_IF;
    if (v->arch.pv.kernel_mode) {
        cs &= ~3UL;
        sp = regs->rsp;
    } else {
        pv_toggle_mode(v);
        sp = v->arch.pv.kernel_sp;
    }
    cs |= (uint64_t)mask << 32;
    sp &= ~15UL;
    sp -= has_error ? 64 : 56;
    if (unlikely(!guest_range_ok(sp)))
        goto fault;

    guest_access_begin();
    FRAME_STORE(sp, 0, regs->rcx);
    FRAME_STORE(sp, 1, regs->r11);
    if (has_error)
        FRAME_STORE(sp, 2, error);
    FRAME_STORE(sp, 2 + has_error, regs->rip);
    FRAME_STORE(sp, 3 + has_error, cs);
    FRAME_STORE(sp, 4 + has_error, rflags);
    FRAME_STORE(sp, 5 + has_error, regs->rsp);
    FRAME_STORE(sp, 6 + has_error, (uint64_t)regs->ss);
    guest_access_end();

    if (mask_events)
        WRITE_ONCE(info->evtchn_upcall_mask, 1);
    regs->rip = entry;
    regs->cs = FLAT_KERNEL_CS;
    regs->rflags = (regs->rflags & ~FLAG_ENTRY_CLEAR) | FLAG_IF;
    regs->rsp = sp;
    regs->ss = FLAT_KERNEL_SS;
    regs->error_code = BY_SYSCALL; /* rcx and r11 are in the frame: SYSRETQ may lose them */
    return;

fault:
    guest_access_end();
    domain_crash(v->domain, "vcpu %u: kernel stack at %#lx takes no frame (entering %#lx from %#lx)", v->id,
                 (unsigned long)sp, (unsigned long)entry, (unsigned long)regs->rip);
}

/* The short form of a system call (entry_pv.S) found that the kernel's stack is not writable. */
void pv_kernel_stack_fault(struct cpu_regs *regs)
{
    struct vcpu *v = cpu_info()->current;

    domain_crash(v->domain, "vcpu %u: kernel stack below %#lx takes no frame (system call at %#lx)", v->id,
                 (unsigned long)v->arch.pv.kernel_sp, (unsigned long)regs->rip);
}

void pv_deliver_bounce(struct vcpu *v, struct cpu_regs *regs)
{
    struct pv_vcpu *pv = &v->arch.pv;
    uint8_t flags = pv->bounce.flags;
    uint16_t cs = pv->bounce.cs | 3;

    pv->bounce.flags = 0;
    if (flags & PV_TRAP_ERRCODE)
        enter_kernel(v, regs, pv->bounce.eip, flags & PV_TRAP_INTERRUPT, true, pv->bounce.error_code);
    else
        enter_kernel(v, regs, pv->bounce.eip, flags & PV_TRAP_INTERRUPT, false, 0);
    if (unlikely(cs != FLAT_KERNEL_CS)) {
        regs->cs = cs;
        regs->error_code = 0; /* SYSRETQ knows the flat selectors only */
    }
}

void pv_deliver_event(struct vcpu *v, struct cpu_regs *regs)
{
    enter_kernel(v, regs, v->arch.pv.event_callback, true, false, 0);
}

void pv_deliver_syscall(struct vcpu *v, struct cpu_regs *regs)
{
    enter_kernel(v, regs, v->arch.pv.syscall_callback, v->arch.pv.syscall_mask_events, false, 0);
}

void pv_deliver_syscall32(struct vcpu *v, struct cpu_regs *regs)
{
    if (v->arch.pv.kernel_mode || !v->arch.pv.syscall32_callback) {
        regs->rip -= 2;
        pv_inject_exception(v, v->arch.pv.kernel_mode ? TRAP_GP : TRAP_UD, 0);
        return;
    }
    enter_kernel(v, regs, v->arch.pv.syscall32_callback, v->arch.pv.syscall32_mask_events, false, 0);
}

void pv_deliver_nmi(struct vcpu *v, struct cpu_regs *regs)
{
    const struct trap_info *t = &v->arch.pv.trap[TRAP_NMI];

    v->arch.pv.bounce.nmi_pending = 0;
    if (!t->address)
        return;
    v->arch.pv.nmi_active = 1; /* until the guest's iret */
    enter_kernel(v, regs, t->address, TI_GET_IF(t), false, 0);
}

void pv_send_nmi(struct vcpu *v)
{
    WRITE_ONCE(v->arch.pv.bounce.nmi_pending, 1);
    /* An upcall without an event: a vcpu that is about to block looks at this flag. */
    __atomic_store_n(&v->info->evtchn_upcall_pending, 1, __ATOMIC_SEQ_CST);
    vcpu_wake(v);
    arch_vcpu_kick(v);
}

static bool has_error_code(uint8_t vector)
{
    const uint32_t with_code = 1U << TRAP_DF | 1U << TRAP_TS | 1U << TRAP_NP | 1U << TRAP_SS | 1U << TRAP_GP |
                               1U << TRAP_PF | 1U << TRAP_AC;

    return vector < 32 && (with_code >> vector & 1);
}

void pv_inject_exception(struct vcpu *v, uint8_t vector, uint32_t error_code)
{
    struct pv_vcpu *pv = &v->arch.pv;
    const struct trap_info *trap = &pv->trap[vector];

    if (unlikely(!trap->address)) {
        domain_crash(v->domain,
                     "vcpu %u: exception %u (error code %#x) at %#lx, and the guest has no handler", v->id,
                     vector, error_code, (unsigned long)cpu_info()->guest.rip);
        return;
    }
    pv->bounce.eip = trap->address;
    pv->bounce.cs = trap->cs;
    pv->bounce.error_code = error_code;
    pv->bounce.flags =
        PV_TRAP_PENDING | (has_error_code(vector) ? PV_TRAP_ERRCODE : 0) | (trap->flags & PV_TRAP_INTERRUPT);
}

void pv_inject_page_fault(struct vcpu *v, uint32_t error_code, uint64_t cr2)
{
    struct pv_vcpu *pv = &v->arch.pv;
    const struct trap_info *trap = &pv->trap[TRAP_PF];

    if (unlikely(!trap->address)) {
        pv_inject_exception(v, TRAP_PF, error_code);
        return;
    }
    pv->ctrlreg[2] = cr2;
    v->info->arch.cr2 = cr2;
    pv->bounce.eip = trap->address;
    pv->bounce.cs = trap->cs;
    /* The guest's kernel runs in ring 3: what its handler calls "user" is its user mode (PFEC_user_mode, bit
     * 2). */
    pv->bounce.error_code = pv->kernel_mode ? error_code & ~4U : error_code | 4;
    pv->bounce.flags = PV_TRAP_PENDING | PV_TRAP_ERRCODE | (trap->flags & PV_TRAP_INTERRUPT);
}

/* Whether an INT instruction of the running mode may enter the kernel here. */
static bool may_raise(const struct vcpu *v, uint8_t vector)
{
    const struct trap_info *trap = &v->arch.pv.trap[vector];

    return trap->address && (v->arch.pv.kernel_mode || TI_GET_DPL(trap) == 3);
}

/*
 * INT n of a ring-3 guest faults, since the gates are the hypervisor's. The number is read from the
 * instruction: error codes of some emulators are wrong here.
 */
static bool software_interrupt(struct vcpu *v, struct cpu_regs *regs)
{
    uint8_t insn[2];

    if (!(regs->error_code & 2) || copy_from_guest(v, insn, regs->rip, sizeof(insn)) || insn[0] != 0xcd)
        return false;
    if (!may_raise(v, insn[1])) {
        pv_inject_exception(v, TRAP_GP, insn[1] * 8U + 2);
        return true;
    }
    regs->rip += 2;
    pv_inject_exception(v, insn[1], 0);
    return true;
}

static void debug_exception(struct vcpu *v)
{
    v->arch.debugreg[6] |= read_dr6() & 0xe00fUL;
    write_dr6(0xffff0ff0UL);
    pv_inject_exception(v, TRAP_DB, 0);
}

void pv_exception(struct cpu_regs *regs)
{
    struct vcpu *v = cpu_info()->current;
    uint8_t vector = (uint8_t)regs->vector;

    switch (vector) {
    case TRAP_GP:
        if (software_interrupt(v, regs) || pv_emulate_privileged(v, regs))
            return;
        break;
    case TRAP_UD:
        if (pv_emulate_forced(v, regs))
            return;
        break;
    case TRAP_NM:
        /* CR0.TS is the guest's own; the handler expects it clear. */
        v->arch.pv.ctrlreg[0] &= ~CR0_TS;
        context_set_ts(false);
        break;
    case TRAP_DB:
        debug_exception(v);
        return;
    case VECTOR_INT80:
        if (!may_raise(v, VECTOR_INT80)) {
            regs->rip -= 2;
            pv_inject_exception(v, TRAP_GP, VECTOR_INT80 * 8 + 2);
            return;
        }
        break;
    default:
        break;
    }
    pv_inject_exception(v, vector, regs->error_code);
}

/*
 * The selectors or the address that the guest wanted to return to cannot be loaded. It hears of it as a
 * general protection fault in its kernel, as if the instruction at that address had faulted.
 */
void pv_exit_fault(struct cpu_regs *regs)
{
    struct vcpu *v = cpu_info()->current;

    if (v->arch.pv.kernel_mode) {
        domain_crash(v->domain, "vcpu %u: its kernel returns to %#x:%#lx, which cannot be loaded", v->id,
                     regs->cs, (unsigned long)regs->rip);
        return;
    }
    pv_inject_exception(v, TRAP_GP, 0);
}

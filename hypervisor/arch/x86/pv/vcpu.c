/*
 * PV vcpus: creation, address-space mode, register contexts, segment bases, debug registers, the TS flag.
 *
 * While a vcpu runs, its registers are in cpu_info()->guest, its FS and GS bases and debug registers in the
 * CPU. Switched out, they are in v->arch; context get and set work on those, on vcpus that do not run.
 */
#include <asm/context.h>
#include <asm/cpufeature.h>
#include <asm/cr.h>
#include <asm/insn.h>
#include <asm/msr.h>
#include <asm/layout.h>
#include <asm/fpu.h>
#include <asm/mm.h>
#include <asm/pv.h>
#include <bh/arch.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/guest.h>
#include <bh/hypercall.h>
#include <bh/page_alloc.h>
#include <bh/string.h>
#include <public/xen.h>

#define FLAG_FIXED (1UL << 1)
/* Debug address registers may name guest addresses only. */
#define DR7_GLOBAL_DETECT (1UL << 13)
#define DR7_RESERVED_ONE  (1UL << 10)
#define DR7_WRITABLE      0xffff23ffUL
#define DR6_FIXED         0xffff0ff0UL

/* The other mode's table is always there: from user mode the kernel's, and iret checks the user's. */
void pv_toggle_mode(struct vcpu *v)
{
    struct pv_vcpu *pv = &v->arch.pv;

    pv->kernel_mode = !pv->kernel_mode;
    v->arch.cr3 = mfn_to_paddr(pv->kernel_mode ? pv->guest_table : pv->guest_table_user);
    swapgs();
    write_cr3(v->arch.cr3);
}

int arch_vcpu_create(struct vcpu *v)
{
    struct pv_vcpu *pv = &v->arch.pv;

    pv->kernel_mode = true;
    pv->entry_guards = cpu_speculation_entry_guards(v->domain);
    pv->guest_table = pv->guest_table_user = INVALID_MFN;
    for (unsigned int i = 0; i < PV_GDT_FRAMES; i++)
        pv->gdt_frame[i] = INVALID_MFN;
    pv->trap = kalloc(256 * sizeof(*pv->trap));
    v->arch.fpu = kalloc(FPU_AREA_SIZE);
    v->arch.debugreg[6] = DR6_FIXED;
    v->arch.debugreg[7] = DR7_RESERVED_ONE;
    v->arch.last_cpu = -1;
    if (!pv->trap || !v->arch.fpu)
        return -ENOMEM;
    fpu_reset(v);
    return pv_perdomain_map(v);
}

void arch_vcpu_destroy(struct vcpu *v)
{
    vcpu_sync(v);
    pv_vcpu_relinquish(v);
    kfree(v->arch.pv.trap);
    kfree(v->arch.fpu);
    v->arch.pv.trap = NULL;
    v->arch.fpu = NULL;
}

/*
 * A use of `mfn` as a top-level table of d, validating it if nobody did before (a preempted validation is
 * continued at once: the tables are the guest's own work, bounded by its memory). 0 or the error of
 * page_get_type().
 */
int pv_get_base_table(struct vcpu *caller, struct domain *d, mfn_t mfn)
{
    int rc;

    if (!mfn_valid(mfn))
        return fail(caller, -EINVAL, "page table: mfn {0} is no RAM", mfn.n, 0);
    do {
        rc = page_get_type(caller, mfn_to_page(mfn), d, PGT_l4);
    } while (rc == -EAGAIN);
    return rc;
}

/* A preempted demotion is finished by arch_domain_relinquish(). */
static void put_base_table(mfn_t mfn)
{
    if (!mfn_eq(mfn, INVALID_MFN))
        (void)page_put_type(mfn_to_page(mfn));
}

void pv_vcpu_relinquish(struct vcpu *v)
{
    struct pv_vcpu *pv = &v->arch.pv;

    pv_drop_gdt(v);
    pv_drop_ldt(v);
    put_base_table(pv->guest_table);
    put_base_table(pv->guest_table_user);
    pv->guest_table = pv->guest_table_user = INVALID_MFN;
    v->arch.cr3 = 0;
}

static int check_context(struct vcpu *caller, struct vcpu *v, const struct vcpu_guest_context *c)
{
    const uint64_t entries[] = {c->event_callback_eip, c->failsafe_callback_eip, c->syscall_callback_eip};

    for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
        if (!is_guest_address(entries[i]))
            return fail(caller, -EINVAL, "vcpu context: callback {0} at {1} is not a guest address", i,
                        entries[i]);
    if (!is_canonical(c->fs_base) || !is_canonical(c->gs_base_kernel) || !is_canonical(c->gs_base_user))
        return fail(caller, -EINVAL, "vcpu context: segment base {0} or {1} is not canonical", c->fs_base,
                    c->gs_base_kernel);
    for (unsigned int i = 0; i < 256; i++)
        if (!is_guest_address(c->trap_ctxt[i].address))
            return fail(caller, -EINVAL, "vcpu context: trap {0} at {1} is not a guest address", i,
                        c->trap_ctxt[i].address);
    if (c->gdt_ents > FIRST_RESERVED_GDT_ENTRY || c->ldt_ents > 8192)
        return fail(caller, -EINVAL, "vcpu context: {0} GDT or {1} LDT entries are too many", c->gdt_ents,
                    c->ldt_ents);
    for (unsigned int i = 0; i < 4; i++)
        if (c->debugreg[i] && !is_guest_address(c->debugreg[i]))
            return fail(caller, -EINVAL, "vcpu context: debug register {0} names {1}", i, c->debugreg[i]);
    if (v->initialised && xen_cr3_to_pfn(c->ctrlreg[3]) != v->arch.pv.guest_table.n)
        return fail(caller, -EBUSY, "vcpu context: vcpu {0} has a page table already", v->id, 0);
    return 0;
}

/* Frames go below an aligned address, and never into the hypervisor's range: then to 0, where they fault. */
static void set_kernel_stack(struct vcpu *v, uint64_t ss, uint64_t sp)
{
    sp &= ~15UL;
    v->arch.pv.kernel_ss = ss | 3;
    v->arch.pv.kernel_sp = sp - 64 >= HV_START && sp - 64 < HV_END ? 0 : sp;
}

static void commit_registers(struct vcpu *v, const struct vcpu_guest_context *c)
{
    struct pv_vcpu *pv = &v->arch.pv;
    struct cpu_regs *regs = &v->arch.regs;

    memcpy(regs, &c->user_regs, sizeof(*regs));
    regs->error_code = 0; /* not BY_SYSCALL: all registers count */
    regs->cs |= 3;
    regs->ss |= 3;
    v->arch.pv.iopl = regs->rflags >> 12 & 3; /* kernels bring up their other CPUs with it */
    regs->rflags = (regs->rflags & 0x3f0dd5UL) | FLAG_IF | FLAG_FIXED;
    regs->rflags &= ~(3UL << 12 | 1UL << 17 | 3UL << 19);
    pv->ds = c->user_regs.ds;
    pv->es = c->user_regs.es;
    pv->fs = c->user_regs.fs;
    pv->gs = c->user_regs.gs;
    pv->fs_base = c->fs_base;
    pv->gs_base_kernel = c->gs_base_kernel;
    pv->gs_base_user = c->gs_base_user;
    pv->kernel_mode = (c->flags & VGCF_in_kernel) != 0;
    set_kernel_stack(v, c->kernel_ss, c->kernel_sp);
    pv->ctrlreg[0] = c->ctrlreg[0];
    pv->ctrlreg[4] = c->ctrlreg[4];
    pv->event_callback = c->event_callback_eip;
    pv->failsafe_callback = c->failsafe_callback_eip;
    pv->syscall_callback = c->syscall_callback_eip;
    pv->failsafe_mask_events = (c->flags & VGCF_failsafe_disables_events) != 0;
    pv->syscall_mask_events = (c->flags & VGCF_syscall_disables_events) != 0;
    pv_choose_entry(v);
    memcpy(pv->trap, c->trap_ctxt, sizeof(c->trap_ctxt));
    for (unsigned int i = 0; i < 256; i++)
        pv->trap[i].cs |= 3;
    for (unsigned int i = 0; i < 4; i++)
        v->arch.debugreg[i] = c->debugreg[i];
    v->arch.debugreg[6] = DR6_FIXED | (c->debugreg[6] & 0xe00f);
    v->arch.debugreg[7] = (c->debugreg[7] & DR7_WRITABLE & ~DR7_GLOBAL_DETECT) | DR7_RESERVED_ONE;
    if (c->flags & VGCF_i387_valid)
        memcpy(v->arch.fpu, c->fpu_ctxt.x, sizeof(c->fpu_ctxt.x));
    v->domain->vm_assist |= (uint32_t)c->vm_assist &
                            (1U << VMASST_TYPE_4gb_segments | 1U << VMASST_TYPE_writable_pagetables |
                             1U << VMASST_TYPE_pae_extended_cr3 | 1U << VMASST_TYPE_runstate_update_flag);
}

int pv_set_context(struct vcpu *caller, struct vcpu *v, const struct vcpu_guest_context *c)
{
    struct pv_vcpu *pv = &v->arch.pv;
    int rc = check_context(caller, v, c);

    if (rc)
        return rc;
    rc = pv_set_gdt(caller, v, c->gdt_frames, (uint32_t)c->gdt_ents);
    if (rc)
        return rc;
    rc = pv_set_ldt(v, c->ldt_base, (uint32_t)c->ldt_ents);
    if (rc)
        return rc;
    if (!v->initialised) {
        mfn_t kernel = MFN(xen_cr3_to_pfn(c->ctrlreg[3])), user = INVALID_MFN;
        rc = pv_get_base_table(caller, v->domain, kernel);
        if (rc)
            return rc;
        /* Bit 0 of the user table's word marks it valid; 0: none. */
        if (c->ctrlreg[1]) {
            user = MFN(xen_cr3_to_pfn(c->ctrlreg[1]));
            rc = pv_get_base_table(caller, v->domain, user);
            if (rc) {
                put_base_table(kernel);
                return rc;
            }
        }
        pv->guest_table = kernel;
        pv->guest_table_user = user;
    }
    commit_registers(v, c);
    if (mfn_eq(pv->guest_table_user, INVALID_MFN))
        pv->kernel_mode = true;
    v->arch.cr3 = mfn_to_paddr(pv->kernel_mode ? pv->guest_table : pv->guest_table_user);
    v->initialised = true;
    return 0;
}

void pv_get_context(struct vcpu *v, struct vcpu_guest_context *c)
{
    const struct pv_vcpu *pv = &v->arch.pv;

    memset(c, 0, sizeof(*c));
    memcpy(&c->user_regs, &v->arch.regs, sizeof(c->user_regs));
    c->user_regs.entry_vector = 0;
    c->user_regs.saved_upcall_mask = v->info->evtchn_upcall_mask;
    if (v->info->evtchn_upcall_mask)
        c->user_regs.rflags &= ~FLAG_IF;
    c->user_regs.ds = pv->ds;
    c->user_regs.es = pv->es;
    c->user_regs.fs = pv->fs;
    c->user_regs.gs = pv->gs;
    memcpy(c->fpu_ctxt.x, v->arch.fpu, sizeof(c->fpu_ctxt.x));
    c->flags = VGCF_i387_valid | (pv->kernel_mode ? VGCF_in_kernel : 0) |
               (pv->failsafe_mask_events ? VGCF_failsafe_disables_events : 0) |
               (pv->syscall_mask_events ? VGCF_syscall_disables_events : 0) |
               (v->state != VCPU_DOWN ? VGCF_online : 0);
    c->fs_base = pv->fs_base;
    c->gs_base_kernel = pv->gs_base_kernel;
    c->gs_base_user = pv->gs_base_user;
    c->kernel_ss = pv->kernel_ss;
    c->kernel_sp = pv->kernel_sp;
    c->ldt_base = pv->ldt_base;
    c->ldt_ents = pv->ldt_entries;
    c->gdt_ents = pv->gdt_entries;
    for (unsigned int i = 0; i < PV_GDT_FRAMES && !mfn_eq(pv->gdt_frame[i], INVALID_MFN); i++)
        c->gdt_frames[i] = pv->gdt_frame[i].n;
    c->ctrlreg[0] = pv->ctrlreg[0];
    c->ctrlreg[2] = pv->ctrlreg[2];
    c->ctrlreg[4] = pv->ctrlreg[4];
    if (!mfn_eq(pv->guest_table, INVALID_MFN))
        c->ctrlreg[3] = mfn_to_paddr(pv->guest_table);
    if (!mfn_eq(pv->guest_table_user, INVALID_MFN))
        c->ctrlreg[1] = mfn_to_paddr(pv->guest_table_user) | 1;
    c->event_callback_eip = pv->event_callback;
    c->failsafe_callback_eip = pv->failsafe_callback;
    c->syscall_callback_eip = pv->syscall_callback;
    c->vm_assist = v->domain->vm_assist;
    memcpy(c->trap_ctxt, pv->trap, sizeof(c->trap_ctxt));
    memcpy(c->debugreg, v->arch.debugreg, sizeof(c->debugreg));
}

int arch_vcpu_initialise(struct vcpu *caller, struct vcpu *v, uint64_t untrusted_context)
{
    struct vcpu_guest_context *context = kalloc(sizeof(*context));
    int rc;

    if (!context)
        return fail(caller, -ENOMEM, "vcpu {0}: no memory for its context", v->id, 0);
    if (copy_from_guest(caller, context, untrusted_context, sizeof(*context)))
        rc = fail(caller, -EFAULT, "vcpu {0}: context at {1} is not readable", v->id, untrusted_context);
    else
        rc = pv_set_context(caller, v, context);
    kfree(context);
    return rc;
}

DECLARE_HYPERCALL(do_stack_switch)
{
    set_kernel_stack(v, a1, a2);
    return 0;
}

DECLARE_HYPERCALL(do_fpu_taskswitch)
{
    if (a1) {
        v->arch.pv.ctrlreg[0] |= CR0_TS;
        context_set_ts(true);
    } else {
        v->arch.pv.ctrlreg[0] &= ~CR0_TS;
        context_set_ts(false);
    }
    return 0;
}

DECLARE_HYPERCALL(do_set_segment_base)
{
    if (a1 != SEGBASE_GS_USER_SEL && !is_canonical(a2))
        return fail(v, -EINVAL, "segment base {0}: {1} is not canonical", a1, a2);
    switch (a1) {
    case SEGBASE_FS:
        wrmsr(MSR_FS_BASE, a2);
        return 0;
    case SEGBASE_GS_USER:
        /* Hypercalls come from kernel mode: the user base is the one in waiting. */
        wrmsr(MSR_SHADOW_GS_BASE, a2);
        return 0;
    case SEGBASE_GS_KERNEL:
        wrmsr(MSR_GS_BASE, a2);
        return 0;
    case SEGBASE_GS_USER_SEL:
        swapgs();
        load_gs(a2 ? (uint16_t)a2 | 3 : 0);
        swapgs();
        return 0;
    default:
        return fail(v, -EINVAL, "set_segment_base: no segment {0}", a1, 0);
    }
}

long pv_set_debugreg(struct vcpu *v, unsigned int reg, uint64_t value)
{
    switch (reg) {
    case 0 ... 3:
        if (!is_guest_address(value))
            return fail(v, -EPERM, "debug register {0}: {1} is not a guest address", reg, value);
        v->arch.debugreg[reg] = value;
        context_load_debugregs(v);
        return 0;
    case 4:
    case 6:
        v->arch.debugreg[6] = DR6_FIXED | (value & 0xe00f);
        return 0;
    case 5:
    case 7:
        value = (value & DR7_WRITABLE & ~DR7_GLOBAL_DETECT) | DR7_RESERVED_ONE;
        /* I/O breakpoints (type 2) need what a guest does not have. */
        for (unsigned int i = 0; i < 4; i++)
            if ((value >> (16 + i * 4) & 3) == 2)
                return fail(v, -EPERM, "debug register 7: breakpoint {0} is for I/O", i, 0);
        v->arch.debugreg[7] = value;
        context_load_debugregs(v);
        return 0;
    default:
        return fail(v, -EINVAL, "no debug register {0}", reg, 0);
    }
}

uint64_t pv_get_debugreg(const struct vcpu *v, unsigned int reg)
{
    if (reg == 4 || reg == 5)
        reg += 2;
    return v->arch.debugreg[reg];
}

DECLARE_HYPERCALL(do_set_debugreg)
{
    return pv_set_debugreg(v, a1 > 7 ? 8 : (unsigned int)a1, a2);
}

DECLARE_HYPERCALL(do_get_debugreg)
{
    if (a1 > 7)
        return fail(v, -EINVAL, "no debug register {0}", a1, 0);
    return (long)pv_get_debugreg(v, (unsigned int)a1);
}

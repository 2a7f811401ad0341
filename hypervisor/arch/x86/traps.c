/*
 * Exceptions in hypervisor mode, and the exceptions with stacks of their own. Guest-mode exceptions go from
 * entry.S to pv/. Expected faults have an entry in the exception table; every other one is our error and ends
 * in panic().
 */
#include <bh/arch.h>
#include <bh/console.h>
#include <bh/domain.h>
#include <bh/printk.h>
#include <asm/insn.h>
#include <asm/layout.h>
#include <asm/mm.h>
#include <asm/paging.h>
#include <asm/percpu.h>
#include <asm/pv.h>
#include <asm/trap.h>

#define TRACE_MAX 24
#define DR6_BS    (1u << 14)

extern char image_start[], text_end[];

static const char *const names[32] = {
    [TRAP_DE] = "divide error",
    [TRAP_DB] = "debug",
    [TRAP_NMI] = "NMI",
    [TRAP_BP] = "breakpoint",
    [TRAP_OF] = "overflow",
    [TRAP_BR] = "bound",
    [TRAP_UD] = "invalid opcode",
    [TRAP_NM] = "no FPU",
    [TRAP_DF] = "double fault",
    [TRAP_TS] = "invalid TSS",
    [TRAP_NP] = "segment not present",
    [TRAP_SS] = "stack segment",
    [TRAP_GP] = "general protection",
    [TRAP_PF] = "page fault",
    [TRAP_MF] = "FPU error",
    [TRAP_AC] = "alignment",
    [TRAP_MC] = "machine check",
    [TRAP_XM] = "SIMD error",
    [TRAP_CP] = "control protection",
};

static const char *trap_name(uint32_t vector)
{
    return vector < 32 && names[vector] ? names[vector] : "exception";
}

static bool is_text(uint64_t address)
{
    return address >= (uint64_t)image_start && address < (uint64_t)text_end;
}

static void stack_trace(uint64_t rsp)
{
    uint64_t top = (rsp & ~(STACK_SIZE - 1)) + STACK_SIZE - sizeof(struct cpu_info);
    unsigned int shown = 0;

    if (rsp < STACKS_START || rsp >= DIRECTMAP_START)
        return;
    printk(LOG_ERROR, "Hypervisor addresses on the stack:");
    for (uint64_t at = ROUND_UP(rsp, 8); at < top && shown < TRACE_MAX; at += 8) {
        uint64_t value = *(uint64_t *)at;

        if (!is_text(value))
            continue;
        printk(LOG_ERROR, "  [%016lx] %016lx", at, value);
        shown++;
    }
}

void regs_dump(const struct cpu_regs *r)
{
    printk(LOG_ERROR, "CPU %u  rip %04x:%016lx  rsp %04x:%016lx  rflags %016lx", arch_cpu_id(), r->cs, r->rip,
           r->ss, r->rsp, r->rflags);
    printk(LOG_ERROR, "rax %016lx  rbx %016lx  rcx %016lx  rdx %016lx", r->rax, r->rbx, r->rcx, r->rdx);
    printk(LOG_ERROR, "rsi %016lx  rdi %016lx  rbp %016lx  r8  %016lx", r->rsi, r->rdi, r->rbp, r->r8);
    printk(LOG_ERROR, "r9  %016lx  r10 %016lx  r11 %016lx  r12 %016lx", r->r9, r->r10, r->r11, r->r12);
    printk(LOG_ERROR, "r13 %016lx  r14 %016lx  r15 %016lx", r->r13, r->r14, r->r15);
    printk(LOG_ERROR, "cr0 %016lx  cr2 %016lx  cr3 %016lx  cr4 %016lx", read_cr0(), read_cr2(), read_cr3(),
           read_cr4());
}

static void noreturn_fn fatal_trap(const struct cpu_regs *regs, uint64_t cr2)
{
    struct vcpu *v = arch_current();

    console_force();
    printk(LOG_ERROR, "%s in the hypervisor, error code %x", trap_name(regs->vector), regs->error_code);
    regs_dump(regs);
    if (regs->vector == TRAP_PF) {
        printk(LOG_ERROR, "address %016lx:", cr2);
        paging_dump_walk(cr2);
    }
    if (v)
        printk(LOG_ERROR, "current: d%uv%u", v->domain->id, v->id);
    stack_trace(regs->rsp);
    panic("fatal %s (vector %u) at %016lx", trap_name(regs->vector), regs->vector, regs->rip);
}

/* A guest's address, which the hypervisor touched while it copied: pv/ may know a cure. */
static bool guest_fault_cured(const struct cpu_regs *regs, uint64_t cr2)
{
    struct vcpu *v = arch_current();

    return v && !vcpu_is_idle(v) && (cr2 < HV_START || cr2 >= HV_END || PT_INDEX(cr2, 4) == PERDOMAIN_SLOT) &&
           pv_hypervisor_page_fault(v, regs->error_code, cr2);
}

void trap_hypervisor(struct cpu_regs *regs)
{
    uint64_t cr2 = regs->vector == TRAP_PF ? read_cr2() : 0;
    uint64_t fixup;

    if (regs->vector == TRAP_PF && guest_fault_cured(regs, cr2))
        return;
    fixup = extable_lookup(regs->rip);
    if (fixup == 0)
        fatal_trap(regs, cr2);
    regs->rip = fixup;
}

/* #DB while the hypervisor ran: a guest's leftover (MOV SS before SYSCALL, its breakpoints): dropped. */
void trap_debug(struct cpu_regs *regs)
{
    write_dr6(0xffff0ff0UL);
    regs->rflags &= ~0x100UL;
}

/* #DB in a guest: DR6 goes to its view. */
void trap_guest_debug(struct cpu_regs *regs)
{
    struct vcpu *v = arch_current();

    v->arch.debugreg[6] = read_dr6();
    write_dr6(0xffff0ff0UL);
    pv_exception(regs);
}

void trap_double_fault(struct cpu_regs *regs)
{
    fatal_trap(regs, read_cr2());
}

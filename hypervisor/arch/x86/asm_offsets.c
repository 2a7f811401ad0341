/* Layout constants for assembly: compiled to text only; module.mk turns the marked lines into asm/offsets.h.
 */
#include <bh/domain.h>
#include <bh/hypercall.h>
#include <asm/cpufeature.h>
#include <asm/cr.h>
#include <asm/layout.h>
#include <asm/percpu.h>

#define DEFINE(name, value)     __asm__ volatile(".ascii \"->" #name " %c0\"" : : "i"(value))
#define OFFSET(name, type, mem) DEFINE(name, offsetof(struct type, mem))

_Static_assert(HV_END - HV_START == 1UL << 43, "HV_SIZE_BITS");

void asm_offsets(void);
_Static_assert(offsetof(struct vcpu, arch.pv.bounce.nmi_pending) ==
                   offsetof(struct vcpu, arch.pv.bounce.flags) + 1,
               "entry_pv.S tests both as one word");

void asm_offsets(void)
{
    OFFSET(REGS_r10, cpu_regs, r10);
    OFFSET(REGS_r8, cpu_regs, r8);
    OFFSET(REGS_rax, cpu_regs, rax);
    OFFSET(REGS_rcx, cpu_regs, rcx);
    OFFSET(REGS_rdx, cpu_regs, rdx);
    OFFSET(REGS_rsi, cpu_regs, rsi);
    OFFSET(REGS_rdi, cpu_regs, rdi);
    OFFSET(REGS_error_code, cpu_regs, error_code);
    OFFSET(REGS_rip, cpu_regs, rip);
    OFFSET(REGS_cs, cpu_regs, cs);
    OFFSET(REGS_rflags, cpu_regs, rflags);
    OFFSET(REGS_rsp, cpu_regs, rsp);
    OFFSET(REGS_ss, cpu_regs, ss);
    DEFINE(REGS_FRAME_QUADS, offsetof(struct cpu_regs, es) / 8);
    OFFSET(REGS_es, cpu_regs, es);
    OFFSET(CPU_INFO_work, cpu_info, work);
    OFFSET(CPU_INFO_current, cpu_info, current);
    OFFSET(CPU_INFO_guest_rsp, cpu_info, guest_rsp);
    OFFSET(CPU_INFO_full_cr3, cpu_info, full_cr3);
    DEFINE(CPU_INFO_SIZE, sizeof(struct cpu_info));
    DEFINE(STACK_BLOCK_SIZE, STACK_SIZE);
    DEFINE(BY_SYSCALL, BY_SYSCALL);
    DEFINE(MAX_CPUS, NR_CPUS);
    OFFSET(VCPU_info, vcpu, info);
    OFFSET(VCPU_hypercalls, vcpu, hypercalls);
    OFFSET(VCPU_restart_args, vcpu, restart_args);
    OFFSET(VCPU_cr3, vcpu, arch.cr3);
    OFFSET(VCPU_kernel_mode, vcpu, arch.pv.kernel_mode);
    OFFSET(VCPU_syscall_callback, vcpu, arch.pv.syscall_callback);
    OFFSET(VCPU_kernel_sp, vcpu, arch.pv.kernel_sp);
    OFFSET(VCPU_guest_table, vcpu, arch.pv.guest_table);
    OFFSET(VCPU_guest_table_user, vcpu, arch.pv.guest_table_user);
    OFFSET(VCPU_bounce_flags, vcpu, arch.pv.bounce.flags);
    OFFSET(VCPU_nmi_active, vcpu, arch.pv.nmi_active);
    OFFSET(VCPUINFO_pending, vcpu_info, evtchn_upcall_pending);
    OFFSET(VCPUINFO_mask, vcpu_info, evtchn_upcall_mask);
    OFFSET(VCPU_entry_short, vcpu, arch.pv.entry_short);
    OFFSET(VCPU_entry_guards, vcpu, arch.pv.entry_guards);
    DEFINE(GUARD_IBPB, GUARD_IBPB);
    DEFINE(GUARD_BHB, GUARD_BHB);
    OFFSET(IRET_rax, iret_context, rax);
    OFFSET(IRET_r11, iret_context, r11);
    OFFSET(IRET_rcx, iret_context, rcx);
    OFFSET(IRET_flags, iret_context, flags);
    OFFSET(IRET_rip, iret_context, rip);
    OFFSET(IRET_cs, iret_context, cs);
    OFFSET(IRET_rflags, iret_context, rflags);
    OFFSET(IRET_rsp, iret_context, rsp);
    OFFSET(IRET_ss, iret_context, ss);
    DEFINE(VGCF_IN_SYSCALL, VGCF_IN_SYSCALL);
    DEFINE(HYPERCALL_IRET, __HYPERVISOR_iret);
    DEFINE(PAGE_BITS, PAGE_SHIFT);
    DEFINE(HV_SIZE_BITS, 43);
    DEFINE(RFLAGS_IF, FLAG_IF);
    DEFINE(RFLAGS_FIXED, 2);
    DEFINE(RFLAGS_ENTRY_CLEAR, FLAG_ENTRY_CLEAR);
    DEFINE(RFLAGS_GUEST, FLAG_GUEST);
    DEFINE(HYPERCALL_MAX, HYPERCALL_MAX);
    DEFINE(HYPERCALL_RESTART, HYPERCALL_RESTART);
}

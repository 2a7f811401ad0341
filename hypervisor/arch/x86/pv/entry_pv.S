/*
 * The rim between PV guests and the hypervisor: SYSCALL in, IRETQ or SYSRETQ out.
 *
 * Both the guest's kernel and its user programs run in ring 3, so a SYSCALL is a hypercall when the vcpu is in kernel
 * mode and a system call for the guest's kernel otherwise.
 *
 * Contract with the per-CPU stub that LSTAR and CSTAR point at: rsp is inside the CPU's cpu_info, the guest's SS and RSP
 * are pushed at their places of struct cpu_regs, every other register is the guest's (rcx: rip, r11: rflags), interrupts
 * are off.
 *
 * pv_return_to_guest is the only way back. It runs until nothing is left to do: pending work, a prepared exception, an
 * event. Everything that may change the frame happens before the registers are restored.
 */
#include <asm/entry.h>
#include <asm/layout.h>
#include <asm/offsets.h>

        .text

/* Completes struct cpu_regs below the pushed SS and RSP. Clobbers nothing but the stack. */
.macro SAVE_SYSCALL_FRAME cs
        push    %r11                    /* rflags */
        push    $\cs
        push    %rcx                    /* rip */
        sub     $8, %rsp
        movl    $ENTRY_SYSCALL_VECTOR, 4(%rsp) /* vector */
        SAVE_REGS
        SPEC_ENTRY
.endm

        .globl  pv_syscall_entry
pv_syscall_entry:
        SAVE_SYSCALL_FRAME SEL_GUEST_CS64
        mov     CPU_INFO_current(%rsp), %rbx
        cmpb    $0, VCPU_kernel_mode(%rbx)
        je      .Lsystem_call

        /* A hypercall: rax number; rdi, rsi, rdx, r10, r8 arguments. */
        cmp     $HYPERCALL_MAX, %rax
        sbb     %r11, %r11              /* all ones if in range: a mispredicted branch reads row 0, no more */
        jae     .Lbad_hypercall
        and     %r11, %rax
        mov     %r8, %r9
        mov     %r10, %r8
        mov     %rdx, %rcx
        mov     %rsi, %rdx
        mov     %rdi, %rsi
        mov     %rbx, %rdi
        lea     hypercall_table(%rip), %r11
        incq    VCPU_hypercalls(%rbx)
        call    *(%r11,%rax,8)
        cmp     $HYPERCALL_RESTART, %rax
        je      .Lrestart
.Lhypercall_done:
        mov     %rax, REGS_rax(%rsp)

        .globl  pv_return_to_guest
pv_return_to_guest:
        cmpl    $0, CPU_INFO_work(%rsp)
        jne     .Lwork
        mov     CPU_INFO_current(%rsp), %rbx
        cmpb    $0, VCPU_bounce_flags(%rbx)
        jne     .Lbounce
        mov     VCPU_info(%rbx), %rax
        cmpb    $0, VCPUINFO_pending(%rax)
        jne     .Levent
.Lno_event:
        cmpb    $0, VCPU_nmi_pending(%rbx)
        jne     .Lnmi
.Lrestore:
        SPEC_EXIT
        testl   $ENTRY_SYSCALL_VECTOR, REGS_vector(%rsp)
        jz      .Liret
        /* SYSRETQ takes rip from rcx; a non-canonical one would fault in ring 0 on some CPUs. */
        mov     REGS_rip(%rsp), %rax
        shl     $16, %rax
        sar     $16, %rax
        cmp     %rax, REGS_rip(%rsp)
        jne     .Liret
        RESTORE_REGS
        mov     REGS_rip-REGS_error_code(%rsp), %rcx
        mov     REGS_rflags-REGS_error_code(%rsp), %r11
        mov     REGS_rsp-REGS_error_code(%rsp), %rsp
        sysretq

.Liret:
        RESTORE_REGS
        add     $8, %rsp                /* error code and vector */
.Lguest_iretq:
        iretq

/* The IRETQ above faulted in ring 0 with the guest's registers live; the hardware frame is still at rsp. */
.Lguest_iretq_fault:
        sub     $8, %rsp
        movl    $0, 4(%rsp)
        SAVE_REGS
        mov     %rsp, %rdi
        call    pv_exit_fault
        jmp     pv_return_to_guest
        EXTABLE .Lguest_iretq, .Lguest_iretq_fault

.Lwork:
        call    work_run
        jmp     pv_return_to_guest

.Lbounce:
        mov     %rbx, %rdi
        mov     %rsp, %rsi
        call    pv_deliver_bounce
        jmp     pv_return_to_guest

.Levent:
        cmpb    $0, VCPUINFO_mask(%rax)
        jne     .Lno_event
        mov     %rbx, %rdi
        mov     %rsp, %rsi
        call    pv_deliver_event
        jmp     pv_return_to_guest

.Lnmi:
        cmpb    $0, VCPU_nmi_active(%rbx)
        jne     .Lrestore
        mov     %rbx, %rdi
        mov     %rsp, %rsi
        call    pv_deliver_nmi
        jmp     pv_return_to_guest

.Lsystem_call:
        mov     %rbx, %rdi
        mov     %rsp, %rsi
        call    pv_deliver_syscall
        jmp     pv_return_to_guest

.Lbad_hypercall:
        mov     %rbx, %rdi
        call    hypercall_unknown
        jmp     .Lhypercall_done

/* The guest repeats its SYSCALL (2 bytes) with the arguments that the handler left. */
.Lrestart:
        mov     VCPU_restart_args+0(%rbx), %rax
        mov     %rax, REGS_rdi(%rsp)
        mov     VCPU_restart_args+8(%rbx), %rax
        mov     %rax, REGS_rsi(%rsp)
        mov     VCPU_restart_args+16(%rbx), %rax
        mov     %rax, REGS_rdx(%rsp)
        mov     VCPU_restart_args+24(%rbx), %rax
        mov     %rax, REGS_r10(%rsp)
        mov     VCPU_restart_args+32(%rbx), %rax
        mov     %rax, REGS_r8(%rsp)
        subq    $2, REGS_rip(%rsp)
        jmp     pv_return_to_guest

/* SYSCALL from 32-bit code: always the guest's user mode. */
        .globl  pv_syscall32_entry
pv_syscall32_entry:
        SAVE_SYSCALL_FRAME SEL_GUEST_CS32
        movl    $0, REGS_vector(%rsp)   /* leave by IRETQ: SYSRETQ returns to 64-bit code */
        mov     CPU_INFO_current(%rsp), %rdi
        mov     %rsp, %rsi
        call    pv_deliver_syscall32
        jmp     pv_return_to_guest

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

        .section .text.entry, "ax"

/* From rip, cs, rflags, rsp and ss on the stack to the whole of struct cpu_regs. Clobbers nothing else. */
.macro COMPLETE_FRAME kind
        push    $\kind                 /* error code; vector 0 */
        SAVE_REGS
.endm

/* Members of cpu_info while rsp is at the frame's rip. */
#define AT_RIP(offset) ((offset) - REGS_rip)(%rsp)

/*
 * The two ways that every system call takes have short forms, which keep to a few scratch registers and build no frame:
 * in here (a system call of user mode for its kernel) and .Liret_short below (the kernel's return). Both check first, and
 * leave to the long form whatever is unusual: pending work or events, masked events, a vcpu whose callbacks want more
 * (entry_short is 0), addresses that are not the guest's. Where the CPU needs guards, none of this is reached.
 */
        .globl  pv_syscall_entry
pv_syscall_entry:
        SPEC_REPLACE 0xe9, pv_syscall_guarded
        push    %r11                    /* rflags */
        push    $SEL_GUEST_CS64
        push    %rcx                    /* rip */
        mov     AT_RIP(CPU_INFO_current), %rcx
        cmpb    $0, VCPU_kernel_mode(%rcx)
        jne     .Lhypercall

        cmpb    $0, VCPU_entry_short(%rcx)
        je      .Lsystem_call
        mov     VCPU_info(%rcx), %r11
        cmpw    $0, VCPUINFO_pending(%r11) /* nothing pending, nothing masked */
        jne     .Lsystem_call
        cmpl    $0, AT_RIP(CPU_INFO_work)
        jne     .Lsystem_call

        /* To the kernel's page tables; then the frame goes to its stack: trap.c draws it. */
        push    VCPU_syscall_callback(%rcx)
        movb    $1, VCPU_kernel_mode(%rcx)
        movb    $1, VCPUINFO_mask(%r11)
        mov     VCPU_guest_table(%rcx), %r11
        shl     $PAGE_BITS, %r11
        mov     %r11, VCPU_cr3(%rcx)
        swapgs
        mov     %r11, %cr3
        mov     VCPU_kernel_sp(%rcx), %r11 /* aligned, the guest's: set_kernel_stack() */
        ASM_STAC
        mov     8(%rsp), %rcx
        MAY_FAULT .Lframe_fault, mov %rcx, -56(%r11)         /* rcx */
        MAY_FAULT .Lframe_fault, mov %rcx, -40(%r11)         /* rip */
        MAY_FAULT .Lframe_fault, movq $SEL_GUEST_CS64, -32(%r11)
        mov     24(%rsp), %rcx
        MAY_FAULT .Lframe_fault, mov %rcx, -48(%r11)         /* r11 */
        MAY_FAULT .Lframe_fault, mov %rcx, -24(%r11)         /* rflags */
        and     $~RFLAGS_ENTRY_CLEAR, %ecx
        or      $RFLAGS_IF, %ecx
        push    %rcx
        mov     40(%rsp), %rcx
        MAY_FAULT .Lframe_fault, mov %rcx, -16(%r11)         /* rsp */
        MAY_FAULT .Lframe_fault, movq $SEL_GUEST_DS, -8(%r11) /* ss */
        ASM_CLAC
        lea     -56(%r11), %rcx
        mov     %rcx, 40(%rsp)
        pop     %r11                    /* rflags */
        pop     %rcx                    /* rip: the callback */
        mov     24(%rsp), %rsp
        sysretq

        /* The kernel's stack takes no frame: its end. */
.Lframe_fault:
        ASM_CLAC
        GET_CPU_INFO %rcx
        lea     REGS_rip(%rcx), %rsp
        mov     (%rsp), %rcx
        mov     16(%rsp), %r11
        COMPLETE_FRAME 0
        mov     %rsp, %rdi
        call    pv_kernel_stack_fault
        jmp     pv_return_to_guest

.Lsystem_call:
        mov     (%rsp), %rcx
        mov     16(%rsp), %r11
        COMPLETE_FRAME BY_SYSCALL
.Lsystem_call_framed:
        mov     CPU_INFO_current(%rsp), %rdi
        mov     %rsp, %rsi
        call    pv_deliver_syscall
        jmp     pv_return_to_guest

/* In place of pv_syscall_entry where the CPU needs guards: the frame, the guard, then a look at what it is. */
        .globl  pv_syscall_guarded
pv_syscall_guarded:
        push    %r11
        push    $SEL_GUEST_CS64
        push    %rcx
        COMPLETE_FRAME BY_SYSCALL
        SPEC_ENTRY
        mov     CPU_INFO_current(%rsp), %rbx
        cmpb    $0, VCPU_kernel_mode(%rbx)
        je      .Lsystem_call_framed
        jmp     .Lhypercall_framed

/*
 * HYPERVISOR_iret to user mode (iret.c is the long form and tells what the context is). rcx: the vcpu. rax, rcx and r11
 * are free: the context brings their values.
 */
.Liret_short:
        cmpb    $0, VCPU_entry_short(%rcx)
        je      .Lhypercall_frame
        cmpq    $-1, VCPU_guest_table_user(%rcx)
        je      .Lhypercall_frame
        mov     AT_RIP(REGS_rsp), %r11
        movabs  $-HV_START, %rcx
        add     %r11, %rcx
        shr     $HV_SIZE_BITS, %rcx
        jz      .Lhypercall_frame
        ASM_STAC
        MAY_FAULT .Liret_long, movl IRET_cs(%r11), %ecx
        not     %ecx
        test    $3, %cl
        jne     .Liret_long
        MAY_FAULT .Liret_long, mov IRET_rflags(%r11), %rcx
        test    $RFLAGS_IF, %ecx
        je      .Liret_long
        MAY_FAULT .Liret_long, testl $VGCF_IN_SYSCALL, IRET_flags(%r11)
        jne     .Liret_long
        and     $RFLAGS_GUEST, %ecx
        or      $RFLAGS_FIXED, %ecx
        mov     %rcx, AT_RIP(REGS_rflags)
        MAY_FAULT .Liret_long, mov IRET_rip(%r11), %rcx
        mov     %rcx, AT_RIP(REGS_rip)
        MAY_FAULT .Liret_long, movzwl IRET_cs(%r11), %ecx
        or      $3, %ecx                /* it may have changed since it was looked at */
        mov     %rcx, AT_RIP(REGS_cs)
        MAY_FAULT .Liret_long, movzwl IRET_ss(%r11), %ecx
        or      $3, %ecx
        mov     %rcx, AT_RIP(REGS_ss)
        MAY_FAULT .Liret_long, mov IRET_rax(%r11), %rax
        push    %rax
        MAY_FAULT .Liret_long, mov IRET_rcx(%r11), %rax
        push    %rax
        MAY_FAULT .Liret_long, mov IRET_rsp(%r11), %rcx
        MAY_FAULT .Liret_long, mov IRET_r11(%r11), %r11
        ASM_CLAC
        mov     %rcx, (REGS_rsp - REGS_rip + 16)(%rsp)
        mov     (CPU_INFO_current - REGS_rip + 16)(%rsp), %rcx
        movb    $0, VCPU_kernel_mode(%rcx)
        movb    $0, VCPU_nmi_active(%rcx)
        mov     VCPU_guest_table_user(%rcx), %rax
        shl     $PAGE_BITS, %rax
        mov     %rax, VCPU_cr3(%rcx)
        swapgs
        mov     %rax, %cr3
        mov     VCPU_info(%rcx), %rax
        movb    $0, VCPUINFO_mask(%rax)
        cmpb    $0, VCPUINFO_pending(%rax)
        pop     %rcx
        pop     %rax
        jne     .Liret_event
        cmpl    $0, AT_RIP(CPU_INFO_work)
        jne     .Liret_event
        jmp     .Lguest_iretq
.Liret_event:
        COMPLETE_FRAME 0
        jmp     pv_return_to_guest

        /* Unusual, or not readable: undone is nothing but the frame, whose rsp still is the context's address. */
.Liret_long:
        ASM_CLAC
        GET_CPU_INFO %rcx
        lea     REGS_rip(%rcx), %rsp
        mov     $HYPERCALL_IRET, %eax
        jmp     .Lhypercall_frame

.Lcall_by_return:
        mov     (%r11,%rax,8), %r11
        call    __x86_indirect_thunk_r11
        jmp     .Lhandler_returned

.Lhypercall:
        cmp     $HYPERCALL_IRET, %rax
        je      .Liret_short
.Lhypercall_frame:
        mov     (%rsp), %rcx
        COMPLETE_FRAME BY_SYSCALL
.Lhypercall_framed: /* rax number; rdi, rsi, rdx, r10, r8 arguments */
        mov     %r8, %r9
        mov     %r10, %r8
        mov     %rdx, %rcx
        mov     %rsi, %rdx
        mov     %rdi, %rsi
        mov     CPU_INFO_current(%rsp), %rdi
        cmp     $HYPERCALL_MAX, %rax
        jae     .Lbad_hypercall
        and     $HYPERCALL_MAX - 1, %eax /* a mispredicted branch stays in the table */
        lea     hypercall_table(%rip), %r11
        incq    VCPU_hypercalls(%rdi)
.Lcall_handler:
        call    *(%r11,%rax,8)
        RETPOLINE_PATCH .Lcall_handler, 0xeb, (.Lcall_by_return-.Lcall_handler-2), 0x66, 0x90
.Lhandler_returned:
        cmp     $HYPERCALL_RESTART, %rax
        je      .Lrestart
.Lhypercall_done:
        mov     %rax, REGS_rax(%rsp)

        .globl  pv_return_to_guest
pv_return_to_guest:
        cmpl    $0, CPU_INFO_work(%rsp)
        jne     .Lwork
        mov     CPU_INFO_current(%rsp), %rbx
        cmpw    $0, VCPU_bounce_flags(%rbx) /* and nmi_pending, the byte behind it */
        jne     .Lbounce
.Lafter_bounce:
        mov     VCPU_info(%rbx), %rax
        cmpb    $0, VCPUINFO_pending(%rax)
        jne     .Levent
.Lno_event:
        SPEC_EXIT
        testl   $BY_SYSCALL, REGS_error_code(%rsp)
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
        push    $0
        SAVE_REGS
        SPEC_ENTRY
        mov     %rsp, %rdi
        call    pv_exit_fault
        jmp     pv_return_to_guest
        EXTABLE .Lguest_iretq, .Lguest_iretq_fault

.Lwork:
        call    work_run
        jmp     pv_return_to_guest

.Lbounce:
        cmpb    $0, VCPU_bounce_flags(%rbx)
        je      .Lnmi
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
        jne     .Lafter_bounce
        mov     %rbx, %rdi
        mov     %rsp, %rsi
        call    pv_deliver_nmi
        jmp     pv_return_to_guest

.Lbad_hypercall:
        call    hypercall_unknown
        jmp     .Lhypercall_done

/* The guest repeats its SYSCALL (2 bytes) with the arguments that the handler left. */
.Lrestart:
        mov     CPU_INFO_current(%rsp), %rbx
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
        push    %r11
        push    $SEL_GUEST_CS32
        push    %rcx
        COMPLETE_FRAME 0                /* leave by IRETQ: SYSRETQ returns to 64-bit code */
        SPEC_ENTRY
        mov     CPU_INFO_current(%rsp), %rdi
        mov     %rsp, %rsi
        call    pv_deliver_syscall32
        jmp     pv_return_to_guest

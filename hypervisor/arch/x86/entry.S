/*
 * Entries from interrupts, exceptions and SYSCALL.
 *
 * The CPU pushes its frame at the place that struct cpu_regs has in cpu_info (from guest mode: TSS.rsp0 points at the
 * frame's end), or below the current rsp (from the hypervisor). GS, FS, DS and ES are never touched. Guest entries end at
 * pv_return_to_guest with rsp = &cpu_info()->guest; hypervisor entries restore and return.
 *
 * #DB, NMI, #MC and #DF run on IST stacks, because they may hit between SYSCALL and the load of rsp. When they came from
 * guest mode, the frame is moved to the ordinary stack first.
 */
#include <asm/entry.h>
#include <asm/layout.h>
#include <asm/msr.h>

    .section .text.entry, "ax"

/* ---- SYSCALL: one stub per CPU, which finds the CPU's stack without touching a register ---- */

.macro SYSCALL_STUBS name, target
    .globl \name
    .hidden \name
    .balign 32
\name:
    info = 2 * STACK_BLOCK_SIZE - CPU_INFO_SIZE /* of CPU 0, from cpu_stacks: paging_map_stack() */
    .rept MAX_CPUS
    .balign 32
    mov %rsp, cpu_stacks + info + CPU_INFO_guest_rsp(%rip)
    lea cpu_stacks + info + REGS_es(%rip), %rsp
    push $SEL_GUEST_DS
    push cpu_stacks + info + CPU_INFO_guest_rsp(%rip)
    jmp \target
    info = info + 2 * STACK_BLOCK_SIZE
    .endr
.endm

SYSCALL_STUBS syscall_stubs, pv_syscall_entry
SYSCALL_STUBS syscall32_stubs, pv_syscall32_entry

/* ---- exceptions ---- */

.macro EXCEPTION vector, has_error, target
    .balign 16
exception_\vector:
    .if !\has_error
    push $0
    .endif
    movl $\vector, 4(%rsp)
    jmp \target
    .pushsection .rodata.exceptions, "a"
    .quad exception_\vector
    .popsection
.endm

.macro RESERVED_EXCEPTION
    .pushsection .rodata.exceptions, "a"
    .quad 0
    .popsection
.endm

    .pushsection .rodata.exceptions, "a"
    .balign 8
    .globl exception_entries
    .hidden exception_entries
exception_entries: /* [32], by vector */
    .popsection

EXCEPTION 0, 0, exception_common
EXCEPTION 1, 0, debug_common
EXCEPTION 2, 0, nmi_common
EXCEPTION 3, 0, exception_common
EXCEPTION 4, 0, exception_common
EXCEPTION 5, 0, exception_common
EXCEPTION 6, 0, exception_common
EXCEPTION 7, 0, exception_common
EXCEPTION 8, 1, double_fault_common
RESERVED_EXCEPTION
EXCEPTION 10, 1, exception_common
EXCEPTION 11, 1, exception_common
EXCEPTION 12, 1, exception_common
EXCEPTION 13, 1, exception_common
EXCEPTION 14, 1, page_fault_common
RESERVED_EXCEPTION
EXCEPTION 16, 0, exception_common
EXCEPTION 17, 1, exception_common
EXCEPTION 18, 0, machine_check_common
EXCEPTION 19, 0, exception_common
RESERVED_EXCEPTION
EXCEPTION 21, 1, exception_common
    .rept 10
RESERVED_EXCEPTION
    .endr

FUNC exception_common
    SAVE_REGS
    cld
    ASM_CLAC
    testb $3, REGS_cs(%rsp)
    jz hypervisor_exception
    SPEC_ENTRY
    mov %rsp, %rdi
    call pv_exception
    jmp pv_return_to_guest
END_FUNC exception_common

FUNC page_fault_common
    SAVE_REGS
    cld
    ASM_CLAC
    mov %cr2, %rsi
    testb $3, REGS_cs(%rsp)
    jz hypervisor_exception
    SPEC_ENTRY
    mov %rsp, %rdi
    SPEC_REPLACE 0xe8, isolation_page_fault
    call pv_page_fault
    jmp pv_return_to_guest
END_FUNC page_fault_common

FUNC hypervisor_exception
    CALL_FROM_HYPERVISOR trap_hypervisor
return_to_hypervisor:
    RESTORE_REGS
    add $8, %rsp
    iretq
END_FUNC hypervisor_exception

/* int $0x80, which guests may execute. */
FUNC int80_entry
    push $0
    movl $0x80, 4(%rsp)
    jmp exception_common
END_FUNC int80_entry

/* ---- IST entries ---- */

/* From guest mode: moves the frame to cpu_info()->guest and continues there. */
.macro LEAVE_IST_STACK
    mov %rsp, %rsi
    GET_CPU_INFO %rdi
    mov %rdi, %rsp
    mov $REGS_FRAME_QUADS, %ecx
    rep movsq
.endm

.macro IST_ENTRY name, guest_handler, hypervisor_handler
FUNC \name
    SAVE_REGS
    cld
    ASM_CLAC
    testb $3, REGS_cs(%rsp)
    jz 1f
    LEAVE_IST_STACK
    SPEC_ENTRY
    mov %rsp, %rdi
    call \guest_handler
    jmp pv_return_to_guest
1:  CALL_FROM_HYPERVISOR \hypervisor_handler
    jmp return_to_hypervisor
END_FUNC \name
.endm

IST_ENTRY debug_common, trap_guest_debug, trap_debug
IST_ENTRY nmi_common, trap_nmi, trap_nmi
IST_ENTRY machine_check_common, trap_machine_check, trap_machine_check

FUNC double_fault_common
    SAVE_REGS
    cld
    CALL_FROM_HYPERVISOR trap_double_fault
    ud2
END_FUNC double_fault_common

/* ---- interrupts: vectors 0x20 to 0xff, 16 bytes each ---- */

    .globl interrupt_stubs
    .hidden interrupt_stubs
    .balign 16
interrupt_stubs:
    vector = 0x20
    .rept 256 - 0x20
    .balign 16
    push $0
    movl $vector, 4(%rsp)
    jmp interrupt_common
    vector = vector + 1
    .endr

FUNC interrupt_common
    SAVE_REGS
    cld
    ASM_CLAC
    testb $3, REGS_cs(%rsp)
    jz 1f
    SPEC_ENTRY
    mov %rsp, %rdi
    call irq_dispatch
    jmp pv_return_to_guest
1:  mov %rsp, %rdi
    call irq_dispatch
    jmp return_to_hypervisor
END_FUNC interrupt_common

/* ---- stacks ---- */

/* The vcpu that is current now continues in guest mode; what is on the stack is forgotten. */
FUNC reset_stack_and_return_to_guest
    GET_CPU_INFO %rax
    mov %rax, %rsp
    jmp pv_return_to_guest
END_FUNC reset_stack_and_return_to_guest

/* The idle loop, below the frame of the guest whose state the CPU still holds. */
FUNC reset_stack_and_idle
    GET_CPU_INFO %rax
    mov %rax, %rsp
    and $-16, %rsp
    xor %ebp, %ebp
    call idle_loop
    ud2
END_FUNC reset_stack_and_idle

/* rdi: struct cpu_info at a stack's top; rsi: function that never returns. */
FUNC boot_switch_stack
    mov %rdi, %rsp
    and $-16, %rsp
    xor %ebp, %ebp
    call *%rsi
    ud2
END_FUNC boot_switch_stack

/* A new CPU, from the trampoline: rsp = its struct cpu_info. */
FUNC secondary_start
    and $-16, %rsp
    xor %ebp, %ebp
    call smp_secondary_main
    ud2
END_FUNC secondary_start

/* ---- guest memory ---- */

/*
 * size_t copy_user(void *dst, const void *src, size_t bytes): bytes not copied. One of the pointers is a guest's.
 */
.macro USER_STRING name, op, bytes
FUNC \name
    ASM_STAC
    mov %\bytes, %rcx
    shr $3, %rcx
    and $7, %\bytes
    xor %eax, %eax
    MAY_FAULT 3f, rep \op\()q
    mov %\bytes, %rcx
    MAY_FAULT 4f, rep \op\()b
    ASM_CLAC
    ret
3:  lea (%\bytes, %rcx, 8), %rax
    ASM_CLAC
    ret
4:  mov %rcx, %rax
    ASM_CLAC
    ret
END_FUNC \name
.endm

USER_STRING copy_user, movs, rdx
/* size_t clear_user(void *dst, size_t bytes): bytes not cleared. */
USER_STRING clear_user, stos, rsi

/*
 * The compiler's indirect calls and jumps go through these (module.mk). Where boot put a no-operation in place of the jump,
 * the target is reached by a return, whose prediction no guest can train; what is speculated is the loop.
 */
.macro INDIRECT_THUNK reg
FUNC __x86_indirect_thunk_\reg
1:  jmp *%\reg
    .balign 4, 0xcc
    RETPOLINE_PATCH 1b, 0x0f, 0x1f, 0x40, 0x00
    call 3f
2:  pause
    lfence
    jmp 2b
3:  mov %\reg, (%rsp)
    ret
END_FUNC __x86_indirect_thunk_\reg
.endm
.irp reg, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
    INDIRECT_THUNK \reg
.endr
    .globl __llvm_retpoline_r11 /* clang's name */
    .hidden __llvm_retpoline_r11
    .set __llvm_retpoline_r11, __x86_indirect_thunk_r11

#define HISTORY_ROUNDS 100 /* of two taken branches each: CPUs remember fewer than 200 */

/*
 * What a guest trained is not used: IBRS; and where the vcpu in rdx (0: none) has guards, all branches are forgotten; then
 * a return stack that no guest filled; at last the history of branches. Clobbers rax, rcx, rdx.
 */
FUNC forget_training
    xor %eax, %eax
    test %rdx, %rdx
    jz 1f
    movzbl VCPU_entry_guards(%rdx), %eax
1:  push %rax
    cmpb $0, spec_entry_ibrs(%rip)
    je 2f
    mov $MSR_SPEC_CTRL, %ecx
    mov $1, %eax
    xor %edx, %edx
    wrmsr
2:  testb $GUARD_IBPB, (%rsp)
    jz 3f
    mov $MSR_PRED_CMD, %ecx
    mov $1, %eax
    xor %edx, %edx
    wrmsr
3:  cmpb $0, spec_entry_rsb(%rip)
    je 5f
    .rept 32
    call 4f
    pause
    lfence
4:
    .endr
    add $(32 * 8), %rsp
    lfence
5:  pop %rax
    testb $GUARD_BHB, %al
    jz 8f
    mov $HISTORY_ROUNDS, %ecx
6:  jmp 7f
7:  sub $1, %ecx
    jnz 6b
    lfence
8:  ret
END_FUNC forget_training

/* SPEC_ENTRY: right above the frame. The hypervisor's tables come first. */
FUNC spec_entry_thunk
    GET_CPU_INFO %rax
    mov CPU_INFO_full_cr3(%rax), %rcx
    test %rcx, %rcx
    jz 1f
    mov %rcx, %cr3
    movq $0, CPU_INFO_full_cr3(%rax)
1:  mov CPU_INFO_current(%rax), %rdx
    call forget_training
    mov (REGS_rax + 8)(%rsp), %rax
    mov (REGS_rcx + 8)(%rsp), %rcx
    mov (REGS_rdx + 8)(%rsp), %rdx
    ret
END_FUNC spec_entry_thunk

/* SPEC_EXIT: clears buffers (MDS) and IBRS; at last the tables that the guest runs on. */
FUNC spec_exit_thunk
    cmpb $0, isolation_on(%rip)
    je 1f
    mov %rbx, %rdi
    call isolation_leave
    mov %rax, %rbx
1:  cmpb $0, spec_exit_verw(%rip)
    je 2f
    verw spec_verw_selector(%rip)
2:  cmpb $0, spec_entry_ibrs(%rip)
    je 3f
    mov $MSR_SPEC_CTRL, %ecx
    xor %eax, %eax
    xor %edx, %edx
    wrmsr
3:  cmpb $0, isolation_on(%rip)
    je 4f
    test %rbx, %rbx
    jz 4f
    mov %rbx, %cr3
4:  ret
END_FUNC spec_exit_thunk

/* CALL_FROM_HYPERVISOR: rbx keeps CR3 as it was, r12 IBRS. */
FUNC spec_handler_entry
    mov %cr3, %rbx
    GET_CPU_INFO %rax
    mov CPU_INFO_full_cr3(%rax), %rcx
    test %rcx, %rcx
    jz 1f
    mov %rcx, %cr3
1:  mov CPU_INFO_current(%rax), %rsi
    cmpb $0, spec_entry_ibrs(%rip)
    je 2f
    mov $MSR_SPEC_CTRL, %ecx
    rdmsr
    mov %eax, %r12d
2:  mov %rsi, %rdx
    call forget_training
    ret
END_FUNC spec_handler_entry

FUNC spec_handler_exit
    cmpb $0, spec_exit_verw(%rip)
    je 1f
    verw spec_verw_selector(%rip)
1:  cmpb $0, spec_entry_ibrs(%rip)
    je 2f
    mov $MSR_SPEC_CTRL, %ecx
    mov %r12d, %eax
    xor %edx, %edx
    wrmsr
2:  mov %rbx, %cr3
    ret
END_FUNC spec_handler_exit

    .section .rodata, "a"
spec_verw_selector:
    .short SEL_HV_DS
    .section .note.GNU-stack, "", @progbits

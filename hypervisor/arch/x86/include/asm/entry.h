/*
 * Assembly macros for entry and exit. The frame is struct cpu_regs; offsets come from asm/offsets.h (generated).
 */
#ifndef ASM_ENTRY_H
#define ASM_ENTRY_H

#include <asm/offsets.h>

#ifdef __ASSEMBLER__

.macro FUNC name
    .globl \name
    .hidden \name
    .type \name, @function
    .balign 16
\name:
.endm

.macro END_FUNC name
    .size \name, . - \name
.endm

/* A fault of the instruction at `from` continues at `to`. */
.macro EXTABLE from, to
    .pushsection .extable, "a"
    .balign 8
    .quad \from, \to
    .popsection
.endm

/* An instruction that touches guest memory; if it faults, `to` comes next. */
.macro MAY_FAULT to, insn:vararg
663:
    \insn
    EXTABLE 663b, \to
.endm

/* Pushes the general registers below an error code and vector that are on the stack already. */
.macro SAVE_REGS
    .irp reg, rdi, rsi, rdx, rcx, rax, r8, r9, r10, r11, rbx, rbp, r12, r13, r14, r15
    push %\reg
    .endr
.endm

/* Undoes SAVE_REGS; error code and vector stay. */
.macro RESTORE_REGS
    .irp reg, r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi
    pop %\reg
    .endr
.endm

/* reg = &cpu_info()->guest, from any rsp within the CPU's stack block. */
.macro GET_CPU_INFO reg
    mov $~(STACK_BLOCK_SIZE - 1), \reg
    and %rsp, \reg
    add $(STACK_BLOCK_SIZE - CPU_INFO_SIZE), \reg
.endm

/*
 * A place of three bytes that boot patches to STAC or CLAC when the CPU has SMAP (cpu.c); a NOP until then.
 */
.macro SMAP_PATCH insn
661:
    .byte 0x0f, 0x1f, 0x00
    .pushsection .smap_patch, "a"
    .balign 8
    .quad 661b
    .quad \insn
    .popsection
.endm
.macro ASM_CLAC
    SMAP_PATCH 0xca
.endm
.macro ASM_STAC
    SMAP_PATCH 0xcb
.endm

/*
 * What boot does to the paths in and out where the CPU needs guards (speculation.c). SPEC_PATCH is a place of five bytes that
 * becomes a call. SPEC_REPLACE stands before code of five bytes or more, which becomes a call (0xe8) or jump (0xe9).
 */
.macro SPEC_REPLACE opcode, to
662:
    .pushsection .spec_patch, "a"
    .balign 8
    .quad 662b, \to, \opcode
    .popsection
.endm
.macro SPEC_PATCH thunk
    SPEC_REPLACE 0xe8, \thunk
    .byte 0x0f, 0x1f, 0x44, 0x00, 0x00
.endm
/*
 * The place of four bytes before it: boot puts `bytes` there when indirect branches have to go by the return stack.
 */
.macro RETPOLINE_PATCH at, b0, b1, b2, b3
    .pushsection .retpoline_patch, "a"
    .balign 8
    .quad \at
    .byte \b0, \b1, \b2, \b3, 0, 0, 0, 0
    .popsection
.endm
/* On the way in, when the registers are saved, before anything but the stack is touched: preserves all registers. */
.macro SPEC_ENTRY
    SPEC_PATCH spec_entry_thunk
.endm
/* On the way out, before they are restored: rbx is the vcpu; all others are free. Only the stack may be touched after. */
.macro SPEC_EXIT
    SPEC_PATCH spec_exit_thunk
.endm
/* For what came from ring 0, perhaps between a guest and these: its handler is guarded too, and leaves all as it was. */
.macro CALL_FROM_HYPERVISOR handler
    SPEC_PATCH spec_handler_entry
    mov %rsp, %rdi
    call \handler
    SPEC_PATCH spec_handler_exit
.endm

#endif
#endif

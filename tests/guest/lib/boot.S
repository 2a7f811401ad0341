/*
 * The test kernel's rim: entry, ELF notes, hypercall page, trap and callback entries.
 *
 * Xen enters at _start with %rsi holding the start info's address. A trap or callback arrives with %rcx and %r11 on top
 * of the usual frame; every entry drops those two into place, makes the frame uniform (struct regs of guest.h) and
 * calls guest_trap. The way back is the iret hypercall, which also restores the event mask.
 */
#define NOTE(type, ...)              \
    .pushsection .note.Xen, "a", @note; \
    .p2align 2;                      \
    .long 4, 3f - 2f, type;          \
    .asciz "Xen";                    \
2:  __VA_ARGS__;                     \
3:  .p2align 2;                      \
    .popsection

    NOTE(6, .asciz "bulkhead-test")         /* guest OS */
    NOTE(7, .asciz "1")                     /* guest version */
    NOTE(5, .asciz "xen-3.0")               /* interface */
    NOTE(8, .asciz "generic")               /* loader */
    NOTE(3, .quad VIRT_BASE)
    NOTE(4, .quad 0)                        /* offset of physical addresses */
    NOTE(1, .quad _start)
    NOTE(2, .quad hypercall_page)
    NOTE(9, .asciz "yes")                   /* PAE */
    NOTE(13, .quad 1, 1)                    /* present bit makes an entry valid */
    NOTE(10, .asciz "")                     /* required features: none */
    NOTE(17, .long 1 << 11)                 /* supported features: Dom0 */
    NOTE(14, .long 0)                       /* suspend cancel */

    .text
    .globl _start
_start:
    cld
    lea boot_stack_top(%rip), %rsp
    xor %ebp, %ebp
    mov %rsi, %rdi
    call guest_start
    ud2

    .p2align 12
    .globl hypercall_page
hypercall_page:
    .fill 4096, 1, 0x90

/* Each stub leaves: [vector][error code][rip][cs][rflags][rsp][ss], and %rcx, %r11 as they were. */
    .macro stub vector, has_error
    .p2align 4
    pop %rcx
    pop %r11
    .if \has_error == 0
    push $0
    .endif
    push $\vector
    jmp trap_common
    .endm

    .p2align 4
    .globl trap_stubs
trap_stubs:
    .set i, 0
    .rept 256
    .if i == 8 || (i >= 10 && i <= 14) || i == 17 || i == 21
    stub i, 1
    .else
    stub i, 0
    .endif
    .p2align 4
    .set i, i + 1
    .endr

    .globl event_entry, failsafe_entry, syscall_entry
event_entry:
    stub 256, 0
failsafe_entry:
    pop %rcx
    pop %r11
    add $32, %rsp
    push $0
    push $257
    jmp trap_common
syscall_entry:
    stub 258, 0

trap_common:
    push %rax
    push %rbx
    push %rcx
    push %rdx
    push %rsi
    push %rdi
    push %rbp
    push %r8
    push %r9
    push %r10
    push %r11
    push %r12
    push %r13
    push %r14
    push %r15
    cld
    mov %rsp, %rdi
    mov %rsp, %rbx
    and $-16, %rsp
    call guest_trap
    mov %rbx, %rsp
    .globl trap_return
trap_return:
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rbp
    pop %rdi
    pop %rsi
    pop %rdx
    pop %rcx
    pop %rbx
    pop %rax
    add $16, %rsp
    push $0
    jmp hypercall_page + 23 * 32

/* void guest_enter(struct regs *regs, unsigned long flags): leaves by iret to the given frame; flags as in VGCF_*.
 * Comes back through guest_leave. */
    .globl guest_enter
guest_enter:
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, saved_stack(%rip)
    mov %rdi, %rsp
    mov %rsi, enter_flags(%rip)
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rbp
    pop %rdi
    pop %rsi
    pop %rdx
    pop %rcx
    pop %rbx
    pop %rax
    add $16, %rsp
    push enter_flags(%rip)
    jmp hypercall_page + 23 * 32

    .globl guest_leave
guest_leave:
    mov saved_stack(%rip), %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    ret

    .bss
    .p2align 12
    .skip 65536
    .globl boot_stack_top
boot_stack_top:
saved_stack:
    .skip 8
enter_flags:
    .skip 8

/*
 * Entry of the small PV kernel. The domain builder reads the notes, fills the hypercall page and enters at start with
 * rsi = start_info; paging is on, everything that the image covers is mapped, event delivery is off and stays off.
 */
#include <public/elfnote.h>

#define VIRT_BASE 0

        .macro note_text type, text
        .pushsection .note.Xen, "a", @note
        .align  4
        .long   4, 2f - 1f, \type
        .asciz  "Xen"
1:      .asciz  "\text"
2:      .align  4
        .popsection
        .endm

        .macro note_value type, value
        .pushsection .note.Xen, "a", @note
        .align  4
        .long   4, 8, \type
        .asciz  "Xen"
        .quad   \value
        .popsection
        .endm

        note_text  XEN_ELFNOTE_GUEST_OS, "Bulkhead guest"
        note_text  XEN_ELFNOTE_GUEST_VERSION, "1"
        note_text  XEN_ELFNOTE_LOADER, "generic"
        note_text  XEN_ELFNOTE_XEN_VERSION, "xen-3.0"
        note_text  XEN_ELFNOTE_PAE_MODE, "yes"
        note_value XEN_ELFNOTE_VIRT_BASE, VIRT_BASE
        note_value XEN_ELFNOTE_PADDR_OFFSET, VIRT_BASE
        note_value XEN_ELFNOTE_ENTRY, start
        note_value XEN_ELFNOTE_HYPERCALL_PAGE, hypercall_page

        .section .text.start, "ax"
        .globl  start
start:
        cld
        lea     stack_end(%rip), %rsp
        xor     %ebp, %ebp
        mov     %rsi, %rdi
        call    kernel_main
1:      pause
        jmp     1b

        .text
        .align  4096
        .globl  hypercall_page
hypercall_page:
        .skip   4096

/* long hypercall(number, a1, a2, a3, a4): one of the 32-byte stubs of the page; its registers are rdi, rsi, rdx, r10. */
        .globl  hypercall
hypercall:
        mov     %rdi, %rax
        shl     $5, %rax
        lea     hypercall_page(%rip), %r11
        add     %r11, %rax
        mov     %rsi, %rdi
        mov     %rdx, %rsi
        mov     %rcx, %rdx
        mov     %r8, %r10
        jmp     *%rax

        .bss
        .align  4096
        .skip   65536
stack_end:

        .section .note.GNU-stack, "", @progbits

/*
 * First instructions. A Multiboot loader enters in 32-bit protected mode without paging, at the image's first byte.
 *
 * eax holds the loader's magic, ebx the address of its information. We check that the CPU has long mode and NX, map the
 * first 4 GiB three times with 2 MiB pages (at 0, at DIRECTMAP_START, and the first GiB at HYPERVISOR_TEXT), switch to
 * long mode at the linked address and call boot_main(magic, info). paging.c replaces these tables.
 */
#include <asm/layout.h>
#include <asm/offsets.h>

#define PHYS(sym) (sym - HYPERVISOR_TEXT)

#define MB1_MAGIC    0x1badb002
#define MB1_FLAGS    0x3 /* modules page-aligned, memory information */
#define MB2_MAGIC    0xe85250d6
#define MB2_ARCH_I386 0

#define BOOT_PTE     0x3  /* present, writable */
#define BOOT_PTE_2M  0x83

/* From paging off, CR3 loaded: PAE (and `cr4_more`), long mode, NX and SYSCALL, caches and paging on. */
.macro LONG_MODE_ON cr4_more
    mov %cr4, %eax
    or $(0x20 | \cr4_more), %eax
    mov %eax, %cr4
    mov $0xc0000080, %ecx
    rdmsr
    or $0x901, %eax /* SCE, LME, NXE */
    wrmsr
    mov %cr0, %eax
    and $~0x60000000, %eax /* caches on */
    or $0x80010003, %eax /* PG, WP, MP, PE */
    mov %eax, %cr0
.endm

.macro CLEAR_SEGMENTS
    xor %eax, %eax
    .irp seg, ss, ds, es, fs, gs
    mov %eax, %\seg
    .endr
.endm

    .section .boot.head, "ax"
    .code32
image_first:
    jmp boot_entry32

    .balign 4
    .long MB1_MAGIC, MB1_FLAGS, -(MB1_MAGIC + MB1_FLAGS)

    .balign 8
mb2_header:
    .long MB2_MAGIC, MB2_ARCH_I386, mb2_header_end - mb2_header
    .long -(MB2_MAGIC + MB2_ARCH_I386 + (mb2_header_end - mb2_header))
    /* information request: modules, memory map, command line, ACPI, framebuffer */
    .balign 8
1:  .short 1, 0
    .long 2f - 1b
    .long 1, 2, 3, 6, 8, 12, 14, 15
2:
    /* page-align modules */
    .balign 8
    .short 6, 0
    .long 8
    /* end */
    .balign 8
    .short 0, 0
    .long 8
mb2_header_end:

    .section .boot.text, "ax"
    .code32
    .globl boot_entry32
boot_entry32:
    cli
    cld
    mov $PHYS(boot_stack_top), %esp
    mov %eax, %ebp
    mov %ebx, %esi

    mov $PHYS(no_long_mode), %edi
    mov $0x80000000, %eax
    cpuid
    cmp $0x80000001, %eax
    jb boot_error32
    mov $0x80000001, %eax
    cpuid
    bt $29, %edx
    jnc boot_error32
    mov $PHYS(no_nx), %edi
    bt $20, %edx
    jnc boot_error32

    /* 4 GiB in 2 MiB pages */
    mov $PHYS(boot_l2), %edi
    mov $BOOT_PTE_2M, %eax
1:  mov %eax, (%edi)
    movl $0, 4(%edi)
    add $8, %edi
    add $0x200000, %eax
    jnc 1b

    mov $PHYS(boot_l2) + BOOT_PTE, %eax
    mov $PHYS(boot_l3), %edi
    mov %eax, (%edi)
    mov %eax, PHYS(boot_l3_text) + 8 * ((HYPERVISOR_TEXT >> 30) & 511)
    add $0x1000, %eax
    mov %eax, 8(%edi)
    add $0x1000, %eax
    mov %eax, 16(%edi)
    add $0x1000, %eax
    mov %eax, 24(%edi)

    movl $PHYS(boot_l3) + BOOT_PTE, PHYS(boot_l4)
    movl $PHYS(boot_l3) + BOOT_PTE, PHYS(boot_l4) + 8 * ((DIRECTMAP_START >> 39) & 511)
    movl $PHYS(boot_l3_text) + BOOT_PTE, PHYS(boot_l4) + 8 * ((HYPERVISOR_TEXT >> 39) & 511)

    mov $PHYS(boot_l4), %eax
    call enter_long_mode
    ljmp $8, $PHYS(1f)

    .code64
1:  movabs $1f, %rax
    jmp *%rax
1:  lgdt boot_gdt_pointer64(%rip)
    lea boot_stack_top(%rip), %rsp
    CLEAR_SEGMENTS
    mov %ebp, %edi
    mov %esi, %esi
    xor %ebp, %ebp
    call boot_main
2:  hlt
    jmp 2b

    /* eax: top-level page table. Turns on PAE, NX, long mode and paging; returns in compatibility mode. */
    .code32
enter_long_mode:
    mov %eax, %cr3
    LONG_MODE_ON 0
    lgdt PHYS(boot_gdt_pointer32)
    ret

    /* edi: a sentence. To COM1 and the screen, then halt. */
boot_error32:
    mov $0xb8000, %ebx
1:  mov (%edi), %cl
    test %cl, %cl
    jz 3f
    mov $0x3fd, %dx
2:  in %dx, %al
    test $0x20, %al
    jz 2b
    mov %cl, %al
    mov $0x3f8, %dx
    out %al, %dx
    mov $0x0f, %ch
    mov %cx, (%ebx)
    add $2, %ebx
    inc %edi
    jmp 1b
3:  hlt
    jmp 3b

no_long_mode:
    .asciz "Bulkhead: this CPU has no 64-bit mode (CPUID 0x80000001 EDX bit 29); it needs one.\r\n"
no_nx:
    .asciz "Bulkhead: this CPU has no NX bit (CPUID 0x80000001 EDX bit 20), or the firmware turned it off.\r\n"

    .balign 8
boot_gdt:
    .quad 0
    .quad 0x00af9b000000ffff /* 64-bit code */
    .quad 0x00cf93000000ffff /* data */
boot_gdt_pointer32:
    .short 23
    .long PHYS(boot_gdt)
    .balign 8
boot_gdt_pointer64:
    .short 23
    .quad boot_gdt

    /*
     * Another CPU's first instructions, copied to a page below 1 MiB whose number the startup IPI carries
     * (cs = page << 8). boot_trampoline_data is filled in for each CPU by smp.c.
     */
    .code16
    .balign 16
    .globl trampoline_start, trampoline_end
trampoline_start:
    cli
    cld
    mov %cs, %ax
    mov %ax, %ds
    movzwl %ax, %ebx
    shl $4, %ebx /* our physical address */
    lgdtl trampoline_gdt_pointer - trampoline_start
    mov $0x11, %eax
    mov %eax, %cr0
    ljmpl *(trampoline_far32 - trampoline_start)
    .code32
trampoline_32:
    mov $16, %eax
    mov %eax, %ds
    mov %eax, %ss
    mov trampoline_cr3 - trampoline_start(%ebx), %eax
    mov %eax, %cr3
    LONG_MODE_ON 0x80 /* PGE */
    ljmp *(trampoline_far64 - trampoline_start)(%ebx)
    .code64
trampoline_64:
    mov trampoline_rsp - trampoline_start(%rbx), %rsp
    CLEAR_SEGMENTS
    xor %ebp, %ebp
    jmp *(trampoline_entry - trampoline_start)(%rbx)

    .balign 8
trampoline_gdt:
    .quad 0
    .quad 0x00af9b000000ffff /* 8: 64-bit code */
    .quad 0x00cf93000000ffff /* 16: data */
    .quad 0x00cf9b000000ffff /* 24: 32-bit code */
trampoline_gdt_pointer:
    .short 31
    .globl trampoline_gdt_base, trampoline_far32, trampoline_far64, trampoline_cr3, trampoline_rsp, trampoline_entry
    .globl trampoline_gdt, trampoline_32, trampoline_64
trampoline_gdt_base:
    .long 0
    .balign 8
trampoline_far32:
    .long 0
    .short 24
    .balign 8
trampoline_far64:
    .long 0
    .short 8
    .balign 8
trampoline_cr3:
    .quad 0
trampoline_rsp:
    .quad 0
trampoline_entry:
    .quad 0
trampoline_end:

    .section .boot.bss, "aw", @nobits
    .balign 4096
boot_l4:
    .skip 4096
boot_l3:
    .skip 4096
boot_l3_text:
    .skip 4096
boot_l2:
    .skip 4 * 4096
    .skip 16384
    .globl boot_stack_top
boot_stack_top:
    .section .note.GNU-stack, "", @progbits

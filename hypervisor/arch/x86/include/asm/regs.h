/*
 * The register frame at the top of the hypervisor's stack, from the entry code's pushes downward in memory:
 * the first member lies at the lowest address. Same layout as the ABI's cpu_user_regs (public/arch-x86_64.h), whose
 * last eight bytes of each selector slot the hardware and the entry code leave zero.
 */
#ifndef ASM_REGS_H
#define ASM_REGS_H

#include <bh/types.h>
#include <asm/desc.h>

struct cpu_regs {
    uint64_t r15, r14, r13, r12, rbp, rbx;
    uint64_t r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
    uint32_t error_code; /* the hardware's, or BY_SYSCALL */
    uint32_t vector;     /* of an exception or interrupt */
    /* hardware frame */
    uint64_t rip;
    uint16_t cs, pad0[1];
    uint8_t saved_upcall_mask, pad1[3];
    uint64_t rflags;
    uint64_t rsp;
    uint16_t ss, pad2[3];
    uint16_t es, pad3[3];
    uint16_t ds, pad4[3];
    uint16_t fs, pad5[3];
    uint16_t gs, pad6[3];
};
_Static_assert(offsetof(struct cpu_regs, rip) == 16 * 8, "hardware frame follows the error code");
_Static_assert(sizeof(struct cpu_regs) == 25 * 8, "as the ABI's cpu_user_regs");

/* In error_code: came by SYSCALL from 64-bit code and may leave by SYSRETQ; rcx and r11 are rip and rflags. No hardware
 * error code has this bit. */
#define BY_SYSCALL 0x40000000

/*
 * The block of STACK_SIZE bytes, aligned to it, that each CPU owns:
 *   pages 0..3: IST stacks for #DB, #MC, NMI, #DF (one page each); page 4: guard, not mapped;
 *   pages 5..7: the stack, with struct cpu_info at its very top. Blocks lie apart, so that the space before each is
 *   not mapped either. All of it is mapped while guests run, page-table isolation or not.
 * The hypervisor finds its CPU's data from the stack pointer alone: GS and FS always belong to the guest.
 */
#define STACK_ORDER 3
#define STACK_SIZE  (PAGE_SIZE << STACK_ORDER)

struct percpu;

struct cpu_info {
    struct cpu_regs guest; /* of the current vcpu while the hypervisor runs */
    uint32_t cpu;
    uint32_t work; /* pending work bits (bh/work.h); set by this CPU with interrupts off, or atomically */
    struct vcpu *current;
    struct percpu *percpu;
    uint64_t guest_rsp; /* in passing, at SYSCALL */
    paddr_t full_cr3;   /* what the way in loads; 0: nothing (isolation.c) */
    struct tss tss;
};
/* The CPU aligns rsp to 16 before it pushes a frame: the end of the hardware's part must be so aligned already. */
_Static_assert((sizeof(struct cpu_info) - offsetof(struct cpu_regs, es)) % 16 == 0,
               "place of the hardware frame");

static inline struct cpu_info *cpu_info(void)
{
    uint64_t sp;

    __asm__("mov %%rsp, %0" : "=r"(sp));
    return (struct cpu_info *)((sp & ~(STACK_SIZE - 1)) + STACK_SIZE) - 1;
}

#endif

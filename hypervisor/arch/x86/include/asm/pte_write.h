/*
 * Instructions that write to a page-table entry, decoded: what pv/pte_write.c knows of x86. The memory
 * operand's address is not computed: the fault tells it.
 */
#ifndef ASM_PTE_WRITE_H
#define ASM_PTE_WRITE_H

#include <asm/regs.h>

enum write_kind {
    WRITE_MOV,
    WRITE_XCHG,
    WRITE_ADD,
    WRITE_OR,
    WRITE_AND,
    WRITE_SUB,
    WRITE_XOR,
    WRITE_CMPXCHG,
    WRITE_BTS,
    WRITE_BTR,
    WRITE_BTC,
};

#define INSN_MAX 15

struct write_insn {
    enum write_kind kind;
    uint8_t size;   /* of the operand, in bytes: 1, 2, 4, 8 */
    uint8_t length; /* of the instruction */
    uint8_t reg;    /* source register 0..15; or, with has_immediate, unused */
    bool high_byte; /* reg is ah, ch, dh or bh */
    bool has_immediate;
    uint64_t immediate; /* sign-extended to the operand's size and beyond */
};

/* A general register by its number in instructions, 0 to 15. */
static inline uint64_t *register_of(const struct cpu_regs *regs, unsigned int number)
{
    static const uint8_t offset[16] = {
        offsetof(struct cpu_regs, rax), offsetof(struct cpu_regs, rcx), offsetof(struct cpu_regs, rdx),
        offsetof(struct cpu_regs, rbx), offsetof(struct cpu_regs, rsp), offsetof(struct cpu_regs, rbp),
        offsetof(struct cpu_regs, rsi), offsetof(struct cpu_regs, rdi), offsetof(struct cpu_regs, r8),
        offsetof(struct cpu_regs, r9),  offsetof(struct cpu_regs, r10), offsetof(struct cpu_regs, r11),
        offsetof(struct cpu_regs, r12), offsetof(struct cpu_regs, r13), offsetof(struct cpu_regs, r14),
        offsetof(struct cpu_regs, r15),
    };
    return (uint64_t *)((uintptr_t)regs + offset[number & 15]);
}

/* Writes the low `bytes` of a register: 32-bit values clear the upper half, smaller ones keep the rest. */
static inline void set_register(uint64_t *reg, unsigned int bytes, uint64_t value)
{
    uint64_t mask = ~0UL >> (64 - 8 * bytes);

    *reg = (bytes >= 4 ? 0 : *reg & ~mask) | (value & mask);
}

/* Decodes 64-bit code in `bytes`, of which n are known. false: not one of the forms above. */
bool write_decode(const uint8_t *bytes, unsigned int n, struct write_insn *insn);
/* The operand's new value, given the old; what it does to registers and flags waits for write_finish. */
uint64_t write_result(const struct write_insn *insn, const struct cpu_regs *regs, uint64_t old);
/* Puts the instruction's effect on registers and flags in place, and moves rip behind it; `result` is
 * write_result's. */
void write_finish(const struct write_insn *insn, struct cpu_regs *regs, uint64_t old, uint64_t result);

#endif

/* Exceptions: vectors, error-code bits, and who handles what. */
#ifndef ASM_TRAP_H
#define ASM_TRAP_H

#include <bh/types.h>
#include <asm/regs.h>

#define TRAP_DE  0
#define TRAP_DB  1
#define TRAP_NMI 2
#define TRAP_BP  3
#define TRAP_OF  4
#define TRAP_BR  5
#define TRAP_UD  6
#define TRAP_NM  7
#define TRAP_DF  8
#define TRAP_TS  10
#define TRAP_NP  11
#define TRAP_SS  12
#define TRAP_GP  13
#define TRAP_PF  14
#define TRAP_MF  16
#define TRAP_AC  17
#define TRAP_MC  18
#define TRAP_XM  19
#define TRAP_CP  21

/* Called by the entry code. */
void trap_hypervisor(struct cpu_regs *regs);
void trap_nmi(struct cpu_regs *regs);
void trap_machine_check(struct cpu_regs *regs);
void trap_debug(struct cpu_regs *regs);
void trap_guest_debug(struct cpu_regs *regs);
void noreturn_fn trap_double_fault(struct cpu_regs *regs);

/* Prints registers and the return addresses found on the stack. */
void regs_dump(const struct cpu_regs *regs);

/* Where a fault that EXTABLE() (asm/insn.h, asm/entry.h) expects at `rip` continues; 0: the fault is a bug. */
uint64_t extable_lookup(uint64_t rip);

#endif

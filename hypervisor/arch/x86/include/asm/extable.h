/* Faults that the hypervisor expects: EXTABLE() (asm/insn.h, asm/entry.h) names where to go on. */
#ifndef ASM_EXTABLE_H
#define ASM_EXTABLE_H

#include <bh/types.h>

/* Where to continue after a fault at `rip`; 0: the fault is a bug. */
uint64_t extable_lookup(uint64_t rip);

#endif

/* Page-table isolation: guests run on roots that map next to nothing of the hypervisor (model in isolation.c). */
#ifndef ASM_ISOLATION_H
#define ASM_ISOLATION_H

#include <bh/types.h>

struct vcpu;
struct cpu_regs;

/* Some domains are isolated: each CPU has a root, nothing is global. Constant after isolation_init(). */
extern bool isolation_on;

/* Whom to isolate: what the command line says, or all where the CPU is open to Meltdown. */
void isolation_init(bool meltdown);
const char *isolation_summary(void);

/* For the entry paths: the CR3 to leave to v's guest with, whose root is brought up to date; 0: stay on the tables in use. */
paddr_t isolation_leave(struct vcpu *v);
/* In place of pv_page_fault(). */
void isolation_page_fault(struct cpu_regs *regs, uint64_t cr2);

#endif

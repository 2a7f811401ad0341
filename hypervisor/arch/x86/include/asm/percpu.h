/*
 * The machine's data of one CPU. Reached through cpu_info()->percpu or percpu_of(cpu). Allocated once, when the CPU is
 * brought up; never freed.
 */
#ifndef ASM_PERCPU_H
#define ASM_PERCPU_H

#include <bh/types.h>
#include <asm/regs.h>

struct percpu {
    uint32_t cpu, apic_id, acpi_id;
    struct cpu_info *info;
    /* Whose registers, FPU state and page tables the CPU holds: the current guest vcpu, or while idle the last one. */
    struct vcpu *loaded;
    uint64_t *gdt_page; /* page GDT_HV_PAGE of every GDT loaded on this CPU */
    mfn_t gdt_mfn;
    uint64_t *root; /* top-level table of isolated guests (isolation.c); NULL: there are none */
    bool cr0_ts, dr7_active, ldt_loaded;
    _Atomic uint64_t calls; /* cross calls asked of this CPU: bit per sender */
    uint64_t timer_deadline;
    uint64_t tsc_base, ns_base; /* system time = ns_base + (tsc - tsc_base) scaled */
    _Atomic uint32_t tlb_stamp; /* the TLB clock at this CPU's last full flush */
    _Atomic bool alive;
};

extern struct percpu *percpu_table[NR_CPUS];

static inline struct percpu *percpu_of(unsigned int cpu)
{
    return percpu_table[cpu];
}

static inline struct percpu *this_percpu(void)
{
    return cpu_info()->percpu;
}

#endif

/*
 * The x86 half of domains and vcpus.
 *
 * PV address spaces: a vcpu has two top-level page tables, one for its kernel and one for its user mode (both
 * run in ring 3); `kernel_mode` tells which is in use. Both are PGT_l4 pages on which the vcpu holds type
 * references (guest_table, guest_table_user; INVALID_MFN: none). cr3 is what is loaded now, or will be at the
 * next switch in.
 */
#ifndef ASM_X86_DOMAIN_H
#define ASM_X86_DOMAIN_H

#include <bh/types.h>
#include <bh/lock.h>
#include <asm/regs.h>

#define PV_GDT_FRAMES 14
#define FPU_AREA_SIZE 4096 /* one page: legacy FXSAVE or XSAVE area of the enabled features */

/* Offsets of members used by assembly are made by arch/x86/asm_offsets.c. */
struct pv_vcpu {
    bool kernel_mode;
    bool entry_short; /* system calls may take the short forms of entry_pv.S: pv_choose_entry() */
    bool syscall_mask_events, syscall32_mask_events, sysenter_mask_events, failsafe_mask_events;
    uint8_t nmi_active;
    uint8_t entry_guards; /* GUARD_* (asm/cpufeature.h); constant */
    uint64_t event_callback, failsafe_callback, syscall_callback, syscall32_callback, sysenter_callback;
    uint64_t kernel_ss, kernel_sp;
    mfn_t guest_table, guest_table_user;
    struct page_info
        *demoting; /* table whose demotion the next mmu hypercall continues, or NULL; no reference */
    /* Bounce in preparation, consumed on the way out (pv/trap.c). */
    struct {
        uint64_t eip;
        uint32_t error_code;
        uint16_t cs;
        uint8_t flags;       /* PV_TRAP_* */
        uint8_t nmi_pending; /* behind flags: the way out tests both at once */
    } bounce;
    struct trap_info *trap; /* [256], as the guest gave them, with cs in ring 3; address 0: none */
    /* Segments. Bases of the mode that is not running are in *_other; the running one's are in the CPU's
     * MSRs. */
    uint64_t fs_base, gs_base_kernel, gs_base_user; /* saved when switched out */
    uint16_t ds, es, fs, gs;
    uint32_t gdt_entries, ldt_entries;
    mfn_t gdt_frame[PV_GDT_FRAMES];
    /*
     * The 32 L1 entries of this vcpu's GDT and LDT window (asm/layout.h): 0..13 the guest's GDT frames, 14
     * the GDT page of the CPU it runs on (written by the context switch), 16..31 LDT pages.
     */
    uint64_t *perdomain_l1;
    uint64_t ldt_base;   /* guest virtual; pages are mapped on demand */
    uint32_t ldt_mapped; /* bit per LDT page that is mapped */
    uint64_t ctrlreg[8]; /* guest's view: cr0 (TS), cr2 (saved), cr4 */
    uint8_t iopl;
    uint64_t iobmp; /* guest virtual address of the I/O bitmap, and its limit in ports */
    uint32_t iobmp_limit;
    /* Returns in a row that led into the next upcall at once, and where to (pv/iret.c). */
    uint64_t stuck_rip, stuck_rsp;
    uint32_t stuck;
};
#define PV_TRAP_PENDING   1
#define PV_TRAP_ERRCODE   2
#define PV_TRAP_INTERRUPT 4 /* entry masks events: the same bit as in struct trap_info */

struct arch_vcpu {
    uint64_t cr3;         /* machine address of the top-level table in use */
    struct cpu_regs regs; /* while switched out */
    void *fpu;            /* FPU_AREA_SIZE bytes */
    uint64_t xcr0;
    uint64_t debugreg[8]; /* 0-3, 6, 7 */
    uint32_t tsc_aux;
    struct pv_vcpu pv;
    uint64_t time_version;
    int last_cpu;                /* whose TLB may hold our entries; -1: none */
    _Atomic uint32_t loaded_cpu; /* CPU + 1 that holds our state in its registers; 0: none (asm/context.h) */
};

struct arch_domain {
    struct page_info *perdomain_l3; /* root of slot PERDOMAIN_SLOT */
    _Atomic uint64_t dirty_cpus;    /* CPUs whose TLB may hold entries of this domain: cpumask */
    struct rangeset *ioport_caps;
    uint32_t pci_cf8; /* address latch of the PCI configuration ports */
    /* Physical interrupts: pirq number to the machine's interrupt (arch/x86/irq.c). */
    struct pirq **pirq;
    uint32_t nr_pirqs;
    /* Page shared with the guest: bit per pirq, whether it needs PHYSDEVOP_eoi; NULL: not registered
     * (physdev.c). */
    unsigned long *pirq_eoi_map;
    struct page_info *pirq_eoi_page; /* writable reference */
    bool pirq_auto_unmask;           /* PHYSDEVOP_eoi unmasks the port too */
    /* relinquish progress (pv/mm_domain.c): next page, held by a reference; 0: from the start */
    uint32_t relinquish_stage;
    uint64_t relinquish_next;
    /* Memory map that XENMEM_memory_map tells the domain (pv/mm_memory.c); d->lock */
    struct xen_e820entry *memory_map;
    uint32_t nr_memory_map;
    /* CPUID and MSR policy (pv/cpuid.c) */
    struct xen_cpuid_leaf *cpuid;
    uint32_t tsc_mode;
    uint64_t tsc_offset;
    uint32_t tsc_incarnation;
};

#endif

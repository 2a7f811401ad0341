/*
 * The x86-64 half of the core guest ABI: flat selectors, the hypervisor's address range, register and vcpu
 * contexts, the machine's part of the shared information. Included by public/xen.h.
 */
#ifndef PUBLIC_ARCH_X86_64_H
#define PUBLIC_ARCH_X86_64_H

#include <stdint.h>

typedef uint64_t xen_pfn_t;
typedef uint64_t xen_ulong_t;

#define XEN_LEGACY_MAX_VCPUS 32

/* Pages of the GDT that the hypervisor keeps for itself; the flat segments below lie there. */
#define FIRST_RESERVED_GDT_ENTRY (14 * 512)

#define FLAT_KERNEL_CS 0xe033
#define FLAT_KERNEL_SS 0xe02b

#define HYPERVISOR_VIRT_START 0xFFFF800000000000UL

/* set_segment_base(which, base) */
#define SEGBASE_FS          0
#define SEGBASE_GS_USER     1
#define SEGBASE_GS_KERNEL   2
#define SEGBASE_GS_USER_SEL 3

/* iret(): the context lies at the guest kernel's stack pointer. */
#define VGCF_in_syscall 256
#define VGCF_IN_SYSCALL VGCF_in_syscall
struct iret_context {
    uint64_t rax, r11, rcx, flags, rip, cs, rflags, rsp, ss;
};

/* set_trap_table(struct trap_info *): ends with an address of 0. */
#define TI_GET_DPL(ti) ((ti)->flags & 3)
#define TI_GET_IF(ti)  ((ti)->flags & 4)
struct trap_info {
    uint8_t vector;
    uint8_t flags; /* 0-3: privilege level; 4: clear event enable */
    uint16_t cs;
    uint64_t address;
};

struct cpu_user_regs {
    uint64_t r15, r14, r13, r12, rbp, rbx;
    uint64_t r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
    uint32_t error_code;
    uint32_t entry_vector;
    uint64_t rip;
    uint16_t cs, _pad0[1];
    uint8_t saved_upcall_mask;
    uint8_t _pad1[3];
    uint64_t rflags; /* IF is the inverse of saved_upcall_mask */
    uint64_t rsp;
    uint16_t ss, _pad2[3];
    uint16_t es, _pad3[3];
    uint16_t ds, _pad4[3];
    uint16_t fs, _pad5[3];
    uint16_t gs, _pad6[3];
};

#define xen_cr3_to_pfn(cr3) ((uint64_t)(cr3) >> 12)

#define VGCF_i387_valid               (1 << 0)
#define VGCF_in_kernel                (1 << 2)
#define VGCF_failsafe_disables_events (1 << 3)
#define VGCF_syscall_disables_events  (1 << 4)
#define VGCF_online                   (1 << 5)

/* VCPUOP_initialise and XEN_DOMCTL_{set,get}vcpucontext. */
struct vcpu_guest_context {
    struct {
        char x[512];
    } fpu_ctxt;
    uint64_t flags; /* VGCF_* */
    struct cpu_user_regs user_regs;
    struct trap_info trap_ctxt[256];
    uint64_t ldt_base, ldt_ents;
    uint64_t gdt_frames[16], gdt_ents;
    uint64_t kernel_ss, kernel_sp;
    uint64_t ctrlreg[8]; /* the user page table is in ctrlreg[1] */
    uint64_t debugreg[8];
    uint64_t event_callback_eip;
    uint64_t failsafe_callback_eip;
    uint64_t syscall_callback_eip;
    uint64_t vm_assist;
    uint64_t fs_base;
    uint64_t gs_base_kernel;
    uint64_t gs_base_user;
};

struct arch_shared_info {
    uint64_t max_pfn;                     /* entries of the p2m */
    xen_pfn_t pfn_to_mfn_frame_list_list; /* tree of the p2m; 0: not yet; ~0: use p2m_vaddr */
    uint64_t nmi_reason;
    uint64_t p2m_cr3; /* where p2m_vaddr, the linear p2m list, is mapped */
    uint64_t p2m_vaddr;
    uint64_t p2m_generation; /* odd while the guest changes the mapping of the list */
};

struct arch_vcpu_info {
    uint64_t cr2;
    uint64_t pad;
};

typedef uint64_t xen_callback_t;

/* Emulated devices of a domain (XEN_DOMCTL_createdomain). */
#define XEN_X86_MSR_RELAXED (1u << 0)
struct xen_arch_domainconfig {
    uint32_t emulation_flags; /* XEN_X86_EMU_* */
    uint32_t misc_flags;      /* XEN_X86_MSR_RELAXED */
};

#define XEN_CPUID_NO_SUBLEAF 0xffffffffu
struct xen_cpuid_leaf {
    uint32_t leaf, subleaf;
    uint32_t a, b, c, d;
};

struct xen_msr_entry {
    uint32_t idx;
    uint32_t flags; /* zero */
    uint64_t val;
};

#endif

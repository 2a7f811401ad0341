/* PV guests: what the parts of arch/x86/pv offer each other and the machine layer. */
#ifndef ASM_PV_H
#define ASM_PV_H

#include <bh/types.h>
#include <asm/layout.h>
#include <asm/regs.h>
#include <asm/trap.h>

struct vcpu_guest_context;
struct boot_info;
struct xen_cpuid_leaf;

static inline bool is_canonical(uint64_t address)
{
    return (int64_t)(address << 16) >> 16 == (int64_t)address;
}

/* Canonical and outside of the hypervisor's range: entering or reading there can only fault in the guest. */
static inline bool is_guest_address(uint64_t address)
{
    return is_canonical(address) && (address < HV_START || address >= HV_END);
}

/* trap.c. Prepare a bounce that the way out to the guest delivers; v is current. */
void pv_inject_exception(struct vcpu *v, uint8_t vector, uint32_t error_code);
void pv_inject_page_fault(struct vcpu *v, uint32_t error_code, uint64_t cr2);
/* Any exception taken in guest mode but #PF, NMI, #MC, #DF. */
void pv_exception(struct cpu_regs *regs);
/* The prepared bounce becomes a frame on the guest's kernel stack; called by entry_pv.S only. */
void pv_deliver_bounce(struct vcpu *v, struct cpu_regs *regs);
void pv_deliver_event(struct vcpu *v, struct cpu_regs *regs);
void pv_deliver_syscall(struct vcpu *v, struct cpu_regs *regs);
void pv_deliver_syscall32(struct vcpu *v, struct cpu_regs *regs);
void pv_deliver_nmi(struct vcpu *v, struct cpu_regs *regs);
void pv_kernel_stack_fault(struct cpu_regs *regs);
/* Decides whether v's system calls may take the short forms; after its callbacks changed. */
void pv_choose_entry(struct vcpu *v);
/* IRETQ to the guest faulted: its selectors or address were bad. */
void pv_exit_fault(struct cpu_regs *regs);
/* Marks an NMI pending for v (VCPUOP_send_nmi, the machine's NMI button). */
void pv_send_nmi(struct vcpu *v);

/* entry_pv.S */
void pv_return_to_guest(void) __attribute__((noreturn));
void pv_syscall_entry(void);
void pv_syscall32_entry(void);
void pv_hypercall_page(void *page); /* fills one page with the stubs of the ABI */

/* vcpu.c: address-space mode of the current vcpu: switches between its kernel's and its user's tables and GS
 * bases. */
void pv_toggle_mode(struct vcpu *v);
/*
 * Register contexts (public/arch-x86_64.h vcpu_guest_context); v is not running. set takes page references
 * and checks every frame; 0, -EINVAL, -ENOMEM, -EBUSY.
 */
int must_check pv_set_context(struct vcpu *caller, struct vcpu *v, const struct vcpu_guest_context *context);
void pv_get_context(struct vcpu *v, struct vcpu_guest_context *context);
/* A use of a top-level page table (validates it). 0, -EINVAL, -EBUSY. */
int must_check pv_get_base_table(struct vcpu *caller, struct domain *d, mfn_t mfn);
/* Drops table, GDT and LDT references. Idempotent. */
void pv_vcpu_relinquish(struct vcpu *v);
/* Debug registers of the current vcpu. 0, -EINVAL, -EPERM. */
long pv_set_debugreg(struct vcpu *v, unsigned int reg, uint64_t value);
uint64_t pv_get_debugreg(const struct vcpu *v, unsigned int reg);

/* descriptor.c */
/* A fault inside a vcpu's GDT or LDT window at byte `offset` of the per-domain area: maps the LDT page or
 * injects. */
bool pv_descriptor_fault(struct vcpu *v, uint64_t address, uint32_t error_code, struct cpu_regs *regs);
int must_check pv_set_gdt(struct vcpu *caller, struct vcpu *v, const uint64_t *frames, uint32_t entries);
void pv_drop_gdt(struct vcpu *v);
void pv_drop_ldt(struct vcpu *v); /* unmaps pages; caller flushes */
int must_check pv_set_ldt(struct vcpu *v, uint64_t base, uint32_t entries);
int must_check pv_perdomain_map(struct vcpu *v); /* makes v's window; -ENOMEM */
void pv_perdomain_free(struct domain *d);        /* idempotent */
/* Whether a segment descriptor may stand in a guest's table; may lower it to ring 3 in place. */
bool pv_descriptor_ok(struct domain *d, uint64_t *descriptor);

/* emulate.c: 0: done, regs advanced; else inject #GP. */
bool pv_emulate_privileged(struct vcpu *v, struct cpu_regs *regs);
bool pv_emulate_forced(struct vcpu *v, struct cpu_regs *regs); /* ud2a "xen" cpuid */

/* cpuid.c */
struct cpuid_regs {
    uint32_t a, b, c, d;
};
void pv_cpuid(const struct vcpu *v, uint32_t leaf, uint32_t subleaf, struct cpuid_regs *out);
/* What a toolstack has to make room for: it writes out every leaf that it knows, ours or not. */
#define CPUID_LEAVES_MAX 256
#define MSR_ENTRIES_MAX  4
/* d's policy; d NULL: what a PV domain may see at most. One leaf of it, NULL: there is none such. */
const struct xen_cpuid_leaf *cpuid_policy_leaf(const struct domain *d, uint32_t leaf, uint32_t subleaf);
/* All of it, and the MSRs, into a guest's arrays, where they are not 0. The numbers: IN room, OUT how many there are. */
long cpuid_policy_copy(struct vcpu *v, const struct domain *d, uint64_t untrusted_leaves, uint32_t *nr_leaves,
                       uint64_t untrusted_msrs, uint32_t *nr_msrs);
/* Replaces d's policy after checking it is no more than the host's. 0, -EINVAL, -ENOMEM. */
int must_check cpuid_policy_import(struct vcpu *caller, struct domain *d, const struct xen_cpuid_leaf *leaves,
                                   uint32_t n);
void cpuid_policy_init(void);

/* dom0.c: builds the control domain; stops with one clear sentence if it cannot. */
void dom0_build(const struct boot_info *boot);

/* port.c. Port I/O on behalf of guests: every port passes the domain's ioport_caps; the PCI
 * configuration ports 0xcf8/0xcfc are the hypervisor's, with an address latch per domain. A refused read
 * gives all ones, a refused write is dropped, as on a machine where nothing answers. */
uint32_t guest_port_read(struct domain *d, uint16_t port, unsigned int bytes);
void guest_port_write(struct domain *d, uint16_t port, unsigned int bytes, uint32_t value);

/* msr.c: MSRs as a PV guest sees them. false: the access is a general protection fault. v is current. */
bool pv_read_msr(struct vcpu *v, uint32_t msr, uint64_t *value);
bool pv_write_msr(struct vcpu *v, uint32_t msr, uint64_t value);

#endif

/*
 * Interrupts of the machine: vectors, GSIs, MSIs, and pirqs, by which domains own them.
 *
 * irq      index into the irq table: [0, nr_gsis) are GSIs, above are MSIs, allocated on demand
 * vector   IDT entry, one per irq in use, the same on all CPUs
 * pirq     a domain's number for an irq (equal to the GSI for the control domain's GSIs)
 *
 * A guest-bound level interrupt is masked... at the IO-APIC until the guest says PHYSDEVOP_eoi; edge and MSI are
 * acknowledged at once. Several domains may share a level interrupt; it is unmasked when all have answered.
 */
#ifndef ASM_IRQ_H
#define ASM_IRQ_H

#include <bh/types.h>
#include <asm/pci.h>
#include <asm/regs.h>

#define VECTOR_FIRST_DYNAMIC 0x30
#define VECTOR_LAST_DYNAMIC  0xef
#define VECTOR_INT80         0x80 /* never an interrupt: guests' int $0x80 */
#define VECTOR_KICK          0xf8
#define VECTOR_CALL          0xf9
#define VECTOR_TIMER         0xfa
#define VECTOR_APIC_ERROR    0xfe
#define VECTOR_SPURIOUS      0xff

/* Called by the interrupt entry with interrupts off. */
void irq_dispatch(struct cpu_regs *regs);

/* Boot: the table, with nr_gsis GSIs of the IO-APICs. */
void irq_init(unsigned int nr_gsis);
/* Takes an ISA interrupt for the hypervisor itself: fn(arg) runs in interrupt context. 0, -EBUSY, -EINVAL, -ENOSPC. */
int must_check irq_request_isa(unsigned int isa_irq, void (*fn)(void *arg), void *arg);

/* PHYSDEVOP_setup_gsi: trigger and polarity of an unused GSI. Returns 0, -EINVAL, -EEXIST (the hypervisor's), -EBUSY (in use otherwise). */
int must_check gsi_setup(struct vcpu *v, unsigned int gsi, bool level, bool active_low);

/* One MSI or MSI-X entry of a device. */
struct msi_request {
    struct pci_address device;
    bool msix;
    uint16_t entry;     /* MSI-X: entry of the table; MSI: index among `count` */
    uint16_t count;     /* MSI: vectors asked (power of two); 1 for MSI-X */
    paddr_t table_base; /* MSI-X: where the guest believes the table is (0: read the BAR) */
};

/*
 * Gives domain d a pirq for a GSI or an MSI. *pirq < 0: choose one; else that number. Consecutive pirqs for count > 1.
 * Returns 0, -EINVAL, -EBUSY, -EEXIST, -ENOSPC, -ENODEV, -ENOMEM; v: for the cause.
 */
int must_check pirq_map_gsi(struct vcpu *v, struct domain *d, unsigned int gsi, int *pirq);
int must_check pirq_map_msi(struct vcpu *v, struct domain *d, const struct msi_request *r, int *pirq);
/* Unbinds if bound, and frees the number. Returns 0 or -EINVAL. */
int pirq_unmap(struct vcpu *v, struct domain *d, unsigned int pirq);
/* A free number for PHYSDEVOP_get_free_pirq (reserved until mapped or unmapped). Returns it or -ENOSPC. */
int pirq_get_free(struct domain *d, bool gsi);
bool pirq_is_shared(struct domain *d, unsigned int pirq);
/* The event channel that the pirq is bound to; 0: none. */
uint32_t pirq_port(struct domain *d, unsigned int pirq);
/* physdev.c: gives the page of EOI bits back; the domain is going. Idempotent. */
void physdev_domain_release(struct domain *d);

/* For domain creation and destruction: the pirq table. Idempotent. */
int must_check pirq_domain_init(struct domain *d);
void pirq_domain_destroy(struct domain *d);

/* Programs again what the device lost (PHYSDEVOP_restore_msi). */
void msi_restore(struct pci_address device);

#endif

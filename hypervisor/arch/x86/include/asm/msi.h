/* MSI and MSI-X: the hypervisor programs the device's capability or table; irq.c owns the interrupt behind it. */
#ifndef ASM_MSI_H
#define ASM_MSI_H

#include <bh/types.h>
#include <asm/irq.h>
#include <asm/pci.h>

/* One message of a device. Owned by the irq that it feeds. */
struct msi {
    struct pci_address device;
    bool msix, maskable;
    uint16_t entry;
    uint16_t count;   /* MSI: messages of the group; entries follow each other in vector number */
    unsigned int cap; /* offset of the capability */
    volatile uint32_t *table_entry; /* MSI-X */
    bool masked;
};

/* Finds the capability, maps the table; nothing of the device changes. Returns 0, -ENODEV, -EINVAL, -ENOMEM. */
int must_check msi_init(struct vcpu *v, struct msi *m, const struct msi_request *r, unsigned int index);
/* Writes address and data. The message stays masked or not as it was, where it can be masked. */
void msi_program(struct msi *m, uint32_t vector, uint32_t dest);
void msi_set_mask(struct msi *m, bool masked);
/* Turns the capability on, and the INTx line off; once the message is bound. */
void msi_enable(struct msi *m);
/* The last message of a device goes. */
void msi_disable(struct msi *m);
/* From now on guests may map the page at pa read-only at most (an MSI-X table, the HPET). false: no memory. */
bool must_check mmio_protect(paddr_t pa);

#endif

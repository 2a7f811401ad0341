/* PCI configuration space: ports 0xcf8/0xcfc, and MMCONFIG where ACPI tells of it. */
#ifndef ASM_PCI_H
#define ASM_PCI_H

#include <bh/types.h>

struct pci_address {
    uint16_t segment;
    uint8_t bus, devfn;
};

/* As messages tell a device. */
static inline uint64_t pci_bus_devfn(struct pci_address a)
{
    return (uint64_t)a.bus << 8 | a.devfn;
}

/* Reads of what is not there give all ones. reg < 256 without MMCONFIG. size: 1, 2, 4. */
uint32_t pci_read(struct pci_address a, unsigned int reg, unsigned int size);
void pci_write(struct pci_address a, unsigned int reg, unsigned int size, uint32_t value);
/* Offset of a capability, 0: none. */
unsigned int pci_find_capability(struct pci_address a, uint8_t id);
/* Guests' accesses to the ports (pv/emulate.c): CF8 is latched per domain by the caller. */
uint32_t pci_port_read(uint32_t cf8, unsigned int offset, unsigned int size);
void pci_port_write(uint32_t cf8, unsigned int offset, unsigned int size, uint32_t value);

#endif

/* PCI configuration space. One lock covers the address port and the data port after it. */
#include <bh/lock.h>
#include <asm/acpi.h>
#include <asm/insn.h>
#include <asm/paging.h>
#include <asm/pci.h>

#define PORT_ADDRESS            0xcf8
#define PORT_DATA               0xcfc
#define PCI_STATUS              0x06
#define PCI_STATUS_CAPABILITIES 0x10
#define PCI_CAPABILITY_POINTER  0x34
#define CAPABILITIES_MAX        48

static struct spinlock pci_lock;

/* MMCONFIG windows are mapped when first used, one page (a function) at a time would waste space: a bus (1
 * MiB). */
static uint8_t *bus_window[ACPI_MAX_MCFG][256];

static uint8_t *mmconfig(struct pci_address a)
{
    for (uint32_t i = 0; i < acpi.nr_mcfg; i++) {
        const struct acpi_mcfg *m = &acpi.mcfg[i];

        if (m->segment != a.segment || a.bus < m->start_bus || a.bus > m->end_bus)
            continue;
        if (!bus_window[i][a.bus])
            bus_window[i][a.bus] = iomap(m->address + ((uint64_t)a.bus << 20), 1u << 20);
        return bus_window[i][a.bus] ? bus_window[i][a.bus] + ((uint64_t)a.devfn << 12) : NULL;
    }
    return NULL;
}

/* The data port for byte `offset` of the word that is addressed. */
static uint16_t data_port(unsigned int offset, unsigned int size)
{
    return (uint16_t)(PORT_DATA + (offset & 3 & ~(size - 1)));
}

static uint32_t address_word(struct pci_address a, unsigned int reg)
{
    return 0x80000000u | (uint32_t)a.bus << 16 | (uint32_t)a.devfn << 8 | (reg & 0xfc);
}

uint32_t pci_read(struct pci_address a, unsigned int reg, unsigned int size)
{
    uint32_t value = ~0u;

    spin_lock(&pci_lock);
    if (a.segment == 0 && reg < 256) {
        outl(PORT_ADDRESS, address_word(a, reg));
        value = port_in(data_port(reg, size), size);
    } else {
        uint8_t *p = mmconfig(a);

        if (p)
            value = size == 1   ? *(volatile uint8_t *)(p + reg)
                    : size == 2 ? *(volatile uint16_t *)(p + reg)
                                : *(volatile uint32_t *)(p + reg);
    }
    spin_unlock(&pci_lock);
    return value;
}

void pci_write(struct pci_address a, unsigned int reg, unsigned int size, uint32_t value)
{
    spin_lock(&pci_lock);
    if (a.segment == 0 && reg < 256) {
        outl(PORT_ADDRESS, address_word(a, reg));
        port_out(data_port(reg, size), size, value);
    } else {
        uint8_t *p = mmconfig(a);

        if (p && size == 1)
            *(volatile uint8_t *)(p + reg) = (uint8_t)value;
        else if (p && size == 2)
            *(volatile uint16_t *)(p + reg) = (uint16_t)value;
        else if (p)
            *(volatile uint32_t *)(p + reg) = value;
    }
    spin_unlock(&pci_lock);
}

unsigned int pci_find_capability(struct pci_address a, uint8_t id)
{
    unsigned int at;

    if (pci_read(a, 0, 2) == 0xffff || !(pci_read(a, PCI_STATUS, 2) & PCI_STATUS_CAPABILITIES))
        return 0;
    at = pci_read(a, PCI_CAPABILITY_POINTER, 1) & 0xfc;
    for (unsigned int i = 0; at >= 0x40 && i < CAPABILITIES_MAX; i++) {
        uint32_t header = pci_read(a, at, 2);

        if ((header & 0xff) == id)
            return at;
        at = header >> 8 & 0xfc;
    }
    return 0;
}

uint32_t pci_port_read(uint32_t cf8, unsigned int offset, unsigned int size)
{
    uint32_t value;

    spin_lock(&pci_lock);
    outl(PORT_ADDRESS, cf8);
    value = port_in(data_port(offset, size), size);
    spin_unlock(&pci_lock);
    return value;
}

void pci_port_write(uint32_t cf8, unsigned int offset, unsigned int size, uint32_t value)
{
    spin_lock(&pci_lock);
    outl(PORT_ADDRESS, cf8);
    port_out(data_port(offset, size), size, value);
    spin_unlock(&pci_lock);
}

/*
 * Ports of guests (asm/pv.h). The PCI configuration mechanism is emulated with one address latch per
 * domain, so that what a domain reads at 0xcfc is what it selected, and so that the interrupt layer sees MSI
 * capabilities being written.
 */
#include <asm/insn.h>
#include <asm/pci.h>
#include <asm/pv.h>
#include <bh/domain.h>

#define PCI_ADDRESS 0xcf8
#define PCI_DATA    0xcfc
#define PIT_DATA    0x42 /* channel 2, which kernels calibrate with */

static uint32_t all_ones(unsigned int bytes)
{
    return bytes == 4 ? ~0U : (1U << (bytes * 8)) - 1;
}

static bool in_pci_data(uint16_t port, unsigned int bytes)
{
    return (port & ~3U) == PCI_DATA && (port & 3U) + bytes <= 4;
}

static bool allowed(const struct domain *d, uint16_t port, unsigned int bytes)
{
    return d->arch.ioport_caps && rangeset_contains(d->arch.ioport_caps, port, port + bytes - 1U);
}

uint32_t guest_port_read(struct domain *d, uint16_t port, unsigned int bytes)
{
    if (d->privileged && port == PCI_ADDRESS && bytes == 4)
        return d->arch.pci_cf8;
    if (d->privileged && in_pci_data(port, bytes))
        return pci_port_read(d->arch.pci_cf8, port & 3, bytes);
    if (allowed(d, port, bytes))
        return port_in(port, bytes);
    /* All ones would be a counter at its start, which Linux reads a hundred thousand times to see it move. */
    return port == PIT_DATA ? 0 : all_ones(bytes);
}

void guest_port_write(struct domain *d, uint16_t port, unsigned int bytes, uint32_t value)
{
    if (d->privileged && port == PCI_ADDRESS && bytes == 4) {
        d->arch.pci_cf8 = value;
        return;
    }
    if (d->privileged && in_pci_data(port, bytes)) {
        pci_port_write(d->arch.pci_cf8, port & 3, bytes, value);
        return;
    }
    if (allowed(d, port, bytes))
        port_out(port, bytes, value);
}

/*
 * MSI and MSI-X capabilities (PCI 3.0, 6.8). A message is a write of `vector` to 0xfee00000 | destination
 * << 12.
 *
 * MSI-X entries are always maskable; MSI only with the per-vector mask bit of its control word. The table
 * lies in a BAR; its page is mapped once and stays. The guest's kernel does its part (memory decoding, bus
 * mastering).
 */
#include <bh/cause.h>
#include <bh/errno.h>
#include <bh/rangeset.h>
#include <asm/insn.h>
#include <asm/mm.h>
#include <asm/msi.h>
#include <asm/paging.h>

#define CAP_MSI  0x05
#define CAP_MSIX 0x11

#define PCI_COMMAND     0x04
#define COMMAND_NO_INTX 0x400
#define PCI_BAR0        0x10

#define MSI_CONTROL   2
#define MSI_ADDRESS   4
#define MSI_ENABLE    0x0001
#define MSI_64BIT     0x0080
#define MSI_MASKABLE  0x0100
#define MSI_MME_SHIFT 4
#define MSI_MMC_SHIFT 1

#define MSIX_TABLE       4
#define MSIX_ENABLE      0x8000
#define MSIX_MASK_ALL    0x4000
#define MSIX_ENTRY_BYTES 16
#define MSIX_ENTRY_MASK  1u

#define MSI_ADDRESS_BASE 0xfee00000u

/* Mapped table pages, by machine frame: tables are few, and stay. */
#define TABLE_PAGES_MAX 256
static struct {
    paddr_t pa;
    uint8_t *va;
} table_pages[TABLE_PAGES_MAX];

static uint8_t *map_table_page(paddr_t pa)
{
    for (unsigned int i = 0; i < TABLE_PAGES_MAX; i++) {
        if (table_pages[i].va && table_pages[i].pa == pa)
            return table_pages[i].va;
        if (table_pages[i].va)
            continue;
        table_pages[i].pa = pa;
        table_pages[i].va = iomap(pa, PAGE_SIZE);
        return table_pages[i].va;
    }
    return NULL;
}

bool mmio_protect(paddr_t pa)
{
    if (!mmio_readonly)
        mmio_readonly = rangeset_create();
    return mmio_readonly && rangeset_add(mmio_readonly, pa >> PAGE_SHIFT, pa >> PAGE_SHIFT) == 0;
}

static paddr_t bar_address(struct pci_address a, unsigned int bar)
{
    uint32_t low = pci_read(a, PCI_BAR0 + 4 * bar, 4);

    if (low & 1)
        return 0; /* ports */
    if ((low & 6) == 4 && bar < 5)
        return (low & ~0xfu) | (paddr_t)pci_read(a, PCI_BAR0 + 4 * bar + 4, 4) << 32;
    return low & ~0xfu;
}

/* MSI-X has its control word at the same place. */
static uint16_t msi_control(const struct msi *m)
{
    return (uint16_t)pci_read(m->device, m->cap + MSI_CONTROL, 2);
}

static int init_msix(struct vcpu *v, struct msi *m, const struct msi_request *r)
{
    uint32_t table = pci_read(m->device, m->cap + MSIX_TABLE, 4);
    uint32_t entries = (msi_control(m) & 0x7ff) + 1;
    paddr_t base = bar_address(m->device, table & 7), at;
    uint8_t *page;

    if (r->entry >= entries)
        return fail(v, -EINVAL, "msi: entry {0} of an MSI-X table of {1}", r->entry, entries);
    if (base == 0)
        base = r->table_base; /* a virtual function's BARs read as zero */
    if (base == 0)
        return fail(v, -ENODEV, "msi: BAR {0} with the MSI-X table has no address", table & 7, 0);
    at = base + (table & ~7u) + (paddr_t)r->entry * MSIX_ENTRY_BYTES;
    page = map_table_page(at & PAGE_MASK);
    if (!page || !mmio_protect(at))
        return fail(v, -ENOMEM, "msi: no room to map the MSI-X table at {0}", at, 0);
    m->table_entry = (volatile uint32_t *)(page + (at & ~PAGE_MASK));
    m->maskable = true;
    return 0;
}

int msi_init(struct vcpu *v, struct msi *m, const struct msi_request *r, unsigned int index)
{
    uint16_t control;

    *m = (struct msi){.device = r->device, .msix = r->msix, .count = r->count, .masked = true};
    m->entry = r->msix ? r->entry : (uint16_t)index;
    m->cap = pci_find_capability(m->device, r->msix ? CAP_MSIX : CAP_MSI);
    if (m->cap == 0)
        return fail(v, -ENODEV, "msi: device {0} (bus << 8 | devfn) has no capability {1}",
                    pci_bus_devfn(r->device), r->msix ? CAP_MSIX : CAP_MSI);
    if (r->msix)
        return init_msix(v, m, r);
    control = msi_control(m);
    m->maskable = control & MSI_MASKABLE;
    if (r->count > 1u << (control >> MSI_MMC_SHIFT & 7))
        return fail(v, -EINVAL, "msi: {0} messages wanted of a device with {1}", r->count,
                    1u << (control >> MSI_MMC_SHIFT & 7));
    return 0;
}

void msi_set_mask(struct msi *m, bool masked)
{
    m->masked = masked;
    if (m->msix) {
        uint32_t word = mmio_read32(m->table_entry + 3);

        mmio_write32(m->table_entry + 3, masked ? word | MSIX_ENTRY_MASK : word & ~MSIX_ENTRY_MASK);
        (void)mmio_read32(m->table_entry + 3); /* the write has reached the device */
    } else if (m->maskable) {
        unsigned int reg = m->cap + (msi_control(m) & MSI_64BIT ? 16 : 12);
        uint32_t bits = pci_read(m->device, reg, 4), bit = 1u << m->entry;

        pci_write(m->device, reg, 4, masked ? bits | bit : bits & ~bit);
    }
}

static void program_msix(struct msi *m, uint32_t address, uint32_t data)
{
    bool was_masked = m->masked;

    msi_set_mask(m, true);
    mmio_write32(m->table_entry + 0, address);
    mmio_write32(m->table_entry + 1, 0);
    mmio_write32(m->table_entry + 2, data);
    msi_set_mask(m, was_masked);
}

/* The messages of a group share address and data but for the low bits: only the first is written. */
static void program_msi(struct msi *m, uint32_t address, uint32_t data)
{
    uint16_t control = msi_control(m);
    unsigned int log = m->count > 1 ? 31 - (unsigned int)__builtin_clz(m->count) : 0;

    if (m->entry != 0)
        return;
    pci_write(m->device, m->cap + MSI_ADDRESS, 4, address);
    if (control & MSI_64BIT) {
        pci_write(m->device, m->cap + 8, 4, 0);
        pci_write(m->device, m->cap + 12, 2, data);
    } else {
        pci_write(m->device, m->cap + 8, 2, data);
    }
    pci_write(m->device, m->cap + MSI_CONTROL, 2, (control & ~(7u << MSI_MME_SHIFT)) | log << MSI_MME_SHIFT);
}

void msi_program(struct msi *m, uint32_t vector, uint32_t dest)
{
    if (m->msix)
        program_msix(m, MSI_ADDRESS_BASE | dest << 12, vector);
    else
        program_msi(m, MSI_ADDRESS_BASE | dest << 12, vector);
}

void msi_enable(struct msi *m)
{
    uint16_t command = (uint16_t)pci_read(m->device, PCI_COMMAND, 2);
    uint16_t control = msi_control(m);
    uint16_t on = m->msix ? (uint16_t)((control | MSIX_ENABLE) & ~MSIX_MASK_ALL) : control | MSI_ENABLE;

    if (!(command & COMMAND_NO_INTX))
        pci_write(m->device, PCI_COMMAND, 2, command | COMMAND_NO_INTX);
    if (on != control)
        pci_write(m->device, m->cap + MSI_CONTROL, 2, on);
}

void msi_disable(struct msi *m)
{
    uint16_t control = msi_control(m);

    if (pci_read(m->device, 0, 2) == 0xffff)
        return; /* gone */
    pci_write(m->device, m->cap + MSI_CONTROL, 2, control & ~(m->msix ? MSIX_ENABLE : MSI_ENABLE));
}

/*
 * IO-APICs: GSIs to redirection entries. The low word of each entry is kept here, so that masking writes
 * only. Callers (irq.c) hold the interrupt's lock; index and data registers are one access, under the lock of
 * the IO-APIC.
 */
#include <bh/lock.h>
#include <asm/acpi.h>
#include <asm/apic.h>
#include <asm/insn.h>
#include <asm/paging.h>

#define IOAPIC_INDEX 0x00
#define IOAPIC_DATA  0x10
#define REG_VERSION  0x01
#define REG_REDIR    0x10

#define RTE_ACTIVE_LOW (1u << 13)
#define RTE_LEVEL      (1u << 15)
#define RTE_MASKED     (1u << 16)
#define PINS_MAX       240

struct ioapic {
    struct spinlock lock;
    uint8_t *registers;
    paddr_t address;
    uint8_t id;
    uint32_t gsi_base, pins;
    uint32_t rte[PINS_MAX]; /* low words */
};
static struct ioapic ioapics[ACPI_MAX_IOAPICS];
static unsigned int nr_ioapics, nr_gsis;

static uint32_t reg_read(const struct ioapic *io, uint32_t reg)
{
    mmio_write32(io->registers + IOAPIC_INDEX, reg);
    return mmio_read32(io->registers + IOAPIC_DATA);
}

static void reg_write(const struct ioapic *io, uint32_t reg, uint32_t v)
{
    mmio_write32(io->registers + IOAPIC_INDEX, reg);
    mmio_write32(io->registers + IOAPIC_DATA, v);
}

void ioapic_add(uint8_t id, paddr_t address, uint32_t gsi_base)
{
    struct ioapic *io = &ioapics[nr_ioapics];

    if (nr_ioapics == ACPI_MAX_IOAPICS)
        return;
    io->registers = iomap(address, PAGE_SIZE);
    if (!io->registers)
        return;
    io->address = address;
    io->id = id;
    io->gsi_base = gsi_base;
    io->pins = MIN((reg_read(io, REG_VERSION) >> 16 & 0xff) + 1, (uint32_t)PINS_MAX);
    nr_ioapics++;
    nr_gsis = MAX(nr_gsis, gsi_base + io->pins);
    for (uint32_t pin = 0; pin < io->pins; pin++) {
        io->rte[pin] = RTE_MASKED;
        reg_write(io, REG_REDIR + 2 * pin, RTE_MASKED);
    }
}

unsigned int ioapic_nr_gsis(void)
{
    return nr_gsis;
}

static struct ioapic *find(unsigned int gsi)
{
    for (unsigned int i = 0; i < nr_ioapics; i++)
        if (gsi - ioapics[i].gsi_base < ioapics[i].pins)
            return &ioapics[i];
    return NULL;
}

bool ioapic_has_gsi(unsigned int gsi)
{
    return find(gsi) != NULL;
}

void ioapic_set(unsigned int gsi, uint32_t vector, uint32_t dest, bool level, bool active_low, bool masked)
{
    struct ioapic *io = find(gsi);
    uint32_t pin, low = vector | (level ? RTE_LEVEL : 0) | (active_low ? RTE_ACTIVE_LOW : 0);

    if (!io)
        return;
    pin = gsi - io->gsi_base;
    spin_lock(&io->lock);
    reg_write(io, REG_REDIR + 2 * pin, low | RTE_MASKED);
    reg_write(io, REG_REDIR + 2 * pin + 1, dest << 24);
    io->rte[pin] = low | (masked ? RTE_MASKED : 0);
    if (!masked)
        reg_write(io, REG_REDIR + 2 * pin, low);
    spin_unlock(&io->lock);
}

void ioapic_set_mask(unsigned int gsi, bool masked)
{
    struct ioapic *io = find(gsi);
    uint32_t pin;

    if (!io)
        return;
    pin = gsi - io->gsi_base;
    spin_lock(&io->lock);
    io->rte[pin] = (io->rte[pin] & ~RTE_MASKED) | (masked ? RTE_MASKED : 0);
    reg_write(io, REG_REDIR + 2 * pin, io->rte[pin]);
    spin_unlock(&io->lock);
}

bool ioapic_guest_read(paddr_t base, uint32_t reg, uint32_t *value)
{
    for (unsigned int i = 0; i < nr_ioapics; i++) {
        struct ioapic *io = &ioapics[i];

        if (io->address != base)
            continue;
        if (reg >= REG_REDIR + 2 * io->pins)
            return false;
        spin_lock(&io->lock);
        *value = reg_read(io, reg);
        spin_unlock(&io->lock);
        return true;
    }
    return false;
}

/*
 * How the machine ends. Other CPUs are stopped first. A reboot tries what ACPI names, then the keyboard
 * controller, then the chipset's reset port, then a triple fault.
 */
#include <bh/arch.h>
#include <bh/cmdline.h>
#include <bh/errno.h>
#include <bh/printk.h>
#include <asm/acpi.h>
#include <asm/insn.h>
#include <asm/paging.h>
#include <asm/pci.h>
#include <asm/smp.h>
#include <asm/time.h>

#define PM1_STS_WAKE   (1u << 15)
#define PM1_CNT_SLP_EN (1u << 13)

#define KBC_STATUS 0x64
#define KBC_BUSY   0x02
#define KBC_RESET  0xfe
#define RESET_PORT 0xcf9
#define SETTLE_US  50000

static void write_reset_register(void)
{
    const struct acpi_gas *r = &acpi.reset_reg;

    if (r->address == 0)
        return;
    if (r->space == 1) {
        outb((uint16_t)r->address, acpi.reset_value);
    } else if (r->space == 0) {
        uint8_t *p = iomap(r->address, 1);

        if (p)
            *(volatile uint8_t *)p = acpi.reset_value;
    } else if (r->space == 2) {
        const struct pci_address a = {0, 0,
                                      (uint8_t)((r->address >> 32 & 0x1f) << 3 | (r->address >> 16 & 7))};

        pci_write(a, r->address & 0xfff, 1, acpi.reset_value);
    }
    udelay(SETTLE_US);
}

static void keyboard_reset(void)
{
    for (unsigned int i = 0; i < 1000 && (inb(KBC_STATUS) & KBC_BUSY); i++)
        udelay(10);
    outb(KBC_STATUS, KBC_RESET);
    udelay(SETTLE_US);
}

static void triple_fault(void)
{
    const struct descriptor_pointer none = {0, 0};

    lidt(&none);
    __asm__ volatile("int3");
}

void arch_machine_reboot(void)
{
    smp_stop_others();
    write_reset_register();
    keyboard_reset();
    outb(RESET_PORT, 0x02);
    outb(RESET_PORT, 0x06);
    udelay(SETTLE_US);
    triple_fault();
    arch_machine_halt();
}

void arch_machine_halt(void)
{
    smp_stop_others();
    for (;;)
        __asm__ volatile("cli; hlt");
}

static void pm1_write(uint32_t port, uint32_t value)
{
    if (port)
        outw((uint16_t)port, (uint16_t)value);
}

int acpi_enter_sleep(unsigned int state, uint32_t pm1a_value, uint32_t pm1b_value)
{
    if (state != 5 || acpi.pm1a_cnt == 0 || acpi.hw_reduced)
        return -EOPNOTSUPP;
    smp_stop_others();
    pm1_write(acpi.pm1a_evt, PM1_STS_WAKE);
    pm1_write(acpi.pm1b_evt, PM1_STS_WAKE);
    pm1_write(acpi.pm1a_cnt, pm1a_value & ~PM1_CNT_SLP_EN);
    pm1_write(acpi.pm1b_cnt, pm1b_value & ~PM1_CNT_SLP_EN);
    pm1_write(acpi.pm1a_cnt, pm1a_value | PM1_CNT_SLP_EN);
    pm1_write(acpi.pm1b_cnt, pm1b_value | PM1_CNT_SLP_EN);
    udelay(SETTLE_US);
    return -EIO;
}

/* Without the control domain's AML nobody knows the sleep type; the machine stops instead. */
void arch_machine_poweroff(void)
{
    printk(LOG_INFO,
           "The control domain ended without powering the machine off; it can be switched off now.");
    arch_machine_halt();
}

void arch_fatal(void)
{
    if (options.noreboot) {
        static const char text[] = "Halted (noreboot is given).\n";

        arch_console_write(text, sizeof(text) - 1);
        arch_machine_halt();
    }
    arch_machine_reboot();
}

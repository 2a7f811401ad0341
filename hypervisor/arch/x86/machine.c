/* The machine's parts, started in order once the allocator runs. */
#include <bh/printk.h>
#include <bh/rangeset.h>
#include <asm/acpi.h>
#include <asm/apic.h>
#include <asm/boot_info.h>
#include <asm/cpufeature.h>
#include <asm/insn.h>
#include <asm/irq.h>
#include <asm/msi.h>
#include <asm/paging.h>
#include <asm/percpu.h>
#include <asm/pv.h>
#include <asm/setup.h>
#include <asm/smp.h>
#include <asm/time.h>

#define PIC1_COMMAND 0x20
#define PIC1_DATA    0x21
#define PIC2_COMMAND 0xa0
#define PIC2_DATA    0xa1
#define PIC_INIT     0x11
#define PIC_BASE     0x20

#define MSI_WINDOW     0xfee00000UL
#define MSI_WINDOW_END 0xfeefffffUL

/* The legacy controllers: moved away from the exceptions, and masked for good. */
static void pic_disable(void)
{
    outb(PIC1_COMMAND, PIC_INIT);
    outb(PIC2_COMMAND, PIC_INIT);
    outb(PIC1_DATA, PIC_BASE);
    outb(PIC2_DATA, PIC_BASE + 8);
    outb(PIC1_DATA, 4);
    outb(PIC2_DATA, 2);
    outb(PIC1_DATA, 1);
    outb(PIC2_DATA, 1);
    outb(PIC1_DATA, 0xff);
    outb(PIC2_DATA, 0xff);
}

static void print_machine(const struct boot_info *bi)
{
    uint64_t ram = 0;

    for (uint32_t i = 0; i < bi->e820.count; i++) {
        const struct xen_e820entry *e = &bi->e820.entry[i];

        printk(LOG_DEBUG, "Memory: %016lx to %016lx, type %u", e->addr, e->addr + e->size - 1, e->type);
        if (e->type == E820_RAM)
            ram += e->size;
    }
    printk(LOG_INFO, "Machine: %lu MiB of memory, %u CPUs in ACPI, %u IO-APICs, %s", ram >> 20, acpi.nr_cpus,
           acpi.nr_ioapics, apic_is_x2apic() ? "x2APIC" : "xAPIC");
}

/*
 * What the control domain is told of the machine's memory (boot_info.e820) shows our devices as taken: it looks there for
 * room for devices of its own.
 */
static void reserve_own_mmio(void)
{
    struct e820_map *map = &boot_info.e820;
    bool room = e820_add(map, MSI_WINDOW, MSI_WINDOW_END + 1 - MSI_WINDOW, E820_RESERVED);

    for (uint32_t i = 0; i < acpi.nr_ioapics; i++)
        room = room && e820_add(map, acpi.ioapic[i].address, PAGE_SIZE, E820_RESERVED);
    if (!room)
        printk(LOG_WARNING, "The memory map has no room to show the interrupt controllers in it");
    e820_sanitise(map);
}

void arch_machine_init(const struct boot_info *bi)
{
    const char *error = acpi_parse(bi->rsdp, iomap_ram, &acpi);

    if (error)
        boot_die(error);
    reserve_own_mmio();
    error = apic_init();
    if (error)
        boot_die(error);
    pic_disable();
    apic_enable_cpu();
    this_percpu()->apic_id = apic_id();
    cpus_online = CPUMASK(0);
    for (uint32_t i = 0; i < acpi.nr_ioapics; i++)
        ioapic_add(acpi.ioapic[i].id, acpi.ioapic[i].address, acpi.ioapic[i].gsi_base);
    if (ioapic_nr_gsis() == 0)
        boot_die("no IO-APIC could be mapped");
    irq_init(ioapic_nr_gsis());
    print_machine(bi);
    time_init();
    cpu_speculation_report();
    cpuid_policy_init();
    serial_init_irq();
}

static void deny(struct rangeset *caps, paddr_t start, paddr_t last)
{
    if (rangeset_remove(caps, start >> PAGE_SHIFT, last >> PAGE_SHIFT))
        panic("no memory to take a device of the hypervisor out of the control domain's rights");
}

void arch_deny_own_mmio(struct rangeset *caps)
{
    deny(caps, MSI_WINDOW, MSI_WINDOW_END);
    deny(caps, acpi.lapic_address, acpi.lapic_address);
    for (uint32_t i = 0; i < acpi.nr_ioapics; i++)
        deny(caps, acpi.ioapic[i].address, acpi.ioapic[i].address);
    /* AML of the HPET's device reads its registers. */
    if (acpi.hpet_address && !mmio_protect(acpi.hpet_address))
        deny(caps, acpi.hpet_address, acpi.hpet_address);
}

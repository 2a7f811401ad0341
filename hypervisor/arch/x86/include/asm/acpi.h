/*
 * The few ACPI facts that the hypervisor needs, read once at boot from static tables. AML is Dom0's.
 */
#ifndef ASM_ACPI_H
#define ASM_ACPI_H

#include <bh/types.h>

#define ACPI_MAX_IOAPICS   16
#define ACPI_MAX_OVERRIDES 24
#define ACPI_MAX_MCFG      8

struct acpi_cpu {
    uint32_t apic_id, acpi_id;
};
struct acpi_ioapic {
    uint8_t id;
    uint32_t gsi_base;
    paddr_t address;
};
struct acpi_override {
    uint8_t isa_irq;
    uint32_t gsi;
    bool level, active_low;
};
struct acpi_mcfg {
    paddr_t address; /* of bus 0 */
    uint16_t segment;
    uint8_t start_bus, end_bus;
};
/* A register as ACPI's generic address: space 0 memory, 1 ports, 2 PCI configuration. */
struct acpi_gas {
    uint8_t space, width, offset, access;
    uint64_t address;
};

struct acpi_facts {
    uint32_t nr_cpus, nr_ioapics, nr_overrides, nr_mcfg;
    struct acpi_cpu cpu[NR_CPUS];
    struct acpi_ioapic ioapic[ACPI_MAX_IOAPICS];
    struct acpi_override override[ACPI_MAX_OVERRIDES];
    struct acpi_mcfg mcfg[ACPI_MAX_MCFG];
    paddr_t lapic_address;
    uint32_t pm_timer_port; /* 0: none */
    paddr_t hpet_address;   /* 0: none */
    uint32_t pm1a_cnt, pm1b_cnt, pm1a_evt, pm1b_evt;
    bool hw_reduced, no_rtc;
    struct acpi_gas reset_reg; /* address 0: none */
    uint8_t reset_value;
    paddr_t rsdp;
};
extern struct acpi_facts acpi;

/*
 * Parses the tables behind the RSDP at `rsdp` (0: search the BIOS areas). `map(pa, size)` gives read access or NULL.
 * Returns NULL, or a sentence that says which table is missing or broken.
 */
typedef const void *(*acpi_map_fn)(paddr_t pa, uint64_t size);
const char *must_check acpi_parse(paddr_t rsdp, acpi_map_fn map, struct acpi_facts *facts);

/* Enters sleep state S`state` with the PM1 control values that the control domain computed. Returns only on failure. */
int acpi_enter_sleep(unsigned int state, uint32_t pm1a_value, uint32_t pm1b_value);

#endif

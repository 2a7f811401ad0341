/* The local APIC (xAPIC through memory, x2APIC through MSRs) and the IO-APICs. */
#ifndef ASM_APIC_H
#define ASM_APIC_H

#include <bh/types.h>

/* Boot CPU: finds and maps it, chooses the mode. Returns NULL or a sentence. */
const char *must_check apic_init(void);
/* Every CPU: enables it, masks the local interrupts, arms the spurious vector. */
void apic_enable_cpu(void);
uint32_t apic_id(void);
void apic_eoi(void);
void apic_send_ipi(uint32_t apic_id, uint32_t vector);
void apic_send_init(uint32_t apic_id);
void apic_send_startup(uint32_t apic_id, uint32_t page);
void apic_send_nmi(uint32_t apic_id);
/* The vector's pending or in-service state on this CPU. */
bool apic_vector_in_service(uint32_t vector);
bool apic_irr_any(void); /* whether any interrupt waits on this CPU */
/* One-shot timer in APIC ticks (or a TSC deadline); 0 stops it. */
void apic_timer_arm(uint32_t ticks);
uint32_t apic_timer_current(void);
void apic_timer_mode(bool tsc_deadline);
bool apic_is_x2apic(void);
/* Prints and clears the error status. */
void apic_error_interrupt(void);

/* IO-APICs as ACPI lists them. */
void ioapic_add(uint8_t id, paddr_t address, uint32_t gsi_base);
unsigned int ioapic_nr_gsis(void);
bool ioapic_has_gsi(unsigned int gsi);
void ioapic_set(unsigned int gsi, uint32_t vector, uint32_t dest_apic, bool level, bool active_low,
                bool masked);
void ioapic_set_mask(unsigned int gsi, bool masked);
/* What a guest may read through PHYSDEVOP_apic_read. */
bool ioapic_guest_read(paddr_t base, uint32_t reg, uint32_t *value);

#endif

/* Ends of the machine: reboot, power-off, halt; ACPI sleep is in asm/acpi.h. */
#ifndef ASM_POWER_H
#define ASM_POWER_H

#include <bh/types.h>

/* Before the console works: text to serial and screen, then halt. */
void noreturn_fn boot_die(const char *sentence);

#endif

/*
 * Time. System time counts ns since boot, the same on every CPU, from the TSC; the TSC's rate is measured once against
 * HPET, the PM timer or the PIT. Rates are fixed point: ns = (ticks * mul) >> 32 after a shift, as guests do it.
 */
#ifndef ASM_TIME_H
#define ASM_TIME_H

#include <bh/types.h>

struct time_scale {
    uint32_t mul; /* ns per 2^32 shifted ticks */
    int8_t shift; /* ticks are shifted left by it first (right if negative) */
};
extern struct time_scale tsc_scale;
extern uint64_t tsc_khz;
extern uint64_t time_version; /* grows when the scale changes: vcpus publish anew */

void time_init(void);
/* A new CPU: its TSC base, and its timer's mode. */
void time_init_cpu(void);
/* Busy-waits; any time after time_init. */
void udelay(unsigned int us);
void time_interrupt(void); /* the local APIC timer's vector */

#endif

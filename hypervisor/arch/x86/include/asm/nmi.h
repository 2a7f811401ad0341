/* Non-maskable interrupts: the button and system errors go to the control domain; panic uses NMIs to stop CPUs. */
#ifndef ASM_NMI_H
#define ASM_NMI_H

#include <bh/types.h>

/* All other CPUs stop at their next NMI. */
void nmi_stop_others(void);
/* Called by the kick interrupt: passes an NMI that waits to the control domain. */
void nmi_deliver(void);

#endif

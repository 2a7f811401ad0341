/* Who runs on this CPU, for the edges where hardware enters. Host tests have their own. */
#ifndef ASM_CURRENT_H
#define ASM_CURRENT_H

#include <asm/regs.h>

static inline struct vcpu *current_vcpu(void)
{
    return cpu_info()->current;
}

#endif

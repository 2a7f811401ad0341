/* Shadows the hypervisor's asm/current.h on the host. */
#ifndef ASM_CURRENT_H
#define ASM_CURRENT_H

#include <bh/arch.h>

static inline struct vcpu *current_vcpu(void)
{
    return arch_current();
}

#endif

/* Shadows the hypervisor's asm/mm_preempt.h on the host: asks at every entry. */
#ifndef ASM_MM_PREEMPT_H
#define ASM_MM_PREEMPT_H

#include <bh/hypercall.h>

static inline bool mm_preempt_check(unsigned int *entries)
{
    ++*entries;
    return hypercall_preempt_check();
}

#endif

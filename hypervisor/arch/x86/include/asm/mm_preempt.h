/*
 * How often the work on a page table asks whether it should give way: asking reads the interrupt controller,
 * which costs more than several entries. Host tests ask every time.
 */
#ifndef ASM_MM_PREEMPT_H
#define ASM_MM_PREEMPT_H

#include <bh/hypercall.h>

#define MM_PREEMPT_INTERVAL 8 /* tables below, each of up to 512 entries */

static inline bool mm_preempt_check(unsigned int *entries)
{
    return ++*entries % MM_PREEMPT_INTERVAL == 0 && hypercall_preempt_check();
}

#endif

/* Shadows the hypervisor's asm/map.h on the host: RAM is an array. */
#ifndef ASM_MAP_H
#define ASM_MAP_H

#include <bh/types.h>

extern uint8_t *fake_ram;

static inline void *map_frame(mfn_t mfn)
{
    return fake_ram + (mfn.n << PAGE_SHIFT);
}

#endif

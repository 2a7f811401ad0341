/* The direct map, inline: what arch_map() answers, for paths that count instructions. Host tests have their
 * own. */
#ifndef ASM_MAP_H
#define ASM_MAP_H

#include <bh/types.h>
#include <asm/layout.h>

static inline void *map_frame(mfn_t mfn)
{
    return (void *)(DIRECTMAP_START + (mfn.n << PAGE_SHIFT));
}

#endif

/* Shadows the hypervisor's asm/guest_word.h on the host. */
#ifndef ASM_GUEST_WORD_H
#define ASM_GUEST_WORD_H

#include <bh/guest.h>

static inline bool get_guest_u32(uint32_t *to, uint64_t untrusted_from)
{
    return copy_from_guest(NULL, to, untrusted_from, sizeof(*to)) != 0;
}

static inline bool put_guest_u32(uint64_t untrusted_to, uint32_t value)
{
    return copy_to_guest(NULL, untrusted_to, &value, sizeof(value)) != 0;
}

#endif

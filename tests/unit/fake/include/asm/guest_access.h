/* Shadows the hypervisor's asm/guest_access.h on the host. */
#ifndef ASM_GUEST_ACCESS_H
#define ASM_GUEST_ACCESS_H

#include <bh/guest.h>

static inline bool copy_words_from_guest(void *to, uint64_t untrusted_from, unsigned int words)
{
    return copy_from_guest(NULL, to, untrusted_from, words * 8UL) != 0;
}

#endif

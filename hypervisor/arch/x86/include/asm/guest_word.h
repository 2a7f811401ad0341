/*
 * One 4-byte word of the current vcpu's memory, for arguments that hot hypercalls read or write. true: the
 * address is the hypervisor's, or not accessible.
 */
#ifndef ASM_GUEST_WORD_H
#define ASM_GUEST_WORD_H

#include <asm/guest_access.h>

static inline __attribute__((always_inline)) bool get_guest_u32(uint32_t *to, uint64_t untrusted_from)
{
    uint32_t value;

    if (untrusted_from >= HV_START - 4 && untrusted_from < HV_END)
        return true;
    guest_access_begin();
    __asm__ goto("1: movl (%1), %0\n\t" EXTABLE("1b", "%l2")
                 : "=r"(value)
                 : "r"(untrusted_from)
                 : "memory"
                 : fault);
    guest_access_end();
    *to = value;
    return false;
fault:
    guest_access_end();
    return true;
}

static inline __attribute__((always_inline)) bool put_guest_u32(uint64_t untrusted_to, uint32_t value)
{
    if (untrusted_to >= HV_START - 4 && untrusted_to < HV_END)
        return true;
    guest_access_begin();
    __asm__ goto("1: movl %0, (%1)\n\t" EXTABLE("1b", "%l2")
                 :
                 : "r"(value), "r"(untrusted_to)
                 : "memory"
                 : fault);
    guest_access_end();
    return false;
fault:
    guest_access_end();
    return true;
}

#endif

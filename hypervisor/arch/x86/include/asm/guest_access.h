/*
 * Direct accesses to guest memory of the current vcpu: few words, at addresses already checked to be the
 * guest's. Between begin and end the CPU's SMAP lets them pass (the places are patched at boot, cpu.c).
 */
#ifndef ASM_GUEST_ACCESS_H
#define ASM_GUEST_ACCESS_H

#include <asm/insn.h>
#include <asm/layout.h>

#define SMAP_PATCH_SITE(insn)                                                                                \
    "661: .byte 0x0f, 0x1f, 0x00\n\t"                                                                        \
    ".pushsection .smap_patch, \"a\"\n\t.balign 8\n\t.quad 661b\n\t.quad " insn "\n\t.popsection\n\t"

static inline void guest_access_begin(void)
{
    __asm__ volatile(SMAP_PATCH_SITE("0xcb") : : : "memory");
}

static inline void guest_access_end(void)
{
    __asm__ volatile(SMAP_PATCH_SITE("0xca") : : : "memory");
}

/*
 * Reads word `i` at guest address `from`, which was checked to be the guest's, between begin and end; jumps
 * to `fault` if it is not readable. A macro, since asm goto names the label where it stands.
 */
#define GUEST_READ_WORD(to, from, i, fault)                                                                  \
    __asm__ goto("1: movq %c2(%0), %%rax\n\tmovq %%rax, %c2(%1)\n\t" EXTABLE("1b", "%l3")                    \
                 :                                                                                           \
                 : "r"(from), "r"(to), "i"((i)*8)                                                            \
                 : "rax", "memory"                                                                           \
                 : fault)

/* Reads one or two words of the current vcpu's memory. true: the address is the hypervisor's or not readable.
 */
static inline __attribute__((always_inline)) bool copy_words_from_guest(void *to, uint64_t untrusted_from,
                                                                        unsigned int words)
{
    if (untrusted_from >= HV_START - 16 && untrusted_from < HV_END)
        return true;
    guest_access_begin();
    GUEST_READ_WORD(to, untrusted_from, 0, fault);
    if (words == 2)
        GUEST_READ_WORD(to, untrusted_from, 1, fault);
    guest_access_end();
    return false;
fault:
    guest_access_end();
    return true;
}

#endif

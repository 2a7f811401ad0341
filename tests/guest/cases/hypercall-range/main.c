/*
 * Hypercall numbers over their whole range. A number that means nothing is answered with ENOSYS whatever its
 * arguments; the ones that this release knows answer something; and numbers far out of range do no harm.
 */
#include "guest.h"

static const uint64_t wild[] = {0, 1, ~0UL, NON_CANONICAL, HV_START, UNMAPPED, 0x100000000UL};

static bool all_enosys(uint64_t number)
{
    for (unsigned int i = 0; i < ARRAY_SIZE(wild); i++) {
        long rc = hypercall((unsigned int)number, wild[i], wild[i], wild[i], wild[i], wild[i]);

        if (rc != -ENOSYS_) {
            print("number %lu argument %lx: %ld\n", number, wild[i], rc);
            return false;
        }
    }
    return true;
}

/* The syscall instruction takes the whole of %rax; bits above 32 must not select another row of a table. */
static long wide_call(uint64_t number)
{
    long result = (long)number;

    __asm__ volatile("syscall"
                     : "+a"(result)
                     : "D"(0UL), "S"(0UL), "d"(0UL)
                     : "rcx", "r11", "r10", "r8", "memory");
    return result;
}

void test_main(void)
{
    /* Removed or never given: sched_op_compat's and event_channel_op_compat's heirs stay, tmem (38) is gone.
     */
    static const unsigned int gone[] = {38, 43, 44, 45, 46, 47};
    bool ok = true;

    for (unsigned int i = 0; i < ARRAY_SIZE(gone); i++)
        ok &= all_enosys(gone[i]);
    PROPERTY(ok, "numbers of no hypercall give ENOSYS", "see above");

    ok = true;
    for (uint64_t number = 56; number < 4096 && ok; number++)
        ok = all_enosys(number);
    PROPERTY(ok, "numbers 56 to 4095 give ENOSYS", "see above");

    ok = true;
    for (unsigned int bit = 12; bit < 32 && ok; bit++)
        ok = all_enosys(1UL << bit) && all_enosys((1UL << bit) | 17);
    PROPERTY(ok, "numbers with one high bit give ENOSYS", "see above");

    ok = true;
    for (unsigned int bit = 32; bit < 64; bit++) {
        long rc = wide_call((1UL << bit) | __HYPERVISOR_xen_version);

        ok &= rc == -ENOSYS_ || rc == 0x40011;
    }
    PROPERTY(ok, "numbers beyond 32 bits do no harm", "an odd result");
    RETURNS(hypercall(~0u, 0, 0, 0, 0, 0), -ENOSYS_, "the largest number gives ENOSYS");
    SURVIVED("and xen_version still answers");
}

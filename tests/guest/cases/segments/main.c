/*
 * Segment bases: set by hypercall and by the emulated MSRs, they are what fs: and gs: then use, survive
 * yields, and may not be non-canonical.
 */
#include "guest.h"

static uint64_t cells[4] = {11, 22, 33, 44};

static uint64_t read_fs(void)
{
    uint64_t value;

    __asm__ volatile("mov %%fs:0, %0" : "=r"(value));
    return value;
}

static uint64_t read_gs(void)
{
    uint64_t value;

    __asm__ volatile("mov %%gs:0, %0" : "=r"(value));
    return value;
}

static long set_base(unsigned int which, const void *base)
{
    return hypercall(__HYPERVISOR_set_segment_base, which, (uint64_t)base, 0, 0, 0);
}

static void write_fs_base(void *base)
{
    __asm__ volatile("wrmsr" ::"a"((uint32_t)(uint64_t)base), "d"((uint32_t)((uint64_t)base >> 32)),
                     "c"(0xc0000100));
}

void test_main(void)
{
    RETURNS(set_base(SEGBASE_FS, &cells[0]), 0, "fs by hypercall");
    PROPERTY(read_fs() == 11, "fs: reads there", "%lu", read_fs());
    RETURNS(set_base(SEGBASE_GS_KERNEL, &cells[1]), 0, "gs by hypercall");
    PROPERTY(read_gs() == 22, "gs: reads there", "%lu", read_gs());
    RETURNS(set_base(SEGBASE_GS_USER, &cells[2]), 0, "the user's gs");
    PROPERTY(read_gs() == 22, "does not change the kernel's", "%lu", read_gs());
    for (unsigned int i = 0; i < 100; i++)
        sched_op(SCHEDOP_yield, NULL);
    PROPERTY(read_fs() == 11 && read_gs() == 22, "both survive yields", "%lu %lu", read_fs(), read_gs());
    PROPERTY(!attempt(write_fs_base, &cells[3], NULL), "fs by its MSR", "faults");
    PROPERTY(read_fs() == 44, "fs: reads there too", "%lu", read_fs());
    REFUSED(set_base(SEGBASE_FS, (void *)NON_CANONICAL), "a non-canonical fs");
    REFUSED(set_base(SEGBASE_GS_KERNEL, (void *)NON_CANONICAL), "a non-canonical gs");
    REFUSED(set_base(SEGBASE_GS_USER, (void *)NON_CANONICAL), "a non-canonical user gs");
    REFUSED(set_base(77, &cells[0]), "a base that is not");
    attempt(write_fs_base, (void *)NON_CANONICAL, NULL);
    SURVIVED("a non-canonical fs by its MSR");
    set_base(SEGBASE_GS_USER_SEL, (void *)0xfff8);
    SURVIVED("a wild user selector");
    PROPERTY(read_gs() == 22, "gs: is as it was", "%lu", read_gs());
}

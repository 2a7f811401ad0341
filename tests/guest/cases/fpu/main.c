/*
 * FPU state: SSE registers and control words are a vcpu's own across hypercalls, yields and blocking;
 * fpu_taskswitch sets TS, so that the next use raises #NM, and clears it again.
 */
#include "guest.h"

static uint64_t pattern[32] __attribute__((aligned(16))), back[32] __attribute__((aligned(16)));

static void load_all(void)
{
    __asm__ volatile(
        "movaps 0(%0), %%xmm0\n movaps 16(%0), %%xmm1\n movaps 112(%0), %%xmm7\n movaps 128(%0), %%xmm8\n"
        "movaps 240(%0), %%xmm15\n" ::"r"(pattern)
        : "memory");
}

static void store_all(void)
{
    __asm__ volatile(
        "movaps %%xmm0, 0(%0)\n movaps %%xmm1, 16(%0)\n movaps %%xmm7, 112(%0)\n movaps %%xmm8, 128(%0)\n"
        "movaps %%xmm15, 240(%0)\n" ::"r"(back)
        : "memory");
}

static bool same(void)
{
    return memcmp(pattern, back, 32) == 0 && memcmp(pattern + 14, back + 14, 32) == 0 &&
           memcmp(pattern + 30, back + 30, 16) == 0;
}

static void use_sse(void *unused)
{
    (void)unused;
    __asm__ volatile("movaps %xmm0, %xmm0");
}

static void set_mxcsr(uint32_t value)
{
    __asm__ volatile("ldmxcsr %0" ::"m"(value));
}

static uint32_t get_mxcsr(void)
{
    uint32_t value;

    __asm__ volatile("stmxcsr %0" : "=m"(value));
    return value;
}

void test_main(void)
{
    struct fault fault;
    bool ok = true;

    for (unsigned int i = 0; i < 32; i++)
        pattern[i] = random64();
    load_all();
    set_mxcsr(0x1fa0);
    for (unsigned int i = 0; i < 1000 && ok; i++) {
        sched_op(SCHEDOP_yield, NULL);
        store_all();
        ok = same();
    }
    PROPERTY(ok, "registers keep their values over 1000 yields", "they do not");
    hypercall(__HYPERVISOR_set_timer_op, system_time() + 5000000, 0, 0, 0, 0);
    pause_ns(20000000);
    store_all();
    PROPERTY(same(), "and over interrupts", "they do not");
    PROPERTY(get_mxcsr() == 0x1fa0, "mxcsr too", "%x", get_mxcsr());
    RETURNS(hypercall(__HYPERVISOR_fpu_taskswitch, 1, 0, 0, 0, 0), 0, "fpu_taskswitch(1)");
    PROPERTY(attempt(use_sse, NULL, &fault) && fault.vector == 7, "then the next use raises #NM", "vector %u",
             fault.vector);
    RETURNS(hypercall(__HYPERVISOR_fpu_taskswitch, 0, 0, 0, 0, 0), 0, "fpu_taskswitch(0)");
    PROPERTY(!attempt(use_sse, NULL, NULL), "then it does not", "it does");
    store_all();
    PROPERTY(same(), "and the registers are as they were", "they changed");
}

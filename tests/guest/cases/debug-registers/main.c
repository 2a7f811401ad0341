/*
 * Debug registers: values set are read back, a data breakpoint hits and says so in dr6; breakpoints in the
 * hypervisor's area, general detect and registers that are not are refused.
 */
#include "guest.h"

static volatile uint64_t watched;
static volatile unsigned int hits;
static uint64_t status;

static long set(unsigned int reg, uint64_t value)
{
    return hypercall(__HYPERVISOR_set_debugreg, reg, value, 0, 0, 0);
}

static uint64_t get(unsigned int reg)
{
    return (uint64_t)hypercall(__HYPERVISOR_get_debugreg, reg, 0, 0, 0, 0);
}

static void hit(struct regs *regs)
{
    hits++;
    status = get(6);
    set(6, 0xffff0ff0);
    (void)regs;
}

void test_main(void)
{
    on_trap(1, hit);
    RETURNS(set(0, (uint64_t)&watched), 0, "dr0 is set");
    PROPERTY(get(0) == (uint64_t)&watched, "and read back", "%lx", get(0));
    RETURNS(set(7, 0x000d0001 | 0x400), 0, "dr7: writes of four bytes");
    watched = 1;
    PROPERTY(hits == 1, "a write hits once", "%u", hits);
    PROPERTY(status & 1, "dr6 says which", "%lx", status);
    (void)watched;
    PROPERTY(hits == 1, "a read does not", "%u", hits);
    RETURNS(set(7, 0x400), 0, "dr7: off");
    watched = 2;
    PROPERTY(hits == 1, "and it no longer hits", "%u", hits);
    REFUSED(set(1, HV_START + 0x1000), "a breakpoint in the hypervisor");
    REFUSED(set(2, 0xffff82d040200000UL), "a breakpoint in the hypervisor's text");
    REFUSED(set(3, NON_CANONICAL), "a breakpoint at no address");
    REFUSED(set(8, 0), "register 8");
    REFUSED(set(~0u, 0), "register 4294967295");
    set(7, ~0UL);
    SURVIVED("every bit of dr7 at once");
    set(7, 0x400);
    set(6, ~0UL);
    SURVIVED("every bit of dr6 at once");
    PROPERTY((long)get(9) < 0, "reading register 9 is refused", "%lx", get(9));
}

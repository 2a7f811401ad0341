/*
 * Trap tables and callbacks: a software interrupt with DPL 3 arrives (0x80 only: QEMU 7.2 reports
 * a doubled vector in the error code of other ones, which a hypervisor has to believe), exceptions arrive
 * with their error codes; an entry at a non-canonical address is refused or hurts only its owner.
 */
#include "guest.h"

static volatile unsigned int arrived[256];

static void count(struct regs *regs)
{
    arrived[regs->vector]++;
}

static void divide(void *unused)
{
    (void)unused;
    __asm__ volatile("xor %%ecx, %%ecx\n xor %%edx, %%edx\n mov $1, %%eax\n div %%ecx" ::
                         : "eax", "ecx", "edx");
}

static void jump(void *where)
{
    ((void (*)(void))where)();
}

void test_main(void)
{
    static const trap_info_t bad[] = {
        {.vector = 200, .flags = 3, .cs = FLAT_KERNEL_CS, .address = NON_CANONICAL}, {0}};
    struct fault fault;
    char *data = new_page();

    on_trap(0x80, count);
    on_trap(3, count);
    __asm__ volatile("int $0x80\n int3");
    PROPERTY(arrived[0x80] == 1, "a software interrupt arrives", "%u", arrived[0x80]);
    PROPERTY(arrived[3] == 1, "int3 arrives", "%u", arrived[3]);
    PROPERTY(attempt(divide, NULL, &fault) && fault.vector == 0, "division by zero", "vector %u",
             fault.vector);
    PROPERTY(read_faults((void *)UNMAPPED, &fault) && fault.vector == 14 && fault.address == UNMAPPED,
             "a page fault with its address", "vector %u at %lx", fault.vector, fault.address);
    PROPERTY((fault.error & 3) == 0, "and its error code: read, not present", "%lx", fault.error);
    PROPERTY(read_faults((void *)NON_CANONICAL, &fault) && fault.vector == 13,
             "#GP for a non-canonical address", "vector %u", fault.vector);
    PROPERTY(read_faults((void *)(HV_START + (64UL << 30)), &fault), "the hypervisor's memory cannot be read",
             "it can");
    PROPERTY(read_faults((void *)0xffff82d040200000UL, &fault), "nor its text", "it can");
    PROPERTY(write_faults((void *)0xffff82d040200000UL, &fault), "nor be written", "it can");
    remap(data, PTE_DATA_RW | PTE_NX);
    *data = (char)0xc3;
    PROPERTY(attempt(jump, data, &fault) && fault.vector == 14 && (fault.error & 16), "NX data is not run",
             "vector %u error %lx", fault.vector, fault.error);
    REFUSED(hypercall(__HYPERVISOR_set_trap_table, (uint64_t)bad, 0, 0, 0, 0),
            "a trap at a non-canonical address");
    hypercall(__HYPERVISOR_set_callbacks, 0, NON_CANONICAL, NON_CANONICAL, 0, 0);
    SURVIVED("failsafe and system call entries at a non-canonical address");
    SURVIVED("after all that");
}

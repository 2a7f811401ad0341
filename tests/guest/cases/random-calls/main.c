/*
 * Random hypercalls with random and half-right arguments, many thousands from a fixed seed: whatever the
 * answers, the hypervisor lives, and so does the kernel's own ground (its tables are what they were). What by
 * its nature ends or suspends this vcpu, or moves its ground, is left out by name. (Xen 4.17 does not pass:
 * PHYSDEVOP_prepare_msix for a device that is not makes it read through a null pointer.)
 */
#include "guest.h"

static uint64_t scratch[1024] __attribute__((aligned(4096)));

static uint64_t argument(void)
{
    switch (random64() % 10) {
    case 0:
        return random64();
    case 1:
        return random64() % 8;
    case 2:
        return random64() % 4096;
    case 3:
        return 0;
    case 4:
        return HV_START + random64() % (HV_END - HV_START);
    case 5:
        return 1UL << (random64() % 64);
    case 6:
        return NON_CANONICAL;
    default:
        return (uint64_t)&scratch[random64() % 512];
    }
}

static bool left_out(unsigned int number, uint64_t first)
{
    switch (number) {
    case __HYPERVISOR_set_trap_table:
    case __HYPERVISOR_stack_switch:
    case __HYPERVISOR_set_callbacks:
    case __HYPERVISOR_callback_op:
    case __HYPERVISOR_sched_op_compat:
    case __HYPERVISOR_sched_op:
    case __HYPERVISOR_iret:
    case __HYPERVISOR_mmuext_op: /* NEW_BASEPTR with our own words could be right */
    case __HYPERVISOR_update_va_mapping:
    case __HYPERVISOR_update_va_mapping_otherdomain:
    case __HYPERVISOR_update_descriptor: /* writes to any data page of ours */
    case __HYPERVISOR_mmu_update:
    case __HYPERVISOR_multicall: /* any of these by another way */
    case __HYPERVISOR_platform_op:
    case __HYPERVISOR_domctl:
    case __HYPERVISOR_sysctl:
    case __HYPERVISOR_kexec_op:
        return true;
    case __HYPERVISOR_vcpu_op:
        return (uint32_t)first == VCPUOP_down || (uint32_t)first == VCPUOP_initialise;
    case __HYPERVISOR_memory_op:
        return (first & 63) == XENMEM_decrease_reservation || (first & 63) == XENMEM_exchange;
    case __HYPERVISOR_console_io:
        return (uint32_t)first == CONSOLEIO_write;
    }
    return false;
}

static void ignore(struct regs *regs)
{
    (void)regs;
}

void test_main(void)
{
    uint64_t pt_base = start_info->pt_base, done = 0;

    on_trap(2, ignore);
    on_trap(1, ignore);
    for (unsigned int i = 0; i < 60000; i++) {
        unsigned int number = (unsigned int)(random64() % 56);
        uint64_t arg[5];

        for (unsigned int a = 0; a < 5; a++)
            arg[a] = argument();
        for (unsigned int w = 0; w < 8; w++)
            scratch[random64() % 1024] = argument();
        /* A command is more telling when it is one. */
        if (random64() % 2)
            arg[0] = random64() % 48;
        if (left_out(number, arg[0]))
            continue;
        /* A long list would run through our own stack, each entry getting its status. */
        if (number == __HYPERVISOR_grant_table_op)
            arg[2] %= 8;
        hypercall(number, arg[0], arg[1], arg[2], arg[3], arg[4]);
        done++;
    }
    hypercall(__HYPERVISOR_set_debugreg, 7, 0x400, 0, 0, 0);
    PROPERTY(done > 20000, "tens of thousands of random calls", "%lu", done);
    SURVIVED("the hypervisor lives");
    PROPERTY(pt_base == start_info->pt_base && !write_faults(scratch, NULL), "and so does the kernel",
             "it does not");
}

/*
 * Sub-operations over their whole range: every hypercall with a command is called with every command from 0
 * to 300 and some far away, its argument an empty page of zeros or no page at all. Whatever the answer, the
 * hypervisor lives and the far ones are unknown. Commands that end or stop the machine are left out by name.
 */
#include "guest.h"

static uint64_t argument[512] __attribute__((aligned(4096)));

static bool skip(unsigned int number, unsigned int cmd)
{
    switch (number) {
    case __HYPERVISOR_sched_op: /* these sleep for ever, or end the machine */
        return cmd == SCHEDOP_block || cmd == SCHEDOP_shutdown || cmd == SCHEDOP_poll ||
               cmd == SCHEDOP_remote_shutdown || cmd == SCHEDOP_watchdog;
    case __HYPERVISOR_vcpu_op: /* down stops this vcpu */
        return cmd == VCPUOP_down;
    case __HYPERVISOR_console_io: /* writes bytes */
        return cmd == CONSOLEIO_write;
    }
    return false;
}

static void sweep(const char *name, unsigned int number, int pointer, bool far_is_enosys)
{
    static const unsigned int far[] = {1000, 0x7fff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
    unsigned int answered = 0, odd = 0;
    long rc = 0;

    for (unsigned int cmd = 0; cmd <= 300; cmd++) {
        for (unsigned int kind = 0; kind < 3 && !skip(number, cmd); kind++) {
            uint64_t address = kind == 0 ? (uint64_t)argument : kind == 1 ? 0 : NON_CANONICAL;
            uint64_t second = pointer == 1 ? address : 0, third = pointer == 2 ? address : 0;

            memset(argument, 0, sizeof(argument));
            hypercall(number, cmd, second, third, 0, 0);
            answered++;
        }
    }
    /* memory_op keeps a continuation's progress in the high bits of its command. */
    for (unsigned int i = 0; i < ARRAY_SIZE(far) && number != __HYPERVISOR_memory_op; i++) {
        rc = hypercall(number, far[i], pointer == 1 ? (uint64_t)argument : 0, (uint64_t)argument, 0, 0);
        odd += rc > 0 || (far_is_enosys && rc != -ENOSYS_);
    }
    PROPERTY(answered > 0 && odd == 0, name, "%u of the far commands gave something odd, the last %ld", odd,
             rc);
}

/* VCPUOP_send_nmi is among the commands. */
static void ignore(struct regs *regs)
{
    (void)regs;
}

void test_main(void)
{
    on_trap(2, ignore);
    sweep("memory_op", __HYPERVISOR_memory_op, 1, false);
    sweep("xen_version", __HYPERVISOR_xen_version, 1, true);
    sweep("console_io", __HYPERVISOR_console_io, 2, true);
    sweep("grant_table_op", __HYPERVISOR_grant_table_op, 1, false);
    sweep("vcpu_op", __HYPERVISOR_vcpu_op, 2, true);
    sweep("sched_op", __HYPERVISOR_sched_op, 1, true);
    sweep("event_channel_op", __HYPERVISOR_event_channel_op, 1, true);
    sweep("physdev_op", __HYPERVISOR_physdev_op, 1, true);
    sweep("hvm_op", __HYPERVISOR_hvm_op, 1, false);
    sweep("kexec_op", __HYPERVISOR_kexec_op, 1, false);
    sweep("xsm_op", __HYPERVISOR_xsm_op, 1, false);
    sweep("callback_op", __HYPERVISOR_callback_op, 1, true);
    sweep("vm_assist", __HYPERVISOR_vm_assist, 1, false);
    SURVIVED("and xen_version still answers");
}

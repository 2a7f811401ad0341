/*
 * NMIs reach a vcpu by entry 2 of its trap table, wherever it is: running with its events masked, and blocked, where
 * nothing else would wake it. Many are sent while it is about to block: none may wait for another event (on Xen 4.17 one
 * does now and then). Bed: --smp 2
 */
#include "guest.h"
#include <xen/nmi.h>

#define ROUNDS 2000

static vcpu_guest_context_t context;
static char stack[16384] __attribute__((aligned(16)));
static volatile unsigned int nmis, blocks;
static volatile bool may_block;

static void nmi(struct regs *regs)
{
    nmis++;
}

/* Events reach vcpu 1 alone: vcpu 0 keeps them masked. */
static void event(struct regs *regs)
{
    shared_info->vcpu_info[1].evtchn_upcall_pending = 0;
}

static void second(void)
{
    blocks = 1;
    while (!may_block)
        __asm__ volatile("pause");
    for (;;) {
        blocks++;
        sched_op(SCHEDOP_block, NULL);
    }
}

static void start_second(void)
{
    make_context(&context, second, stack + sizeof(stack));
    shared_info->vcpu_info[1].evtchn_upcall_mask = 1;
    if (vcpu_op(VCPUOP_initialise, 1, &context) != 0 || vcpu_op(VCPUOP_up, 1, NULL) != 0)
        test_error("vcpu 1 cannot be started");
}

static bool wait_for(volatile unsigned int *count, unsigned int beyond)
{
    uint64_t end = system_time() + 20000000000UL;

    while (*count <= beyond && system_time() < end)
        sched_op(SCHEDOP_yield, NULL);
    return *count > beyond;
}

static bool wait_blocked(void)
{
    uint64_t end = system_time() + 20000000000UL;
    vcpu_runstate_info_t info = {.state = RUNSTATE_running};

    while (info.state != RUNSTATE_blocked && system_time() < end)
        vcpu_op(VCPUOP_get_runstate_info, 1, &info);
    return info.state == RUNSTATE_blocked;
}

void test_main(void)
{
    xennmi_callback_t callback = {.handler_address = (unsigned long)trap_stubs + 2 * 16};
    unsigned int sent = 0, lost = 0;

    events_off();
    on_trap(2, nmi);
    on_trap(VECTOR_EVENT, event);
    start_second();
    PROPERTY(wait_for(&blocks, 0), "vcpu 1 runs", "not within 20 s");
    RETURNS(vcpu_op(VCPUOP_send_nmi, 1, NULL), 0, "an NMI to it");
    PROPERTY(wait_for(&nmis, 0), "arrives though events are masked", "not within 20 s");
    may_block = true;
    PROPERTY(wait_blocked(), "vcpu 1 blocks", "not within 20 s");
    sent = nmis;
    RETURNS(vcpu_op(VCPUOP_send_nmi, 1, NULL), 0, "an NMI to the blocked vcpu");
    PROPERTY(wait_for(&nmis, sent), "arrives", "not within 20 s");
    for (unsigned int i = 0; i < ROUNDS && lost == 0; i++) {
        sent = nmis;
        for (unsigned int k = random64() % 64; k; k--)
            __asm__ volatile("pause");
        vcpu_op(VCPUOP_send_nmi, 1, NULL);
        lost += !wait_for(&nmis, sent);
    }
    PROPERTY(lost == 0, "none is lost while it blocks", "one was, after %u blocks", blocks);
    RETURNS(hypercall(__HYPERVISOR_nmi_op, XENNMI_unregister_callback, 0, 0, 0, 0), 0,
            "no handler on vcpu 0");
    sent = nmis;
    RETURNS(vcpu_op(VCPUOP_send_nmi, 0, NULL), 0, "an NMI to it");
    PROPERTY(nmis == sent, "goes nowhere", "it came");
    RETURNS(hypercall(__HYPERVISOR_nmi_op, XENNMI_register_callback, (uint64_t)&callback, 0, 0, 0), 0,
            "a handler by nmi_op");
    RETURNS(vcpu_op(VCPUOP_send_nmi, 0, NULL), 0, "an NMI to it");
    PROPERTY(wait_for(&nmis, sent), "arrives there", "not within 20 s");
    REFUSED(vcpu_op(VCPUOP_send_nmi, 4711, NULL), "an NMI to a vcpu that is not");
}

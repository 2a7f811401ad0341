/*
 * A second vcpu: refused with a bad context, brought up with a good one, runs its code, is reached by IPI,
 * goes down and comes up again; vcpus that are not are refused. Bed: --smp 2
 */
#include "guest.h"

static vcpu_guest_context_t context;
static volatile unsigned int stage, rounds;
static char stack[16384] __attribute__((aligned(16)));

static void second(void)
{
    stage = 1;
    rounds++;
    for (;;) {
        if (stage == 2) {
            stage = 3;
            vcpu_op(VCPUOP_down, 1, NULL);
            stage = 4;
        }
        __asm__ volatile("pause");
    }
}

static void good_context(void)
{
    make_context(&context, second, stack + sizeof(stack));
}

static bool reach(unsigned int wanted)
{
    uint64_t end = system_time() + 20000000000UL;

    while (stage != wanted && system_time() < end)
        sched_op(SCHEDOP_yield, NULL);
    return stage == wanted;
}

static bool is_up(bool wanted)
{
    uint64_t end = system_time() + 20000000000UL;

    while (vcpu_op(VCPUOP_is_up, 1, NULL) != wanted && system_time() < end)
        sched_op(SCHEDOP_yield, NULL);
    return vcpu_op(VCPUOP_is_up, 1, NULL) == wanted;
}

static void bad_contexts(void)
{
    good_context();
    context.ctrlreg[3] = maddr_of(new_page());
    REFUSED(vcpu_op(VCPUOP_initialise, 1, &context), "a data page as its page tables");
    good_context();
    context.ctrlreg[3] = 1UL << 51;
    REFUSED(vcpu_op(VCPUOP_initialise, 1, &context), "absent page tables");
    good_context();
    context.event_callback_eip = NON_CANONICAL;
    REFUSED(vcpu_op(VCPUOP_initialise, 1, &context), "a non-canonical callback");
    good_context();
    context.gdt_ents = 512;
    context.gdt_frames[0] = mfn_of(new_page());
    REFUSED(vcpu_op(VCPUOP_initialise, 1, &context), "a writable page as GDT");
    good_context();
    context.gdt_ents = 9000;
    REFUSED(vcpu_op(VCPUOP_initialise, 1, &context), "a GDT too long");
    REFUSED(vcpu_op(VCPUOP_up, 1, NULL), "up without a context");
}

void test_main(void)
{
    evtchn_bind_ipi_t ipi = {.vcpu = 1};

    PROPERTY(vcpu_op(VCPUOP_is_up, 0, NULL) == 1, "vcpu 0 is up", "%ld", vcpu_op(VCPUOP_is_up, 0, NULL));
    RETURNS(vcpu_op(VCPUOP_is_up, 1, NULL), 0, "vcpu 1 is down");
    bad_contexts();
    good_context();
    RETURNS(vcpu_op(VCPUOP_initialise, 1, &context), 0, "a good context");
    REFUSED(vcpu_op(VCPUOP_initialise, 1, &context), "a second context");
    shared_info->vcpu_info[1].evtchn_upcall_mask = 1;
    RETURNS(vcpu_op(VCPUOP_up, 1, NULL), 0, "up");
    PROPERTY(reach(1), "vcpu 1 runs", "not within 20 s");
    PROPERTY(is_up(true), "and is up", "it is not");
    RETURNS(event_op(EVTCHNOP_bind_ipi, &ipi), 0, "an IPI port on vcpu 1");
    RETURNS(event_op(EVTCHNOP_send, &(evtchn_send_t){.port = ipi.port}), 0, "is sent");
    stage = 2;
    PROPERTY(reach(3), "vcpu 1 reaches its end", "not within 20 s");
    PROPERTY(is_up(false), "and is down", "it is not");
    RETURNS(vcpu_op(VCPUOP_up, 1, NULL), 0, "up again");
    PROPERTY(reach(4), "it goes on where it was", "not within 20 s");
    RETURNS(vcpu_op(VCPUOP_down, 1, NULL), 0, "down by vcpu 0");
    PROPERTY(is_up(false), "and is down again", "it is not");
    REFUSED(vcpu_op(VCPUOP_up, 7000, NULL), "a vcpu that is not");
    REFUSED(vcpu_op(VCPUOP_initialise, ~0u, &context), "the largest vcpu number");
}

/*
 * An event handler that sends itself an IPI each time: when it returns, the next upcall is due already, and
 * the interrupted code would never run. Linux with PREEMPT_RT does this while a task has a quiescent state
 * to report that only the interrupted code can report (hypervisor/arch/x86/pv/iret.c tells the whole story).
 *
 * The hypervisor has to let the interrupted code run all the same, and must not lose the upcall that it holds
 * back for that: it comes by itself, and it ends a wait. (Xen 4.17 never lets it run: there the handler gives
 * up, and the first property fails.)
 */
#include "guest.h"

#define GIVE_UP 1000
#define ENOUGH  100
#define LIMIT   5000000000UL /* ns; ends what would hang */

static evtchn_port_t ipi;
static volatile unsigned int seen, wanted;

/* Takes every event, and sends the next until as many as wanted were seen. */
static void again(struct regs *regs)
{
    shared_info->vcpu_info[0].evtchn_upcall_pending = 0;
    __atomic_exchange_n(&shared_info->vcpu_info[0].evtchn_pending_sel, 0, __ATOMIC_SEQ_CST);
    __atomic_exchange_n(&shared_info->evtchn_pending[0], 0, __ATOMIC_SEQ_CST);
    if (++seen < wanted)
        event_op(EVTCHNOP_send, &(evtchn_send_t){.port = ipi});
}

static void start(unsigned int count)
{
    seen = 0;
    wanted = count;
    event_op(EVTCHNOP_send, &(evtchn_send_t){.port = ipi});
}

static void interrupted_code_runs(void)
{
    uint64_t end = system_time() + LIMIT;
    unsigned int before;

    start(GIVE_UP);
    events_off(); /* one more has been sent: it comes now or later */
    before = seen;
    wanted = 0;
    events_on();
    PROPERTY(before < GIVE_UP, "the interrupted code runs", "%u upcalls came first", before);
    while (seen == before && system_time() < end)
        barrier();
    events_off();
    PROPERTY(seen == before + 1, "the upcall that was held back comes by itself", "%u came", seen - before);
    events_on();
}

static void wait_ends(void)
{
    evtchn_bind_virq_t timer = {.virq = VIRQ_TIMER, .vcpu = 0};
    uint64_t end = system_time() + LIMIT;

    RETURNS(event_op(EVTCHNOP_bind_virq, &timer), 0, "bind_virq");
    unmask(timer.port);
    vcpu_op(VCPUOP_set_singleshot_timer, 0, &(vcpu_set_singleshot_timer_t){.timeout_abs_ns = end});
    start(ENOUGH);
    for (events_off(); seen < ENOUGH && system_time() < end; events_off())
        sched_op(SCHEDOP_block, NULL);
    events_on();
    PROPERTY(seen >= ENOUGH && system_time() < end, "it ends a wait for events", "%u of %u came", seen,
             ENOUGH);
    vcpu_op(VCPUOP_stop_singleshot_timer, 0, NULL);
}

void test_main(void)
{
    evtchn_bind_ipi_t bind = {.vcpu = 0};

    RETURNS(event_op(EVTCHNOP_bind_ipi, &bind), 0, "bind_ipi");
    ipi = bind.port;
    on_trap(VECTOR_EVENT, again);
    unmask(ipi);
    events_on();
    interrupted_code_runs();
    wait_ends();
}

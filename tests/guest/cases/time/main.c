/*
 * Time: the PV clock never goes back, agrees with the wall clock's structure, and timers fire when they
 * should, not before: one-shot, periodic, set in the past, replaced, stopped. Runstate times add up.
 */
#include "guest.h"

static evtchn_port_t timer_port;

static void monotonic(void)
{
    uint64_t last = system_time(), bad = 0;

    for (unsigned int i = 0; i < 200000; i++) {
        uint64_t now = system_time();

        bad += now < last;
        last = now;
    }
    PROPERTY(bad == 0, "the clock never goes back", "%lu times", bad);
}

static long single_shot(uint64_t when, unsigned int flags)
{
    vcpu_set_singleshot_timer_t op = {.timeout_abs_ns = when, .flags = flags};

    return vcpu_op(VCPUOP_set_singleshot_timer, 0, &op);
}

static void one_shot(void)
{
    uint64_t start = system_time(), fired;
    unsigned int before = event_count[timer_port];

    RETURNS(single_shot(start + 20000000, 0), 0, "a one-shot timer 20 ms ahead");
    PROPERTY(wait_event(timer_port, before, 10000000000UL), "fires", "not within 10 s");
    fired = system_time();
    PROPERTY(fired >= start + 20000000, "not before its time", "%lu ns early", start + 20000000 - fired);
    before = event_count[timer_port];
    pause_ns(50000000);
    PROPERTY(event_count[timer_port] == before, "and once only", "again");
    single_shot(system_time() - 1000000, 0);
    PROPERTY(wait_event(timer_port, before, 10000000000UL), "one in the past fires at once",
             "not within 10 s");
    before = event_count[timer_port];
    single_shot(system_time() + 30000000, 0);
    RETURNS(vcpu_op(VCPUOP_stop_singleshot_timer, 0, NULL), 0, "stop");
    pause_ns(80000000);
    PROPERTY(event_count[timer_port] == before, "a stopped timer does not fire", "it did");
}

static void set_timer_op(void)
{
    unsigned int before = event_count[timer_port];
    uint64_t start = system_time();

    RETURNS(hypercall(__HYPERVISOR_set_timer_op, start + 20000000, 0, 0, 0, 0), 0, "set_timer_op");
    PROPERTY(wait_event(timer_port, before, 10000000000UL), "fires too", "not within 10 s");
    PROPERTY(system_time() >= start + 20000000, "not before its time either", "early");
}

static void periodic(void)
{
    vcpu_set_periodic_timer_t op = {.period_ns = 5000000};
    unsigned int before = event_count[timer_port];

    RETURNS(vcpu_op(VCPUOP_set_periodic_timer, 0, &op), 0, "a periodic timer of 5 ms");
    PROPERTY(wait_event(timer_port, before + 4, 20000000000UL), "fires five times", "%u in 20 s",
             event_count[timer_port] - before);
    RETURNS(vcpu_op(VCPUOP_stop_periodic_timer, 0, NULL), 0, "stop");
    op.period_ns = 10;
    REFUSED(vcpu_op(VCPUOP_set_periodic_timer, 0, &op), "a period of 10 ns");
    pause_ns(20000000);
    before = event_count[timer_port];
    pause_ns(50000000);
    PROPERTY(event_count[timer_port] == before, "and stops", "it goes on");
}

/* Blocking without any other event: the timer has to wake the vcpu. */
static void block(void)
{
    unsigned int before = event_count[timer_port];

    single_shot(system_time() + 30000000, 0);
    sched_op(SCHEDOP_block, NULL);
    PROPERTY(event_count[timer_port] > before, "block ends with the timer's event", "no event");
}

static void poll(void)
{
    evtchn_port_t port = timer_port;
    sched_poll_t op = {.nr_ports = 1, .timeout = system_time() + 20000000};
    uint64_t start = system_time();

    op.ports.p = &port;
    RETURNS(sched_op(SCHEDOP_poll, &op), 0, "poll with a time limit");
    PROPERTY(system_time() >= start + 20000000, "returns after the limit", "early");
    port = 100000;
    REFUSED(sched_op(SCHEDOP_poll, &op), "poll of a port that is not");
    op.nr_ports = 129;
    REFUSED(sched_op(SCHEDOP_poll, &op), "poll of 129 ports");
}

static void runstate(void)
{
    vcpu_runstate_info_t info, later;
    static vcpu_runstate_info_t area;
    vcpu_register_runstate_memory_area_t reg;

    RETURNS(vcpu_op(VCPUOP_get_runstate_info, 0, &info), 0, "runstate");
    PROPERTY(info.state == RUNSTATE_running, "this vcpu runs", "state %d", info.state);
    pause_ns(5000000);
    vcpu_op(VCPUOP_get_runstate_info, 0, &later);
    PROPERTY(later.time[RUNSTATE_running] + later.time[RUNSTATE_runnable] >=
                 info.time[RUNSTATE_running] + info.time[RUNSTATE_runnable] + 4000000,
             "its time is counted", "%lu ns", later.time[RUNSTATE_running] - info.time[RUNSTATE_running]);
    reg.addr.h.p = &area;
    RETURNS(vcpu_op(VCPUOP_register_runstate_memory_area, 0, &reg), 0, "a runstate area");
    PROPERTY(area.state == RUNSTATE_running && area.time[RUNSTATE_running] > 0, "is filled", "state %d",
             area.state);
}

void test_main(void)
{
    evtchn_bind_virq_t bind = {.virq = VIRQ_TIMER, .vcpu = 0};

    if (event_op(EVTCHNOP_bind_virq, &bind) != 0)
        test_error("the timer's virtual interrupt could not be bound");
    timer_port = bind.port;
    vcpu_op(VCPUOP_stop_periodic_timer, 0, NULL);
    unmask(timer_port);
    events_on();
    monotonic();
    one_shot();
    set_timer_op();
    periodic();
    block();
    poll();
    runstate();
}

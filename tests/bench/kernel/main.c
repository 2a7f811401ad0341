/*
 * The barest hypercalls, from a test kernel: what the hypervisor spends on one, without a Linux around it.
 * Rows as in tests/bench/dom0/bench.c: "ROW name iterations" and the markers around each.
 */
#include "guest.h"
#include "../marker.h"

#define ROUNDS 1000

static evtchn_port_t unbound;

static void version(void)
{
    hypercall(__HYPERVISOR_xen_version, XENVER_version, 0, 0, 0, 0);
}

static void refused(void)
{
    hypercall(60, 0, 0, 0, 0, 0);
}

static void send(void)
{
    evtchn_send_t op = {.port = unbound};

    event_op(EVTCHNOP_send, &op);
}

static void alloc_close(void)
{
    evtchn_alloc_unbound_t op = {.dom = DOMID_SELF, .remote_dom = DOMID_SELF};
    evtchn_close_t close;

    event_op(EVTCHNOP_alloc_unbound, &op);
    close.port = op.port;
    event_op(EVTCHNOP_close, &close);
}

static void row(const char *name, void (*run)(void))
{
    for (unsigned int i = 0; i < 10; i++)
        run();
    MARK(2);
    for (unsigned int i = 0; i < ROUNDS; i++)
        run();
    MARK(3);
    print("ROW %s %u\n", name, ROUNDS);
}

void test_main(void)
{
    evtchn_alloc_unbound_t op = {.dom = DOMID_SELF, .remote_dom = DOMID_SELF};

    RETURNS(event_op(EVTCHNOP_alloc_unbound, &op), 0, "a port to send to");
    unbound = op.port;
    vcpu_op(VCPUOP_stop_periodic_timer, 0, NULL);
    row("bare-xen_version", version);
    row("bare-refused", refused);
    row("bare-send-unbound", send);
    row("bare-alloc-close", alloc_close);
}

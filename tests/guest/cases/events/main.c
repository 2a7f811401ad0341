/*
 * Event channels, the two-level kind: allocation, binding, sending, masking, closing; and their abuse: ports
 * that are not, sends to closed ports, binding what is bound, virtual interrupts that are not.
 */
#include "guest.h"

static void loopback(void)
{
    evtchn_alloc_unbound_t unbound = {.dom = DOMID_SELF, .remote_dom = DOMID_SELF};
    evtchn_bind_interdomain_t bind = {.remote_dom = DOMID_SELF};
    evtchn_send_t send;
    evtchn_status_t status = {.dom = DOMID_SELF};
    unsigned int before, local;

    RETURNS(event_op(EVTCHNOP_alloc_unbound, &unbound), 0, "alloc_unbound");
    bind.remote_port = unbound.port;
    RETURNS(event_op(EVTCHNOP_bind_interdomain, &bind), 0, "bind_interdomain to oneself");
    REFUSED(event_op(EVTCHNOP_bind_interdomain, &bind), "binding a bound port again");
    unmask(unbound.port);
    unmask(bind.local_port);
    before = event_count[unbound.port];
    local = event_count[bind.local_port];
    send.port = bind.local_port;
    RETURNS(event_op(EVTCHNOP_send, &send), 0, "send");
    PROPERTY(event_count[unbound.port] == before + 1, "it arrives at the other end, once", "%u instead of %u",
             event_count[unbound.port], before + 1);
    PROPERTY(event_count[bind.local_port] == local, "and not at this end", "%u",
             event_count[bind.local_port] - local);
    events_off();
    event_op(EVTCHNOP_send, &send);
    event_op(EVTCHNOP_send, &send);
    PROPERTY(event_count[unbound.port] == before + 1, "nothing arrives while events are off", "it did");
    events_on();
    PROPERTY(event_count[unbound.port] == before + 2, "two sends meanwhile arrive as one", "%u",
             event_count[unbound.port] - before);
    status.port = unbound.port;
    event_op(EVTCHNOP_status, &status);
    PROPERTY(status.status == EVTCHNSTAT_interdomain, "status says interdomain", "%u", status.status);
    RETURNS(event_op(EVTCHNOP_close, &(evtchn_close_t){.port = bind.local_port}), 0, "close");
    event_op(EVTCHNOP_status, &status);
    PROPERTY(status.status == EVTCHNSTAT_unbound, "the other end is unbound again", "%u", status.status);
    REFUSED(event_op(EVTCHNOP_send, &send), "sending to a closed port");
    REFUSED(event_op(EVTCHNOP_close, &(evtchn_close_t){.port = bind.local_port}), "closing a closed port");
    RETURNS(event_op(EVTCHNOP_close, &(evtchn_close_t){.port = unbound.port}), 0, "close the other");
}

static void ipi(void)
{
    evtchn_bind_ipi_t bind = {.vcpu = 0};
    unsigned int before;

    RETURNS(event_op(EVTCHNOP_bind_ipi, &bind), 0, "bind_ipi");
    before = event_count[bind.port];
    unmask(bind.port);
    RETURNS(event_op(EVTCHNOP_send, &(evtchn_send_t){.port = bind.port}), 0, "an IPI to oneself");
    PROPERTY(event_count[bind.port] == before + 1, "arrives", "%u", event_count[bind.port] - before);
    event_op(EVTCHNOP_close, &(evtchn_close_t){.port = bind.port});
    bind.vcpu = 4711;
    REFUSED(event_op(EVTCHNOP_bind_ipi, &bind), "an IPI for a vcpu that is not");
}

static void virqs(void)
{
    unsigned int taken = 0;

    for (unsigned int virq = 0; virq < 64; virq++) {
        evtchn_bind_virq_t bind = {.virq = virq, .vcpu = 0};

        taken += event_op(EVTCHNOP_bind_virq, &bind) == 0;
    }
    PROPERTY(taken <= NR_VIRQS, "no more virtual interrupts than there are", "%u", taken);
    REFUSED(event_op(EVTCHNOP_bind_virq, &(evtchn_bind_virq_t){.virq = VIRQ_TIMER}), "binding one twice");
    REFUSED(event_op(EVTCHNOP_bind_virq, &(evtchn_bind_virq_t){.virq = ~0u}),
            "a virtual interrupt that is not");
    REFUSED(event_op(EVTCHNOP_bind_virq, &(evtchn_bind_virq_t){.virq = VIRQ_DEBUG, .vcpu = 4711}),
            "a vcpu that is not");
}

static void bad_ports(void)
{
    static const evtchn_port_t ports[] = {0, 3000, 4095, 4096, 131071, 131072, 0x7fffffff, 0x80000000, ~0u};
    unsigned int accepted = 0;

    for (unsigned int i = 0; i < ARRAY_SIZE(ports); i++) {
        accepted += event_op(EVTCHNOP_send, &(evtchn_send_t){.port = ports[i]}) == 0;
        accepted += event_op(EVTCHNOP_close, &(evtchn_close_t){.port = ports[i]}) == 0;
        accepted += event_op(EVTCHNOP_bind_vcpu, &(evtchn_bind_vcpu_t){.port = ports[i]}) == 0;
        accepted +=
            event_op(EVTCHNOP_bind_interdomain, &(evtchn_bind_interdomain_t){DOMID_SELF, ports[i], 0}) == 0;
        accepted += event_op(EVTCHNOP_bind_interdomain, &(evtchn_bind_interdomain_t){77, ports[i], 0}) == 0;
    }
    PROPERTY(accepted == 0, "ports that are not are refused everywhere", "%u accepted", accepted);
    REFUSED(event_op(EVTCHNOP_bind_pirq, &(evtchn_bind_pirq_t){.pirq = ~0u}),
            "a physical interrupt that is not");
    REFUSED(event_op(EVTCHNOP_alloc_unbound, &(evtchn_alloc_unbound_t){.dom = 77, .remote_dom = 0}),
            "a port for a domain that is not");
}

/* Takes ports until there are no more, then gives them back: the table has an end and no leak. */
static void exhaustion(void)
{
    static evtchn_port_t ports[5000];
    unsigned int first = 0, second = 0;

    for (unsigned int round = 0; round < 2; round++) {
        unsigned int count = 0;

        while (count < ARRAY_SIZE(ports)) {
            evtchn_alloc_unbound_t op = {.dom = DOMID_SELF, .remote_dom = DOMID_SELF};

            if (event_op(EVTCHNOP_alloc_unbound, &op) != 0)
                break;
            ports[count++] = op.port;
        }
        *(round ? &second : &first) = count;
        while (count > 0)
            event_op(EVTCHNOP_close, &(evtchn_close_t){.port = ports[--count]});
    }
    PROPERTY(first > 1000 && first < 4096, "the two-level table ends below 4096 ports", "%u", first);
    PROPERTY(first == second, "all ports can be had again", "%u, then %u", first, second);
}

void test_main(void)
{
    events_on();
    loopback();
    ipi();
    bad_ports();
    exhaustion();
    virqs();
}

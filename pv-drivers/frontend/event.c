#include "event.h"

int event_offer(domid_t to)
{
    struct evtchn_alloc_unbound op = {.dom = DOMID_SELF, .remote_dom = to};
    return fe_event_channel_op(EVTCHNOP_alloc_unbound, &op) == 0 ? (int)op.port : FE_ERROR;
}

void event_send(evtchn_port_t port)
{
    struct evtchn_send op = {.port = port};
    fe_event_channel_op(EVTCHNOP_send, &op);
}

void event_close(evtchn_port_t port)
{
    struct evtchn_close op = {.port = port};
    fe_event_channel_op(EVTCHNOP_close, &op);
}

bool event_pending(evtchn_port_t port)
{
    return __atomic_load_n(&fe_shared_info()->evtchn_pending[port / 64], __ATOMIC_ACQUIRE) >> (port % 64) & 1;
}

bool event_take(evtchn_port_t port)
{
    uint64_t bit = 1ull << (port % 64);
    return __atomic_fetch_and(&fe_shared_info()->evtchn_pending[port / 64], ~bit, __ATOMIC_ACQ_REL) & bit;
}

/* Short forms for tests of event channels: two domains, hypercalls, and the guest's view of a port. */
#ifndef EVENTS_H
#define EVENTS_H

#include "test.h"
#include <bh/arch.h>
#include <bh/errno.h>
#include <bh/evtchn.h>
#include <bh/hypercall.h>
#include <bh/page_alloc.h>
#include <bh/virq.h>

static inline long evtchn_op(struct domain *d, unsigned int cmd, void *arg)
{
    return do_event_channel_op(d->vcpu[0], cmd, (unsigned long)arg, 0, 0, 0);
}

/* A port of d offered to `to`; 0: refused. */
static inline uint32_t offer(struct domain *d, domid_t to)
{
    struct evtchn_alloc_unbound op = {.dom = DOMID_SELF, .remote_dom = to};

    return evtchn_op(d, EVTCHNOP_alloc_unbound, &op) == 0 ? op.port : 0;
}

static inline long bind_to(struct domain *d, struct domain *peer, uint32_t port, uint32_t *local)
{
    struct evtchn_bind_interdomain op = {.remote_dom = peer->id, .remote_port = port};
    long rc = evtchn_op(d, EVTCHNOP_bind_interdomain, &op);

    *local = op.local_port;
    return rc;
}

static inline long send_to(struct domain *d, uint32_t port)
{
    struct evtchn_send op = {.port = port};

    return evtchn_op(d, EVTCHNOP_send, &op);
}

static inline long close_port(struct domain *d, uint32_t port)
{
    struct evtchn_close op = {.port = port};

    return evtchn_op(d, EVTCHNOP_close, &op);
}

static inline struct evtchn_status status_of(struct domain *d, uint32_t port)
{
    struct evtchn_status op = {.dom = DOMID_SELF, .port = port};

    assert_int_equal(evtchn_op(d, EVTCHNOP_status, &op), 0);
    return op;
}

static inline bool bit(const uint64_t *words, uint32_t n)
{
    return words[n / 64] >> (n % 64) & 1;
}

/* What the guest's handler does: clears the flags and the pending bit, and says whether the event was there.
 */
static inline bool take(struct domain *d, uint32_t vcpu, uint32_t port)
{
    struct vcpu_info *info = d->vcpu[vcpu]->info;
    bool came = info->evtchn_upcall_pending && (info->evtchn_pending_sel >> (port / 64) & 1) &&
                bit(d->shared_info->evtchn_pending, port);

    info->evtchn_upcall_pending = 0;
    info->evtchn_pending_sel = 0;
    d->shared_info->evtchn_pending[port / 64] &= ~(1UL << (port % 64));
    return came;
}

static inline void mask(struct domain *d, uint32_t port, bool on)
{
    if (on)
        d->shared_info->evtchn_mask[port / 64] |= 1UL << (port % 64);
    else
        d->shared_info->evtchn_mask[port / 64] &= ~(1UL << (port % 64));
}

#endif

/*
 * What the two delivery ABIs (evtchn_2l.c, evtchn_fifo.c) offer the state machine (evtchn.c). Callers hold
 * the port's lock and have seen it in a state other than FREE, or hold the domain's event lock: that keeps
 * the guest memory behind an ABI in place, because it is taken away only after all ports were closed.
 */
#ifndef COMMON_EVTCHN_INTERNAL_H
#define COMMON_EVTCHN_INTERNAL_H

#include <bh/domain.h>

void evtchn_2l_unmask(struct vcpu *v, const struct evtchn *chn);
bool evtchn_2l_is_pending(const struct domain *d, uint32_t port);

void evtchn_fifo_set_pending(struct vcpu *v, struct evtchn *chn);
void evtchn_fifo_clear_pending(struct domain *d, struct evtchn *chn);
void evtchn_fifo_unmask(struct vcpu *v, struct evtchn *chn);
bool evtchn_fifo_is_pending(const struct domain *d, const struct evtchn *chn);
/* The port's word is still linked in a queue that the guest has not read: the number must not be used again
 * yet. */
bool evtchn_fifo_is_busy(const struct domain *d, uint32_t port);
/* Returns the domain to 2-level; all ports are closed. Caller holds the domain's event lock. */
void evtchn_fifo_destroy(struct domain *d);
/* EVTCHNOP_init_control, EVTCHNOP_expand_array. */
long evtchn_fifo_init_control(struct vcpu *v, struct domain *d, void *arg);
long evtchn_fifo_expand_array(struct vcpu *v, struct domain *d, void *arg);

/* v has events to look at: sets its upcall flag and wakes or kicks it. */
void evtchn_notify_vcpu(struct vcpu *v);

/* evtchn_2l.c: the port became pending and is not masked: v gets to know. */
void evtchn_2l_select(struct vcpu *v, uint32_t port);

/* Marks the event pending for v (a vcpu of the port's domain) and lets v know unless it is masked. */
static inline void evtchn_2l_set_pending(struct vcpu *v, const struct evtchn *chn)
{
    struct shared_info *s = v->domain->shared_info;
    uint32_t port = chn->port;
    uint64_t bit = 1UL << (port % 64);

    if (__atomic_fetch_or(&s->evtchn_pending[port / 64], bit, __ATOMIC_SEQ_CST) & bit)
        return;
    if (!(__atomic_load_n(&s->evtchn_mask[port / 64], __ATOMIC_SEQ_CST) & bit))
        evtchn_2l_select(v, port);
}

static inline void evtchn_2l_clear_pending(struct domain *d, uint32_t port)
{
    uint64_t *word = &d->shared_info->evtchn_pending[port / 64], bit = 1UL << (port % 64);

    if (__atomic_load_n(word, __ATOMIC_RELAXED) & bit)
        __atomic_fetch_and(word, ~bit, __ATOMIC_SEQ_CST);
}

/* After a change of e->limit or e->fifo. */
static inline void evtchn_update_limit(struct evtchn_domain *e)
{
    e->abi_limit = MIN(e->limit, e->fifo != NULL ? EVTCHN_FIFO_NR_CHANNELS : EVTCHN_2L_NR_CHANNELS);
}

static inline uint8_t evtchn_state_of(const struct evtchn *chn)
{
    return atomic_load_explicit(&chn->state, memory_order_acquire);
}

static inline void evtchn_open_port(struct evtchn *chn, enum evtchn_state state)
{
    atomic_store_explicit(&chn->state, state, memory_order_release);
}

/* The two domains of an operation are locked in the order of their addresses. */
static inline void evtchn_lock_two(struct domain *a, struct domain *b)
{
    spin_lock(a < b ? &a->evtchn.lock : &b->evtchn.lock);
    if (a != b)
        spin_lock(a < b ? &b->evtchn.lock : &a->evtchn.lock);
}

static inline void evtchn_unlock_two(struct domain *a, struct domain *b)
{
    spin_unlock(&a->evtchn.lock);
    if (a != b)
        spin_unlock(&b->evtchn.lock);
}

static inline bool evtchn_is_pending(const struct domain *d, const struct evtchn *chn)
{
    return d->evtchn.fifo != NULL ? evtchn_fifo_is_pending(d, chn) : evtchn_2l_is_pending(d, chn->port);
}

/* evtchn.c. The port's lock, or its peer's, is held. */
void evtchn_deliver(struct domain *d, struct evtchn *chn);
/*
 * Takes a free port; the domain's lock is held. The caller writes the binding and opens it. 0, -ENOSPC,
 * -ENOMEM, -ESRCH. evtchn_give_back() undoes it.
 */
int must_check evtchn_take_port(struct vcpu *v, struct domain *d, struct evtchn **out);
static inline void evtchn_give_back(struct domain *d, uint32_t port)
{
    struct evtchn_domain *e = &d->evtchn;

    e->used[port / 64] &= ~(1UL << (port % 64));
    e->nr_used--;
    if (port / 64 < e->first_free_word)
        e->first_free_word = port / 64;
}

/* Sends through a port that is not merely offered. 0, -EINVAL. */
int evtchn_send_bound(struct vcpu *v, struct domain *d, struct evtchn *chn);
/* The domain has no such port: notes it, -EINVAL. */
int evtchn_no_port(struct vcpu *v, const struct domain *d, uint32_t port);

#endif

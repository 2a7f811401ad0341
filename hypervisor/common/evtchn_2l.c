/*
 * Event delivery, 2-level ABI: a pending and a mask bit per port in the shared info page, and per vcpu a
 * selector with a bit for each word of pending bits. All three are guest memory: only ever changed by atomic
 * bit operations, and nothing read from them is used but the bit itself.
 */
#include "evtchn_internal.h"

static bool test_and_set(uint64_t *word, unsigned int bit)
{
    return __atomic_fetch_or(word, 1UL << bit, __ATOMIC_SEQ_CST) & (1UL << bit);
}

static bool test_and_clear(uint64_t *word, unsigned int bit)
{
    return __atomic_fetch_and(word, ~(1UL << bit), __ATOMIC_SEQ_CST) & (1UL << bit);
}

static bool test(const uint64_t *word, unsigned int bit)
{
    return __atomic_load_n(word, __ATOMIC_SEQ_CST) & (1UL << bit);
}

void evtchn_2l_select(struct vcpu *v, uint32_t port)
{
    if (!test_and_set(&v->info->evtchn_pending_sel, port / 64))
        evtchn_notify_vcpu(v);
}

void evtchn_2l_unmask(struct vcpu *v, const struct evtchn *chn)
{
    struct shared_info *s = v->domain->shared_info;
    uint32_t port = chn->port;

    if (test_and_clear(&s->evtchn_mask[port / 64], port % 64) &&
        test(&s->evtchn_pending[port / 64], port % 64))
        evtchn_2l_select(v, port);
}

bool evtchn_2l_is_pending(const struct domain *d, uint32_t port)
{
    return test(&d->shared_info->evtchn_pending[port / 64], port % 64);
}

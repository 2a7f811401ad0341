/*
 * Event channels: the state machine of ports. The model, states and locks stand in
 * bh/evtchn.h.
 *
 * Ports are found through buckets of 128, made when the first port of one is needed, and kept until the
 * domain goes. A bit per port tells the free ones; the lowest free port is handed out.
 *
 * Opening a port writes the binding first and the state last (release); a reader looks at the state first
 * (acquire), so it never sees a half-made binding. Taking a binding away is done under the port's lock, which
 * every reader of a binding holds.
 */
#include "evtchn_internal.h"
#include <bh/arch.h>
#include <bh/errno.h>
#include <bh/hypercall.h>
#include <bh/page_alloc.h>
#include <bh/virq.h>

_Static_assert(EVTCHN_NR_VIRQS == NR_VIRQS, "one port per VIRQ");
_Static_assert(EVTCHN_PER_BUCKET * sizeof(struct evtchn) == PAGE_SIZE, "a bucket is one page");

/* Ports that a reset closes, and busy ports that an allocation skips, before it gives way. */
#define CLOSE_BATCH 64
#define BUSY_LIMIT  1024

/* --- Delivery --- */

void evtchn_notify_vcpu(struct vcpu *v)
{
    if (__atomic_exchange_n(&v->info->evtchn_upcall_pending, 1, __ATOMIC_SEQ_CST) != 0)
        return;
    if (READ_ONCE(v->state) == VCPU_BLOCKED)
        vcpu_wake(v);
    else
        arch_vcpu_kick(v);
}

static void wake_pollers(struct domain *d, uint32_t port)
{
    struct vcpu *v;

    for_each_vcpu (d, v) {
        uint32_t polled = READ_ONCE(v->poll_port);

        if (atomic_load_explicit(&v->polling, memory_order_relaxed) && (polled == 0 || polled == port))
            vcpu_wake(v);
    }
}

static inline void deliver(struct domain *d, struct evtchn *chn)
{
    struct vcpu *v = d->vcpu[atomic_load_explicit(&chn->vcpu, memory_order_relaxed)];

    if (unlikely(d->evtchn.fifo != NULL))
        evtchn_fifo_set_pending(v, chn);
    else
        evtchn_2l_set_pending(v, chn);
    if (unlikely(atomic_load_explicit(&d->evtchn.pollers, memory_order_seq_cst) != 0))
        wake_pollers(d, chn->port);
}

void evtchn_deliver(struct domain *d, struct evtchn *chn)
{
    deliver(d, chn);
}

int evtchn_no_port(struct vcpu *v, const struct domain *d, uint32_t port)
{
    return fail(v, -EINVAL, "event channels: the domain has no port {0} (ports: {1})", port,
                d->evtchn.nr_ports);
}

int evtchn_send_bound(struct vcpu *v, struct domain *d, struct evtchn *chn)
{
    uint8_t state;

    spin_lock(&chn->lock);
    state = evtchn_state_of(chn);
    if (likely(state == EVTCHN_INTERDOMAIN))
        deliver(chn->u.interdomain.remote,
                evtchn_at(&chn->u.interdomain.remote->evtchn, chn->u.interdomain.port));
    else if (state == EVTCHN_IPI)
        deliver(d, chn);
    spin_unlock(&chn->lock);
    if (likely(state == EVTCHN_INTERDOMAIN || state == EVTCHN_IPI || state == EVTCHN_UNBOUND))
        return 0;
    return fail(v, -EINVAL, "event channels: send: port {0} is in state {1}, neither interdomain nor IPI",
                chn->port, state);
}

int evtchn_send(struct vcpu *v, struct domain *d, uint32_t port)
{
    struct evtchn *chn = evtchn_lookup(&d->evtchn, port);

    if (unlikely(chn == NULL))
        return evtchn_no_port(v, d, port);
    return evtchn_state_of(chn) == EVTCHN_UNBOUND ? 0 : evtchn_send_bound(v, d, chn);
}

/* Delivers through a port of d if it is (still) bound as `state` to what the caller thinks. */
static bool deliver_bound(struct domain *d, uint32_t port, enum evtchn_state state, uint32_t virq)
{
    struct evtchn *chn = evtchn_lookup(&d->evtchn, port);
    bool bound;

    if (chn == NULL)
        return false;
    spin_lock(&chn->lock);
    bound = evtchn_state_of(chn) == state && (state != EVTCHN_VIRQ || chn->u.virq == virq);
    if (likely(bound))
        deliver(d, chn);
    spin_unlock(&chn->lock);
    return bound;
}

void evtchn_send_virq(struct vcpu *v, uint32_t virq)
{
    uint32_t port = atomic_load_explicit(&v->evtchn.virq_port[virq], memory_order_acquire);

    if (port != 0)
        deliver_bound(v->domain, port, EVTCHN_VIRQ, virq);
}

bool evtchn_pirq_pending(struct domain *d, uint32_t port)
{
    return deliver_bound(d, port, EVTCHN_PIRQ, 0);
}

int evtchn_unmask(struct vcpu *v, uint32_t port)
{
    struct domain *d = v->domain;
    struct evtchn *chn = evtchn_lookup(&d->evtchn, port);
    struct vcpu *to;

    if (unlikely(chn == NULL))
        return evtchn_no_port(v, d, port);
    spin_lock(&chn->lock);
    if (unlikely(evtchn_state_of(chn) <= EVTCHN_RESERVED)) {
        spin_unlock(&chn->lock);
        return fail(v, -EINVAL, "event channels: unmask: port {0} is closed", port, 0);
    }
    to = d->vcpu[chn->vcpu];
    if (d->evtchn.fifo != NULL)
        evtchn_fifo_unmask(to, chn);
    else
        evtchn_2l_unmask(to, chn);
    spin_unlock(&chn->lock);
    return 0;
}

bool evtchn_port_valid(const struct domain *d, uint32_t port)
{
    const struct evtchn *chn = evtchn_lookup(&d->evtchn, port);

    return chn != NULL && evtchn_state_of(chn) > EVTCHN_RESERVED;
}

bool evtchn_port_pending(struct domain *d, uint32_t port)
{
    struct evtchn *chn = evtchn_lookup(&d->evtchn, port);
    bool pending;

    if (chn == NULL)
        return false;
    spin_lock(&chn->lock);
    pending = evtchn_state_of(chn) > EVTCHN_RESERVED && evtchn_is_pending(d, chn);
    spin_unlock(&chn->lock);
    return pending;
}

void evtchn_poll_begin(struct vcpu *v, uint32_t port)
{
    WRITE_ONCE(v->poll_port, port);
    atomic_store(&v->polling, true);
    atomic_fetch_add(&v->domain->evtchn.pollers, 1);
}

/* The poller itself and whoever wakes it may both come here: one of them counts. */
void evtchn_poll_end(struct vcpu *v)
{
    if (atomic_exchange(&v->polling, false))
        atomic_fetch_sub(&v->domain->evtchn.pollers, 1);
}

/* --- Allocation --- */

static int add_bucket(struct evtchn_domain *e)
{
    struct evtchn *bucket = kalloc(PAGE_SIZE);

    if (bucket == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < EVTCHN_PER_BUCKET; i++)
        bucket[i].port = e->nr_ports + i;
    e->bucket[e->nr_ports / EVTCHN_PER_BUCKET] = bucket;
    __atomic_store_n(&e->nr_ports, e->nr_ports + EVTCHN_PER_BUCKET, __ATOMIC_RELEASE);
    return 0;
}

/* The lowest free port below the limit, not marked used yet; the lock is held. The limit itself: there is
 * none. */
static uint32_t find_free(struct domain *d)
{
    struct evtchn_domain *e = &d->evtchn;
    uint32_t limit = e->abi_limit, words = DIV_ROUND_UP(limit, 64), busy = 0;
    uint32_t word = e->first_free_word;

    while (word < words && e->used[word] == ~0UL)
        word++;
    e->first_free_word = word;
    for (; word < words; word++) {
        uint64_t candidates = ~e->used[word];

        for (; candidates != 0; candidates &= candidates - 1) {
            uint32_t port = word * 64 + (uint32_t)__builtin_ctzl(candidates);

            if (port >= limit || busy++ == BUSY_LIMIT)
                return limit;
            if (e->fifo == NULL || !evtchn_fifo_is_busy(d, port))
                return port;
        }
    }
    return limit;
}

static inline struct evtchn *mark_used(struct evtchn_domain *e, uint32_t port)
{
    struct evtchn *chn = evtchn_at(e, port);

    e->used[port / 64] |= 1UL << (port % 64);
    e->nr_used++;
    atomic_store_explicit(&chn->priority, EVTCHN_FIFO_PRIORITY_DEFAULT, memory_order_relaxed);
    atomic_store_explicit(&chn->vcpu, 0, memory_order_relaxed);
    return chn;
}

/* The port where the search would begin, if that needs no more thought; NULL: it does. */
static inline struct evtchn *take_first(struct evtchn_domain *e)
{
    uint32_t word = e->first_free_word, port;
    uint64_t used = e->used[word]; /* there is a word more than ports need */

    if (unlikely(used == ~0UL || e->fifo != NULL || e->dying))
        return NULL;
    port = word * 64 + (uint32_t)__builtin_ctzl(~used);
    return likely(port < e->abi_limit && port < e->nr_ports) ? mark_used(e, port) : NULL;
}

int evtchn_take_port(struct vcpu *v, struct domain *d, struct evtchn **out)
{
    struct evtchn_domain *e = &d->evtchn;
    uint32_t port;

    if (unlikely(e->dying))
        return fail(v, -ESRCH, "event channels: domain {0} is being destroyed", d->id, 0);
    port = find_free(d);
    if (unlikely(port >= e->abi_limit))
        return fail(v, -ENOSPC,
                    "event channels: domain {0}: all its {1} ports are in use (max_event_channels)", d->id,
                    e->abi_limit);
    while (unlikely(port >= e->nr_ports))
        if (add_bucket(e) != 0)
            return fail(v, -ENOMEM, "event channels: no memory for port {1} of domain {0}", d->id, port);
    *out = mark_used(e, port);
    return 0;
}

static void offer(struct evtchn *chn, domid_t remote, uint32_t *port)
{
    chn->u.unbound.remote = remote;
    evtchn_open_port(chn, EVTCHN_UNBOUND);
    *port = chn->port;
}

static __attribute__((noinline)) int alloc_unbound_slow(struct vcpu *v, struct domain *d, domid_t remote,
                                                        uint32_t *port)
{
    struct evtchn *chn;
    int rc;

    spin_lock(&d->evtchn.lock);
    rc = evtchn_take_port(v, d, &chn);
    if (rc == 0)
        offer(chn, remote, port);
    spin_unlock(&d->evtchn.lock);
    return rc;
}

/* Nothing is called on the short way, which therefore saves no registers. */
int evtchn_alloc_unbound(struct vcpu *v, struct domain *d, domid_t remote, uint32_t *port)
{
    if (likely(spin_trylock(&d->evtchn.lock))) {
        struct evtchn *chn = take_first(&d->evtchn);

        if (likely(chn != NULL)) {
            offer(chn, remote, port);
            spin_unlock(&d->evtchn.lock);
            return 0;
        }
        spin_unlock(&d->evtchn.lock);
    }
    return alloc_unbound_slow(v, d, remote, port);
}

/* --- Closing --- */

static inline void clear_pending(struct domain *d, struct evtchn *chn)
{
    if (d->evtchn.fifo != NULL)
        evtchn_fifo_clear_pending(d, chn);
    else
        evtchn_2l_clear_pending(d, chn->port);
}

/* Both ports' domains are locked. The peer is left offered to us again. */
static void unbind_peers(struct domain *d, struct evtchn *chn)
{
    struct domain *rd = chn->u.interdomain.remote;
    struct evtchn *peer = evtchn_lookup(&rd->evtchn, chn->u.interdomain.port);
    struct evtchn *first = chn < peer ? chn : peer;
    struct evtchn *second = chn < peer ? peer : chn;

    spin_lock(&first->lock);
    if (first != second)
        spin_lock(&second->lock);
    evtchn_open_port(peer, EVTCHN_UNBOUND);
    peer->u.unbound.remote = d->id;
    evtchn_open_port(chn, EVTCHN_FREE);
    clear_pending(d, chn);
    spin_unlock(&first->lock);
    if (first != second)
        spin_unlock(&second->lock);
}

/* Nothing points at the port any more. */
static inline void close_here(struct domain *d, struct evtchn *chn)
{
    spin_lock(&chn->lock);
    evtchn_open_port(chn, EVTCHN_FREE);
    clear_pending(d, chn);
    spin_unlock(&chn->lock);
    evtchn_give_back(d, chn->port);
}

static void unbind_virq(struct domain *d, struct evtchn *chn)
{
    struct vcpu *v = d->vcpu[virq_scope(chn->u.virq) == VIRQ_GLOBAL ? 0 : chn->vcpu];

    atomic_store_explicit(&v->evtchn.virq_port[chn->u.virq], 0, memory_order_relaxed);
}

/* d (and the peer's domain, for INTERDOMAIN) is locked; the port is in use. */
static void close_locked(struct domain *d, struct evtchn *chn)
{
    switch (evtchn_state_of(chn)) {
    case EVTCHN_INTERDOMAIN:
        unbind_peers(d, chn);
        evtchn_give_back(d, chn->port);
        return;
    case EVTCHN_PIRQ:
        /* Not under the port's lock: this waits for the interrupt's handlers, and those take it. */
        arch_pirq_unbind(d, chn->u.pirq);
        break;
    case EVTCHN_VIRQ:
        unbind_virq(d, chn);
        break;
    default:
        break;
    }
    close_here(d, chn);
}

/*
 * Locks d, and the domain at the other end of the port if there is one (*peer; NULL: none). The peer may only
 * be locked in order of addresses; when d has to be let go for that, the port is looked at again.
 */
static void lock_for_close(struct domain *d, const struct evtchn *chn, struct domain **peer)
{
    spin_lock(&d->evtchn.lock);
    for (;;) {
        struct domain *rd = evtchn_state_of(chn) == EVTCHN_INTERDOMAIN ? chn->u.interdomain.remote : NULL;

        *peer = rd;
        if (rd == NULL || rd == d)
            return;
        if (d < rd) {
            spin_lock(&rd->evtchn.lock);
            return;
        }
        domain_hold(rd);
        spin_unlock(&d->evtchn.lock);
        evtchn_lock_two(d, rd);
        if (evtchn_state_of(chn) == EVTCHN_INTERDOMAIN && chn->u.interdomain.remote == rd) {
            /* The binding keeps rd now. */
            domain_put(rd);
            return;
        }
        spin_unlock(&rd->evtchn.lock);
        domain_put(rd);
    }
}

/* Any port, open or not. */
static __attribute__((noinline)) int close_slow(struct vcpu *v, struct domain *d, struct evtchn *chn)
{
    struct domain *peer;
    bool open;

    lock_for_close(d, chn, &peer);
    open = evtchn_state_of(chn) > EVTCHN_RESERVED;
    if (likely(open))
        close_locked(d, chn);
    if (peer != NULL && peer != d)
        spin_unlock(&peer->evtchn.lock);
    spin_unlock(&d->evtchn.lock);
    return likely(open) ? 0 : fail(v, -EINVAL, "event channels: close: port {0} is not open", chn->port, 0);
}

/* As evtchn_alloc_unbound: a port that nobody bound to, and locks that nobody holds. */
int evtchn_close(struct vcpu *v, struct domain *d, uint32_t port)
{
    struct evtchn *chn = evtchn_lookup(&d->evtchn, port);

    if (unlikely(chn == NULL))
        return evtchn_no_port(v, d, port);
    if (likely(spin_trylock(&d->evtchn.lock))) {
        if (likely(evtchn_state_of(chn) == EVTCHN_UNBOUND && d->evtchn.fifo == NULL &&
                   spin_trylock(&chn->lock))) {
            evtchn_open_port(chn, EVTCHN_FREE);
            evtchn_2l_clear_pending(d, port);
            spin_unlock(&chn->lock);
            evtchn_give_back(d, port);
            spin_unlock(&d->evtchn.lock);
            return 0;
        }
        spin_unlock(&d->evtchn.lock);
    }
    return close_slow(v, d, chn);
}

/* Closes ports from reset_next on. -EAGAIN: gave way. */
static int close_all(struct domain *d)
{
    struct evtchn_domain *e = &d->evtchn;

    for (uint32_t done = 0; e->reset_next < e->nr_ports; e->reset_next++) {
        if (evtchn_port_valid(d, e->reset_next)) {
            evtchn_close(NULL, d, e->reset_next);
            done++;
        }
        if (done == CLOSE_BATCH) {
            done = 0;
            if (hypercall_preempt_check())
                return -EAGAIN;
        }
    }
    e->reset_next = 0;
    return 0;
}

int evtchn_reset(struct domain *d)
{
    int rc = close_all(d);

    if (rc != 0)
        return rc;
    spin_lock(&d->evtchn.lock);
    if (d->evtchn.nr_used != 0)
        rc = -EAGAIN; /* another vcpu opened one meanwhile */
    else if (d->evtchn.fifo != NULL)
        evtchn_fifo_destroy(d);
    spin_unlock(&d->evtchn.lock);
    return rc;
}

/* --- Life of a domain's ports --- */

int evtchn_domain_init(struct domain *d, uint32_t max_port)
{
    struct evtchn_domain *e = &d->evtchn;

    e->limit = MIN(max_port, EVTCHN_FIFO_NR_CHANNELS - 1u) + 1;
    evtchn_update_limit(e);
    e->bucket = kalloc(DIV_ROUND_UP(e->limit, EVTCHN_PER_BUCKET) * sizeof(*e->bucket));
    e->used = kalloc((DIV_ROUND_UP(e->limit, 64) + 1) * sizeof(*e->used));
    if (e->bucket == NULL || e->used == NULL || add_bucket(e) != 0)
        return -ENOMEM;
    e->used[0] = 1;
    evtchn_open_port(evtchn_lookup(e, 0), EVTCHN_RESERVED);
    return 0;
}

int evtchn_domain_release(struct domain *d)
{
    int rc;

    spin_lock(&d->evtchn.lock);
    if (!d->evtchn.dying)
        d->evtchn.reset_next = 0;
    d->evtchn.dying = true;
    spin_unlock(&d->evtchn.lock);
    rc = close_all(d);
    if (rc != 0)
        return rc;
    spin_lock(&d->evtchn.lock);
    if (d->evtchn.fifo != NULL)
        evtchn_fifo_destroy(d);
    spin_unlock(&d->evtchn.lock);
    return 0;
}

void evtchn_domain_destroy(struct domain *d)
{
    struct evtchn_domain *e = &d->evtchn;

    for (uint32_t port = 0; port < e->nr_ports; port += EVTCHN_PER_BUCKET)
        kfree(e->bucket[port / EVTCHN_PER_BUCKET]);
    e->nr_ports = 0;
    kfree(e->bucket);
    kfree(e->used);
    e->bucket = NULL;
    e->used = NULL;
}

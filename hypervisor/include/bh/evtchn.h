/*
 * Event channels: a domain's ports, what each is bound to, and how an event reaches a vcpu.
 *
 * States of a port (transitions in common/evtchn.c):
 *
 *   FREE -> UNBOUND -> INTERDOMAIN -> FREE or (the peer closed) UNBOUND
 *   FREE -> PIRQ | VIRQ | IPI -> FREE
 *   RESERVED: port 0, never used
 *
 * Locks: d->evtchn.lock covers allocation and every change of a binding; two domains are locked in the order
 * of their addresses. A port's own lock is taken by who delivers through it and by who takes a binding away,
 * so that a binding seen under it (and the peer domain behind it) stays until it is released. Order: domain
 * lock(s) > one port's lock; where two ports' locks are needed, in the order of addresses. Delivery takes no
 * domain lock.
 */
#ifndef BH_EVTCHN_H
#define BH_EVTCHN_H

#include <bh/types.h>
#include <bh/lock.h>
#include <public/event_channel.h>

struct evtchn_fifo_domain;
struct evtchn_fifo_vcpu;

#define EVTCHN_BUCKET_SHIFT 7
#define EVTCHN_PER_BUCKET   (1u << EVTCHN_BUCKET_SHIFT) /* ports per page of struct evtchn */
#define EVTCHN_NR_VIRQS     24

enum evtchn_state {
    EVTCHN_FREE,
    EVTCHN_RESERVED,
    EVTCHN_UNBOUND,
    EVTCHN_INTERDOMAIN,
    EVTCHN_PIRQ,
    EVTCHN_VIRQ,
    EVTCHN_IPI,
};

struct evtchn {
    struct spinlock lock;
    _Atomic uint8_t state;    /* enum evtchn_state */
    _Atomic uint8_t priority; /* FIFO: queue for the next event */
    uint8_t last_priority;    /* FIFO: queue that the port was last linked in, with last_vcpu */
    bool fifo_waiting;        /* FIFO: pending, but the guest gave no page for its word yet */
    _Atomic uint16_t vcpu;    /* who is notified */
    _Atomic uint16_t last_vcpu;
    uint32_t port;
    union {
        struct {
            domid_t remote;
        } unbound;
        struct {
            struct domain *remote; /* alive while the binding is: a dying domain closes its ports first */
            uint32_t port;
        } interdomain;
        uint32_t pirq;
        uint32_t virq;
    } u;
};
_Static_assert(sizeof(struct evtchn) == 32, "a bucket is one page");

struct evtchn_domain {
    struct spinlock lock;
    uint32_t
        nr_ports; /* ports with a struct evtchn: whole buckets; grows, never shrinks while the domain lives */
    uint32_t limit;           /* ports allowed: highest port + 1 */
    uint32_t abi_limit;       /* ports that the ABI in use allows of these: highest + 1 */
    uint32_t nr_used;         /* ports not free, port 0 apart */
    uint32_t first_free_word; /* no free port in the words of `used` before it */
    uint32_t reset_next;      /* progress of a preempted reset or release */
    bool dying;               /* no new ports */
    _Atomic uint32_t pollers; /* vcpus in SCHEDOP_poll */
    struct evtchn **bucket;   /* [limit / EVTCHN_PER_BUCKET rounded up]; NULL beyond nr_ports */
    uint64_t *used;           /* bit per port up to limit */
    struct evtchn_fifo_domain *_Atomic fifo; /* NULL: 2-level */
};

struct evtchn_vcpu {
    _Atomic uint32_t virq_port[EVTCHN_NR_VIRQS]; /* 0: not bound */
    struct evtchn_fifo_vcpu *_Atomic fifo;       /* NULL until the guest registered a control block */
};

/*
 * A new domain's ports: none but the reserved port 0. max_port is the highest port allowed (clipped to what
 * the ABI has). Returns 0 or -ENOMEM; destroy accepts what failed.
 */
int must_check evtchn_domain_init(struct domain *d, uint32_t max_port);
/* Closes all ports; 0: done, -EAGAIN: preempted, call again. No new ports from the first call on. */
int must_check evtchn_domain_release(struct domain *d);
/* Frees what is left, after release or before the domain ever ran. Idempotent. */
void evtchn_domain_destroy(struct domain *d);

/* Sends through a port of d, as its guest would with EVTCHNOP_send. Returns 0, -EINVAL. v: for the cause; may
 * be NULL. */
int evtchn_send(struct vcpu *v, struct domain *d, uint32_t port);
/* Raises a per-vcpu VIRQ of v; nothing happens when it is not bound. */
void evtchn_send_virq(struct vcpu *v, uint32_t virq);
/* An interrupt bound to `port` of d (arch_pirq_bind told the port) came. false: the port is not bound to one.
 */
bool evtchn_pirq_pending(struct domain *d, uint32_t port);

/* Lets events through the port again and delivers one that waited. Returns 0, -EINVAL. */
int evtchn_unmask(struct vcpu *v, uint32_t port);
/* Whether an event waits on the port (masked or not). An invalid port: false. For SCHEDOP_poll. */
bool evtchn_port_pending(struct domain *d, uint32_t port);
bool evtchn_port_valid(const struct domain *d, uint32_t port);

/*
 * SCHEDOP_poll, in this order: begin (marks v as polling `port`, 0: several), state = BLOCKED, look at the
 * ports with evtchn_port_pending, sleep or not, end. A sender sets the event first and then looks for
 * pollers, so no event is lost. It wakes with vcpu_wake().
 */
void evtchn_poll_begin(struct vcpu *v, uint32_t port);
void evtchn_poll_end(struct vcpu *v);

/*
 * Offers a port of d to `remote`. For the domain builder and for EVTCHNOP_alloc_unbound. Returns 0, -ENOSPC
 * (the domain's limit), -ENOMEM, -ESRCH (dying). v: for the cause; may be NULL.
 */
int must_check evtchn_alloc_unbound(struct vcpu *v, struct domain *d, domid_t remote, uint32_t *port);
/* Closes a port. Returns 0, -EINVAL. */
int evtchn_close(struct vcpu *v, struct domain *d, uint32_t port);
/* Closes every port of d and returns to the 2-level ABI (soft reset). 0 or -EAGAIN: preempted, call again. */
int must_check evtchn_reset(struct domain *d);

/* Prints d's ports to the console (debug key e). */
void evtchn_dump(struct domain *d);

/* A port that has a struct evtchn. */
static inline struct evtchn *evtchn_at(const struct evtchn_domain *e, uint32_t port)
{
    return &e->bucket[port >> EVTCHN_BUCKET_SHIFT][port & (EVTCHN_PER_BUCKET - 1)];
}

/* NULL: there is no such port. */
static inline struct evtchn *evtchn_lookup(const struct evtchn_domain *e, uint32_t port)
{
    return likely(port < __atomic_load_n(&e->nr_ports, __ATOMIC_ACQUIRE)) ? evtchn_at(e, port) : NULL;
}

#endif

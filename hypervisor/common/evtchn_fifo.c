/*
 * Event delivery, FIFO ABI.
 *
 * The guest shares pages of event words (one per port) and a control block per vcpu. A vcpu has 16 queues,
 * one per priority: the control block holds each queue's head, the words link to the next port, and we alone
 * remember the tails. The guest takes ports off the head.
 *
 *   word: PENDING | MASKED | LINKED (in a queue) | BUSY (we are changing the link) | 17 bits of link
 *
 * The words are hostile: a guest may change any bit at any time. Nothing read from them is used as an index:
 * tails are our own, and a link is only ever written, by compare-exchange with a bounded number of attempts.
 * A guest that breaks its words loses its own events.
 *
 * last_vcpu and last_priority of a port outlive a reset to 2-level: they matter only if they name a queue
 * whose tail is the port, and new queues are empty.
 *
 * Locks: a vcpu's queue lock covers its tails, and last_vcpu/last_priority of the ports whose last_vcpu it
 * is. A port that moves from one vcpu's queue to another's takes both, in the order of vcpu ids. Inside the
 * port's lock.
 */
#include "evtchn_internal.h"
#include <bh/arch.h>
#include <bh/errno.h>
#include <bh/page_alloc.h>

#define WORDS_PER_PAGE  (PAGE_SIZE / sizeof(event_word_t))
#define MAX_ARRAY_PAGES (EVTCHN_FIFO_NR_CHANNELS / WORDS_PER_PAGE)
#define LINK_ATTEMPTS   4

#define WORD_PENDING (1u << EVTCHN_FIFO_PENDING)
#define WORD_MASKED  (1u << EVTCHN_FIFO_MASKED)
#define WORD_LINKED  (1u << EVTCHN_FIFO_LINKED)
#define WORD_BUSY    (1u << EVTCHN_FIFO_BUSY)

struct evtchn_fifo_domain {
    uint32_t nr_pages; /* grows under the domain's event lock */
    event_word_t *page[MAX_ARRAY_PAGES];
};

struct evtchn_fifo_vcpu {
    struct spinlock lock;
    struct evtchn_fifo_control_block *control; /* guest memory, with a writable reference to its page */
    uint32_t tail[EVTCHN_FIFO_MAX_QUEUES];     /* 0: empty */
};

/* NULL: the guest has not given us the page yet. */
static event_word_t *word_of(const struct domain *d, uint32_t port)
{
    const struct evtchn_fifo_domain *f = d->evtchn.fifo;
    uint32_t page = port / WORDS_PER_PAGE;

    return page < __atomic_load_n(&f->nr_pages, __ATOMIC_ACQUIRE) ? f->page[page] + port % WORDS_PER_PAGE
                                                                  : NULL;
}

static uint32_t set_bits(event_word_t *word, uint32_t bits)
{
    return __atomic_fetch_or(word, bits, __ATOMIC_SEQ_CST);
}

static uint32_t clear_bits(event_word_t *word, uint32_t bits)
{
    return __atomic_fetch_and(word, ~bits, __ATOMIC_SEQ_CST);
}

/*
 * Makes the tail's word point at `port`, if it is still linked. false: the guest took the tail off the queue,
 * which is therefore empty. While BUSY is set a well-behaved guest waits for us, so a few attempts are
 * enough.
 */
static bool link_to_tail(event_word_t *tail, uint32_t port)
{
    uint32_t old = __atomic_load_n(tail, __ATOMIC_SEQ_CST);

    for (int attempt = 0; attempt <= LINK_ATTEMPTS; attempt++) {
        if (!(old & WORD_LINKED)) {
            if (attempt != 0)
                clear_bits(tail, WORD_BUSY);
            return false;
        }
        uint32_t new = (old & ~(WORD_BUSY | EVTCHN_FIFO_LINK_MASK)) | port;

        if (__atomic_compare_exchange_n(tail, &old, new, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            return true;
        if (attempt == 0)
            old = set_bits(tail, WORD_BUSY) | WORD_BUSY;
    }
    /* It does not stop writing the word: its queue is broken from here on, which hurts nobody else. */
    clear_bits(tail, WORD_BUSY);
    return true;
}

/*
 * Locks the queues of v and of the vcpu in whose queue the port was last. The latter changes only under these
 * very locks, so after a re-check it holds.
 */
static struct vcpu *lock_queues(struct vcpu *v, const struct evtchn *chn)
{
    for (;;) {
        struct vcpu *old = v->domain->vcpu[atomic_load_explicit(&chn->last_vcpu, memory_order_relaxed)];
        struct vcpu *first = old->id < v->id ? old : v;
        struct vcpu *second = old->id < v->id ? v : old;
        bool both = first != second && old->evtchn.fifo != NULL;

        if (!both)
            first = v;
        spin_lock(&first->evtchn.fifo->lock);
        if (both)
            spin_lock(&second->evtchn.fifo->lock);
        if (likely(v->domain->vcpu[atomic_load_explicit(&chn->last_vcpu, memory_order_relaxed)] == old))
            return both ? old : v;
        if (both)
            spin_unlock(&second->evtchn.fifo->lock);
        spin_unlock(&first->evtchn.fifo->lock);
    }
}

static void unlock_queues(struct vcpu *v, struct vcpu *old)
{
    if (old != v)
        spin_unlock(&old->evtchn.fifo->lock);
    spin_unlock(&v->evtchn.fifo->lock);
}

/* Appends the port to v's queue. Returns whether v has to be told: the queue was empty. */
static bool enqueue(struct vcpu *v, struct evtchn *chn, event_word_t *word)
{
    struct evtchn_fifo_vcpu *q = v->evtchn.fifo;
    struct vcpu *old = lock_queues(v, chn);
    uint8_t priority = atomic_load_explicit(&chn->priority, memory_order_relaxed);
    uint32_t port = chn->port;
    bool linked = false;

    if (set_bits(word, WORD_LINKED) & WORD_LINKED) {
        unlock_queues(v, old);
        return false;
    }
    /* The port was its old queue's tail and is no longer linked there: that queue is empty now. */
    if (old->evtchn.fifo->tail[chn->last_priority] == port)
        old->evtchn.fifo->tail[chn->last_priority] = 0;
    atomic_store_explicit(&chn->last_vcpu, (uint16_t)v->id, memory_order_relaxed);
    chn->last_priority = priority;

    if (q->tail[priority] != 0)
        linked = link_to_tail(word_of(v->domain, q->tail[priority]), port);
    if (!linked)
        __atomic_store_n(&q->control->head[priority], port, __ATOMIC_SEQ_CST);
    q->tail[priority] = port;
    unlock_queues(v, old);

    return !linked &&
           !(__atomic_fetch_or(&q->control->ready, 1u << priority, __ATOMIC_SEQ_CST) & (1u << priority));
}

void evtchn_fifo_set_pending(struct vcpu *v, struct evtchn *chn)
{
    event_word_t *word = word_of(v->domain, chn->port);

    if (unlikely(word == NULL)) {
        chn->fifo_waiting = true; /* raised when the page comes */
        return;
    }
    uint32_t old = set_bits(word, WORD_PENDING);

    /* Without a control block the event stays pending in its word, unlinked, until it is raised or unmasked
     * again. */
    if ((old & (WORD_MASKED | WORD_LINKED)) || v->evtchn.fifo == NULL)
        return;
    if (enqueue(v, chn, word))
        evtchn_notify_vcpu(v);
}

void evtchn_fifo_clear_pending(struct domain *d, struct evtchn *chn)
{
    event_word_t *word = word_of(d, chn->port);

    chn->fifo_waiting = false;
    if (word != NULL)
        clear_bits(word, WORD_PENDING);
}

void evtchn_fifo_unmask(struct vcpu *v, struct evtchn *chn)
{
    event_word_t *word = word_of(v->domain, chn->port);

    if (word == NULL)
        return;
    clear_bits(word, WORD_MASKED);
    if (__atomic_load_n(word, __ATOMIC_SEQ_CST) & WORD_PENDING)
        evtchn_fifo_set_pending(v, chn);
}

bool evtchn_fifo_is_pending(const struct domain *d, const struct evtchn *chn)
{
    const event_word_t *word = word_of(d, chn->port);

    return word != NULL ? __atomic_load_n(word, __ATOMIC_SEQ_CST) & WORD_PENDING : chn->fifo_waiting;
}

bool evtchn_fifo_is_busy(const struct domain *d, uint32_t port)
{
    const event_word_t *word = word_of(d, port);

    return word != NULL && (__atomic_load_n(word, __ATOMIC_SEQ_CST) & WORD_LINKED);
}

/* The guest's page, mapped, with a writable reference. */
static int map_page(struct vcpu *v, uint64_t gfn, const char *what, void **mapped)
{
    mfn_t mfn = MFN(gfn);

    if (!mfn_valid(mfn) || !get_page_writable(mfn_to_page(mfn), v->domain))
        return fail(v, -EINVAL, what, gfn, v->domain->id);
    *mapped = arch_map(mfn);
    return 0;
}

static void unmap_page(void *address)
{
    put_page_writable(mfn_to_page(arch_unmap((void *)((uintptr_t)address & PAGE_MASK))));
}

static int set_control_block(struct vcpu *caller, struct vcpu *v, uint64_t gfn, uint32_t offset)
{
    struct evtchn_fifo_vcpu *q;
    void *page;
    int rc;

    if (v->evtchn.fifo != NULL)
        return fail(caller, -EINVAL, "event channels: vcpu {0} has a FIFO control block already", v->id, 0);
    q = kalloc(sizeof(*q));
    if (q == NULL)
        return fail(caller, -ENOMEM, "event channels: no memory for the FIFO queues of vcpu {0}", v->id, 0);
    rc = map_page(caller, gfn,
                  "event channels: FIFO control block: frame {0} is no writable page of domain {1}", &page);
    if (rc != 0) {
        kfree(q);
        return rc;
    }
    q->control = (void *)((char *)page + offset);
    v->evtchn.fifo = q;
    return 0;
}

/* The first control block switches the ABI: what is pending in the 2-level bits is raised once a page of
 * words comes. */
static void carry_over(struct domain *d)
{
    for (uint32_t port = 1; port < MIN(d->evtchn.nr_ports, EVTCHN_2L_NR_CHANNELS); port++) {
        struct evtchn *chn = evtchn_lookup(&d->evtchn, port);

        spin_lock(&chn->lock);
        if (evtchn_2l_is_pending(d, port))
            chn->fifo_waiting = true;
        spin_unlock(&chn->lock);
    }
}

static int init_control_locked(struct vcpu *caller, const struct evtchn_init_control *op)
{
    struct domain *d = caller->domain;
    struct evtchn_fifo_domain *f = NULL;
    int rc;

    if (d->evtchn.fifo == NULL) {
        f = kalloc(sizeof(*f));
        if (f == NULL)
            return fail(caller, -ENOMEM, "event channels: no memory for the FIFO array of domain {0}", d->id,
                        0);
    }
    rc = set_control_block(caller, d->vcpu[op->vcpu], op->control_gfn, op->offset);
    if (rc != 0) {
        kfree(f);
        return rc;
    }
    if (f != NULL) {
        d->evtchn.fifo = f;
        evtchn_update_limit(&d->evtchn);
        carry_over(d);
    }
    return 0;
}

long evtchn_fifo_init_control(struct vcpu *v, struct domain *d, void *arg)
{
    struct evtchn_init_control *op = arg;
    int rc;

    if (domain_vcpu(d, op->vcpu) == NULL)
        return fail(v, -ENOENT, "event channels: init_control: no vcpu {0} (domain has {1})", op->vcpu,
                    d->max_vcpus);
    if (op->offset > PAGE_SIZE - sizeof(struct evtchn_fifo_control_block) || op->offset % 8 != 0)
        return fail(v, -EINVAL, "event channels: init_control: offset {0} is not a multiple of 8 up to {1}",
                    op->offset, PAGE_SIZE - sizeof(struct evtchn_fifo_control_block));
    op->link_bits = EVTCHN_FIFO_LINK_BITS;

    spin_lock(&d->evtchn.lock);
    rc = d->evtchn.dying ? fail(v, -ESRCH, "event channels: domain {0} is being destroyed", d->id, 0)
                         : init_control_locked(v, op);
    spin_unlock(&d->evtchn.lock);
    return rc;
}

static void raise_waiting(struct domain *d, uint32_t first)
{
    for (uint32_t port = first; port < MIN(d->evtchn.nr_ports, first + WORDS_PER_PAGE); port++) {
        struct evtchn *chn = evtchn_lookup(&d->evtchn, port);

        spin_lock(&chn->lock);
        if (chn->fifo_waiting) {
            chn->fifo_waiting = false;
            if (chn->state > EVTCHN_RESERVED)
                evtchn_fifo_set_pending(d->vcpu[chn->vcpu], chn);
        }
        spin_unlock(&chn->lock);
    }
}

static int expand_locked(struct vcpu *v, uint64_t gfn)
{
    struct domain *d = v->domain;
    struct evtchn_fifo_domain *f = d->evtchn.fifo;
    void *page;
    int rc;

    if (f == NULL)
        return fail(v, -EOPNOTSUPP, "event channels: expand_array: domain {0} did not init_control first",
                    d->id, 0);
    if (f->nr_pages == MAX_ARRAY_PAGES)
        return fail(v, -ENOSPC, "event channels: expand_array: all {0} pages are there", MAX_ARRAY_PAGES, 0);
    rc = map_page(v, gfn, "event channels: event array: frame {0} is no writable page of domain {1}", &page);
    if (rc != 0)
        return rc;
    f->page[f->nr_pages] = page;
    __atomic_store_n(&f->nr_pages, f->nr_pages + 1, __ATOMIC_RELEASE);
    raise_waiting(d, (f->nr_pages - 1) * WORDS_PER_PAGE);
    return 0;
}

long evtchn_fifo_expand_array(struct vcpu *v, struct domain *d, void *arg)
{
    const struct evtchn_expand_array *op = arg;
    int rc;

    spin_lock(&d->evtchn.lock);
    rc = d->evtchn.dying ? fail(v, -ESRCH, "event channels: domain {0} is being destroyed", d->id, 0)
                         : expand_locked(v, op->array_gfn);
    spin_unlock(&d->evtchn.lock);
    return rc;
}

void evtchn_fifo_destroy(struct domain *d)
{
    struct evtchn_fifo_domain *f = d->evtchn.fifo;
    struct vcpu *v;

    for_each_vcpu (d, v) {
        struct evtchn_fifo_vcpu *q = v->evtchn.fifo;

        v->evtchn.fifo = NULL;
        if (q != NULL)
            unmap_page(q->control);
        kfree(q);
    }
    d->evtchn.fifo = NULL;
    evtchn_update_limit(&d->evtchn);
    for (uint32_t i = 0; f != NULL && i < f->nr_pages; i++)
        unmap_page(f->page[i]);
    kfree(f);
}

/*
 * Hypercalls: one function makes them all, so that a failure is told in one way: the call, its errno, and on
 * Bulkhead the failing check inside the hypervisor.
 */
#include <sys/mman.h>
#include "internal.h"

static bool hypervisor_is_bulkhead(struct bh *h)
{
    uint64_t arg[5] = {XENVER_extraversion};
    size_t mark = bh_hbuf_mark(h);
    unsigned long left = h->inject_left;
    char *extra;

    if (h->is_bulkhead >= 0)
        return h->is_bulkhead;
    h->inject_left = 0;
    extra = bh_hbuf(h, sizeof(xen_extraversion_t));
    h->inject_left = left;
    h->is_bulkhead = 0;
    if (extra) {
        arg[1] = (uintptr_t)extra;
        if (h->os->hypercall(h, __HYPERVISOR_xen_version, arg) == 0)
            h->is_bulkhead = memmem(extra, sizeof(xen_extraversion_t), "bulkhead", 8) != NULL;
    }
    bh_hbuf_release(h, mark);
    return h->is_bulkhead;
}

/* The hypervisor's own words for the last failure, added as the innermost message; *text stays empty without.
 */
static void fetch_cause(struct bh *h, unsigned int op, long error, char *text, size_t size)
{
    size_t mark = bh_hbuf_mark(h);
    uint64_t arg[5] = {BULKHEAD_get_cause};
    struct bulkhead_cause *cause;

    *text = 0;
    if (!hypervisor_is_bulkhead(h))
        return;
    cause = bh_hbuf(h, sizeof(*cause));
    if (!cause)
        return;
    cause->after = h->cause_sequence;
    cause->domid = DOMID_SELF;
    cause->hypercall = op;
    arg[1] = (uintptr_t)cause;
    if (h->os->hypercall(h, __HYPERVISOR_bulkhead_op, arg) == 0) {
        cause->text[sizeof(cause->text) - 1] = 0;
        h->cause_sequence = cause->sequence;
        /* Another failure than ours would mislead: not every check leaves a record. */
        if (cause->error == error)
            snprintf(text, size, "%s", cause->text);
    }
    bh_hbuf_release(h, mark);
}

long bh_hypercall(struct bh *h, const char *name, unsigned int op, uint64_t a0, uint64_t a1, uint64_t a2,
                  uint64_t a3, uint64_t a4)
{
    const uint64_t arg[5] = {a0, a1, a2, a3, a4};
    char cause[ERROR_TEXT];
    long rc;

    if (bh_step(h, "hypercall %s", name))
        return -h->error;
    h->error = 0;
    rc = h->os->hypercall(h, op, arg);
    if (rc >= 0 || h->error)
        return rc;
    fetch_cause(h, op, rc, cause, sizeof(cause));
    if (!cause[0])
        return bh_fail(
            h, -rc, "hypercall %s: %s (errno %ld)%s", name, strerror(-rc), -rc,
            hypervisor_is_bulkhead(h) ? "" : "; this hypervisor keeps no record of the check that failed");
    bh_fail(h, -rc, "the hypervisor: %s", cause);
    return bh_because(h, "hypercall %s: %s", name, strerror(-rc));
}

int bh_domctl(struct bh *h, const char *name, unsigned int cmd, unsigned int domid, struct xen_domctl *op)
{
    size_t mark = bh_hbuf_mark(h);
    struct xen_domctl *buffer = bh_hbuf(h, sizeof(*op));
    long rc;

    if (!buffer)
        return bh_because(h, "hypercall domctl %s", name);
    op->cmd = cmd;
    op->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    op->domain = domid;
    *buffer = *op;
    rc = bh_hypercall(h, name, __HYPERVISOR_domctl, (uintptr_t)buffer, 0, 0, 0, 0);
    *op = *buffer;
    bh_hbuf_release(h, mark);
    return rc < 0 ? rc : 0;
}

int bh_sysctl(struct bh *h, const char *name, unsigned int cmd, struct xen_sysctl *op)
{
    size_t mark = bh_hbuf_mark(h);
    struct xen_sysctl *buffer = bh_hbuf(h, sizeof(*op));
    long rc;

    if (!buffer)
        return bh_because(h, "hypercall sysctl %s", name);
    op->cmd = cmd;
    op->interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    *buffer = *op;
    rc = bh_hypercall(h, name, __HYPERVISOR_sysctl, (uintptr_t)buffer, 0, 0, 0, 0);
    *op = *buffer;
    bh_hbuf_release(h, mark);
    return rc < 0 ? rc : 0;
}

long bh_memory_op(struct bh *h, const char *name, unsigned int cmd, void *arg, size_t size)
{
    size_t mark = bh_hbuf_mark(h);
    void *buffer = bh_hbuf(h, size);
    long rc;

    if (!buffer)
        return bh_because(h, "hypercall memory_op %s", name);
    memcpy(buffer, arg, size);
    rc = bh_hypercall(h, name, __HYPERVISOR_memory_op, cmd, (uintptr_t)buffer, 0, 0, 0);
    memcpy(arg, buffer, size);
    bh_hbuf_release(h, mark);
    return rc;
}

int bh_evtchn_alloc_unbound(struct bh *h, unsigned int domid, unsigned int remote, uint32_t *port)
{
    size_t mark = bh_hbuf_mark(h);
    struct evtchn_alloc_unbound *arg = bh_hbuf(h, sizeof(*arg));
    long rc;

    if (!arg)
        return bh_because(h, "allocating an event channel of domain %u", domid);
    arg->dom = domid;
    arg->remote_dom = remote;
    rc = bh_hypercall(h, "evtchn_alloc_unbound", __HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound,
                      (uintptr_t)arg, 0, 0, 0);
    *port = arg->port;
    bh_hbuf_release(h, mark);
    return rc < 0 ? rc : 0;
}

int bh_claim(struct bh *h, unsigned int domid, uint64_t pages)
{
    struct xen_memory_reservation claim = {.nr_extents = pages, .domid = domid};
    long rc = bh_memory_op(h, "claim_pages", XENMEM_claim_pages, &claim, sizeof(claim));

    return rc < 0 ? rc : 0;
}

/* Extents of one order; returns how many pages were populated, or a negative errno when the first one failed.
 */
static long populate_order(struct bh *h, unsigned int domid, uint64_t gpfn, uint64_t count,
                           unsigned int order, uint64_t *mfns)
{
    const uint64_t per_call = 4096;
    uint64_t done = 0, step = 1UL << order;

    while (done + step <= count) {
        uint64_t want = (count - done) >> order;
        size_t mark = bh_hbuf_mark(h);
        struct xen_memory_reservation r = {.extent_order = order, .domid = domid};
        uint64_t *list;
        long got;

        if (want > per_call)
            want = per_call;
        list = bh_hbuf(h, want * sizeof(*list));
        if (!list)
            return -h->error;
        for (uint64_t i = 0; i < want; i++)
            list[i] = gpfn + done + (i << order);
        SET_HANDLE(r.extent_start, list);
        r.nr_extents = want;
        got = bh_memory_op(h, "populate_physmap", XENMEM_populate_physmap, &r, sizeof(r));
        for (long i = 0; i < got; i++)
            for (uint64_t page = 0; page < step; page++)
                mfns[done + ((uint64_t)i << order) + page] = list[i] + page;
        bh_hbuf_release(h, mark);
        if (got < 0 && (done == 0 || h->injected[0]))
            return got;
        if (got > 0)
            done += (uint64_t)got << order;
        if (got < (long)want)
            break;
    }
    return done;
}

int bh_populate(struct bh *h, unsigned int domid, uint64_t gpfn, uint64_t count, uint64_t *mfns)
{
    static const unsigned int orders[] = {18, 9, 0};
    uint64_t done = 0;

    for (unsigned int i = 0; i < sizeof(orders) / sizeof(orders[0]) && done < count; i++) {
        long got = 0;

        if (count - done >= 1UL << orders[i])
            got = populate_order(h, domid, gpfn + done, count - done, orders[i], mfns + done);
        if (got < 0 && (orders[i] == 0 || h->injected[0]))
            return bh_because(h, "giving memory to domain %u: page %lu of %lu", domid, done, count);
        if (got > 0)
            done += got;
    }
    if (done < count)
        return bh_fail(h, ENOMEM, "the machine gave domain %u only %lu of %lu KiB", domid, done * 4,
                       count * 4);
    return 0;
}

void *bh_map(struct bh *h, unsigned int domid, const char *what, const uint64_t *mfns, size_t count,
             bool writable)
{
    void *memory;

    if (bh_step(h, "mapping %s", what))
        return NULL;
    memory = h->os->map_foreign(h, domid, writable ? PROT_READ | PROT_WRITE : PROT_READ, mfns, count);
    if (!memory)
        bh_fail(h, errno, "cannot map %zu pages of domain %u (%s): %s", count, domid, what, strerror(errno));
    return memory;
}

void bh_unmap(struct bh *h, void *memory, size_t count)
{
    if (memory)
        h->os->unmap_foreign(h, memory, count);
}

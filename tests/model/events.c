/*
 * Event channels against a naive model: three domains do random operations, right and wrong ones, and after
 * every step each port's state, the pending bits and the upcall flags have to be what the model says.
 *
 * The model knows no locks, buckets or selectors: a port is a record, a free port the lowest number that has
 * none.
 */
#include <stdlib.h>
#include "../unit/hv-events/events.h"

#define DOMAINS 3
#define PORTS   48 /* per domain, port 0 included */
#define VCPUS   2
#define STEPS   20000

struct port {
    int status; /* EVTCHNSTAT_* */
    int peer;   /* unbound: who may bind; interdomain: with whom */
    uint32_t peer_port, virq, vcpu;
    bool pending, masked;
};

static struct domain *real[DOMAINS];
static struct port model[DOMAINS][PORTS];
static bool upcall[DOMAINS][VCPUS], selected[DOMAINS][VCPUS];
static uint64_t seed;

static uint32_t any(uint32_t limit)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 11) % limit;
}

static int lowest_free(int d)
{
    for (int p = 1; p < PORTS; p++)
        if (model[d][p].status == EVTCHNSTAT_closed)
            return p;
    return 0;
}

static void notify(int d, uint32_t vcpu)
{
    if (!selected[d][vcpu])
        upcall[d][vcpu] = true;
    selected[d][vcpu] = true;
}

static void raise(int d, uint32_t p)
{
    struct port *port = &model[d][p];

    if (port->pending)
        return;
    port->pending = true;
    if (!port->masked)
        notify(d, port->vcpu);
}

static struct port *open(int d, int p, int status)
{
    bool masked = model[d][p].masked;

    model[d][p] = (struct port){.status = status, .masked = masked};
    return &model[d][p];
}

static void step_alloc(int d)
{
    int to = (int)any(DOMAINS), p = lowest_free(d);
    uint32_t got = offer(real[d], real[to]->id);

    assert_int_equal(got, p);
    if (p != 0)
        open(d, p, EVTCHNSTAT_unbound)->peer = to;
}

static void step_bind(int d)
{
    int to = (int)any(DOMAINS), p = lowest_free(d);
    uint32_t rp = any(PORTS), local;
    struct port *r = &model[to][rp], *l;
    long rc = bind_to(real[d], real[to], rp, &local);

    if (r->status != EVTCHNSTAT_unbound || r->peer != d) {
        assert_int_equal(rc, -EINVAL);
        return;
    }
    if (p == 0) {
        assert_int_equal(rc, -ENOSPC);
        return;
    }
    assert_int_equal(rc, 0);
    assert_int_equal(local, p);
    l = open(d, p, EVTCHNSTAT_interdomain);
    l->peer = to;
    l->peer_port = rp;
    r->status = EVTCHNSTAT_interdomain;
    r->peer = d;
    r->peer_port = (uint32_t)p;
    raise(d, (uint32_t)p);
}

static void step_virq(int d)
{
    struct evtchn_bind_virq op = {.virq = any(3) ? VIRQ_TIMER : VIRQ_DEBUG, .vcpu = any(VCPUS)};
    int p = lowest_free(d);
    long rc = evtchn_op(real[d], EVTCHNOP_bind_virq, &op);

    for (int i = 1; i < PORTS; i++) {
        if (model[d][i].status == EVTCHNSTAT_virq && model[d][i].virq == op.virq &&
            model[d][i].vcpu == op.vcpu) {
            assert_int_equal(rc, -EEXIST);
            return;
        }
    }
    assert_int_equal(rc, p == 0 ? -ENOSPC : 0);
    if (p != 0) {
        struct port *port = open(d, p, EVTCHNSTAT_virq);
        port->virq = op.virq;
        port->vcpu = op.vcpu;
    }
}

static void step_ipi(int d)
{
    struct evtchn_bind_ipi op = {.vcpu = any(VCPUS)};
    int p = lowest_free(d);
    long rc = evtchn_op(real[d], EVTCHNOP_bind_ipi, &op);

    assert_int_equal(rc, p == 0 ? -ENOSPC : 0);
    if (p != 0)
        open(d, p, EVTCHNSTAT_ipi)->vcpu = op.vcpu;
}

static void step_close(int d)
{
    uint32_t p = any(PORTS + 4);
    long rc = close_port(real[d], p);
    struct port *port = &model[d][p % PORTS];

    if (p == 0 || p >= PORTS || port->status == EVTCHNSTAT_closed) {
        assert_int_equal(rc, -EINVAL);
        return;
    }
    assert_int_equal(rc, 0);
    if (port->status == EVTCHNSTAT_interdomain) {
        struct port *peer = &model[port->peer][port->peer_port];
        peer->status = EVTCHNSTAT_unbound;
        peer->peer = d;
    }
    port->status = EVTCHNSTAT_closed;
    port->pending = false;
}

static void step_send(int d)
{
    uint32_t p = any(PORTS + 4);
    long rc = send_to(real[d], p);
    const struct port *port = &model[d][p % PORTS];

    if (p >= PORTS || port->status == EVTCHNSTAT_closed || port->status == EVTCHNSTAT_virq) {
        assert_int_equal(rc, -EINVAL);
        return;
    }
    assert_int_equal(rc, 0);
    if (port->status == EVTCHNSTAT_interdomain)
        raise(port->peer, port->peer_port);
    else if (port->status == EVTCHNSTAT_ipi)
        raise(d, p);
}

static void step_raise_virq(int d)
{
    uint32_t vcpu = any(VCPUS);

    evtchn_send_virq(real[d]->vcpu[vcpu], VIRQ_TIMER);
    for (uint32_t p = 1; p < PORTS; p++)
        if (model[d][p].status == EVTCHNSTAT_virq && model[d][p].virq == VIRQ_TIMER &&
            model[d][p].vcpu == vcpu)
            raise(d, p);
}

static void step_mask(int d)
{
    uint32_t p = any(PORTS);

    mask(real[d], p, true);
    model[d][p].masked = true;
}

static void step_unmask(int d)
{
    uint32_t p = any(PORTS);
    struct evtchn_unmask op = {.port = p};
    long rc = evtchn_op(real[d], EVTCHNOP_unmask, &op);
    struct port *port = &model[d][p];

    if (p == 0 || port->status == EVTCHNSTAT_closed) {
        assert_int_equal(rc, -EINVAL);
        return;
    }
    assert_int_equal(rc, 0);
    if (port->masked && port->pending)
        notify(d, port->vcpu);
    port->masked = false;
}

static void step_bind_vcpu(int d)
{
    struct evtchn_bind_vcpu op = {.port = any(PORTS), .vcpu = any(VCPUS + 1)};
    long rc = evtchn_op(real[d], EVTCHNOP_bind_vcpu, &op);
    struct port *port = &model[d][op.port];

    if (op.vcpu == VCPUS) {
        assert_int_equal(rc, -ENOENT);
    } else if (port->status == EVTCHNSTAT_unbound || port->status == EVTCHNSTAT_interdomain) {
        assert_int_equal(rc, 0);
        port->vcpu = op.vcpu;
    } else {
        assert_int_equal(rc, -EINVAL);
    }
}

/* The guest's handler on one vcpu: flags off, pending bits of unmasked ports of that vcpu taken. */
static void step_handle(int d)
{
    uint32_t vcpu = any(VCPUS);
    struct vcpu_info *info = real[d]->vcpu[vcpu]->info;

    info->evtchn_upcall_pending = 0;
    info->evtchn_pending_sel = 0;
    upcall[d][vcpu] = selected[d][vcpu] = false;
    for (uint32_t p = 1; p < PORTS; p++) {
        if (model[d][p].vcpu == vcpu && model[d][p].pending && !model[d][p].masked) {
            model[d][p].pending = false;
            real[d]->shared_info->evtchn_pending[0] &= ~(1UL << p);
        }
    }
}

static void compare(int d)
{
    uint32_t used = 0;

    for (uint32_t p = 1; p < PORTS; p++) {
        const struct port *port = &model[d][p];
        struct evtchn_status s = status_of(real[d], p);

        assert_int_equal(s.status, port->status);
        assert_int_equal(bit(real[d]->shared_info->evtchn_pending, p), port->pending);
        assert_int_equal(bit(real[d]->shared_info->evtchn_mask, p), port->masked);
        if (port->status == EVTCHNSTAT_closed)
            continue;
        used++;
        assert_int_equal(s.vcpu, port->vcpu);
        if (port->status == EVTCHNSTAT_unbound) {
            assert_int_equal(s.u.unbound.dom, real[port->peer]->id);
        } else if (port->status == EVTCHNSTAT_interdomain) {
            assert_int_equal(s.u.interdomain.dom, real[port->peer]->id);
            assert_int_equal(s.u.interdomain.port, port->peer_port);
        } else if (port->status == EVTCHNSTAT_virq) {
            assert_int_equal(s.u.virq, port->virq);
        }
    }
    assert_int_equal(real[d]->evtchn.nr_used, used);
    assert_false(spin_is_locked(&real[d]->evtchn.lock));
    for (int v = 0; v < VCPUS; v++)
        assert_int_equal(real[d]->vcpu[v]->info->evtchn_upcall_pending, upcall[d][v]);
}

static void run(uint64_t start)
{
    static void (*const steps[])(int) = {
        step_alloc,  step_alloc,     step_bind,   step_bind,       step_bind,   step_virq,
        step_ipi,    step_close,     step_close,  step_close,      step_send,   step_send,
        step_send,   step_send,      step_send,   step_raise_virq, step_mask,   step_unmask,
        step_unmask, step_bind_vcpu, step_handle, step_handle,     step_handle,
    };

    seed = start;
    memset(model, 0, sizeof(model));
    memset(upcall, 0, sizeof(upcall));
    memset(selected, 0, sizeof(selected));
    for (int d = 0; d < DOMAINS; d++) {
        real[d] = fake_domain(false, VCPUS, 16);
        real[d]->evtchn.limit = real[d]->evtchn.abi_limit = PORTS;
    }
    for (int i = 0; i < STEPS; i++) {
        int d = (int)any(DOMAINS);
        steps[any(ARRAY_SIZE(steps))](d);
        for (int k = 0; k < DOMAINS; k++)
            compare(k);
    }
    for (int d = 0; d < DOMAINS; d++)
        fake_domain_end(real[d]);
}

static void test_random_operations(void **state)
{
    for (uint64_t start = 1; start <= 3; start++)
        run(start * 0x9e3779b97f4a7c15UL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_operations)};

    fake_boot(1);
    fake_domain(true, 1, 64);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Event channels: every transition of a port, delivery in the 2-level ABI, limits, and what is refused. */
#include "events.h"
#include <public/sched.h>

static struct domain *a, *b, *dom0;

/* Physical interrupts: what the machine was asked. */
static uint32_t pirq_port_bound, pirq_unbound, pirq_affinity;
static int pirq_bind_result;

int arch_pirq_bind(struct domain *d, uint32_t pirq, uint32_t port, bool will_share)
{
    pirq_port_bound = port;
    return pirq_bind_result;
}

void arch_pirq_unbind(struct domain *d, uint32_t pirq)
{
    pirq_unbound = pirq;
}

void arch_pirq_set_affinity(struct domain *d, uint32_t pirq, unsigned int cpu)
{
    pirq_affinity = pirq;
}

/* A sched_op of v, once it has its turn on its CPU, and what follows from it. */
static long sched_call(struct vcpu *v, unsigned int cmd, void *arg)
{
    long rc;

    for (int i = 0; i < 100 && fake_current[v->sched.cpu] != v; i++)
        fake_advance(fake_now + 10000000);
    fake_on_cpu(v->sched.cpu);
    assert_ptr_equal(fake_current[fake_cpu], v);
    rc = do_sched_op(v, cmd, (unsigned long)arg, 0, 0, 0);
    fake_run_work();
    return rc;
}

static int setup(void **state)
{
    a = fake_domain(false, 2, 64);
    b = fake_domain(false, 2, 64);
    pirq_bind_result = 0;
    fake_preempt = false;
    return 0;
}

static int teardown(void **state)
{
    fake_domain_end(a);
    fake_domain_end(b);
    return 0;
}

static void test_lowest_port_first(void **state)
{
    assert_int_equal(offer(a, b->id), 1);
    assert_int_equal(offer(a, b->id), 2);
    assert_int_equal(offer(a, b->id), 3);
    assert_int_equal(close_port(a, 2), 0);
    assert_int_equal(offer(a, b->id), 2);
    assert_int_equal(offer(a, b->id), 4);
}

static void test_limit(void **state)
{
    struct evtchn_alloc_unbound op = {.dom = DOMID_SELF, .remote_dom = b->id};

    for (uint32_t port = 1; port < 4096; port++)
        assert_int_equal(offer(a, b->id), port);
    assert_int_equal(evtchn_op(a, EVTCHNOP_alloc_unbound, &op), -ENOSPC);
    assert_int_equal(close_port(a, 77), 0);
    assert_int_equal(offer(a, b->id), 77);
}

static void test_interdomain(void **state)
{
    uint32_t port = offer(a, b->id), local;
    struct evtchn_status s;

    assert_int_equal(send_to(a, port), 0); /* nobody there yet: nothing happens */
    assert_int_equal(bind_to(b, a, port, &local), 0);
    s = status_of(a, port);
    assert_int_equal(s.status, EVTCHNSTAT_interdomain);
    assert_int_equal(s.u.interdomain.dom, b->id);
    assert_int_equal(s.u.interdomain.port, local);
    s = status_of(b, local);
    assert_int_equal(s.u.interdomain.dom, a->id);
    assert_int_equal(s.u.interdomain.port, port);

    assert_true(take(b, 0, local)); /* one event on binding */
    assert_false(take(a, 0, port));
    assert_int_equal(send_to(a, port), 0);
    assert_true(take(b, 0, local));
    assert_int_equal(send_to(b, local), 0);
    assert_true(take(a, 0, port));
}

static void test_only_the_invited_binds(void **state)
{
    uint32_t port = offer(a, b->id), local;
    struct domain *c = fake_domain(false, 1, 16);

    assert_int_equal(bind_to(c, a, port, &local), -EINVAL);
    assert_int_equal(bind_to(b, a, port + 1, &local), -EINVAL);
    assert_int_equal(bind_to(b, a, 100000, &local), -EINVAL);
    assert_int_equal(bind_to(b, a, 0, &local), -EINVAL);
    assert_int_equal(bind_to(b, a, port, &local), 0);
    assert_int_equal(bind_to(b, a, port, &local), -EINVAL); /* taken */
    fake_domain_end(c);
}

static void test_close_leaves_the_peer_offered(void **state)
{
    uint32_t port = offer(a, b->id), local, again;

    assert_int_equal(bind_to(b, a, port, &local), 0);
    assert_int_equal(close_port(b, local), 0);
    assert_int_equal(status_of(a, port).status, EVTCHNSTAT_unbound);
    assert_int_equal(status_of(a, port).u.unbound.dom, b->id);
    assert_int_equal(status_of(b, local).status, EVTCHNSTAT_closed);
    assert_int_equal(send_to(a, port), 0);
    assert_int_equal(send_to(b, local), -EINVAL);
    assert_int_equal(bind_to(b, a, port, &again), 0);
    assert_int_equal(close_port(a, port), 0);
    assert_int_equal(status_of(b, again).status, EVTCHNSTAT_unbound);
    assert_int_equal(close_port(a, port), -EINVAL);
}

static void test_loopback(void **state)
{
    uint32_t port = offer(a, a->id), local;

    assert_int_equal(bind_to(a, a, port, &local), 0);
    assert_true(take(a, 0, local));
    assert_int_equal(send_to(a, local), 0);
    assert_true(take(a, 0, port));
    assert_int_equal(close_port(a, local), 0);
    assert_int_equal(status_of(a, port).status, EVTCHNSTAT_unbound);
    assert_int_equal(close_port(a, port), 0);
    assert_int_equal(a->evtchn.nr_used, 0);
}

static void test_mask_and_unmask(void **state)
{
    uint32_t port = offer(a, b->id), local;
    struct evtchn_unmask unmask;

    assert_int_equal(bind_to(b, a, port, &local), 0);
    take(b, 0, local);
    mask(b, local, true);
    assert_int_equal(send_to(a, port), 0);
    assert_true(bit(b->shared_info->evtchn_pending, local));
    assert_int_equal(b->vcpu[0]->info->evtchn_upcall_pending, 0);
    unmask.port = local;
    assert_int_equal(evtchn_op(b, EVTCHNOP_unmask, &unmask), 0);
    assert_true(take(b, 0, local));
    assert_int_equal(evtchn_op(b, EVTCHNOP_unmask, &unmask), 0);
    assert_false(take(b, 0, local));
    unmask.port = 999;
    assert_int_equal(evtchn_op(b, EVTCHNOP_unmask, &unmask), -EINVAL);
}

static void test_stale_event_does_not_survive_closing(void **state)
{
    uint32_t port = offer(a, b->id), local;

    assert_int_equal(bind_to(b, a, port, &local), 0);
    assert_int_equal(send_to(a, port), 0);
    assert_int_equal(close_port(b, local), 0);
    assert_false(bit(b->shared_info->evtchn_pending, local));
}

static void test_event_wakes_and_kicks(void **state)
{
    uint32_t port = offer(a, b->id), local;
    unsigned int kicks;

    assert_int_equal(bind_to(b, a, port, &local), 0);
    take(b, 0, local);
    kicks = fake_vcpu_kicks;
    assert_int_equal(send_to(a, port), 0);
    assert_int_equal(fake_vcpu_kicks, kicks + 1);
    assert_int_equal(send_to(a, port), 0); /* still pending: nobody is bothered again */
    assert_int_equal(fake_vcpu_kicks, kicks + 1);
    take(b, 0, local);
    sched_call(b->vcpu[0], SCHEDOP_block, NULL);
    assert_int_equal(b->vcpu[0]->state, VCPU_BLOCKED);
    assert_int_equal(send_to(a, port), 0);
    assert_int_equal(b->vcpu[0]->state, VCPU_RUNABLE);
}

static void test_virq(void **state)
{
    struct evtchn_bind_virq op = {.virq = VIRQ_TIMER, .vcpu = 1};
    uint32_t port;

    assert_int_equal(evtchn_op(a, EVTCHNOP_bind_virq, &op), 0);
    port = op.port;
    assert_int_equal(evtchn_op(a, EVTCHNOP_bind_virq, &op), -EEXIST);
    evtchn_send_virq(a->vcpu[0], VIRQ_TIMER); /* bound for vcpu 1 alone */
    assert_false(take(a, 0, port));
    evtchn_send_virq(a->vcpu[1], VIRQ_TIMER);
    assert_true(take(a, 1, port));
    assert_int_equal(send_to(a, port), -EINVAL);
    assert_int_equal(close_port(a, port), 0);
    evtchn_send_virq(a->vcpu[1], VIRQ_TIMER);
    assert_false(bit(a->shared_info->evtchn_pending, port));
    assert_int_equal(evtchn_op(a, EVTCHNOP_bind_virq, &op), 0);

    op = (struct evtchn_bind_virq){.virq = NR_VIRQS};
    assert_int_equal(evtchn_op(a, EVTCHNOP_bind_virq, &op), -EINVAL);
    op = (struct evtchn_bind_virq){.virq = 5};
    assert_int_equal(evtchn_op(a, EVTCHNOP_bind_virq, &op), -EINVAL);
    op = (struct evtchn_bind_virq){.virq = VIRQ_TIMER, .vcpu = 7};
    assert_int_equal(evtchn_op(a, EVTCHNOP_bind_virq, &op), -ENOENT);
    op = (struct evtchn_bind_virq){.virq = VIRQ_CONSOLE, .vcpu = 1};
    assert_int_equal(evtchn_op(a, EVTCHNOP_bind_virq, &op), -EINVAL);
}

static void test_global_virq_goes_to_its_handler(void **state)
{
    struct evtchn_bind_virq in0 = {.virq = VIRQ_DOM_EXC}, in_b = {.virq = VIRQ_DOM_EXC};
    int refs = b->refs;

    assert_int_equal(evtchn_op(dom0, EVTCHNOP_bind_virq, &in0), 0);
    assert_int_equal(evtchn_op(b, EVTCHNOP_bind_virq, &in_b), 0);
    virq_send_global(VIRQ_DOM_EXC);
    assert_true(take(dom0, 0, in0.port));
    assert_false(take(b, 0, in_b.port));
    assert_int_equal(virq_set_handler(dom0->vcpu[0], b, VIRQ_DOM_EXC), 0);
    assert_int_equal(b->refs, refs + 1);
    virq_send_global(VIRQ_DOM_EXC);
    assert_false(take(dom0, 0, in0.port));
    assert_true(take(b, 0, in_b.port));
    virq_clear_handler(b);
    assert_int_equal(b->refs, refs);
    virq_send_global(VIRQ_DOM_EXC);
    assert_true(take(dom0, 0, in0.port));
    assert_int_equal(virq_set_handler(dom0->vcpu[0], b, VIRQ_TIMER), -EINVAL);
    assert_int_equal(close_port(dom0, in0.port), 0);
}

static void test_ipi(void **state)
{
    struct evtchn_bind_ipi op = {.vcpu = 1};

    assert_int_equal(evtchn_op(a, EVTCHNOP_bind_ipi, &op), 0);
    assert_int_equal(send_to(a, op.port), 0);
    assert_true(take(a, 1, op.port));
    assert_int_equal(status_of(a, op.port).status, EVTCHNSTAT_ipi);
    assert_int_equal(status_of(a, op.port).vcpu, 1);
    op.vcpu = 2;
    assert_int_equal(evtchn_op(a, EVTCHNOP_bind_ipi, &op), -ENOENT);
}

static void test_bind_vcpu(void **state)
{
    uint32_t port = offer(a, b->id), local;
    struct evtchn_bind_vcpu op = {.vcpu = 1};
    struct evtchn_bind_virq global = {.virq = VIRQ_CON_RING}, timer = {.virq = VIRQ_TIMER};
    struct evtchn_bind_ipi ipi = {.vcpu = 0};

    assert_int_equal(bind_to(b, a, port, &local), 0);
    take(b, 0, local);
    op.port = local;
    assert_int_equal(evtchn_op(b, EVTCHNOP_bind_vcpu, &op), 0);
    assert_int_equal(send_to(a, port), 0);
    assert_true(take(b, 1, local));

    assert_int_equal(evtchn_op(b, EVTCHNOP_bind_virq, &global), 0);
    op.port = global.port;
    assert_int_equal(evtchn_op(b, EVTCHNOP_bind_vcpu, &op), 0);
    assert_int_equal(close_port(b, global.port), 0);
    assert_int_equal(evtchn_op(b, EVTCHNOP_bind_virq, &global), 0); /* the close found where it was bound */

    assert_int_equal(evtchn_op(b, EVTCHNOP_bind_virq, &timer), 0);
    op.port = timer.port;
    assert_int_equal(evtchn_op(b, EVTCHNOP_bind_vcpu, &op), -EINVAL);
    assert_int_equal(evtchn_op(b, EVTCHNOP_bind_ipi, &ipi), 0);
    op.port = ipi.port;
    assert_int_equal(evtchn_op(b, EVTCHNOP_bind_vcpu, &op), -EINVAL);
    op.vcpu = 2;
    assert_int_equal(evtchn_op(b, EVTCHNOP_bind_vcpu, &op), -ENOENT);
}

static void test_pirq(void **state)
{
    struct evtchn_bind_pirq op = {.pirq = 17};
    struct evtchn_bind_vcpu move = {.vcpu = 1};
    uint32_t used = a->evtchn.nr_used;

    assert_int_equal(evtchn_op(a, EVTCHNOP_bind_pirq, &op), 0);
    assert_int_equal(pirq_port_bound, op.port);
    assert_true(evtchn_pirq_pending(a, op.port));
    assert_true(take(a, 0, op.port));
    move.port = op.port;
    assert_int_equal(evtchn_op(a, EVTCHNOP_bind_vcpu, &move), 0);
    assert_int_equal(pirq_affinity, 17);
    assert_true(evtchn_pirq_pending(a, op.port));
    assert_true(take(a, 1, op.port));
    assert_int_equal(close_port(a, op.port), 0);
    assert_int_equal(pirq_unbound, 17);
    assert_false(evtchn_pirq_pending(a, op.port));
    pirq_bind_result = -EEXIST;
    assert_int_equal(evtchn_op(a, EVTCHNOP_bind_pirq, &op), -EEXIST);
    assert_int_equal(a->evtchn.nr_used, used);
}

/* The poller and its waker may both end a poll: counted twice, the next poll was never woken. */
static void test_poll_ends_once(void **state)
{
    struct vcpu *v = b->vcpu[0];

    evtchn_poll_begin(v, 1);
    evtchn_poll_end(v);
    evtchn_poll_end(v);
    assert_int_equal(b->evtchn.pollers, 0);
    evtchn_poll_begin(v, 1);
    assert_int_equal(b->evtchn.pollers, 1);
    evtchn_poll_end(v);
    assert_int_equal(b->evtchn.pollers, 0);
}

static void test_poll(void **state)
{
    uint32_t port = offer(a, b->id), local;
    struct vcpu *v = b->vcpu[1];
    evtchn_port_t ports[2];
    struct sched_poll poll = {.ports = (uint64_t)ports, .nr_ports = 1};

    assert_int_equal(bind_to(b, a, port, &local), 0);
    ports[0] = ports[1] = offer(b, a->id);
    take(b, 0, local);
    mask(b, local, true); /* polling sees masked events too */
    assert_int_equal(sched_call(v, SCHEDOP_poll, &poll), 0);
    assert_int_equal(v->state, VCPU_BLOCKED);
    assert_int_equal(b->evtchn.pollers, 1);
    assert_int_equal(send_to(a, port), 0);
    assert_int_equal(v->state, VCPU_BLOCKED); /* it waits for another port */
    vcpu_wake(v);
    fake_run_work();
    assert_int_equal(b->evtchn.pollers, 0);

    take(b, 0, local);
    assert_false(evtchn_port_pending(b, local));
    ports[1] = local;
    poll.nr_ports = 2;
    assert_int_equal(sched_call(v, SCHEDOP_poll, &poll), 0);
    assert_int_equal(v->state, VCPU_BLOCKED);
    assert_int_equal(send_to(a, port), 0);
    assert_int_equal(v->state, VCPU_RUNABLE);
    assert_true(evtchn_port_pending(b, local));
    fake_run_work();
    assert_int_equal(b->evtchn.pollers, 0);
    assert_int_equal(sched_call(v, SCHEDOP_poll, &poll), 0); /* pending: does not wait */
    assert_int_equal(v->state, VCPU_RUNABLE);
    assert_false(evtchn_port_pending(b, 4000));
}

static void test_peer_of_the_dead(void **state)
{
    struct domain *c = fake_domain(false, 1, 16);
    uint32_t port = offer(a, c->id), local;
    domid_t id = c->id;

    assert_int_equal(bind_to(c, a, port, &local), 0);
    fake_domain_end(c);
    assert_null(domain_get(id));
    assert_int_equal(status_of(a, port).status, EVTCHNSTAT_unbound);
    assert_int_equal(send_to(a, port), 0);
}

static void test_dying_domain_opens_nothing(void **state)
{
    uint32_t port;

    assert_int_equal(evtchn_domain_release(a), 0);
    assert_int_equal(evtchn_alloc_unbound(NULL, a, b->id, &port), -ESRCH);
}

static void test_reset(void **state)
{
    struct evtchn_reset op = {.dom = DOMID_SELF};
    uint32_t port = offer(a, b->id), local;

    assert_int_equal(bind_to(b, a, port, &local), 0);
    for (int i = 0; i < 200; i++)
        offer(a, b->id);
    fake_preempt = true;
    assert_int_equal(evtchn_op(a, EVTCHNOP_reset, &op), HYPERCALL_RESTART);
    assert_int_equal(a->vcpu[0]->restart_args[0], EVTCHNOP_reset_cont);
    assert_true(a->evtchn.nr_used > 0);
    fake_preempt = false;
    assert_int_equal(
        do_event_channel_op(a->vcpu[0], a->vcpu[0]->restart_args[0], a->vcpu[0]->restart_args[1], 0, 0, 0),
        0);
    assert_int_equal(a->evtchn.nr_used, 0);
    assert_int_equal(status_of(b, local).status, EVTCHNSTAT_unbound);
    op.dom = b->id;
    assert_int_equal(evtchn_op(a, EVTCHNOP_reset, &op), -EPERM);
    assert_int_equal(evtchn_op(dom0, EVTCHNOP_reset, &op), -EINVAL); /* not paused */
}

static void test_others_ports(void **state)
{
    struct evtchn_alloc_unbound op = {.dom = b->id, .remote_dom = a->id};
    struct evtchn_status s = {.dom = b->id};

    assert_int_equal(evtchn_op(a, EVTCHNOP_alloc_unbound, &op), -EPERM);
    assert_int_equal(evtchn_op(dom0, EVTCHNOP_alloc_unbound, &op), 0);
    s.port = op.port;
    assert_int_equal(evtchn_op(a, EVTCHNOP_status, &s), -EPERM);
    assert_int_equal(evtchn_op(dom0, EVTCHNOP_status, &s), 0);
    assert_int_equal(s.status, EVTCHNSTAT_unbound);
    assert_int_equal(s.u.unbound.dom, a->id);
    op.dom = 4711;
    assert_int_equal(evtchn_op(dom0, EVTCHNOP_alloc_unbound, &op), -ESRCH);
}

static void test_bad_arguments(void **state)
{
    uint32_t words[8] = {0};

    for (unsigned int cmd = 0; cmd <= EVTCHNOP_set_priority; cmd++)
        assert_int_equal(evtchn_op(a, cmd, (void *)8), -EFAULT);
    for (unsigned int cmd = 15; cmd < 300; cmd++)
        assert_int_equal(evtchn_op(a, cmd, words), -ENOSYS);
    for (uint32_t port = 100000; port != 0; port <<= 1) {
        assert_int_equal(send_to(a, port), -EINVAL);
        assert_int_equal(close_port(a, port), -EINVAL);
    }
    assert_int_equal(send_to(a, 0), -EINVAL);
    assert_int_equal(close_port(a, 0), -EINVAL);
    assert_string_equal(a->vcpu[0]->cause.check, "event channels: close: port {0} is not open");
}

static void test_dump_names_every_port(void **state)
{
    struct evtchn_bind_virq virq = {.virq = VIRQ_TIMER};
    uint32_t port = offer(a, b->id), local;

    assert_int_equal(bind_to(b, a, port, &local), 0);
    assert_int_equal(evtchn_op(b, EVTCHNOP_bind_virq, &virq), 0);
    fake_console_clear();
    evtchn_dump(b);
    assert_non_null(strstr(fake_console, "2 in use"));
    assert_non_null(strstr(fake_console, "with domain"));
    assert_non_null(strstr(fake_console, "virq 0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lowest_port_first, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_interdomain, setup, teardown),
        cmocka_unit_test_setup_teardown(test_only_the_invited_binds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_leaves_the_peer_offered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_loopback, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mask_and_unmask, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stale_event_does_not_survive_closing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_event_wakes_and_kicks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_virq, setup, teardown),
        cmocka_unit_test_setup_teardown(test_global_virq_goes_to_its_handler, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ipi, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bind_vcpu, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pirq, setup, teardown),
        cmocka_unit_test_setup_teardown(test_poll_ends_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_poll, setup, teardown),
        cmocka_unit_test_setup_teardown(test_peer_of_the_dead, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dying_domain_opens_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset, setup, teardown),
        cmocka_unit_test_setup_teardown(test_others_ports, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_arguments, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dump_names_every_port, setup, teardown),
    };

    fake_boot(2);
    dom0 = fake_domain(true, 1, 64);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

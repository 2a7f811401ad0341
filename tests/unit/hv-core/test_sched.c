/*
 * Scheduling on fake CPUs: switching, waking, affinity, weights, caps, pools; and a random model that checks
 * after every step that each runnable vcpu is in exactly one place.
 */
#include <stdlib.h>
#include "test.h"
#include <bh/errno.h>
#include <public/sysctl.h>
#include <bh/sched_cpu.h>
#include <bh/work.h>

#define CPUS    4
#define DOMAINS 4
#define VCPUS   3

static struct domain *dom[DOMAINS];

static void make_domains(unsigned int n, uint32_t vcpus)
{
    for (unsigned int i = 0; i < n; i++)
        dom[i] = fake_domain(false, vcpus, 16);
}

static void end_domains(unsigned int n)
{
    for (unsigned int i = 0; i < n; i++)
        fake_domain_end(dom[i]);
    fake_on_cpu(0);
}

/* The CPU that runs v now, or -1. */
static int runs_on(const struct vcpu *v)
{
    for (int cpu = 0; cpu < CPUS; cpu++)
        if (fake_current[cpu] == v)
            return cpu;
    return -1;
}

/* v, as the guest would from the CPU that it runs on. */
static void block(struct vcpu *v)
{
    int cpu = runs_on(v);

    assert_true(cpu >= 0);
    fake_on_cpu((unsigned int)cpu);
    vcpu_block(v);
    fake_run_work();
    fake_on_cpu(0);
}

static void pause_nosync(struct vcpu *v)
{
    atomic_fetch_add(&v->pause_count, 1);
    sched_vcpu_stop(v);
}

static uint64_t runtime(struct domain *d)
{
    uint64_t sum = 0;
    struct vcpu *v;

    for_each_vcpu (d, v)
        sum += sched_vcpu_runtime(v);
    return sum;
}

static void pin(struct domain *d, cpumask_t mask)
{
    struct vcpu *v;

    for_each_vcpu (d, v)
        assert_int_equal(sched_set_affinity(v, mask, ~0UL), 0);
    fake_run_work();
}

static void test_spreads_over_idle_cpus(void **state)
{
    make_domains(2, 2);
    fake_run_work();
    for (int i = 0; i < 2; i++)
        for (int v = 0; v < 2; v++)
            assert_true(runs_on(dom[i]->vcpu[v]) >= 0);
    end_domains(2);
}

static void test_block_and_wake(void **state)
{
    struct vcpu_runstate_info before, after;
    struct vcpu *v;

    make_domains(1, 1);
    v = dom[0]->vcpu[0];
    fake_run_work();
    assert_true(runs_on(v) >= 0);
    block(v);
    assert_int_equal(runs_on(v), -1);
    assert_int_equal(v->info->evtchn_upcall_mask, 0);
    vcpu_runstate_get(v, &before);
    assert_int_equal(before.state, RUNSTATE_blocked);
    fake_advance(fake_now + 12345);
    vcpu_wake(v);
    fake_run_work();
    assert_true(runs_on(v) >= 0);
    vcpu_runstate_get(v, &after);
    assert_int_equal(after.time[RUNSTATE_blocked] - before.time[RUNSTATE_blocked], 12345);
    end_domains(1);
}

static void test_pending_event_prevents_blocking(void **state)
{
    struct vcpu *v;

    make_domains(1, 1);
    v = dom[0]->vcpu[0];
    fake_run_work();
    v->info->evtchn_upcall_pending = 1;
    block(v);
    assert_true(runs_on(v) >= 0);
    assert_int_equal(v->state, VCPU_RUNABLE);
    end_domains(1);
}

/* One vcpu on one CPU: no tick, no timer, and yielding costs no switch. */
static void test_alone_nothing_ticks(void **state)
{
    unsigned int switches;

    make_domains(1, 1);
    fake_advance(fake_now + NSEC(1));
    for (unsigned int cpu = 0; cpu < CPUS; cpu++)
        assert_int_equal(fake_deadline[cpu], 0);
    switches = fake_switches;
    fake_on_cpu((unsigned int)runs_on(dom[0]->vcpu[0]));
    vcpu_yield(dom[0]->vcpu[0]);
    assert_int_equal(atomic_load(&fake_work[fake_cpu]), 0);
    fake_run_work();
    assert_int_equal(fake_switches, switches);
    end_domains(1);
}

static void test_yield_lets_the_other_run(void **state)
{
    struct vcpu *a, *b, *runs;

    make_domains(2, 1);
    pin(dom[0], CPUMASK(1));
    pin(dom[1], CPUMASK(1));
    a = dom[0]->vcpu[0];
    b = dom[1]->vcpu[0];
    runs = runs_on(a) >= 0 ? a : b;
    assert_true((runs_on(a) >= 0) != (runs_on(b) >= 0));
    fake_on_cpu(1);
    vcpu_yield(runs);
    fake_run_work();
    assert_int_equal(runs_on(runs), -1);
    assert_int_equal(runs_on(runs == a ? b : a), 1);
    end_domains(2);
}

static void assert_ratio(uint64_t a, uint64_t b, double wanted)
{
    double ratio = (double)a / (double)b;

    if (ratio <= wanted * 0.85 || ratio >= wanted * 1.15)
        print_message("ratio %f, wanted %f\n", ratio, wanted);
    assert_true(ratio > wanted * 0.85 && ratio < wanted * 1.15);
}

static void test_weights(void **state)
{
    uint64_t a, b;

    make_domains(2, 1);
    pin(dom[0], CPUMASK(0));
    pin(dom[1], CPUMASK(0));
    assert_int_equal(sched_set_params(dom[0], 512, 0), 0);
    assert_int_equal(sched_set_params(dom[1], 256, 0), 0);
    a = runtime(dom[0]);
    b = runtime(dom[1]);
    fake_advance(fake_now + NSEC(10));
    a = runtime(dom[0]) - a;
    b = runtime(dom[1]) - b;
    assert_true(a + b > NSEC(10) - 1000 && a + b < NSEC(10) + 1000);
    /* Four CPUs' worth of credit for one CPU's demand: both have plenty, and share like equals at worst. */
    assert_true(a >= b * 85 / 100);
    end_domains(2);
}

/* All CPUs contended: time follows the weights. */
static void test_weights_on_all_cpus(void **state)
{
    uint64_t a, b;

    make_domains(2, CPUS);
    assert_int_equal(sched_set_params(dom[0], 512, 0), 0);
    a = runtime(dom[0]);
    b = runtime(dom[1]);
    fake_advance(fake_now + NSEC(20));
    a = runtime(dom[0]) - a;
    b = runtime(dom[1]) - b;
    assert_ratio(a, b, 2.0);
    end_domains(2);
}

static void test_cap(void **state)
{
    uint64_t a;

    make_domains(1, 1);
    assert_int_equal(sched_set_params(dom[0], 256, 25), 0);
    fake_advance(fake_now + NSEC(1));
    a = runtime(dom[0]);
    fake_advance(fake_now + NSEC(10));
    a = runtime(dom[0]) - a;
    assert_ratio(a, NSEC(10), 0.25);
    assert_int_equal(sched_set_params(dom[0], 256, 0), 0);
    fake_advance(fake_now + NSEC(1));
    a = runtime(dom[0]);
    fake_advance(fake_now + NSEC(1));
    assert_int_equal(runtime(dom[0]) - a, NSEC(1));
    end_domains(1);
}

static void test_wrong_parameters(void **state)
{
    make_domains(1, 1);
    assert_int_equal(sched_set_params(dom[0], 0, 0), -EINVAL);
    assert_int_equal(sched_set_params(dom[0], 65536, 0), -EINVAL);
    assert_int_equal(sched_set_params(dom[0], 256, 101), -EINVAL);
    assert_int_equal(sched_set_affinity(dom[0]->vcpu[0], 0, ~0UL), -EINVAL);
    assert_int_equal(sched_set_affinity(dom[0]->vcpu[0], CPUMASK(CPUS), ~0UL), -EINVAL);
    end_domains(1);
}

/* A vcpu that slept has credit and goes ahead of one that never stops. */
static void test_boost_on_wake(void **state)
{
    struct vcpu *spins, *sleeps;

    make_domains(2, 1);
    pin(dom[0], CPUMASK(2));
    pin(dom[1], CPUMASK(2));
    spins = dom[0]->vcpu[0];
    sleeps = dom[1]->vcpu[0];
    while (runs_on(sleeps) != 2)
        fake_advance(fake_now + 10 * MSEC);
    block(sleeps);
    assert_int_equal(runs_on(spins), 2);
    fake_advance(fake_now + NSEC(1));
    vcpu_wake(sleeps);
    fake_run_work();
    assert_int_equal(runs_on(sleeps), 2);
    end_domains(2);
}

static void test_hard_affinity_moves_at_once(void **state)
{
    struct vcpu *v;

    make_domains(1, 1);
    v = dom[0]->vcpu[0];
    fake_run_work();
    for (unsigned int cpu = 0; cpu < CPUS; cpu++) {
        assert_int_equal(sched_set_affinity(v, CPUMASK(cpu), ~0UL), 0);
        fake_run_work();
        assert_int_equal(runs_on(v), (int)cpu);
    }
    end_domains(1);
}

static void test_soft_affinity_is_preferred(void **state)
{
    struct vcpu *v;

    make_domains(1, 1);
    v = dom[0]->vcpu[0];
    fake_run_work();
    assert_int_equal(sched_set_affinity(v, ~0UL, CPUMASK(3)), 0);
    block(v);
    vcpu_wake(v);
    fake_run_work();
    assert_int_equal(runs_on(v), 3);
    end_domains(1);
}

static void test_idle_cpu_steals(void **state)
{
    struct vcpu *v[3];
    int busy;

    make_domains(3, 1);
    for (int i = 0; i < 3; i++) {
        v[i] = dom[i]->vcpu[0];
        pin(dom[i], CPUMASK(1));
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(sched_set_affinity(v[i], ~0UL, ~0UL), 0);
    /* Idle CPUs look for work when they are made to. */
    for (unsigned int cpu = 0; cpu < CPUS; cpu++)
        work_raise_cpu(cpu, WORK_SCHEDULE);
    fake_run_work();
    busy = 0;
    for (int i = 0; i < 3; i++)
        busy += runs_on(v[i]) >= 0;
    assert_int_equal(busy, 3);
    end_domains(3);
}

static void test_pin_override(void **state)
{
    struct vcpu *v;

    make_domains(1, 1);
    v = dom[0]->vcpu[0];
    assert_int_equal(sched_set_affinity(v, CPUMASK(1) | CPUMASK(2), ~0UL), 0);
    assert_int_equal(sched_pin_override(v, 0), 0);
    fake_run_work();
    assert_int_equal(runs_on(v), 0);
    assert_int_equal(sched_set_affinity(v, ~0UL, ~0UL), -EBUSY);
    assert_int_equal(sched_pin_override(v, 1), -EBUSY);
    assert_int_equal(sched_pin_override(v, -1), 0);
    fake_run_work();
    assert_true(runs_on(v) == 1 || runs_on(v) == 2);
    assert_int_equal(sched_pin_override(v, -1), -ENOENT);
    assert_int_equal(sched_pin_override(v, 77), -EINVAL);
    end_domains(1);
}

static void test_pause_is_counted(void **state)
{
    struct vcpu *v;

    make_domains(1, 1);
    v = dom[0]->vcpu[0];
    fake_run_work();
    domain_pause_nosync(dom[0]);
    pause_nosync(v);
    fake_run_work();
    assert_int_equal(runs_on(v), -1);
    assert_int_equal(v->runstate.state, RUNSTATE_offline);
    domain_unpause(dom[0]);
    fake_run_work();
    assert_int_equal(runs_on(v), -1);
    vcpu_unpause(v);
    fake_run_work();
    assert_true(runs_on(v) >= 0);
    end_domains(1);
}

static void test_pools(void **state)
{
    struct xen_sysctl_cpupool_op info;
    cpumask_t cpus;
    uint32_t id;

    make_domains(1, 2);
    assert_int_equal(cpupool_create(CPUPOOL_ANY, &id), 0);
    assert_int_equal(id, 1);
    assert_int_equal(cpupool_create(1, &id), -EEXIST);
    assert_int_equal(cpupool_move_domain(dom[0], 1), -EADDRINUSE);
    assert_int_equal(cpupool_add_cpu(1, 3), -EBUSY);
    assert_int_equal(cpupool_remove_cpu(0, 3), 0);
    assert_int_equal(cpupool_free_cpus(), CPUMASK(3));
    assert_int_equal(cpupool_add_cpu(1, CPUPOOL_ANY), 0);
    assert_int_equal(cpupool_move_domain(dom[0], 1), 0);
    fake_run_work();
    assert_true(runs_on(dom[0]->vcpu[0]) == 3 || runs_on(dom[0]->vcpu[1]) == 3);
    assert_true(runs_on(dom[0]->vcpu[0]) == -1 || runs_on(dom[0]->vcpu[1]) == -1);
    assert_int_equal(cpupool_info(1, &info, &cpus), 0);
    assert_int_equal(info.cpupool_id, 1);
    assert_int_equal(info.n_dom, 1);
    assert_int_equal(cpus, CPUMASK(3));
    assert_int_equal(cpupool_info(2, &info, &cpus), -ENOENT);
    assert_int_equal(cpupool_remove_cpu(1, 3), -EBUSY);
    assert_int_equal(cpupool_destroy(1), -EBUSY);
    assert_int_equal(cpupool_destroy(0), -EBUSY);
    assert_int_equal(cpupool_move_domain(control_domain, 1), -EINVAL);
    assert_int_equal(cpupool_move_domain(dom[0], 0), 0);
    fake_run_work();
    assert_int_equal(cpupool_remove_cpu(1, CPUPOOL_ANY), 0);
    assert_int_equal(cpupool_destroy(1), 0);
    assert_int_equal(cpupool_destroy(1), -ENOENT);
    assert_int_equal(cpupool_add_cpu(0, 3), 0);
    end_domains(1);
}

static void test_runstate_area(void **state)
{
    static struct vcpu_runstate_info area;
    struct vcpu *v;

    make_domains(1, 1);
    v = dom[0]->vcpu[0];
    v->runstate_guest = (uint64_t)&area;
    v->domain->vm_assist = 1UL << VMASST_TYPE_runstate_update_flag;
    fake_run_work();
    assert_int_equal(area.state, RUNSTATE_running);
    block(v);
    assert_int_equal(area.state, RUNSTATE_blocked);
    assert_int_equal(area.state_entry_time & XEN_RUNSTATE_UPDATE, 0);
    assert_int_equal(area.state_entry_time, fake_now);
    v->runstate_guest = 8; /* gone: nobody is harmed */
    vcpu_wake(v);
    fake_run_work();
    assert_true(runs_on(v) >= 0);
    v->runstate_guest = 0;
    end_domains(1);
}

/* A CPU out of service runs nobody, in no pool; the last one of a pool stays; back, it is used again. */
static void test_cpu_offline(void **state)
{
    make_domains(1, VCPUS);
    pin(dom[0], CPUMASK(2) | CPUMASK(3));
    fake_run_work();
    assert_int_equal(cpupool_cpu_offline(NR_CPUS), -EINVAL);
    assert_int_equal(cpupool_cpu_offline(CPUS), -EINVAL);
    assert_int_equal(cpupool_cpu_online(CPUS), -EINVAL);
    for (uint32_t cpu = 1; cpu < CPUS; cpu++) {
        assert_int_equal(cpupool_cpu_offline(cpu), 0);
        assert_int_equal(cpupool_cpu_offline(cpu), -EINVAL);
        fake_run_work();
        assert_true(vcpu_is_idle(fake_current[cpu]));
        assert_false(cpupool_cpus(0) & CPUMASK(cpu));
        assert_false(cpupool_free_cpus() & CPUMASK(cpu));
    }
    assert_int_equal(cpupool_cpus_in_service(), 1);
    assert_false(vcpu_is_idle(fake_current[0])); /* their affinity has no CPU left */
    assert_int_equal(cpupool_cpu_offline(0), -EBUSY);
    for (uint32_t cpu = 1; cpu < CPUS; cpu++)
        assert_int_equal(cpupool_cpu_online(cpu), 0);
    fake_run_work();
    fake_advance(fake_now + 100 * MSEC);
    assert_false(vcpu_is_idle(fake_current[2]));
    assert_false(vcpu_is_idle(fake_current[3]));
    end_domains(1);
}

/* Each runnable vcpu runs, waits in one queue, or is parked; nobody else does. Counts and masks agree. */
static void check_invariants(void)
{
    for (uint32_t cpu = 0; cpu < CPUS; cpu++) {
        struct sched_cpu *c = &sched_cpu[cpu];
        uint32_t queued = 0;
        struct vcpu *v;

        assert_ptr_equal(c->current, fake_current[cpu]);
        for (int p = 0; p < PRIO_QUEUES; p++)
            list_for_each_entry (v, &c->queue[p], sched.link) {
                queued++;
                assert_true(v->sched.queued);
                assert_int_equal(v->sched.cpu, cpu);
                assert_true(vcpu_runnable(v));
                assert_true(sched_allowed(v) & CPUMASK(cpu));
                assert_false(sched_allowed(v) & atomic_load(&sched_idle)); /* work conserving */
            }
        assert_int_equal(queued, c->nr_queued);
        assert_int_equal((atomic_load(&sched_waiting) & CPUMASK(cpu)) != 0, queued != 0);
        assert_int_equal((atomic_load(&sched_idle) & CPUMASK(cpu)) != 0, c->current == c->idle);
    }
    for (int i = 0; i < DOMAINS; i++) {
        struct vcpu *v;

        for_each_vcpu (dom[i], v) {
            int places = (runs_on(v) >= 0) + v->sched.queued + v->sched.parked;

            assert_int_equal(places, vcpu_runnable(v));
            assert_int_equal(v->sched.running, runs_on(v) >= 0);
            if (runs_on(v) >= 0)
                assert_true(sched_allowed(v) & CPUMASK(runs_on(v)));
            assert_int_equal(v->runstate.state, runs_on(v) >= 0            ? RUNSTATE_running
                                                : vcpu_runnable(v)         ? RUNSTATE_runnable
                                                : v->state == VCPU_BLOCKED ? RUNSTATE_blocked
                                                                           : RUNSTATE_offline);
        }
    }
}

static void random_step(void)
{
    struct domain *d = dom[rand() % DOMAINS];
    struct vcpu *v = d->vcpu[rand() % VCPUS];
    int cpu = runs_on(v);

    fake_on_cpu((unsigned int)(rand() % CPUS));
    switch (rand() % 12) {
    case 0:
    case 1:
        if (cpu >= 0) {
            fake_on_cpu((unsigned int)cpu);
            vcpu_block(v);
        }
        break;
    case 2:
    case 3:
    case 4:
        vcpu_wake(v);
        break;
    case 5:
        if (cpu >= 0) {
            fake_on_cpu((unsigned int)cpu);
            vcpu_yield(v);
        }
        break;
    case 6:
        assert_int_equal(
            sched_set_affinity(v, (cpumask_t)(rand() % ((1 << CPUS) - 1) + 1), (cpumask_t)rand()), 0);
        break;
    case 7:
        if (atomic_load(&v->pause_count))
            vcpu_unpause(v);
        else
            pause_nosync(v);
        break;
    case 8:
        if (atomic_load(&d->pause_count))
            domain_unpause(d);
        else
            domain_pause_nosync(d);
        break;
    case 9:
        sched_vcpu_online(v, v->state == VCPU_DOWN);
        break;
    case 10:
        assert_int_equal(
            sched_set_params(d, (uint32_t)(rand() % 1000 + 1), rand() % 3 ? 0 : (uint32_t)(rand() % 200 + 1)),
            0);
        break;
    default:
        fake_advance(fake_now + (uint64_t)(rand() % 40) * MSEC);
        break;
    }
}

static void test_model(void **state)
{
    make_domains(DOMAINS, VCPUS);
    srand(6);
    for (int step = 0; step < 40000; step++) {
        random_step();
        if (rand() % 4) {
            fake_run_work();
            check_invariants();
        }
    }
    fake_run_work();
    check_invariants();
    for (int i = 0; i < DOMAINS; i++)
        assert_int_equal(sched_set_params(dom[i], 256, 0), 0);
    end_domains(DOMAINS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spreads_over_idle_cpus),
        cmocka_unit_test(test_block_and_wake),
        cmocka_unit_test(test_pending_event_prevents_blocking),
        cmocka_unit_test(test_alone_nothing_ticks),
        cmocka_unit_test(test_yield_lets_the_other_run),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_weights_on_all_cpus),
        cmocka_unit_test(test_cap),
        cmocka_unit_test(test_wrong_parameters),
        cmocka_unit_test(test_boost_on_wake),
        cmocka_unit_test(test_hard_affinity_moves_at_once),
        cmocka_unit_test(test_soft_affinity_is_preferred),
        cmocka_unit_test(test_idle_cpu_steals),
        cmocka_unit_test(test_pin_override),
        cmocka_unit_test(test_pause_is_counted),
        cmocka_unit_test(test_pools),
        cmocka_unit_test(test_runstate_area),
        cmocka_unit_test(test_cpu_offline),
        cmocka_unit_test(test_model),
    };
    struct domain *control;

    fake_boot(CPUS);
    control = fake_domain(true, 1, 64);
    domain_pause_nosync(control);
    fake_run_work();
    return cmocka_run_group_tests(tests, NULL, NULL);
}

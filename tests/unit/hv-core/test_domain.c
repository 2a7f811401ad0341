/* Domains: look-up, references, limits of creation, failure at every allocation, ending, and what ends the
 * machine. */
#include "test.h"
#include <bh/cmdline.h>
#include <bh/errno.h>
#include <bh/page_alloc.h>
#include <bh/work.h>
#include <public/sched.h>

static const struct domain_config usual = {
    .domid = DOMID_INVALID,
    .max_vcpus = 2,
    .max_evtchn_port = 1023,
    .max_grant_frames = 4,
    .max_maptrack_frames = 4,
    .grant_version = 2,
};

static void end(struct domain *d)
{
    fake_domain_end(d);
}

static void test_create_and_end_leaves_nothing(void **state)
{
    uint64_t before = page_counts.free, most = before;

    for (int i = 0; i < 50; i++) {
        struct domain *d = fake_domain(false, 4, 64);

        assert_non_null(page_alloc_domain(d, 2, 0));
        fake_run_work();
        end(d);
        if (!i)
            most = page_counts.free;
    }
    /* The first round may leave slab pages behind; no round leaves more. */
    assert_int_equal(page_counts.free, most);
    assert_true(before - most < 8);
}

static void test_ids(void **state)
{
    struct domain_config c = usual;
    struct domain *a, *b, *none = NULL;

    c.domid = 77;
    assert_int_equal(domain_create(&c, &a), 0);
    assert_int_equal(a->id, 77);
    assert_int_equal(domain_create(&c, &none), -EEXIST);
    assert_null(none);
    c.domid = DOMID_INVALID;
    assert_int_equal(domain_create(&c, &b), 0);
    assert_true(b->id != 77 && b->id > 0 && b->id < DOMID_LIMIT);
    c.domid = DOMID_XEN;
    assert_int_equal(domain_create(&c, &none), -EINVAL);
    end(a);
    end(b);
    assert_null(domain_get(77));
}

static void test_wrong_configurations(void **state)
{
    struct domain_config c = usual;
    struct domain *d;

    c.max_vcpus = 0;
    assert_int_equal(domain_create(&c, &d), -ERANGE);
    c.max_vcpus = DOMAIN_MAX_VCPUS + 1;
    assert_int_equal(domain_create(&c, &d), -ERANGE);
    c = usual;
    c.pool = 5;
    assert_int_equal(domain_create(&c, &d), -ENOENT);
}

/* With less and less memory: each attempt fails cleanly or succeeds, and nothing is lost. */
static void test_creation_without_memory(void **state)
{
    static struct page_info *held[FAKE_PAGES];
    unsigned int n = 0, failures = 0;
    uint64_t before;
    struct domain *d;

    end(fake_domain(false, 2, 16));
    before = page_counts.free;
    while ((held[n] = page_alloc(0, 0)) != NULL)
        n++;
    for (unsigned int given = 0; given < 60 && given < n; given++) {
        uint64_t left = page_counts.free;

        if (domain_create(&usual, &d) == 0) {
            end(d);
        } else {
            failures++;
            fake_run_work();
        }
        assert_true(page_counts.free >= left);
        page_free(held[--n], 0);
    }
    assert_true(failures > 3);
    while (n)
        page_free(held[--n], 0);
    assert_int_equal(page_counts.free, before);
}

static void test_list_is_ordered(void **state)
{
    static const domid_t ids[] = {40, 12, 99, 50};
    struct domain_config c = usual;
    struct domain *made[ARRAY_SIZE(ids)], *d;
    int last = -1, seen = 0;

    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        c.domid = ids[i];
        assert_int_equal(domain_create(&c, &made[i]), 0);
    }
    for_each_domain (d) {
        assert_true(d->id > last);
        last = d->id;
        seen++;
    }
    assert_int_equal(seen, ARRAY_SIZE(ids) + 1);
    d = domain_get_from(45); /* there is no d45 */
    assert_int_equal(d->id, 50);
    domain_put(d);
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
        end(made[i]);
}

static void test_policy_and_lookup(void **state)
{
    struct domain *a = fake_domain(false, 1, 16), *b = fake_domain(false, 1, 16), *out;
    struct vcpu *v = a->vcpu[0], *c = control_domain->vcpu[0];

    assert_int_equal(domain_get_for(v, DOMID_SELF, POLICY_CONTROL, &out), 0);
    assert_ptr_equal(out, a);
    domain_put(out);
    assert_int_equal(domain_get_for(v, b->id, POLICY_CONTROL, &out), -EPERM);
    assert_int_equal(v->cause.error, -EPERM);
    assert_int_equal(domain_get_for(v, b->id, POLICY_MAP_FOREIGN, &out), -EPERM);
    assert_int_equal(domain_get_for(v, b->id, POLICY_GRANT_USE, &out), 0);
    domain_put(out);
    assert_int_equal(domain_get_for(v, 4711, POLICY_INSPECT, &out), -ESRCH);
    assert_int_equal(domain_get_for(c, b->id, POLICY_CONTROL, &out), 0);
    domain_put(out);
    assert_false(policy_allows(a, POLICY_MACHINE, NULL));
    assert_true(policy_allows(control_domain, POLICY_MACHINE, NULL));
    a->target = b;
    domain_hold(b);
    assert_true(policy_allows(a, POLICY_MAP_FOREIGN, b));
    end(a);
    end(b);
}

static void test_shutdown_and_resume(void **state)
{
    struct domain *d = fake_domain(false, 2, 16);

    fake_run_work();
    domain_shutdown(d, SHUTDOWN_suspend);
    fake_run_work();
    assert_true(d->is_shut_down);
    assert_int_equal(d->shutdown_code, SHUTDOWN_suspend);
    assert_false(vcpu_runnable(d->vcpu[0]));
    domain_shutdown(d, SHUTDOWN_crash);
    assert_int_equal(d->shutdown_code, SHUTDOWN_suspend);
    domain_resume(d);
    fake_run_work();
    assert_false(d->is_shut_down);
    assert_true(vcpu_runnable(d->vcpu[0]));
    domain_resume(d);
    assert_int_equal(atomic_load(&d->pause_count), 0);
    end(d);
}

static void test_crash_says_why(void **state)
{
    struct domain *d = fake_domain(false, 1, 16);

    fake_console_clear();
    domain_crash(d, "bad frame %#x", 0x123);
    domain_crash(d, "again");
    assert_non_null(strstr(fake_console, "crashed: bad frame 0x123"));
    assert_null(strstr(fake_console, "again"));
    assert_int_equal(d->shutdown_code, SHUTDOWN_crash);
    end(d);
}

static void test_controller_pause(void **state)
{
    struct domain *d = fake_domain(false, 1, 16);

    assert_int_equal(domain_unpause_by_controller(d), -EINVAL);
    assert_int_equal(domain_pause_by_controller(d), 0);
    assert_int_equal(domain_pause_by_controller(d), 0);
    assert_int_equal(domain_unpause_by_controller(d), 0);
    assert_int_equal(atomic_load(&d->pause_count), 1);
    assert_int_equal(domain_unpause_by_controller(d), 0);
    assert_int_equal(domain_unpause_by_controller(d), -EINVAL);
    end(d);
}

static void test_kill_is_idempotent(void **state)
{
    struct domain *d = fake_domain(false, 1, 16);

    assert_int_equal(domain_kill(d), 0);
    assert_int_equal(domain_kill(d), 0);
    assert_int_equal(d->state, DOMAIN_DEAD);
    assert_null(page_alloc_domain(d, 0, 0));
    domain_put(d);
    fake_run_work();
}

static void test_control_domain_ends_the_machine(void **state)
{
    assert_int_equal(FAKE_ENDS(domain_shutdown(control_domain, SHUTDOWN_poweroff)), FAKE_POWEROFF);
    assert_int_equal(FAKE_ENDS(domain_shutdown(control_domain, SHUTDOWN_reboot)), FAKE_REBOOT);
    fake_console_clear();
    assert_int_equal(FAKE_ENDS(domain_crash(control_domain, "no way on")), FAKE_REBOOT);
    assert_non_null(strstr(fake_console, "no way on"));
    assert_non_null(strstr(fake_console, "registers of d0v0"));
    options.noreboot = true;
    assert_int_equal(FAKE_ENDS(domain_shutdown(control_domain, SHUTDOWN_crash)), FAKE_HALT);
    assert_int_equal(FAKE_ENDS(domain_shutdown(control_domain, SHUTDOWN_reboot)), FAKE_REBOOT);
    options.noreboot = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create_and_end_leaves_nothing),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_wrong_configurations),
        cmocka_unit_test(test_creation_without_memory),
        cmocka_unit_test(test_list_is_ordered),
        cmocka_unit_test(test_policy_and_lookup),
        cmocka_unit_test(test_shutdown_and_resume),
        cmocka_unit_test(test_crash_says_why),
        cmocka_unit_test(test_controller_pause),
        cmocka_unit_test(test_kill_is_idempotent),
        cmocka_unit_test(test_control_domain_ends_the_machine),
    };

    fake_boot(2);
    fake_domain(true, 1, 64);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

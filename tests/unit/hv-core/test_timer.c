/* Timers against a naive list, and what programs the hardware when. */
#include <stdlib.h>
#include "test.h"
#include <bh/timer.h>
#include <bh/work.h>

#define COUNT 64

static struct timer timers[COUNT];
static unsigned int fired[COUNT];
static uint64_t last_fired_at;

static void fire(void *arg)
{
    struct timer *t = arg;

    assert_false(timer_is_armed(t));
    assert_true(t->expires <= fake_now);
    assert_true(t->expires >= last_fired_at);
    last_fired_at = t->expires;
    fired[t - timers]++;
}

static int setup(void **state)
{
    for (int i = 0; i < COUNT; i++)
        timer_init(&timers[i], fire, &timers[i], 0);
    memset(fired, 0, sizeof(fired));
    last_fired_at = 0;
    return 0;
}

static int teardown(void **state)
{
    for (int i = 0; i < COUNT; i++)
        timer_kill(&timers[i]);
    return 0;
}

static void test_fires_in_order(void **state)
{
    uint64_t start = fake_now;

    for (int i = 0; i < COUNT; i++)
        timer_set(&timers[i], start + (uint64_t)((i * 37) % COUNT) * 1000 + 1);
    fake_advance(start + 31 * 1000 + 1);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(fired[i], (i * 37) % COUNT <= 31);
    fake_advance(start + COUNT * 1000);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(fired[i], 1);
}

static void test_hardware_follows_the_first(void **state)
{
    uint64_t start = fake_now;
    unsigned int writes;

    timer_set(&timers[0], start + 5000);
    assert_int_equal(fake_deadline[0], start + 5000);
    writes = fake_timer_writes;
    timer_set(&timers[1], start + 9000);
    timer_stop(&timers[1]);
    assert_int_equal(fake_timer_writes, writes);
    timer_set(&timers[1], start + 2000);
    assert_int_equal(fake_deadline[0], start + 2000);
    timer_stop(&timers[1]);
    assert_int_equal(fake_deadline[0], start + 5000);
    timer_stop(&timers[0]);
    assert_int_equal(fake_deadline[0], 0);
}

static void test_past_time_fires_at_once(void **state)
{
    timer_set(&timers[0], fake_now - 1);
    fake_run_work();
    assert_int_equal(fired[0], 1);
}

static void test_other_cpu_is_told(void **state)
{
    unsigned int kicks = fake_kicks[1];

    timer_migrate(&timers[0], 1);
    timer_set(&timers[0], fake_now + 1000);
    assert_int_equal(fake_kicks[1], kicks + 1);
    assert_true(atomic_load(&fake_work[1]) & WORK_TIMER);
    fake_run_work();
    assert_int_equal(fake_deadline[1], fake_now + 1000);
    fake_advance(fake_now + 1000);
    assert_int_equal(fired[0], 1);
}

static void test_armed_timer_migrates(void **state)
{
    timer_set(&timers[0], fake_now + 1000);
    timer_migrate(&timers[0], 1);
    assert_true(timer_is_armed(&timers[0]));
    assert_int_equal(fake_deadline[0], 0);
    fake_advance(fake_now + 1000);
    assert_int_equal(fired[0], 1);
}

static void test_killed_timer_stays_dead(void **state)
{
    timer_set(&timers[0], fake_now + 1000);
    timer_kill(&timers[0]);
    timer_set(&timers[0], fake_now + 1000);
    assert_false(timer_is_armed(&timers[0]));
    fake_advance(fake_now + 2000);
    assert_int_equal(fired[0], 0);
    timer_kill(&timers[0]);
}

/* Random operations; the oracle is a plain array of expiry times. */
static void test_model(void **state)
{
    uint64_t expiry[COUNT] = {0};

    srand(1);
    for (int step = 0; step < 50000; step++) {
        int i = rand() % COUNT;

        switch (rand() % 5) {
        case 0:
        case 1:
            expiry[i] = fake_now + (uint64_t)(rand() % 5000) + 1;
            timer_set(&timers[i], expiry[i]);
            break;
        case 2:
            expiry[i] = 0;
            timer_stop(&timers[i]);
            break;
        case 3:
            timer_migrate(&timers[i], (unsigned int)(rand() % 2));
            break;
        default:
            last_fired_at = 0; /* two CPUs: order holds on each alone */
            for (int j = 0; j < COUNT; j++)
                fired[j] = 0;
            fake_now += (uint64_t)(rand() % 1000);
            for (int j = 0; j < COUNT; j++) {
                bool due = expiry[j] && expiry[j] <= fake_now;

                last_fired_at = 0;
                assert_int_equal(timer_is_armed(&timers[j]), expiry[j] != 0);
                if (due)
                    expiry[j] = 0;
                fired[j] = due ? 1000 : 0;
            }
            for (unsigned int cpu = 0; cpu < 2; cpu++) {
                last_fired_at = 0;
                fake_on_cpu(cpu);
                timer_run();
            }
            fake_on_cpu(0);
            for (int j = 0; j < COUNT; j++)
                assert_true(fired[j] == 0 || fired[j] == 1001);
            break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fires_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hardware_follows_the_first, setup, teardown),
        cmocka_unit_test_setup_teardown(test_past_time_fires_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_cpu_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_armed_timer_migrates, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed_timer_stays_dead, setup, teardown),
        cmocka_unit_test_setup_teardown(test_model, setup, teardown),
    };

    fake_boot(2);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

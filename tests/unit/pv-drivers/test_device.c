/* The handshake in the store: every pair of states leads where it should, and a restart changes nothing. */
#include "front.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../pv-drivers/common/device.h"

#define BACK  "/b"
#define FRONT "/f"

static unsigned published, attached, detached;
static int attach_result;
static bool resumed;

static int publish(struct device *d)
{
    published++;
    return 0;
}

static int attach(struct device *d)
{
    attached++;
    resumed = d->resumed;
    return attach_result;
}

static int properties(struct device *d)
{
    fake_store_set(BACK "/sectors", "8");
    return 0;
}

static void detach(struct device *d)
{
    detached++;
}

static const struct device_ops ops = {
    .publish = publish, .attach = attach, .properties = properties, .detach = detach};
static struct device device;

static void states(int back, int front)
{
    char text[8];
    snprintf(text, sizeof(text), "%d", back);
    fake_store_set(BACK "/state", text);
    snprintf(text, sizeof(text), "%d", front);
    fake_store_set(FRONT "/state", text);
}

static int back_state(void)
{
    return atoi(fake_store_get(BACK "/state"));
}

static int set_up(void **state)
{
    fake_store_clear();
    fake_store_set(BACK "/frontend", FRONT);
    fake_store_set(BACK "/frontend-id", "5");
    fake_store_set(BACK "/online", "1");
    published = attached = detached = 0;
    attach_result = 0;
    return device_open(&device, &ops, NULL, BACK);
}

static int tear_down(void **state)
{
    device_close(&device);
    return 0;
}

static void the_whole_way(void **state)
{
    states(1, 1);
    assert_int_equal(device_step(&device), DEVICE_RUNNING);
    assert_int_equal(back_state(), XenbusStateInitWait);
    assert_int_equal(published, 1);
    states(2, 3);
    device_step(&device);
    assert_int_equal(back_state(), XenbusStateConnected);
    assert_true(device.attached && !resumed);
    assert_non_null(fake_store_get(BACK "/sectors"));
    states(4, 4);
    device_step(&device);
    assert_int_equal(attached, 1);
    states(4, 5);
    device_step(&device);
    assert_int_equal(back_state(), XenbusStateClosing);
    assert_int_equal(detached, 1);
    states(5, 6);
    assert_int_equal(device_step(&device), DEVICE_RUNNING); /* still online: it may come back */
    assert_int_equal(back_state(), XenbusStateClosed);
    states(6, 1);
    device_step(&device);
    assert_int_equal(back_state(), XenbusStateInitWait);
    fake_store_set(BACK "/online", "0");
    states(2, 6);
    assert_int_equal(device_step(&device), DEVICE_GONE);
}

static void a_front_end_that_is_connected_at_once(void **state)
{
    states(1, 4);
    device_step(&device);
    assert_int_equal(back_state(), XenbusStateConnected);
    assert_int_equal(attached, 1);
}

static void a_restart_attaches_without_a_word(void **state)
{
    states(4, 4);
    fake_store_set(BACK "/hotplug-status", "connected");
    device_step(&device);
    assert_int_equal(back_state(), XenbusStateConnected);
    assert_true(device.attached && resumed);
    assert_int_equal(published, 0);
    assert_null(fake_store_get(BACK "/sectors"));
}

/* Who changes the medium takes hotplug-status away: a connected guest is told the properties, one that waits the
 * features. */
static void a_changed_medium_is_told(void **state)
{
    states(4, 4);
    device_step(&device);
    assert_string_equal(fake_store_get(BACK "/sectors"), "8");
    assert_string_equal(fake_store_get(BACK "/hotplug-status"), "connected");
    assert_int_equal(back_state(), XenbusStateConnected);
    assert_true(resumed);
    states(2, 1);
    fake_store_remove(BACK "/hotplug-status");
    device_step(&device);
    assert_int_equal(published, 1);
    assert_string_equal(fake_store_get(BACK "/hotplug-status"), "connected");
}

static int attach_while_closed(struct device *d)
{
    attached++;
    fake_store_set(BACK "/state", "5"); /* block-detach, just now */
    return 0;
}

/* Closing, written while we connected, was overwritten with Connected; the guest never heard that it has to close. */
static void a_removal_while_connecting_is_not_lost(void **state)
{
    static const struct device_ops closing_ops = {
        .publish = publish, .attach = attach_while_closed, .properties = properties, .detach = detach};
    device.ops = &closing_ops;
    states(2, 3);
    fake_store_set(BACK "/hotplug-status", "connected");
    assert_int_equal(device_step(&device), DEVICE_RUNNING);
    assert_int_equal(back_state(), XenbusStateClosing);
    assert_null(fake_store_get(BACK "/sectors"));
    fake_store_set(BACK "/online", "0");
    states(5, 6);
    assert_int_equal(device_step(&device), DEVICE_GONE);
}

static void a_restart_in_the_middle_of_closing(void **state)
{
    states(4, 5);
    device_step(&device);
    assert_int_equal(back_state(), XenbusStateClosing);
    assert_int_equal(attached, 0);
}

/* The toolstack asked for the end, the guest still writes back what it has: those requests are served. */
static void a_restart_while_the_guest_still_has_to_close(void **state)
{
    states(5, 4);
    fake_store_set(BACK "/online", "0");
    assert_int_equal(device_step(&device), DEVICE_RUNNING);
    assert_true(device.attached && resumed);
    assert_int_equal(back_state(), XenbusStateClosing);
    states(5, 6);
    assert_int_equal(device_step(&device), DEVICE_GONE);
    assert_int_equal(back_state(), XenbusStateClosed);
}

static void bad_rings_end_the_connection_only(void **state)
{
    states(2, 3);
    attach_result = -22;
    device_step(&device);
    assert_int_equal(back_state(), XenbusStateClosing);
    assert_non_null(fake_store_get(BACK "/error"));
    device_step(&device);
    assert_int_equal(attached, 1); /* not tried again and again */
    attach_result = 0;
    states(5, 6);
    device_step(&device);
    states(6, 1);
    device_step(&device);
    assert_int_equal(back_state(), XenbusStateInitWait);
    states(2, 3);
    device_step(&device);
    assert_true(device.attached);
}

static void nodes_that_vanish(void **state)
{
    states(4, 4);
    device_step(&device);
    fake_store_remove(FRONT);
    assert_int_equal(device_step(&device), DEVICE_GONE);
    assert_int_equal(detached, 1);
    fake_store_remove(BACK);
    assert_int_equal(device_step(&device), DEVICE_GONE);
    assert_null(fake_store_get(BACK "/state")); /* nothing is left behind */
}

static void nonsense_states_do_nothing(void **state)
{
    for (int front = 7; front < 20; front++) {
        states(4, front);
        assert_int_equal(device_step(&device), DEVICE_RUNNING);
        assert_int_equal(back_state(), 4);
    }
    assert_int_equal(attached, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_whole_way),
        TEST(a_front_end_that_is_connected_at_once),
        TEST(a_restart_attaches_without_a_word),
        TEST(a_changed_medium_is_told),
        TEST(a_removal_while_connecting_is_not_lost),
        TEST(a_restart_in_the_middle_of_closing),
        TEST(a_restart_while_the_guest_still_has_to_close),
        TEST(bad_rings_end_the_connection_only),
        TEST(nodes_that_vanish),
        TEST(nonsense_states_do_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

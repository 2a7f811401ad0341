/* What guests call in common code: the table, multicall, xen_version, vcpu_op, sched_op, timers, console,
 * causes. */
#include <stdlib.h>
#include "test.h"
#include <bh/arch.h>
#include <bh/console.h>
#include <bh/errno.h>
#include <bh/hypercall.h>
#include <bh/page_alloc.h>
#include <public/bulkhead.h>
#include <public/sched.h>
#include <public/version.h>

static struct domain *dom;
static struct vcpu *guest, *control;

static long call(struct vcpu *v, unsigned long nr, unsigned long a1, unsigned long a2, unsigned long a3)
{
    fake_hypercall = (uint32_t)nr;
    fake_hypercall_arg = (uint32_t)a1;
    return hypercall_table[nr](v, a1, a2, a3, 0, 0);
}

#define PTR(p) ((unsigned long)(p))

static int setup(void **state)
{
    dom = fake_domain(false, 3, 64);
    fake_run_work();
    guest = dom->vcpu[0];
    control = control_domain->vcpu[0];
    return 0;
}

static int teardown(void **state)
{
    fake_fault_start = fake_fault_end = 0;
    fake_preempt = false;
    fake_domain_end(dom);
    return 0;
}

static void test_every_row_is_there(void **state)
{
    for (unsigned int nr = 0; nr < HYPERCALL_MAX; nr++)
        assert_non_null(hypercall_table[nr]);
    assert_int_equal(call(guest, __HYPERVISOR_kexec_op, 0, 0, 0), -ENOSYS);
    assert_int_equal(call(guest, 63, 0, 0, 0), -ENOSYS);
}

/* Sub-operations over a wide range, with every pointer wrong: an error, and nothing else. */
static void test_hostile_arguments(void **state)
{
    static const unsigned long numbers[] = {
        __HYPERVISOR_xen_version, __HYPERVISOR_vcpu_op,   __HYPERVISOR_console_io,
        __HYPERVISOR_vm_assist,   __HYPERVISOR_multicall, __HYPERVISOR_bulkhead_op,
    };
    static const uint64_t pointers[] = {
        0, 1, 0xffff800000000000, 0xffff830000001000, 0x7ffffffffffff000, ~0UL, 1UL << 63};

    for (size_t n = 0; n < ARRAY_SIZE(numbers); n++)
        for (unsigned long op = 0; op < 300; op++)
            for (size_t p = 0; p < ARRAY_SIZE(pointers); p++) {
                if (numbers[n] == __HYPERVISOR_vcpu_op && (op == VCPUOP_down || op == VCPUOP_up))
                    continue;
                call(guest, numbers[n], op, pointers[p], pointers[p]);
                call(guest, numbers[n], op, 0, pointers[p]);
                call(guest, numbers[n], op | 0xffffffff00000000, 1, pointers[p]);
            }
    for (unsigned long op = 8; op < 300; op++)
        assert_int_equal(call(guest, __HYPERVISOR_sched_op, op, 0, 0), -ENOSYS);
    for (unsigned long op = 2; op < 8; op++)
        assert_true(call(guest, __HYPERVISOR_sched_op, op, pointers[2], 0) < 0);
    assert_false(dom->is_shut_down);
}

static void test_multicall(void **state)
{
    struct multicall_entry list[20] = {0};

    for (int i = 0; i < 20; i++)
        list[i].op = __HYPERVISOR_xen_version;
    list[3].op = 63;
    list[4].op = 1000;
    list[5].op = __HYPERVISOR_multicall;
    list[6].op = __HYPERVISOR_iret;
    list[7].args[0] = 99;
    assert_int_equal(call(guest, __HYPERVISOR_multicall, PTR(list), 20, 0), 0);
    for (int i = 0; i < 20; i++) {
        long expected = i == 3 || i == 4 || i == 7 ? -ENOSYS : i == 5 || i == 6 ? -EINVAL : (4 << 16 | 17);

        assert_int_equal((long)list[i].result, expected);
    }
    assert_int_equal(call(guest, __HYPERVISOR_multicall, PTR(list), 0, 0), 0);
    assert_int_equal(call(guest, __HYPERVISOR_multicall, 8, 1, 0), -EFAULT);
}

static void test_multicall_gives_way(void **state)
{
    struct multicall_entry list[5] = {0};

    for (int i = 0; i < 5; i++)
        list[i].op = __HYPERVISOR_xen_version;
    fake_preempt = true;
    assert_int_equal(call(guest, __HYPERVISOR_multicall, PTR(list), 5, 0), HYPERCALL_RESTART);
    assert_int_equal(list[0].result, 4 << 16 | 17);
    assert_int_equal(list[1].result, 0);
    assert_int_equal(guest->restart_args[0], PTR(&list[1]));
    assert_int_equal(guest->restart_args[1], 4);
    fake_preempt = false;
    assert_int_equal(call(guest, __HYPERVISOR_multicall, guest->restart_args[0], guest->restart_args[1], 0),
                     0);
    assert_int_equal(list[4].result, 4 << 16 | 17);
}

/* An entry that gives way itself continues in its place. */
static void test_multicall_entry_restarts(void **state)
{
    static char text[2000];
    struct multicall_entry list[2] = {
        {.op = __HYPERVISOR_console_io, .args = {CONSOLEIO_write, sizeof(text), PTR(text)}},
        {.op = __HYPERVISOR_xen_version}};

    memset(text, 'x', sizeof(text));
    fake_preempt = true;
    assert_int_equal(call(control, __HYPERVISOR_multicall, PTR(list), 2, 0), HYPERCALL_RESTART);
    assert_int_equal(control->restart_args[0], PTR(list));
    assert_int_equal(control->restart_args[1], 2);
    assert_true(list[0].args[1] < sizeof(text) && list[0].args[1] > 0);
    assert_int_equal(list[0].args[2], PTR(text) + sizeof(text) - list[0].args[1]);
    fake_preempt = false;
    fake_console_clear();
    assert_int_equal(call(control, __HYPERVISOR_multicall, PTR(list), 2, 0), 0);
    assert_int_equal(list[0].result, 0);
    assert_int_equal(list[1].result, 4 << 16 | 17);
}

static void test_version(void **state)
{
    static char text[1024];
    struct xen_feature_info f = {0};
    struct xen_platform_parameters p;

    assert_int_equal(call(guest, __HYPERVISOR_xen_version, XENVER_version, 0, 0), 4 << 16 | 17);
    assert_int_equal(call(guest, __HYPERVISOR_xen_version, XENVER_pagesize, 0, 0), 4096);
    assert_int_equal(call(guest, __HYPERVISOR_xen_version, XENVER_extraversion, PTR(text), 0), 0);
    assert_non_null(strstr(text, "bulkhead"));
    assert_true(strlen(text) < 16);
    assert_int_equal(call(guest, __HYPERVISOR_xen_version, XENVER_capabilities, PTR(text), 0), 0);
    assert_non_null(strstr(text, "xen-3.0-x86_64 "));
    assert_int_equal(call(guest, __HYPERVISOR_xen_version, XENVER_platform_parameters, PTR(&p), 0), 0);
    assert_int_equal(p.virt_start, HYPERVISOR_VIRT_START);
    assert_int_equal(call(guest, __HYPERVISOR_xen_version, XENVER_get_features, PTR(&f), 0), 0);
    assert_true(f.submap & 1u << XENFEAT_mmu_pt_update_preserve_ad);
    assert_false(f.submap & (1u << XENFEAT_dom0 | 1u << XENFEAT_auto_translated_physmap));
    assert_int_equal(call(control, __HYPERVISOR_xen_version, XENVER_get_features, PTR(&f), 0), 0);
    assert_true(f.submap & 1u << XENFEAT_dom0);
    f.submap_idx = 1;
    assert_int_equal(call(guest, __HYPERVISOR_xen_version, XENVER_get_features, PTR(&f), 0), -EINVAL);
    assert_int_equal(call(guest, __HYPERVISOR_xen_version, XENVER_commandline, PTR(text), 0), 0);
    assert_string_equal(text, "<denied>");
}

static void test_build_id(void **state)
{
    static struct {
        uint32_t len;
        unsigned char buf[64];
    } id;

    assert_int_equal(call(guest, __HYPERVISOR_xen_version, XENVER_build_id, 0, 0), -EPERM);
    assert_int_equal(call(control, __HYPERVISOR_xen_version, XENVER_build_id, 0, 0), 20);
    assert_int_equal(call(control, __HYPERVISOR_xen_version, XENVER_build_id, PTR(&id), 0), -EINVAL);
    id.len = 19;
    assert_int_equal(call(control, __HYPERVISOR_xen_version, XENVER_build_id, PTR(&id), 0), -ENOBUFS);
    id.len = 20;
    assert_int_equal(call(control, __HYPERVISOR_xen_version, XENVER_build_id, PTR(&id), 0), 20);
    assert_memory_equal(id.buf, "twenty bytes of name", 20);
}

static void test_vcpu_info(void **state)
{
    struct page_info *pg = page_alloc_domain(dom, 0, 0);
    struct vcpu_register_vcpu_info reg = {.mfn = page_to_mfn(pg).n, .offset = 4096 - 32};
    char *page = arch_map(page_to_mfn(pg));

    assert_int_equal(call(guest, __HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 0, PTR(&reg)), -ENXIO);
    reg.offset = 4;
    assert_int_equal(call(guest, __HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 0, PTR(&reg)), -EINVAL);
    reg.offset = 128;
    assert_int_equal(call(guest, __HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 1, PTR(&reg)), -EINVAL);
    reg.mfn = 1UL << 40;
    assert_int_equal(call(guest, __HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 0, PTR(&reg)), -EINVAL);
    reg.mfn = page_to_mfn(pg).n;
    guest->info->arch.cr2 = 0x1234;
    assert_int_equal(call(guest, __HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 0, PTR(&reg)), 0);
    assert_ptr_equal(guest->info, page + 128);
    assert_int_equal(guest->info->arch.cr2, 0x1234);
    assert_int_equal(guest->info->evtchn_upcall_pending, 1);
    assert_int_equal(guest->info->evtchn_pending_sel, ~0UL);
    assert_int_equal(call(guest, __HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 0, PTR(&reg)), -EINVAL);
    assert_false(get_page_writable(pg, control_domain));
}

/* A vcpu that has no place yet: what it does to its own vcpu_info is no other's, and goes with it to the place. */
static void test_vcpu_info_unplaced(void **state)
{
    struct domain *d = fake_domain(false, XEN_LEGACY_MAX_VCPUS + 2, 64);
    struct vcpu *v = d->vcpu[XEN_LEGACY_MAX_VCPUS], *other = d->vcpu[XEN_LEGACY_MAX_VCPUS + 1];
    struct page_info *pg = page_alloc_domain(d, 0, 0);
    struct vcpu_register_vcpu_info reg = {.mfn = page_to_mfn(pg).n, .offset = 64};

    assert_int_equal(v->info->evtchn_upcall_mask, 1);
    v->info->evtchn_upcall_mask = 0;
    v->info->time.system_time = 77;
    assert_int_equal(other->info->evtchn_upcall_mask, 1);
    assert_int_equal(call(v, __HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, v->id, PTR(&reg)), 0);
    assert_ptr_equal(v->info, (char *)arch_map(page_to_mfn(pg)) + 64);
    assert_int_equal(v->info->evtchn_upcall_mask, 0);
    assert_int_equal(v->info->time.system_time, 77);
    fake_domain_end(d);
}

static void test_vcpu_up_down(void **state)
{
    int context;

    assert_int_equal(call(guest, __HYPERVISOR_vcpu_op, VCPUOP_is_up, 1, 0), 1);
    assert_int_equal(call(guest, __HYPERVISOR_vcpu_op, VCPUOP_down, 1, 0), 0);
    assert_int_equal(call(guest, __HYPERVISOR_vcpu_op, VCPUOP_is_up, 1, 0), 0);
    assert_int_equal(call(guest, __HYPERVISOR_vcpu_op, VCPUOP_up, 1, 0), 0);
    assert_int_equal(call(guest, __HYPERVISOR_vcpu_op, VCPUOP_initialise, 1, PTR(&context)), -EEXIST);
    dom->vcpu[1]->initialised = false;
    assert_int_equal(call(guest, __HYPERVISOR_vcpu_op, VCPUOP_up, 1, 0), -EINVAL);
    assert_int_equal(call(guest, __HYPERVISOR_vcpu_op, VCPUOP_initialise, 1, PTR(&context)), 0);
    assert_int_equal(call(guest, __HYPERVISOR_vcpu_op, VCPUOP_is_up, 7, 0), -ENOENT);
    assert_int_equal(call(guest, __HYPERVISOR_vcpu_op, VCPUOP_down, 1, 0), 0);
    assert_int_equal(call(guest, __HYPERVISOR_vcpu_op, VCPUOP_down, 2, 0), 0);
    assert_false(dom->is_shut_down);
    assert_int_equal(call(guest, __HYPERVISOR_vcpu_op, VCPUOP_down, 0, 0), 0);
    assert_true(dom->is_shut_down);
    assert_int_equal(dom->shutdown_code, SHUTDOWN_poweroff);
}

static void test_timers_wake(void **state)
{
    struct vcpu_set_singleshot_timer shot = {.timeout_abs_ns = fake_now - 1, .flags = VCPU_SSHOTTMR_future};
    struct vcpu_set_periodic_timer period = {.period_ns = 1000};

    assert_int_equal(call(guest, __HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 0, PTR(&shot)), -ETIME);
    assert_int_equal(call(guest, __HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 1, PTR(&shot)), -EINVAL);
    shot.timeout_abs_ns = fake_now + 1000;
    assert_int_equal(call(guest, __HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 0, PTR(&shot)), 0);
    assert_true(timer_is_armed(&guest->singleshot_timer));
    assert_int_equal(call(guest, __HYPERVISOR_vcpu_op, VCPUOP_stop_singleshot_timer, 0, 0), 0);
    assert_false(timer_is_armed(&guest->singleshot_timer));
    assert_int_equal(call(guest, __HYPERVISOR_set_timer_op, fake_now + 5000, 0, 0), 0);
    assert_int_equal(guest->singleshot_timer.expires, fake_now + 5000);
    assert_int_equal(call(guest, __HYPERVISOR_set_timer_op, ~0UL, 0, 0), 0);
    assert_true(guest->singleshot_timer.expires <= fake_now + NSEC(1));
    assert_int_equal(call(guest, __HYPERVISOR_set_timer_op, 0, 0, 0), 0);
    assert_false(timer_is_armed(&guest->singleshot_timer));
    assert_int_equal(call(guest, __HYPERVISOR_vcpu_op, VCPUOP_set_periodic_timer, 0, PTR(&period)), -EINVAL);
    period.period_ns = 2000000;
    assert_int_equal(call(guest, __HYPERVISOR_vcpu_op, VCPUOP_set_periodic_timer, 0, PTR(&period)), 0);
    fake_advance(fake_now + 7000000);
    assert_true(timer_is_armed(&guest->periodic_timer));
    assert_int_equal(guest->periodic_timer.expires, guest->periodic_last + 2000000);
    assert_int_equal(call(guest, __HYPERVISOR_vcpu_op, VCPUOP_stop_periodic_timer, 0, 0), 0);
    assert_false(timer_is_armed(&guest->periodic_timer));
}

static void test_held_upcall_wakes(void **state)
{
    fake_current[0] = guest;
    guest->info->evtchn_upcall_mask = 0;
    guest->info->evtchn_upcall_pending = 1;
    vcpu_hold_upcall(guest, 1000);
    assert_int_equal(call(guest, __HYPERVISOR_sched_op, SCHEDOP_block, 0, 0), 0);
    assert_int_equal(guest->state, VCPU_BLOCKED);
    fake_advance(fake_now + 900);
    assert_int_equal(guest->info->evtchn_upcall_pending, 0);
    fake_advance(fake_now + 200);
    assert_int_equal(guest->info->evtchn_upcall_pending, 1);
    assert_int_equal(guest->state, VCPU_RUNABLE);
}

static void test_poll_times_out(void **state)
{
    struct sched_poll p = {.timeout = fake_now + 1000};
    uint32_t ports[2] = {4000, 4001};
    uint32_t port;

    assert_int_equal(evtchn_alloc_unbound(NULL, dom, 0, &port), 0);
    fake_current[0] = guest;
    ports[0] = port;
    p.ports = PTR(ports);
    p.nr_ports = 129;
    assert_int_equal(call(guest, __HYPERVISOR_sched_op, SCHEDOP_poll, PTR(&p), 0), -EINVAL);
    p.nr_ports = 2;
    assert_int_equal(call(guest, __HYPERVISOR_sched_op, SCHEDOP_poll, PTR(&p), 0), -EINVAL);
    assert_int_equal(guest->state, VCPU_RUNABLE);
    assert_false(guest->polling);
    p.nr_ports = 1;
    assert_int_equal(call(guest, __HYPERVISOR_sched_op, SCHEDOP_poll, PTR(&p), 0), 0);
    assert_int_equal(guest->state, VCPU_BLOCKED);
    assert_true(guest->polling);
    fake_advance(fake_now + 2000);
    assert_int_equal(guest->state, VCPU_RUNABLE);
    assert_false(guest->polling);
}

static void test_watchdog(void **state)
{
    struct sched_watchdog w = {.id = 0, .timeout = 2};
    long id = call(guest, __HYPERVISOR_sched_op, SCHEDOP_watchdog, PTR(&w), 0);

    assert_true(id > 0);
    assert_true(call(guest, __HYPERVISOR_sched_op, SCHEDOP_watchdog, PTR(&w), 0) > 0);
    assert_int_equal(call(guest, __HYPERVISOR_sched_op, SCHEDOP_watchdog, PTR(&w), 0), -ENOSPC);
    w.id = 3;
    assert_int_equal(call(guest, __HYPERVISOR_sched_op, SCHEDOP_watchdog, PTR(&w), 0), -EINVAL);
    w = (struct sched_watchdog){.id = 2, .timeout = 0};
    assert_int_equal(call(guest, __HYPERVISOR_sched_op, SCHEDOP_watchdog, PTR(&w), 0), 0);
    w = (struct sched_watchdog){.id = (uint32_t)id, .timeout = 2};
    for (int i = 0; i < 5; i++) {
        fake_advance(fake_now + NSEC(1));
        assert_int_equal(call(guest, __HYPERVISOR_sched_op, SCHEDOP_watchdog, PTR(&w), 0), 0);
    }
    assert_false(dom->is_shut_down);
    fake_advance(fake_now + NSEC(3));
    assert_true(dom->is_shut_down);
    assert_int_equal(dom->shutdown_code, SHUTDOWN_watchdog);
}

static void test_sched_op_ends_domains(void **state)
{
    struct sched_shutdown s = {.reason = SHUTDOWN_reboot};
    struct sched_remote_shutdown r = {.domain_id = dom->id, .reason = SHUTDOWN_crash};

    assert_int_equal(call(guest, __HYPERVISOR_sched_op, SCHEDOP_shutdown_code, PTR(&s), 0), 0);
    assert_int_equal(dom->shutdown_code, SHUTDOWN_reboot);
    r.domain_id = 0;
    assert_int_equal(call(guest, __HYPERVISOR_sched_op, SCHEDOP_remote_shutdown, PTR(&r), 0), -EPERM);
    r.domain_id = dom->id;
    assert_int_equal(call(control, __HYPERVISOR_sched_op, SCHEDOP_remote_shutdown, PTR(&r), 0), 0);
    assert_true(dom->is_shut_down);
    assert_int_equal(call(guest, __HYPERVISOR_sched_op, SCHEDOP_shutdown_code, PTR(&s), 0), -EBUSY);
    assert_int_equal(call(guest, __HYPERVISOR_sched_op, SCHEDOP_pin_override, PTR(&s), 0), -EPERM);
}

static void test_console(void **state)
{
    static char text[] = "hello\nworld\x1b[2J\n", in[64];
    uint32_t count = 4096, index = 0;
    static char ring[4096];

    fake_console_clear();
    assert_int_equal(call(guest, __HYPERVISOR_console_io, CONSOLEIO_write, sizeof(text) - 1, PTR(text)), 0);
    assert_non_null(strstr(fake_console, ") hello\n(d"));
    assert_non_null(strstr(fake_console, ") world[2J\n")); /* no control characters from guests */
    assert_int_equal(call(guest, __HYPERVISOR_console_io, CONSOLEIO_read, 10, PTR(in)), -EPERM);
    console_receive('h');
    console_receive('i');
    assert_int_equal(call(control, __HYPERVISOR_console_io, CONSOLEIO_read, 10, PTR(in)), 2);
    assert_memory_equal(in, "hi", 2);
    assert_int_equal(call(control, __HYPERVISOR_console_io, CONSOLEIO_read, 10, PTR(in)), 0);
    assert_int_equal(console_ring_read(control, PTR(ring), &count, &index, false, false), 0);
    assert_true(count > 10 && memmem(ring, count, "hello", 5));
    assert_int_equal(console_ring_read(control, PTR(ring), &count, &index, true, true), 0);
    count = 4096;
    assert_int_equal(console_ring_read(control, PTR(ring), &count, &index, false, false), 0);
    assert_int_equal(count, 0);
    /* Three times Ctrl-A: the keys are ours, and back. */
    for (int i = 0; i < 3; i++)
        console_receive(1);
    fake_console_clear();
    console_receive('m');
    assert_non_null(strstr(fake_console, "'m': memory"));
    for (int i = 0; i < 3; i++)
        console_receive(1);
    console_receive('x');
    assert_true(call(control, __HYPERVISOR_console_io, CONSOLEIO_read, 10, PTR(in)) > 0);
}

static void test_every_debug_key(void **state)
{
    for (int c = 0; c < 256; c++)
        if (c != 'R')
            keyhandler_run((char)c);
}

static void test_vm_assist(void **state)
{
    assert_int_equal(call(guest, __HYPERVISOR_vm_assist, VMASST_CMD_enable, VMASST_TYPE_m2p_strict, 0), 0);
    assert_int_equal(dom->vm_assist, 1UL << VMASST_TYPE_m2p_strict);
    assert_int_equal(call(guest, __HYPERVISOR_vm_assist, VMASST_CMD_disable, VMASST_TYPE_m2p_strict, 0), 0);
    assert_int_equal(dom->vm_assist, 0);
    assert_int_equal(call(guest, __HYPERVISOR_vm_assist, VMASST_CMD_enable, 6, 0), -EINVAL);
    assert_int_equal(call(guest, __HYPERVISOR_vm_assist, 2, 0, 0), -ENOSYS);
}

static void test_causes(void **state)
{
    struct bulkhead_cause c = {.domid = DOMID_SELF, .hypercall = BULKHEAD_CAUSE_ANY};
    struct cause record = {.check = "a {0} b {1} c {2} {", .value = {12, 0xdeadbeef}};
    char text[64];
    uint64_t first;

    cause_format(&record, text, sizeof(text));
    assert_string_equal(text, "a 12 b 0xdeadbeef c {2} {");
    cause_format(&record, text, 5);
    assert_string_equal(text, "a 12");
    assert_int_equal(call(guest, __HYPERVISOR_vcpu_op, VCPUOP_is_up, 9, 0), -ENOENT);
    assert_int_equal(call(guest, __HYPERVISOR_bulkhead_op, BULKHEAD_get_cause, PTR(&c), 0), 0);
    assert_int_equal(c.hypercall, __HYPERVISOR_vcpu_op);
    assert_int_equal(c.subop, VCPUOP_is_up);
    assert_int_equal(c.error, -ENOENT);
    assert_non_null(strstr(c.text, "no vcpu 9"));
    first = c.sequence;
    c.after = first;
    c.hypercall = BULKHEAD_CAUSE_ANY;
    assert_int_equal(call(guest, __HYPERVISOR_bulkhead_op, BULKHEAD_get_cause, PTR(&c), 0), -ENODATA);
    c.after = 0;
    c.hypercall = __HYPERVISOR_mmu_update;
    assert_int_equal(call(guest, __HYPERVISOR_bulkhead_op, BULKHEAD_get_cause, PTR(&c), 0), -ENODATA);
    /* An unknown number leaves its record when somebody asks. */
    call(guest, 63, 0, 0, 0);
    c.after = first;
    c.hypercall = 63;
    assert_int_equal(call(guest, __HYPERVISOR_bulkhead_op, BULKHEAD_get_cause, PTR(&c), 0), 0);
    assert_int_equal(c.error, -ENOSYS);
    assert_true(c.sequence > first);
    call(guest, 63, 0, 0, 0);
    assert_int_equal(call(guest, __HYPERVISOR_vcpu_op, VCPUOP_is_up, 9, 0), -ENOENT);
    c.hypercall = BULKHEAD_CAUSE_ANY;
    assert_int_equal(call(guest, __HYPERVISOR_bulkhead_op, BULKHEAD_get_cause, PTR(&c), 0), 0);
    assert_int_equal(c.error, -ENOENT);
    c.domid = 0;
    assert_int_equal(call(guest, __HYPERVISOR_bulkhead_op, BULKHEAD_get_cause, PTR(&c), 0), -EPERM);
    c.domid = dom->id;
    c.hypercall = BULKHEAD_CAUSE_ANY;
    assert_int_equal(call(control, __HYPERVISOR_bulkhead_op, BULKHEAD_get_cause, PTR(&c), 0), 0);
    assert_int_equal(c.error, -EPERM);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_every_row_is_there),
        TEST(test_hostile_arguments),
        TEST(test_multicall),
        TEST(test_multicall_gives_way),
        TEST(test_multicall_entry_restarts),
        TEST(test_version),
        TEST(test_build_id),
        TEST(test_vcpu_info),
        TEST(test_vcpu_info_unplaced),
        TEST(test_vcpu_up_down),
        TEST(test_timers_wake),
        TEST(test_held_upcall_wakes),
        TEST(test_poll_times_out),
        TEST(test_watchdog),
        TEST(test_sched_op_ends_domains),
        TEST(test_console),
        TEST(test_every_debug_key),
        TEST(test_vm_assist),
        TEST(test_causes),
    };

    fake_boot(2);
    fake_domain(true, 1, 64);
    fake_run_work();
    return cmocka_run_group_tests(tests, NULL, NULL);
}

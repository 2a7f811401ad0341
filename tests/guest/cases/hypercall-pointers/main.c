/*
 * Wrong pointers in every hypercall that takes one: unmapped, non-canonical, the hypervisor's own, wrapping
 * past the end. A pointer into the hypervisor must never be read or written for the guest; all are answered
 * with an error, most with EFAULT, and nobody dies.
 */
#include "guest.h"

static const struct {
    uint64_t address;
    const char *what;
} bad[] = {
    {UNMAPPED, "unmapped"},
    {NON_CANONICAL, "non-canonical"},
    {HV_START + (64UL << 30), "in the hypervisor"},
    {HV_END - 8, "at the hypervisor's end"},
    {0xffff820000000000UL, "in the hypervisor's own tables"},
    {0xffff82d040200000UL, "in the hypervisor's text"},
    {0xfffffffffffffff8UL, "at the very end"},
    {0x00007ffffffffffcUL, "across the canonical edge"},
};

struct call {
    const char *name;
    unsigned int number;
    uint64_t arg[5];
    int pointer; /* which argument is the pointer */
};

static const struct call calls[] = {
    {"set_trap_table", __HYPERVISOR_set_trap_table, {0}, 0},
    {"mmu_update", __HYPERVISOR_mmu_update, {0, 1, 0, DOMID_SELF}, 0},
    {"mmu_update, 1000", __HYPERVISOR_mmu_update, {0, 1000, 0, DOMID_SELF}, 0},
    {"mmuext_op", __HYPERVISOR_mmuext_op, {0, 1, 0, DOMID_SELF}, 0},
    {"set_gdt", __HYPERVISOR_set_gdt, {0, 512}, 0},
    {"platform_op", __HYPERVISOR_platform_op, {0}, 0},
    {"memory_op increase_reservation", __HYPERVISOR_memory_op, {XENMEM_increase_reservation, 0}, 1},
    {"memory_op decrease_reservation", __HYPERVISOR_memory_op, {XENMEM_decrease_reservation, 0}, 1},
    {"memory_op populate_physmap", __HYPERVISOR_memory_op, {XENMEM_populate_physmap, 0}, 1},
    {"memory_op exchange", __HYPERVISOR_memory_op, {XENMEM_exchange, 0}, 1},
    {"memory_op memory_map", __HYPERVISOR_memory_op, {XENMEM_memory_map, 0}, 1},
    {"memory_op machine_memory_map", __HYPERVISOR_memory_op, {XENMEM_machine_memory_map, 0}, 1},
    {"memory_op machphys_mfn_list", __HYPERVISOR_memory_op, {XENMEM_machphys_mfn_list, 0}, 1},
    {"memory_op add_to_physmap", __HYPERVISOR_memory_op, {XENMEM_add_to_physmap, 0}, 1},
    {"multicall", __HYPERVISOR_multicall, {0, 3}, 0},
    {"xen_version extraversion", __HYPERVISOR_xen_version, {XENVER_extraversion, 0}, 1},
    {"xen_version compile_info", __HYPERVISOR_xen_version, {XENVER_compile_info, 0}, 1},
    {"xen_version capabilities", __HYPERVISOR_xen_version, {XENVER_capabilities, 0}, 1},
    {"xen_version changeset", __HYPERVISOR_xen_version, {XENVER_changeset, 0}, 1},
    {"xen_version platform_parameters", __HYPERVISOR_xen_version, {XENVER_platform_parameters, 0}, 1},
    {"xen_version get_features", __HYPERVISOR_xen_version, {XENVER_get_features, 0}, 1},
    {"xen_version guest_handle", __HYPERVISOR_xen_version, {XENVER_guest_handle, 0}, 1},
    {"console_io write", __HYPERVISOR_console_io, {CONSOLEIO_write, 16, 0}, 2},
    {"grant_table_op map", __HYPERVISOR_grant_table_op, {GNTTABOP_map_grant_ref, 0, 2}, 1},
    {"grant_table_op unmap", __HYPERVISOR_grant_table_op, {GNTTABOP_unmap_grant_ref, 0, 2}, 1},
    {"grant_table_op setup_table", __HYPERVISOR_grant_table_op, {GNTTABOP_setup_table, 0, 1}, 1},
    {"grant_table_op copy", __HYPERVISOR_grant_table_op, {GNTTABOP_copy, 0, 2}, 1},
    {"grant_table_op query_size", __HYPERVISOR_grant_table_op, {GNTTABOP_query_size, 0, 1}, 1},
    {"grant_table_op unmap_and_replace", __HYPERVISOR_grant_table_op, {GNTTABOP_unmap_and_replace, 0, 1}, 1},
    {"grant_table_op set_version", __HYPERVISOR_grant_table_op, {GNTTABOP_set_version, 0, 1}, 1},
    {"grant_table_op get_status_frames", __HYPERVISOR_grant_table_op, {GNTTABOP_get_status_frames, 0, 1}, 1},
    {"grant_table_op get_version", __HYPERVISOR_grant_table_op, {GNTTABOP_get_version, 0, 1}, 1},
    {"grant_table_op cache_flush", __HYPERVISOR_grant_table_op, {GNTTABOP_cache_flush, 0, 1}, 1},
    {"vcpu_op initialise", __HYPERVISOR_vcpu_op, {VCPUOP_initialise, 0, 0}, 2},
    {"vcpu_op get_runstate_info", __HYPERVISOR_vcpu_op, {VCPUOP_get_runstate_info, 0, 0}, 2},
    {"vcpu_op register_runstate", __HYPERVISOR_vcpu_op, {VCPUOP_register_runstate_memory_area, 0, 0}, 2},
    {"vcpu_op set_periodic_timer", __HYPERVISOR_vcpu_op, {VCPUOP_set_periodic_timer, 0, 0}, 2},
    {"vcpu_op set_singleshot_timer", __HYPERVISOR_vcpu_op, {VCPUOP_set_singleshot_timer, 0, 0}, 2},
    {"vcpu_op register_vcpu_info", __HYPERVISOR_vcpu_op, {VCPUOP_register_vcpu_info, 0, 0}, 2},
    {"sched_op poll", __HYPERVISOR_sched_op, {SCHEDOP_poll, 0}, 1},
    {"sched_op shutdown", __HYPERVISOR_sched_op, {SCHEDOP_shutdown, 0}, 1},
    {"sched_op remote_shutdown", __HYPERVISOR_sched_op, {SCHEDOP_remote_shutdown, 0}, 1},
    {"sched_op watchdog", __HYPERVISOR_sched_op, {SCHEDOP_watchdog, 0}, 1},
    {"event_channel_op alloc_unbound", __HYPERVISOR_event_channel_op, {EVTCHNOP_alloc_unbound, 0}, 1},
    {"event_channel_op bind_interdomain", __HYPERVISOR_event_channel_op, {EVTCHNOP_bind_interdomain, 0}, 1},
    {"event_channel_op bind_virq", __HYPERVISOR_event_channel_op, {EVTCHNOP_bind_virq, 0}, 1},
    {"event_channel_op bind_pirq", __HYPERVISOR_event_channel_op, {EVTCHNOP_bind_pirq, 0}, 1},
    {"event_channel_op bind_ipi", __HYPERVISOR_event_channel_op, {EVTCHNOP_bind_ipi, 0}, 1},
    {"event_channel_op close", __HYPERVISOR_event_channel_op, {EVTCHNOP_close, 0}, 1},
    {"event_channel_op send", __HYPERVISOR_event_channel_op, {EVTCHNOP_send, 0}, 1},
    {"event_channel_op status", __HYPERVISOR_event_channel_op, {EVTCHNOP_status, 0}, 1},
    {"event_channel_op bind_vcpu", __HYPERVISOR_event_channel_op, {EVTCHNOP_bind_vcpu, 0}, 1},
    {"event_channel_op unmask", __HYPERVISOR_event_channel_op, {EVTCHNOP_unmask, 0}, 1},
    {"event_channel_op reset", __HYPERVISOR_event_channel_op, {EVTCHNOP_reset, 0}, 1},
    {"event_channel_op init_control", __HYPERVISOR_event_channel_op, {EVTCHNOP_init_control, 0}, 1},
    {"event_channel_op expand_array", __HYPERVISOR_event_channel_op, {EVTCHNOP_expand_array, 0}, 1},
    {"event_channel_op set_priority", __HYPERVISOR_event_channel_op, {EVTCHNOP_set_priority, 0}, 1},
    {"physdev_op eoi", __HYPERVISOR_physdev_op, {PHYSDEVOP_eoi, 0}, 1},
    {"physdev_op irq_status_query", __HYPERVISOR_physdev_op, {PHYSDEVOP_irq_status_query, 0}, 1},
    {"physdev_op set_iopl", __HYPERVISOR_physdev_op, {PHYSDEVOP_set_iopl, 0}, 1},
    {"physdev_op set_iobitmap", __HYPERVISOR_physdev_op, {PHYSDEVOP_set_iobitmap, 0}, 1},
    {"physdev_op apic_read", __HYPERVISOR_physdev_op, {PHYSDEVOP_apic_read, 0}, 1},
    {"physdev_op apic_write", __HYPERVISOR_physdev_op, {PHYSDEVOP_apic_write, 0}, 1},
    {"physdev_op map_pirq", __HYPERVISOR_physdev_op, {PHYSDEVOP_map_pirq, 0}, 1},
    {"physdev_op unmap_pirq", __HYPERVISOR_physdev_op, {PHYSDEVOP_unmap_pirq, 0}, 1},
    {"physdev_op manage_pci_add", __HYPERVISOR_physdev_op, {PHYSDEVOP_manage_pci_add, 0}, 1},
    {"physdev_op setup_gsi", __HYPERVISOR_physdev_op, {PHYSDEVOP_setup_gsi, 0}, 1},
    {"physdev_op get_free_pirq", __HYPERVISOR_physdev_op, {PHYSDEVOP_get_free_pirq, 0}, 1},
    {"physdev_op pci_device_add", __HYPERVISOR_physdev_op, {PHYSDEVOP_pci_device_add, 0}, 1},
    {"sysctl", __HYPERVISOR_sysctl, {0}, 0},
    {"domctl", __HYPERVISOR_domctl, {0}, 0},
};

static long make(const struct call *call, uint64_t pointer)
{
    uint64_t arg[5];

    memcpy(arg, call->arg, sizeof(arg));
    arg[call->pointer] = pointer;
    return hypercall(call->number, arg[0], arg[1], arg[2], arg[3], arg[4]);
}

/* A runstate area is only written later, so its refusal may come later too; and reservations answer with the
 * number of extents done, which is none. */
static bool may_succeed(const struct call *call)
{
    if (call->number == __HYPERVISOR_memory_op)
        return call->arg[0] == XENMEM_increase_reservation || call->arg[0] == XENMEM_decrease_reservation ||
               call->arg[0] == XENMEM_populate_physmap;
    return call->number == __HYPERVISOR_vcpu_op && call->arg[0] == VCPUOP_register_runstate_memory_area;
}

void test_main(void)
{
    for (unsigned int i = 0; i < ARRAY_SIZE(calls); i++) {
        const char *wrong = NULL;
        long rc = 0;

        for (unsigned int b = 0; b < ARRAY_SIZE(bad) && !wrong; b++) {
            rc = make(&calls[i], bad[b].address);
            if (!(rc < 0 && rc > -4096) && !(rc == 0 && may_succeed(&calls[i])))
                wrong = bad[b].what;
        }
        PROPERTY(!wrong, calls[i].name, "a pointer %s gave %ld", wrong ? wrong : "", rc);
    }
    SURVIVED("and xen_version still answers");
}

/* The hypercall table. */
#include <bh/hypercall.h>
#include <bh/arch.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <public/bulkhead.h>
#include <public/mca.h>

const hypercall_fn hypercall_table[HYPERCALL_MAX] = {
    [__HYPERVISOR_set_trap_table] = do_set_trap_table,
    [__HYPERVISOR_mmu_update] = do_mmu_update,
    [__HYPERVISOR_set_gdt] = do_set_gdt,
    [__HYPERVISOR_stack_switch] = do_stack_switch,
    [__HYPERVISOR_set_callbacks] = do_set_callbacks,
    [__HYPERVISOR_fpu_taskswitch] = do_fpu_taskswitch,
    [__HYPERVISOR_sched_op_compat] = do_sched_op_compat,
    [__HYPERVISOR_platform_op] = do_platform_op,
    [__HYPERVISOR_set_debugreg] = do_set_debugreg,
    [__HYPERVISOR_get_debugreg] = do_get_debugreg,
    [__HYPERVISOR_update_descriptor] = do_update_descriptor,
    [__HYPERVISOR_memory_op] = do_memory_op,
    [__HYPERVISOR_multicall] = do_multicall,
    [__HYPERVISOR_update_va_mapping] = do_update_va_mapping,
    [__HYPERVISOR_set_timer_op] = do_set_timer_op,
    [__HYPERVISOR_xen_version] = do_xen_version,
    [__HYPERVISOR_console_io] = do_console_io,
    [__HYPERVISOR_grant_table_op] = do_grant_table_op,
    [__HYPERVISOR_vm_assist] = do_vm_assist,
    [__HYPERVISOR_update_va_mapping_otherdomain] = do_update_va_mapping_otherdomain,
    [__HYPERVISOR_iret] = do_iret,
    [__HYPERVISOR_vcpu_op] = do_vcpu_op,
    [__HYPERVISOR_set_segment_base] = do_set_segment_base,
    [__HYPERVISOR_mmuext_op] = do_mmuext_op,
    [__HYPERVISOR_nmi_op] = do_nmi_op,
    [__HYPERVISOR_sched_op] = do_sched_op,
    [__HYPERVISOR_callback_op] = do_callback_op,
    [__HYPERVISOR_event_channel_op] = do_event_channel_op,
    [__HYPERVISOR_physdev_op] = do_physdev_op,
    [__HYPERVISOR_sysctl] = do_sysctl,
    [__HYPERVISOR_domctl] = do_domctl,
    [__HYPERVISOR_mca] = do_mca,
    [__HYPERVISOR_bulkhead_op] = do_bulkhead_op,
    /* Numbers that the ABI leaves out, and operations that we do not have. */
    [11] = hypercall_unknown,
    [__HYPERVISOR_event_channel_op_compat] = hypercall_unknown,
    [__HYPERVISOR_physdev_op_compat] = hypercall_unknown,
    [__HYPERVISOR_xsm_op] = hypercall_unknown,
    [__HYPERVISOR_xenoprof_op] = hypercall_unknown,
    [__HYPERVISOR_hvm_op] = hypercall_unknown,
    [__HYPERVISOR_kexec_op... __HYPERVISOR_mca - 1] = hypercall_unknown,
    [__HYPERVISOR_mca + 1 ... __HYPERVISOR_arch_6] = hypercall_unknown,
    [__HYPERVISOR_bulkhead_op + 1 ... HYPERCALL_MAX - 1] = hypercall_unknown,
};

long hypercall_unknown(struct vcpu *v, unsigned long a1, unsigned long a2, unsigned long a3, unsigned long a4,
                       unsigned long a5)
{
    v->cause.unknown_number = true;
    return -ENOSYS;
}

long hypercall_restart(struct vcpu *v, unsigned long a1, unsigned long a2, unsigned long a3, unsigned long a4,
                       unsigned long a5)
{
    v->restart_args[0] = a1;
    v->restart_args[1] = a2;
    v->restart_args[2] = a3;
    v->restart_args[3] = a4;
    v->restart_args[4] = a5;
    return HYPERCALL_RESTART;
}

bool hypercall_preempt_check(void)
{
    return arch_irq_pending();
}

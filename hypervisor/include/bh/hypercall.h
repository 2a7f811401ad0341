/*
 * Hypercalls: the table and what handlers may do.
 *
 * arch code calls hypercall_table[nr](v, a1..a5) with the guest's five arguments, for nr < HYPERCALL_MAX;
 * empty rows hold hypercall_unknown (-ENOSYS). A handler that has to be preempted saves its progress in its
 * arguments and returns hypercall_restart(v, ...): arch code then makes the guest repeat the hypercall with
 * those arguments after pending work ran; inside a multicall the entry is rewritten instead.
 *
 * Operations with sub-operations are tables of struct subop: the dispatcher checks privilege, copies the
 * argument in, looks up the domain that it names and asks the policy, calls, and copies it out; handlers see
 * plain structs and are tested on the host.
 */
#ifndef BH_HYPERCALL_H
#define BH_HYPERCALL_H

#include <bh/policy.h>

#define HYPERCALL_MAX 64
/* Never seen by a guest: the hypercall is to be run again with v->restart_args. */
#define HYPERCALL_RESTART (-4000L)

typedef long (*hypercall_fn)(struct vcpu *v, unsigned long a1, unsigned long a2, unsigned long a3,
                             unsigned long a4, unsigned long a5);

extern const hypercall_fn hypercall_table[HYPERCALL_MAX];

long hypercall_unknown(struct vcpu *v, unsigned long a1, unsigned long a2, unsigned long a3, unsigned long a4,
                       unsigned long a5);
long hypercall_restart(struct vcpu *v, unsigned long a1, unsigned long a2, unsigned long a3, unsigned long a4,
                       unsigned long a5);
/* Whether work waits that the guest should not be kept from (interrupts, scheduling): time to restart. */
bool hypercall_preempt_check(void);

/* What the dispatcher copies. */
enum subop_copy { ARG_NONE = 0, ARG_IN = 1, ARG_OUT = 2, ARG_INOUT = 3 };

struct subop {
    /* `d` is the domain that the argument names, or v's own; `arg` the dispatcher's copy. */
    long (*handler)(struct vcpu *v, struct domain *d, void *arg);
    uint16_t size; /* of the argument struct; at most SUBOP_ARG_MAX */
    uint8_t copy;  /* enum subop_copy; OUT is copied when the handler returns >= 0 */
    bool privileged;
    uint8_t policy;    /* POLICY_*: what it does to the domain that the argument names; NONE: it names none */
    uint16_t domid_at; /* where in the argument the name stands */
};
#define SUBOP(fn, type, dir, ...)                                                                            \
    {                                                                                                        \
        .handler = fn, .size = sizeof(struct type), .copy = dir, ##__VA_ARGS__                               \
    }
#define SUBOP_ON(member, op, fn, type, dir, ...)                                                             \
    SUBOP(fn, type, dir, .policy = op, .domid_at = offsetof(struct type, member), ##__VA_ARGS__)

#define SUBOP_ARG_MAX 512

/* Runs row `op` of a table of `rows`; an empty or missing row is -ENOSYS. */
long subop_dispatch(struct vcpu *v, const struct subop *table, size_t rows, unsigned long op,
                    uint64_t untrusted_arg);

/*
 * Control of the machine: an operation's argument is one struct that begins with a command and an interface version,
 * COMMAND_HEAD bytes in all; the command's own argument follows. Checks who asks and the version, and gives the
 * command, a row of a table that subop_dispatch() takes. 0, -EPERM, -EFAULT, -EACCES.
 */
#define COMMAND_HEAD 8
long must_check command_of(struct vcpu *v, uint64_t untrusted_op, uint32_t version, uint32_t *cmd);

#define DECLARE_HYPERCALL(name)                                                                              \
    long name(struct vcpu *v, unsigned long a1, unsigned long a2, unsigned long a3, unsigned long a4,        \
              unsigned long a5)

/* arch/x86/pv (pv) */
DECLARE_HYPERCALL(do_set_trap_table);
DECLARE_HYPERCALL(do_mmu_update);
DECLARE_HYPERCALL(do_set_gdt);
DECLARE_HYPERCALL(do_stack_switch);
DECLARE_HYPERCALL(do_set_callbacks);
DECLARE_HYPERCALL(do_fpu_taskswitch);
DECLARE_HYPERCALL(do_set_debugreg);
DECLARE_HYPERCALL(do_get_debugreg);
DECLARE_HYPERCALL(do_update_descriptor);
DECLARE_HYPERCALL(do_update_va_mapping);
DECLARE_HYPERCALL(do_update_va_mapping_otherdomain);
DECLARE_HYPERCALL(do_iret);
DECLARE_HYPERCALL(do_set_segment_base);
DECLARE_HYPERCALL(do_mmuext_op);
DECLARE_HYPERCALL(do_nmi_op);
DECLARE_HYPERCALL(do_callback_op);
DECLARE_HYPERCALL(do_platform_op);
DECLARE_HYPERCALL(do_mca);
/* common */
DECLARE_HYPERCALL(do_memory_op);
DECLARE_HYPERCALL(do_multicall);
DECLARE_HYPERCALL(do_set_timer_op);
DECLARE_HYPERCALL(do_xen_version);
DECLARE_HYPERCALL(do_console_io);
DECLARE_HYPERCALL(do_grant_table_op);
DECLARE_HYPERCALL(do_vm_assist);
DECLARE_HYPERCALL(do_vcpu_op);
DECLARE_HYPERCALL(do_sched_op);
DECLARE_HYPERCALL(do_sched_op_compat);
DECLARE_HYPERCALL(do_event_channel_op);
DECLARE_HYPERCALL(do_physdev_op);
DECLARE_HYPERCALL(do_sysctl);
DECLARE_HYPERCALL(do_domctl);
DECLARE_HYPERCALL(do_bulkhead_op);

#endif

/*
 * Where the hypervisor enters a PV guest's kernel: trap table (its entry 2 is the NMI callback), event, failsafe and
 * system call callbacks. All state is the calling vcpu's own and needs no lock. Addresses are checked when they are set:
 * canonical and outside the hypervisor's range, so that entering them can only fault in the guest.
 */
#include <asm/cpufeature.h>
#include <asm/pv.h>
#include <asm/trap.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/guest.h>
#include <bh/hypercall.h>
#include <public/callback.h>
#include <public/nmi.h>

static long bad_entry(struct vcpu *v, uint64_t address)
{
    return fail(v, -EINVAL, "callback address {0} is not canonical or lies in the hypervisor's range",
                address, 0);
}

DECLARE_HYPERCALL(do_set_trap_table)
{
    struct trap_info *table = v->arch.pv.trap;
    uint64_t at = a1;

    if (!at) {
        for (unsigned int i = 0; i < 256; i++)
            table[i] = (struct trap_info){0};
        return 0;
    }
    for (unsigned int i = 0; i < 257; i++, at += sizeof(struct trap_info)) {
        struct trap_info untrusted_trap;
        if (copy_from_guest(v, &untrusted_trap, at, sizeof(untrusted_trap)))
            return fail(v, -EFAULT, "trap table: entry {0} at {1} is not readable", i, at);
        if (!untrusted_trap.address)
            return 0;
        if (!is_guest_address(untrusted_trap.address))
            return bad_entry(v, untrusted_trap.address);
        untrusted_trap.cs |= 3;
        table[untrusted_trap.vector] = untrusted_trap;
    }
    return fail(v, -EINVAL, "trap table: no end after {0} entries", 257, 0);
}

/* The short form masks events. */
void pv_choose_entry(struct vcpu *v)
{
    v->arch.pv.entry_short = v->arch.pv.syscall_mask_events;
}

static long set_callback(struct vcpu *v, uint16_t type, bool mask_events, uint64_t address)
{
    struct pv_vcpu *pv = &v->arch.pv;

    if (!is_guest_address(address))
        return bad_entry(v, address);
    switch (type) {
    case CALLBACKTYPE_event:
        pv->event_callback = address;
        return 0;
    case CALLBACKTYPE_failsafe:
        pv->failsafe_callback = address;
        pv->failsafe_mask_events = mask_events;
        return 0;
    case CALLBACKTYPE_syscall:
        pv->syscall_callback = address;
        pv->syscall_mask_events = mask_events;
        pv_choose_entry(v);
        return 0;
    case CALLBACKTYPE_syscall32:
        pv->syscall32_callback = address;
        pv->syscall32_mask_events = mask_events;
        return 0;
    case CALLBACKTYPE_nmi:
        pv->trap[TRAP_NMI] =
            (struct trap_info){.flags = PV_TRAP_INTERRUPT, .cs = FLAT_KERNEL_CS, .address = address};
        return 0;
    default:
        return fail(v, -ENOSYS, "callback_op: type {0} is not offered", type, 0);
    }
}

DECLARE_HYPERCALL(do_callback_op)
{
    struct callback_register untrusted_register;
    struct callback_unregister untrusted_unregister;

    switch ((uint32_t)a1) {
    case CALLBACKOP_register:
        if (copy_from_guest(v, &untrusted_register, a2, sizeof(untrusted_register)))
            return fail(v, -EFAULT, "callback_op: argument at {0} is not readable", a2, 0);
        return set_callback(v, untrusted_register.type, untrusted_register.flags & CALLBACKF_mask_events,
                            untrusted_register.address);
    case CALLBACKOP_unregister:
        if (copy_from_guest(v, &untrusted_unregister, a2, sizeof(untrusted_unregister)))
            return fail(v, -EFAULT, "callback_op: argument at {0} is not readable", a2, 0);
        if (untrusted_unregister.type == CALLBACKTYPE_nmi)
            v->arch.pv.trap[TRAP_NMI] = (struct trap_info){0};
        else if (untrusted_unregister.type == CALLBACKTYPE_syscall32)
            v->arch.pv.syscall32_callback = 0;
        else
            return fail(v, -EINVAL, "callback_op: type {0} cannot be unregistered", untrusted_unregister.type,
                        0);
        return 0;
    default:
        return fail(v, -ENOSYS, "callback_op: no operation {0}", a1, 0);
    }
}

DECLARE_HYPERCALL(do_set_callbacks)
{
    long rc = set_callback(v, CALLBACKTYPE_event, false, a1);

    if (!rc)
        rc = set_callback(v, CALLBACKTYPE_failsafe, true, a2);
    return rc ? rc : set_callback(v, CALLBACKTYPE_syscall, false, a3);
}

DECLARE_HYPERCALL(do_nmi_op)
{
    struct xennmi_callback untrusted_callback;

    switch ((uint32_t)a1) {
    case XENNMI_register_callback:
        if (copy_from_guest(v, &untrusted_callback, a2, sizeof(untrusted_callback)))
            return fail(v, -EFAULT, "nmi_op: argument at {0} is not readable", a2, 0);
        return set_callback(v, CALLBACKTYPE_nmi, true, untrusted_callback.handler_address);
    case XENNMI_unregister_callback:
        v->arch.pv.trap[TRAP_NMI] = (struct trap_info){0};
        return 0;
    default:
        return fail(v, -ENOSYS, "nmi_op: no operation {0}", a1, 0);
    }
}

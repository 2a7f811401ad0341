/* The dispatcher of sub-operations (bh/hypercall.h). */
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/guest.h>
#include <bh/hypercall.h>
#include <bh/string.h>

static long call(struct vcpu *v, const struct subop *row, void *arg)
{
    struct domain *d = v->domain;
    domid_t id;
    long ret;

    if (row->policy == POLICY_NONE)
        return row->handler(v, d, arg);
    memcpy(&id, (char *)arg + row->domid_at, sizeof(id));
    ret = domain_get_for(v, id, row->policy, &d);
    if (ret)
        return ret;
    ret = row->handler(v, d, arg);
    domain_put(d);
    return ret;
}

long subop_dispatch(struct vcpu *v, const struct subop *table, size_t rows, unsigned long op,
                    uint64_t untrusted_arg)
{
    uint64_t arg[SUBOP_ARG_MAX / sizeof(uint64_t)];
    const struct subop *row = &table[op];
    long ret;

    if (unlikely(op >= rows || !row->handler))
        return fail(v, -ENOSYS, "hypercall: no sub-operation {0}, the table ends at {1}", op, rows);
    if (unlikely(row->privileged) && !policy_allows(v->domain, POLICY_MACHINE, NULL))
        return fail(v, -EPERM, "hypercall: sub-operation {0} is the control domain's, caller is d{1}", op,
                    v->domain->id);
    if (row->copy & ARG_IN) {
        if (unlikely(copy_from_guest(v, arg, untrusted_arg, row->size)))
            return fail(v, -EFAULT, "hypercall: argument at {0} cannot be read, {1} bytes", untrusted_arg,
                        row->size);
    } else {
        for (size_t i = 0; i < DIV_ROUND_UP(row->size, sizeof(uint64_t)); i++)
            arg[i] = 0;
    }
    ret = call(v, row, arg);
    if (row->copy & ARG_OUT && ret >= 0 && unlikely(copy_to_guest(v, untrusted_arg, arg, row->size)))
        return fail(v, -EFAULT, "hypercall: argument at {0} cannot be written, {1} bytes", untrusted_arg,
                    row->size);
    return ret;
}

long command_of(struct vcpu *v, uint64_t untrusted_op, uint32_t version, uint32_t *cmd)
{
    uint32_t head[COMMAND_HEAD / sizeof(uint32_t)]; /* command, interface version */

    if (!policy_allows(v->domain, POLICY_MACHINE, NULL))
        return fail(v, -EPERM, "hypercall: domain {0} does not control the machine", v->domain->id, 0);
    if (copy_from_guest(v, head, untrusted_op, sizeof(head)))
        return fail(v, -EFAULT, "hypercall: command at {0} cannot be read", untrusted_op, 0);
    if (head[1] != version)
        return fail(v, -EACCES, "hypercall: interface version {0} is not ours, {1}", head[1], version);
    *cmd = head[0];
    return 0;
}

/* Bulkhead's own hypercall (public/bulkhead.h). */
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/hypercall.h>
#include <bh/string.h>
#include <public/bulkhead.h>

/* A record of an unknown number belongs to every number that is unknown. */
static bool matches(const struct cause *c, uint32_t number)
{
    if (number == BULKHEAD_CAUSE_ANY || number == c->hypercall)
        return true;
    return c->hypercall == BULKHEAD_CAUSE_ANY &&
           (number >= HYPERCALL_MAX || hypercall_table[number] == hypercall_unknown);
}

/* The newest record of d's vcpus that the caller has not seen and that its filter lets through. */
static struct vcpu *newest_cause(struct domain *d, const struct bulkhead_cause *ask)
{
    struct vcpu *v, *newest = NULL;

    for_each_vcpu (d, v) {
        cause_settle(&v->cause);
        if (v->cause.sequence <= ask->after || !matches(&v->cause, ask->hypercall))
            continue;
        if (!newest || v->cause.sequence > newest->cause.sequence)
            newest = v;
    }
    return newest;
}

static long get_cause(struct vcpu *v, struct domain *d, void *arg)
{
    struct bulkhead_cause *out = arg;
    struct vcpu *found = newest_cause(d, out);

    if (found) {
        struct cause c = found->cause;

        out->hypercall = c.hypercall;
        out->subop = c.subop;
        out->error = c.error;
        out->vcpu = found->id;
        out->pad = 0;
        out->pad2 = 0;
        out->sequence = c.sequence;
        out->time_ns = c.time_ns;
        memset(out->text, 0, sizeof(out->text));
        cause_format(&c, out->text, sizeof(out->text));
    }
    return found ? 0 : -ENODATA; /* no cause for this: it would hide the records asked for */
}

static const struct subop ops[] = {
    [BULKHEAD_get_cause] = SUBOP_ON(domid, POLICY_INSPECT, get_cause, bulkhead_cause, ARG_INOUT),
};

long do_bulkhead_op(struct vcpu *v, unsigned long op, unsigned long untrusted_arg, unsigned long a3,
                    unsigned long a4, unsigned long a5)
{
    return subop_dispatch(v, ops, ARRAY_SIZE(ops), op, untrusted_arg);
}

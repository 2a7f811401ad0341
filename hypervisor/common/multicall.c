/*
 * Multicall: a list of hypercalls in guest memory, each with room for its result.
 *
 * Entries are read a few at a time, each exactly once. An entry's result is written before the next entry
 * runs. When the hypercall must give way it restarts with the entries that are left; an entry that itself was
 * preempted gets the arguments to continue with written into its place.
 */
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/guest.h>
#include <bh/hypercall.h>

#define BATCH 8

/* An operation that makes no sense inside a list: the frame that iret replaces belongs to the multicall. */
static bool allowed_inside(unsigned long op)
{
    return op < HYPERCALL_MAX && op != __HYPERVISOR_multicall && op != __HYPERVISOR_iret;
}

static long run_entry(struct vcpu *v, const struct multicall_entry *e)
{
    if (unlikely(!allowed_inside(e->op)))
        return fail(v, e->op < HYPERCALL_MAX ? -EINVAL : -ENOSYS,
                    "multicall: hypercall {0} cannot be an entry", e->op, 0);
    return hypercall_table[e->op](v, e->args[0], e->args[1], e->args[2], e->args[3], e->args[4]);
}

/* Writes the arguments to continue with into the entry at `untrusted_entry`, and restarts from there. */
static long restart_inside(struct vcpu *v, struct multicall_entry *e, uint64_t untrusted_entry, uint32_t left)
{
    for (int i = 0; i < 5; i++)
        e->args[i] = v->restart_args[i];
    if (copy_to_guest(v, untrusted_entry, e, sizeof(*e)))
        return fail(v, -EFAULT, "multicall: entry at {0} cannot be written", untrusted_entry, 0);
    return hypercall_restart(v, untrusted_entry, left, 0, 0, 0);
}

long do_multicall(struct vcpu *v, unsigned long untrusted_entry, unsigned long count, unsigned long a3,
                  unsigned long a4, unsigned long a5)
{
    struct multicall_entry batch[BATCH];
    uint32_t left = (uint32_t)count;
    bool first = true;

    while (left) {
        uint32_t n = MIN(left, BATCH);
        size_t missing = copy_from_guest(v, batch, untrusted_entry, n * sizeof(batch[0]));

        /* A list may run into nothing: what came before is done. */
        n -= (uint32_t)DIV_ROUND_UP(missing, sizeof(batch[0]));
        if (unlikely(!n))
            return fail(v, -EFAULT, "multicall: entries at {0} cannot be read, {1} are left", untrusted_entry,
                        left);
        for (uint32_t i = 0; i < n; i++, left--, untrusted_entry += sizeof(batch[0])) {
            long result;

            if (!first && unlikely(hypercall_preempt_check()))
                return hypercall_restart(v, untrusted_entry, left, 0, 0, 0);
            first = false;
            result = run_entry(v, &batch[i]);
            if (unlikely(result == HYPERCALL_RESTART))
                return restart_inside(v, &batch[i], untrusted_entry, left);
            if (unlikely(copy_to_guest(v, untrusted_entry + offsetof(struct multicall_entry, result), &result,
                                       sizeof(result))))
                return fail(v, -EFAULT, "multicall: result of the entry at {0} cannot be written",
                            untrusted_entry, 0);
        }
    }
    return 0;
}

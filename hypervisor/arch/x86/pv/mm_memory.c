/*
 * Memory operations whose answer is the machine's: memory maps, the machine-to-physical table, and what only
 * guests with translated memory can ask for (refused: a PV guest's frame numbers are the machine's own).
 */
#include <asm/boot_info.h>
#include <asm/layout.h>
#include <asm/mm.h>
#include <bh/arch.h>
#include <bh/cause.h>
#include <bh/domain.h>
#include <bh/guest.h>
#include <bh/page_alloc.h>
#include <bh/policy.h>
#include <public/memory.h>

#define MEMORY_MAP_MAX  128
#define M2P_PIECE_SHIFT 21 /* the ABI tells the table's frames in pieces of 2 MiB */

static long machphys_mapping(struct vcpu *v, uint64_t untrusted_arg)
{
    const struct xen_machphys_mapping mapping = {
        .v_start = M2P_START,
        .v_end = M2P_START + ROUND_UP(max_page * sizeof(uint64_t), 1UL << M2P_PIECE_SHIFT),
        .max_mfn = max_page - 1,
    };

    if (copy_to_guest(v, untrusted_arg, &mapping, sizeof(mapping)))
        return fail(v, -EFAULT, "machphys_mapping: cannot write to {0}", untrusted_arg, 0);
    return 0;
}

/* The frame where the table's page for `va` begins, from the hypervisor's own tables; 0: a hole. */
static uint64_t m2p_frame(uint64_t va)
{
    const uint64_t *table = hv_l4;

    for (unsigned int level = 4;; level--) {
        uint64_t entry = table[PT_INDEX(va, level)];

        if (!(entry & PTE_PRESENT))
            return 0;
        if (level == 1 || (level < 4 && (entry & PTE_LARGE)))
            return pte_mfn(entry).n + (va & ((1UL << (PAGE_SHIFT + 9 * (level - 1))) - 1)) / PAGE_SIZE;
        table = map_frame(pte_mfn(entry));
    }
}

static long machphys_mfn_list(struct vcpu *v, uint64_t untrusted_arg)
{
    struct xen_machphys_mfn_list list;
    uint64_t pieces = DIV_ROUND_UP(max_page * sizeof(uint64_t), 1UL << M2P_PIECE_SHIFT);

    if (!policy_allows(v->domain, POLICY_MACHINE, NULL))
        return fail(v, -EPERM, "machphys_mfn_list: domain {0} may not (policy)", v->domain->id, 0);
    if (copy_from_guest(v, &list, untrusted_arg, sizeof(list)))
        return fail(v, -EFAULT, "machphys_mfn_list: cannot read the argument at {0}", untrusted_arg, 0);
    for (list.nr_extents = 0; list.nr_extents < MIN(pieces, list.max_extents); list.nr_extents++) {
        uint64_t mfn = m2p_frame(M2P_START + ((uint64_t)list.nr_extents << M2P_PIECE_SHIFT));

        if (copy_to_guest(v, list.extent_start + list.nr_extents * sizeof(mfn), &mfn, sizeof(mfn)))
            return fail(v, -EFAULT, "machphys_mfn_list: cannot write entry {0} of {1}", list.nr_extents,
                        pieces);
    }
    if (copy_to_guest(v, untrusted_arg, &list, sizeof(list)))
        return fail(v, -EFAULT, "machphys_mfn_list: cannot write the argument at {0}", untrusted_arg, 0);
    return 0;
}

static long memory_map(struct vcpu *v, uint64_t untrusted_arg)
{
    struct domain *d = v->domain;
    struct xen_memory_map map;
    long rc = 0;

    if (copy_from_guest(v, &map, untrusted_arg, sizeof(map)))
        return fail(v, -EFAULT, "memory_map: cannot read the argument at {0}", untrusted_arg, 0);
    spin_lock(&d->lock);
    if (!d->arch.nr_memory_map)
        rc = fail(v, -ENOSYS, "memory_map: domain {0} was given none", d->id, 0);
    map.nr_entries = MIN(map.nr_entries, d->arch.nr_memory_map);
    if (!rc &&
        copy_to_guest(v, map.buffer, d->arch.memory_map, map.nr_entries * sizeof(struct xen_e820entry)))
        rc = fail(v, -EFAULT, "memory_map: cannot write {0} entries to {1}", map.nr_entries, map.buffer);
    spin_unlock(&d->lock);
    if (!rc && copy_to_guest(v, untrusted_arg, &map, sizeof(map)))
        rc = fail(v, -EFAULT, "memory_map: cannot write the argument at {0}", untrusted_arg, 0);
    return rc;
}

static long machine_memory_map(struct vcpu *v, uint64_t untrusted_arg)
{
    struct xen_memory_map map;
    uint32_t n;

    if (!policy_allows(v->domain, POLICY_MACHINE, NULL))
        return fail(v, -EPERM, "machine_memory_map: domain {0} may not (policy)", v->domain->id, 0);
    if (copy_from_guest(v, &map, untrusted_arg, sizeof(map)))
        return fail(v, -EFAULT, "machine_memory_map: cannot read the argument at {0}", untrusted_arg, 0);
    n = MIN(map.nr_entries, boot_info.e820.count);
    for (uint32_t i = 0; i < n; i++) {
        const struct e820_entry *e = &boot_info.e820.entry[i];
        const struct xen_e820entry entry = {.addr = e->start, .size = e->size, .type = e->type};

        if (copy_to_guest(v, map.buffer + i * sizeof(entry), &entry, sizeof(entry)))
            return fail(v, -EFAULT, "machine_memory_map: cannot write entry {0} to {1}", i, map.buffer);
    }
    map.nr_entries = n;
    if (copy_to_guest(v, untrusted_arg, &map, sizeof(map)))
        return fail(v, -EFAULT, "machine_memory_map: cannot write the argument at {0}", untrusted_arg, 0);
    return 0;
}

static long set_memory_map(struct vcpu *v, uint64_t untrusted_arg)
{
    struct xen_foreign_memory_map arg;
    struct xen_e820entry *entries, *former;
    struct domain *d;
    size_t bytes;
    int rc;

    if (copy_from_guest(v, &arg, untrusted_arg, sizeof(arg)))
        return fail(v, -EFAULT, "set_memory_map: cannot read the argument at {0}", untrusted_arg, 0);
    if (!arg.map.nr_entries || arg.map.nr_entries > MEMORY_MAP_MAX)
        return fail(v, -EINVAL, "set_memory_map: {0} entries, 1 to {1} are possible", arg.map.nr_entries,
                    MEMORY_MAP_MAX);
    bytes = arg.map.nr_entries * sizeof(*entries);
    rc = domain_get_for(v, arg.domid, POLICY_CONTROL, &d);
    if (rc)
        return rc;
    entries = kalloc(bytes);
    if (!entries) {
        rc = fail(v, -ENOMEM, "set_memory_map: no memory for {0} entries", arg.map.nr_entries, 0);
    } else if (copy_from_guest(v, entries, arg.map.buffer, bytes)) {
        kfree(entries);
        rc = fail(v, -EFAULT, "set_memory_map: cannot read {0} entries at {1}", arg.map.nr_entries,
                  arg.map.buffer);
    } else {
        spin_lock(&d->lock);
        former = d->arch.memory_map;
        d->arch.memory_map = entries;
        d->arch.nr_memory_map = arg.map.nr_entries;
        spin_unlock(&d->lock);
        kfree(former);
    }
    domain_put(d);
    return rc;
}

/* PV guests have no frame numbers of their own that the hypervisor could map anything to. */
static long refuse_translated(struct vcpu *v, unsigned int op)
{
    return fail(v, -EACCES, "memory_op {0}: domain {1} is not of a kind with translated memory", op,
                v->domain->id);
}

long arch_memory_op(struct vcpu *v, unsigned int op, uint64_t untrusted_arg)
{
    switch (op) {
    case XENMEM_machphys_mfn_list:
        return machphys_mfn_list(v, untrusted_arg);
    case XENMEM_machphys_mapping:
        return machphys_mapping(v, untrusted_arg);
    case XENMEM_memory_map:
        return memory_map(v, untrusted_arg);
    case XENMEM_machine_memory_map:
        return machine_memory_map(v, untrusted_arg);
    case XENMEM_set_memory_map:
        return set_memory_map(v, untrusted_arg);
    case XENMEM_add_to_physmap:
    case XENMEM_add_to_physmap_batch:
    case XENMEM_remove_from_physmap:
        return refuse_translated(v, op);
    default:
        return fail(v, -ENOSYS, "memory_op: operation {0} is unknown or not offered", op, 0);
    }
}

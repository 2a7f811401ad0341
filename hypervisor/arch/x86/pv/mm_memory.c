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
#include <bh/hypercall.h>
#include <bh/page_alloc.h>
#include <public/memory.h>

#define MEMORY_MAP_MAX  128
#define M2P_PIECE_SHIFT 21 /* the ABI tells the table's frames in pieces of 2 MiB */

static long op_machphys_mapping(struct vcpu *v, struct domain *d, void *arg)
{
    *(struct xen_machphys_mapping *)arg = (struct xen_machphys_mapping){
        .v_start = M2P_START,
        .v_end = M2P_START + ROUND_UP(max_page * sizeof(uint64_t), 1UL << M2P_PIECE_SHIFT),
        .max_mfn = max_page - 1,
    };
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

static long op_machphys_mfn_list(struct vcpu *v, struct domain *d, void *arg)
{
    struct xen_machphys_mfn_list *list = arg;
    uint64_t pieces = DIV_ROUND_UP(max_page * sizeof(uint64_t), 1UL << M2P_PIECE_SHIFT);

    for (list->nr_extents = 0; list->nr_extents < MIN(pieces, list->max_extents); list->nr_extents++) {
        uint64_t mfn = m2p_frame(M2P_START + ((uint64_t)list->nr_extents << M2P_PIECE_SHIFT));

        if (copy_to_guest(v, list->extent_start + list->nr_extents * sizeof(mfn), &mfn, sizeof(mfn)))
            return fail(v, -EFAULT, "machphys_mfn_list: cannot write entry {0} of {1}", list->nr_extents,
                        pieces);
    }
    return 0;
}

static long op_memory_map(struct vcpu *v, struct domain *d, void *arg)
{
    struct xen_memory_map *map = arg;
    long rc = 0;

    spin_lock(&d->lock);
    map->nr_entries = MIN(map->nr_entries, d->arch.nr_memory_map);
    if (!d->arch.nr_memory_map)
        rc = fail(v, -ENOSYS, "memory_map: domain {0} was given none", d->id, 0);
    else if (copy_to_guest(v, map->buffer, d->arch.memory_map,
                           map->nr_entries * sizeof(struct xen_e820entry)))
        rc = fail(v, -EFAULT, "memory_map: cannot write {0} entries to {1}", map->nr_entries, map->buffer);
    spin_unlock(&d->lock);
    return rc;
}

static long op_machine_memory_map(struct vcpu *v, struct domain *d, void *arg)
{
    struct xen_memory_map *map = arg;

    map->nr_entries = MIN(map->nr_entries, boot_info.e820.count);
    if (copy_to_guest(v, map->buffer, boot_info.e820.entry, map->nr_entries * sizeof(struct xen_e820entry)))
        return fail(v, -EFAULT, "machine_memory_map: cannot write {0} entries to {1}", map->nr_entries,
                    map->buffer);
    return 0;
}

static long op_set_memory_map(struct vcpu *v, struct domain *d, void *arg)
{
    const struct xen_memory_map *map = &((const struct xen_foreign_memory_map *)arg)->map;
    struct xen_e820entry *entries, *former;
    size_t bytes = map->nr_entries * sizeof(*entries);

    if (!map->nr_entries || map->nr_entries > MEMORY_MAP_MAX)
        return fail(v, -EINVAL, "set_memory_map: {0} entries, 1 to {1} are possible", map->nr_entries,
                    MEMORY_MAP_MAX);
    entries = kalloc(bytes);
    if (!entries)
        return fail(v, -ENOMEM, "set_memory_map: no memory for {0} entries", map->nr_entries, 0);
    if (copy_from_guest(v, entries, map->buffer, bytes)) {
        kfree(entries);
        return fail(v, -EFAULT, "set_memory_map: cannot read {0} entries at {1}", map->nr_entries,
                    map->buffer);
    }
    spin_lock(&d->lock);
    former = d->arch.memory_map;
    d->arch.memory_map = entries;
    d->arch.nr_memory_map = map->nr_entries;
    spin_unlock(&d->lock);
    kfree(former);
    return 0;
}

static const struct subop ops[] = {
    [XENMEM_machphys_mfn_list] =
        SUBOP(op_machphys_mfn_list, xen_machphys_mfn_list, ARG_INOUT, .privileged = true),
    [XENMEM_memory_map] = SUBOP(op_memory_map, xen_memory_map, ARG_INOUT),
    [XENMEM_machine_memory_map] = SUBOP(op_machine_memory_map, xen_memory_map, ARG_INOUT, .privileged = true),
    [XENMEM_machphys_mapping] = SUBOP(op_machphys_mapping, xen_machphys_mapping, ARG_OUT),
    [XENMEM_set_memory_map] =
        SUBOP_ON(domid, POLICY_CONTROL, op_set_memory_map, xen_foreign_memory_map, ARG_IN),
};

long arch_memory_op(struct vcpu *v, unsigned int op, uint64_t untrusted_arg)
{
    /* PV guests have no frame numbers of their own that the hypervisor could map anything to. */
    if (op == XENMEM_add_to_physmap || op == XENMEM_add_to_physmap_batch || op == XENMEM_remove_from_physmap)
        return fail(v, -EACCES, "memory_op {0}: domain {1} is not of a kind with translated memory", op,
                    v->domain->id);
    return subop_dispatch(v, ops, ARRAY_SIZE(ops), op, untrusted_arg);
}

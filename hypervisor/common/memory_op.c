/*
 * memory_op: how much memory a domain has, and of which frames.
 *
 * Reservation changes work on lists of extents in the caller's memory, each of 2^order frames. The number of
 * extents done stands in the upper bits of the command while the hypercall restarts, and is the result. An
 * extent is done whole or not at all, but for decrease_reservation, which stops at the first frame that it
 * cannot take.
 *
 * A page given back is free when nobody refers to it any more: the domain only loses its own reference here.
 * An exchange first checks that nothing but the domain itself holds the pages that go.
 */
#include <bh/arch.h>
#include <bh/cause.h>
#include <bh/domain.h>
#include <bh/grant.h>
#include <bh/guest.h>
#include <bh/hypercall.h>
#include <bh/page_alloc.h>
#include <bh/policy.h>
#include <bh/string.h>
#include <public/memory.h>

/* Largest extents: of the control domain, of others. */
#define ORDER_MAX_CONTROL 12
#define ORDER_MAX_DOMAIN  9

struct reservation {
    struct domain *d;
    struct xen_memory_reservation arg;
    uint64_t done;
    unsigned int alloc_flags;
};

/* Where the frames may lie: below 4 GiB if the caller's limit cuts off any memory of the machine. */
static unsigned int alloc_flags(uint32_t mem_flags)
{
    unsigned int bits = XENMEMF_get_address_bits(mem_flags);

    if (!bits || bits >= 64 || (max_page - 1) >> (MAX(bits, PAGE_SHIFT) - PAGE_SHIFT) == 0)
        return 0;
    return ALLOC_DMA32;
}

static bool read_frame(struct vcpu *v, const struct reservation *r, uint64_t i, uint64_t *frame)
{
    return !copy_from_guest(v, frame, r->arg.extent_start + i * sizeof(*frame), sizeof(*frame));
}

static bool write_frame(struct vcpu *v, const struct reservation *r, uint64_t i, uint64_t frame)
{
    return !copy_to_guest(v, r->arg.extent_start + i * sizeof(frame), &frame, sizeof(frame));
}

/* 0; the cause why extent r->done cannot be had is noted. */
static int add_extent(struct vcpu *v, struct reservation *r, bool populate)
{
    uint64_t pfn = INVALID_FRAME, mfn;
    struct page_info *pg;

    if (populate && !read_frame(v, r, r->done, &pfn))
        return fail(v, -EFAULT, "populate_physmap: cannot read extent {0} at {1}", r->done,
                    r->arg.extent_start);
    pg = page_alloc_domain(r->d, r->arg.extent_order, r->alloc_flags);
    if (!pg)
        return fail(v, -ENOMEM,
                    "memory reservation: no block of order {0} for domain {1} (free memory, or its limit)",
                    r->arg.extent_order, r->d->id);
    mfn = page_to_mfn(pg).n;
    if (populate)
        for (uint64_t i = 0; i < 1UL << r->arg.extent_order; i++)
            arch_set_m2p(MFN(mfn + i), pfn + i);
    if ((populate || r->arg.extent_start) && !write_frame(v, r, r->done, mfn))
        return fail(v, -EFAULT, "memory reservation: cannot write extent {0} at {1}", r->done,
                    r->arg.extent_start);
    return 0;
}

static int remove_extent(struct vcpu *v, struct reservation *r)
{
    uint64_t mfn;

    if (!read_frame(v, r, r->done, &mfn))
        return fail(v, -EFAULT, "decrease_reservation: cannot read extent {0} at {1}", r->done,
                    r->arg.extent_start);
    for (uint64_t i = 0; i < 1UL << r->arg.extent_order; i++) {
        struct page_info *pg = get_page_from_mfn(MFN(mfn + i), r->d);

        if (!pg)
            return fail(v, -EINVAL, "decrease_reservation: frame {0} is not domain {1}'s", mfn + i, r->d->id);
        bool had = page_drop_allocated(pg);
        put_page(pg);
        if (!had)
            return fail(v, -EINVAL, "decrease_reservation: frame {0} of domain {1} was given back before",
                        mfn + i, r->d->id);
    }
    return 0;
}

static int check_reservation(struct vcpu *v, const struct xen_memory_reservation *arg, uint64_t start)
{
    unsigned int limit = v->domain->privileged ? ORDER_MAX_CONTROL : ORDER_MAX_DOMAIN;

    if (arg->nr_extents > UINT64_MAX >> MEMOP_EXTENT_SHIFT || start >= arg->nr_extents)
        return fail(v, -EINVAL, "memory reservation: {0} extents, {1} done", arg->nr_extents, start);
    if (arg->extent_order > limit)
        return fail(v, -EPERM, "memory reservation: order {0}, at most {1}", arg->extent_order, limit);
    if (arg->mem_flags & XENMEMF_populate_on_demand)
        return fail(v, -EOPNOTSUPP, "memory reservation: populate on demand is not offered (flags {0})",
                    arg->mem_flags, 0);
    return 0;
}

static long change_reservation(struct vcpu *v, unsigned int op, uint64_t start, uint64_t untrusted_arg)
{
    struct reservation r = {.done = start};
    int rc;

    if (copy_from_guest(v, &r.arg, untrusted_arg, sizeof(r.arg)))
        return fail(v, -EFAULT, "memory reservation: cannot read the argument at {0}", untrusted_arg, 0);
    /* Refused as a whole: the number done does not change. */
    if (check_reservation(v, &r.arg, start) || domain_get_for(v, r.arg.domid, POLICY_CONTROL, &r.d))
        return (long)start;
    r.alloc_flags = alloc_flags(r.arg.mem_flags);
    for (rc = 0; !rc && r.done < r.arg.nr_extents;) {
        if (r.done != start && hypercall_preempt_check()) {
            domain_put(r.d);
            return hypercall_restart(v, op | r.done << MEMOP_EXTENT_SHIFT, untrusted_arg, 0, 0, 0);
        }
        rc = op == XENMEM_decrease_reservation ? remove_extent(v, &r)
                                               : add_extent(v, &r, op == XENMEM_populate_physmap);
        if (!rc)
            r.done++;
    }
    domain_put(r.d);
    return (long)r.done;
}

/* An exchange, chunk by chunk: as many small extents as make one large one. */
struct exchange {
    struct xen_memory_exchange arg;
    struct domain *d;
    unsigned int chunk_order; /* of the larger extents */
    uint32_t *frames;         /* [1 << chunk_order]: the input frames of the chunk, referenced */
};

/* Takes references on the chunk's input frames, after checking that only the domain holds them. */
static int hold_inputs(struct vcpu *v, struct exchange *x, uint64_t first_extent, uint64_t *held)
{
    uint64_t per_extent = 1UL << x->arg.in.extent_order,
             extents = 1UL << (x->chunk_order - x->arg.in.extent_order);
    uint64_t mfn;

    for (*held = 0; *held < extents * per_extent; ++*held) {
        if (*held % per_extent == 0 &&
            copy_from_guest(v, &mfn,
                            x->arg.in.extent_start + (first_extent + *held / per_extent) * sizeof(mfn),
                            sizeof(mfn)))
            return fail(v, -EFAULT, "exchange: cannot read input extent {0}",
                        first_extent + *held / per_extent, 0);
        struct page_info *pg = get_page_from_mfn(MFN(mfn + *held % per_extent), x->d);
        if (!pg)
            return fail(v, -EINVAL, "exchange: frame {0} is not domain {1}'s", mfn + *held % per_extent,
                        x->d->id);
        x->frames[*held] = (uint32_t)page_to_mfn(pg).n;
        uint64_t refs = atomic_load(&pg->refs);
        if (!(refs & PGC_allocated) || (refs & PGC_count_mask) != 2) {
            ++*held;
            return fail(v, -EINVAL, "exchange: frame {0} is still mapped or in use (references {1})",
                        page_to_mfn(pg).n, (refs & PGC_count_mask) - 1);
        }
    }
    return 0;
}

static void release_inputs(struct exchange *x, uint64_t held, bool give_back)
{
    while (held--) {
        struct page_info *pg = mfn_to_page(MFN(x->frames[held]));

        if (give_back) {
            arch_set_m2p(page_to_mfn(pg), INVALID_FRAME);
            (void)page_drop_allocated(pg);
        }
        put_page(pg);
    }
}

/* The domain gets the new block; it had given back as much. */
static int assign_block(struct vcpu *v, struct exchange *x, struct page_info *block)
{
    uint64_t pages = 1UL << x->arg.out.extent_order;

    for (uint64_t i = 0; i < pages; i++) {
        if (!page_assign(&block[i], x->d, true))
            continue;
        for (; i < pages; i++)
            page_free(&block[i], 0);
        return fail(v, -ENOMEM,
                    "exchange: domain {0} is at its limit of {1} pages (its input frames were in use)",
                    x->d->id, x->d->max_pages);
    }
    return 0;
}

static void free_blocks(struct page_info **blocks, uint64_t n, unsigned int order)
{
    while (n--)
        page_free(blocks[n], order);
}

/* Number, and m2p, of one output extent. */
static int publish_output(struct vcpu *v, struct exchange *x, uint64_t extent, struct page_info *block)
{
    uint64_t pages = 1UL << x->arg.out.extent_order, mfn = page_to_mfn(block).n, pfn;

    if (!x->d->privileged)
        memset(arch_map(MFN(mfn)), 0, pages * PAGE_SIZE);
    if (copy_from_guest(v, &pfn, x->arg.out.extent_start + extent * sizeof(pfn), sizeof(pfn)))
        return fail(v, -EFAULT, "exchange: cannot read output extent {0}", extent, 0);
    int rc = assign_block(v, x, block);
    if (rc)
        return rc;
    for (uint64_t i = 0; i < pages; i++)
        arch_set_m2p(MFN(mfn + i), pfn + i);
    if (copy_to_guest(v, x->arg.out.extent_start + extent * sizeof(mfn), &mfn, sizeof(mfn)))
        return fail(v, -EFAULT, "exchange: cannot write output extent {0}", extent, 0);
    return 0;
}

static int exchange_chunk(struct vcpu *v, struct exchange *x, struct page_info **blocks)
{
    uint64_t outputs = 1UL << (x->chunk_order - x->arg.out.extent_order), held, n;
    uint64_t first_output = (x->arg.nr_exchanged << x->arg.in.extent_order) >> x->arg.out.extent_order;
    int rc = hold_inputs(v, x, x->arg.nr_exchanged, &held);

    for (n = 0; !rc && n < outputs; n++) {
        blocks[n] = page_alloc(x->arg.out.extent_order, alloc_flags(x->arg.out.mem_flags));
        if (!blocks[n]) {
            rc = fail(v, -ENOMEM, "exchange: no free block of order {0} (flags {1})", x->arg.out.extent_order,
                      x->arg.out.mem_flags);
            break;
        }
    }
    if (rc) {
        free_blocks(blocks, n, x->arg.out.extent_order);
        release_inputs(x, held, false);
        return rc;
    }
    release_inputs(x, held, true);
    for (uint64_t i = 0; i < outputs; i++) {
        rc = publish_output(v, x, first_output + i, blocks[i]);
        if (rc) {
            free_blocks(blocks + i + 1, outputs - i - 1, x->arg.out.extent_order);
            return rc;
        }
    }
    x->arg.nr_exchanged += 1UL << (x->chunk_order - x->arg.in.extent_order);
    return 0;
}

static int check_exchange(struct vcpu *v, const struct xen_memory_exchange *arg)
{
    unsigned int limit = v->domain->privileged ? ORDER_MAX_CONTROL : ORDER_MAX_DOMAIN;
    const struct xen_memory_reservation *in = &arg->in, *out = &arg->out;

    if (in->extent_order > limit || out->extent_order > limit)
        return fail(v, -EPERM, "exchange: orders {0} and {1} are too large", in->extent_order,
                    out->extent_order);
    if (in->domid != out->domid)
        return fail(v, -EINVAL, "exchange: between domains {0} and {1}", in->domid, out->domid);
    if (in->nr_extents > UINT64_MAX >> limit || out->nr_extents > UINT64_MAX >> limit ||
        in->nr_extents << in->extent_order != out->nr_extents << out->extent_order)
        return fail(v, -EINVAL, "exchange: {0} input extents are not as much as {1} output extents",
                    in->nr_extents, out->nr_extents);
    if (arg->nr_exchanged > in->nr_extents)
        return fail(v, -EINVAL, "exchange: {0} done of {1}", arg->nr_exchanged, in->nr_extents);
    return 0;
}

static long run_exchange(struct vcpu *v, struct exchange *x, uint64_t untrusted_arg)
{
    uint64_t extents_per_chunk = 1UL << (x->chunk_order - x->arg.in.extent_order);
    struct page_info **blocks = kalloc(sizeof(*blocks) << (x->chunk_order - x->arg.out.extent_order));
    int rc = 0;

    x->frames = kalloc(sizeof(x->frames[0]) << x->chunk_order);
    if (!blocks || !x->frames)
        rc = fail(v, -ENOMEM, "exchange: no memory for the list of {0} frames", 1UL << x->chunk_order, 0);
    while (!rc && x->arg.in.nr_extents - x->arg.nr_exchanged >= extents_per_chunk) {
        rc = exchange_chunk(v, x, blocks);
        if (!rc && hypercall_preempt_check())
            rc = -EAGAIN;
    }
    kfree(blocks);
    kfree(x->frames);
    if (copy_to_guest(v, untrusted_arg + offsetof(struct xen_memory_exchange, nr_exchanged),
                      &x->arg.nr_exchanged, sizeof(x->arg.nr_exchanged)))
        return fail(v, -EFAULT, "exchange: cannot write the argument at {0}", untrusted_arg, 0);
    if (rc == -EAGAIN && x->arg.nr_exchanged < x->arg.in.nr_extents)
        return hypercall_restart(v, XENMEM_exchange, untrusted_arg, 0, 0, 0);
    return rc == -EAGAIN ? 0 : rc;
}

static long exchange(struct vcpu *v, uint64_t untrusted_arg)
{
    struct exchange x;
    long rc;

    if (copy_from_guest(v, &x.arg, untrusted_arg, sizeof(x.arg)))
        return fail(v, -EFAULT, "exchange: cannot read the argument at {0}", untrusted_arg, 0);
    rc = check_exchange(v, &x.arg);
    if (rc)
        return rc;
    rc = domain_get_for(v, x.arg.in.domid, POLICY_CONTROL, &x.d);
    if (rc)
        return rc;
    x.chunk_order = MAX(x.arg.in.extent_order, x.arg.out.extent_order);
    rc = run_exchange(v, &x, untrusted_arg);
    domain_put(x.d);
    return rc;
}

static long op_claim_pages(struct vcpu *v, struct domain *d, void *arg)
{
    const struct xen_memory_reservation *r = arg;
    int rc;

    if (r->extent_start || r->extent_order || r->mem_flags)
        return fail(v, -EINVAL, "claim_pages: order {0} and flags {1} must be 0, and no list given",
                    r->extent_order, r->mem_flags);
    rc = page_claim(d, r->nr_extents);
    if (rc)
        return fail(v, rc,
                    "claim_pages: {0} pages are more than free memory or the domain's limit {1} allow, or a "
                    "claim stands",
                    r->nr_extents, d->max_pages);
    return 0;
}

static long op_current_reservation(struct vcpu *v, struct domain *d, void *arg)
{
    return (long)d->tot_pages;
}

static long op_maximum_reservation(struct vcpu *v, struct domain *d, void *arg)
{
    return (long)d->max_pages;
}

/* The highest frame number that the domain told of. */
static long op_maximum_gpfn(struct vcpu *v, struct domain *d, void *arg)
{
    return (long)READ_ONCE(d->shared_info->arch.max_pfn) - 1;
}

static int check_resource(struct vcpu *v, const struct xen_mem_acquire_resource *arg)
{
    if (arg->pad)
        return fail(v, -EINVAL, "acquire_resource: pad is {0}, not 0", arg->pad, 0);
    if (arg->type != XENMEM_resource_grant_table)
        return fail(v, -EOPNOTSUPP, "acquire_resource: type {0} is not offered, only grant tables ({1})",
                    arg->type, XENMEM_resource_grant_table);
    if (arg->id > XENMEM_resource_grant_table_id_status)
        return fail(v, -EINVAL, "acquire_resource: grant table id {0} is neither shared (0) nor status (1)",
                    arg->id, 0);
    if (arg->nr_frames > GRANT_MAX_FRAMES || arg->frame > GRANT_MAX_FRAMES)
        return fail(v, -EINVAL, "acquire_resource: {0} frames from {1}: more than a grant table has",
                    arg->nr_frames, arg->frame);
    return 0;
}

static long resource_frames(struct vcpu *v, struct domain *d, struct xen_mem_acquire_resource *arg)
{
    for (uint32_t i = 0; i < arg->nr_frames; i++) {
        mfn_t mfn;
        int rc = grant_table_frame(v, d, (uint32_t)arg->frame + i,
                                   arg->id == XENMEM_resource_grant_table_id_status, &mfn);
        if (rc)
            return rc;
        if (copy_to_guest(v, arg->frame_list + i * sizeof(mfn.n), &mfn.n, sizeof(mfn.n)))
            return fail(v, -EFAULT, "acquire_resource: cannot write frame {0} to {1}", i, arg->frame_list);
    }
    return 0;
}

static long op_acquire_resource(struct vcpu *v, struct domain *d, void *arg)
{
    struct xen_mem_acquire_resource *r = arg;
    long rc = check_resource(v, r);

    if (rc)
        return rc;
    if (r->frame_list || r->nr_frames)
        return resource_frames(v, d, r);
    r->nr_frames = grant_table_max_frames(d, r->id == XENMEM_resource_grant_table_id_status);
    return 0;
}

/* No memory of this machine is reserved for devices. */
static long op_reserved_device_memory_map(struct vcpu *v, struct domain *d, void *arg)
{
    ((struct xen_reserved_device_memory_map *)arg)->nr_entries = 0;
    return 0;
}

#define INSPECTS(fn) SUBOP_ON(domid, POLICY_INSPECT, fn, xen_memory_domain, ARG_IN)
static const struct subop ops[] = {
    [XENMEM_current_reservation] = INSPECTS(op_current_reservation),
    [XENMEM_maximum_reservation] = INSPECTS(op_maximum_reservation),
    [XENMEM_maximum_gpfn] = INSPECTS(op_maximum_gpfn),
    [XENMEM_claim_pages] =
        SUBOP_ON(domid, POLICY_CONTROL, op_claim_pages, xen_memory_reservation, ARG_IN, .privileged = true),
    [XENMEM_reserved_device_memory_map] =
        SUBOP(op_reserved_device_memory_map, xen_reserved_device_memory_map, ARG_INOUT),
    [XENMEM_acquire_resource] =
        SUBOP_ON(domid, POLICY_MAP_FOREIGN, op_acquire_resource, xen_mem_acquire_resource, ARG_INOUT),
};

/* memory_op(cmd, void *arg) */
DECLARE_HYPERCALL(do_memory_op)
{
    unsigned int op = a1 & MEMOP_CMD_MASK;
    uint64_t start = a1 >> MEMOP_EXTENT_SHIFT;

    switch (op) {
    case XENMEM_increase_reservation:
    case XENMEM_decrease_reservation:
    case XENMEM_populate_physmap:
        return change_reservation(v, op, start, a2);
    case XENMEM_exchange:
        return exchange(v, a2);
    case XENMEM_maximum_ram_page:
        return (long)max_page - 1;
    case XENMEM_get_sharing_freed_pages:
    case XENMEM_get_sharing_shared_pages:
        return 0; /* nothing is shared, and the tools want a number */
    case XENMEM_get_vnumainfo:
        return fail(v, -EOPNOTSUPP, "get_vnumainfo: domain {0} has no virtual NUMA", v->domain->id, 0);
    case XENMEM_set_pod_target:
    case XENMEM_get_pod_target:
    case XENMEM_access_op:
    case XENMEM_paging_op:
    case XENMEM_sharing_op:
        return fail(v, -EOPNOTSUPP,
                    "memory_op: operation {0} (populate on demand, access, paging, sharing) is not offered",
                    op, 0);
    default:
        if (op < ARRAY_SIZE(ops) && ops[op].handler)
            return subop_dispatch(v, ops, ARRAY_SIZE(ops), op, a2);
        return arch_memory_op(v, op, a2);
    }
}

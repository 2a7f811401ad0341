/*
 * Grant tables: the hypercall. Operations on a table as a whole take one entry; the others run in batches,
 * with the progress of a preempted call in its arguments.
 */
#include "grant_internal.h"
#include <bh/arch.h>
#include <bh/errno.h>
#include <bh/guest.h>
#include <bh/hypercall.h>
#include <bh/page_alloc.h>
#include <bh/policy.h>
#include <bh/printk.h>
#include <bh/string.h>

/* --- Operations on tables as a whole: one entry per call --- */

static int16_t status_of(int rc)
{
    return rc == 0        ? GNTST_okay
           : rc == -ESRCH ? GNTST_bad_domain
           : rc == -EPERM ? GNTST_permission_denied
                          : GNTST_general_error;
}

/* The domain whose table is meant, referenced; NULL: *status says why. */
static struct domain *get_owner(struct vcpu *v, domid_t id, int16_t *status)
{
    struct domain *d;

    *status = status_of(domain_get_for(v, id, POLICY_CONTROL, &d));
    return *status == GNTST_okay ? d : NULL;
}

/* Copies a list of frame numbers to the guest, a batch at a time. */
static int copy_frames(struct vcpu *v, uint64_t untrusted_list, void *const *page, uint32_t n)
{
    uint64_t list[GRANT_BATCH];

    for (uint32_t i = 0; i < n;) {
        uint32_t part = MIN(n - i, GRANT_BATCH);

        for (uint32_t k = 0; k < part; k++)
            list[k] = arch_unmap(page[i + k]).n;
        if (copy_to_guest(v, untrusted_list + i * sizeof(list[0]), list, part * sizeof(list[0])) != 0)
            return fail(v, -EFAULT, "grant: list of frames at {0} is not writable", untrusted_list, 0);
        i += part;
    }
    return 0;
}

static long op_setup_table(struct vcpu *v, struct domain *self, void *arg)
{
    struct gnttab_setup_table *op = arg;
    struct domain *d = get_owner(v, op->dom, &op->status);
    int rc;

    if (d == NULL)
        return 0;
    spin_lock(&d->grant->lock);
    rc = grant_grow(v, d, d->grant, op->nr_frames);
    spin_unlock(&d->grant->lock);
    op->status = status_of(rc);
    if (rc == 0 && copy_frames(v, op->frame_list, d->grant->frame, op->nr_frames) != 0)
        op->status = GNTST_bad_virt_addr;
    domain_put(d);
    return 0;
}

static long op_get_status_frames(struct vcpu *v, struct domain *self, void *arg)
{
    struct gnttab_get_status_frames *op = arg;
    struct domain *d = get_owner(v, op->dom, &op->status);

    if (d == NULL)
        return 0;
    if (op->nr_frames > d->grant->nr_status)
        op->status = grant_refuse(v, GNTST_general_error, "grant: {0} status frames asked, the table has {1}",
                                  op->nr_frames, d->grant->nr_status);
    else if (copy_frames(v, op->frame_list, (void *const *)d->grant->status, op->nr_frames) != 0)
        op->status = GNTST_bad_virt_addr;
    domain_put(d);
    return 0;
}

static long op_query_size(struct vcpu *v, struct domain *self, void *arg)
{
    struct gnttab_query_size *op = arg;
    struct domain *d = get_owner(v, op->dom, &op->status);

    if (d == NULL)
        return 0;
    op->nr_frames = d->grant->nr_frames;
    op->max_nr_frames = d->grant->max_frames;
    domain_put(d);
    return 0;
}

static long op_get_version(struct vcpu *v, struct domain *d, void *arg)
{
    ((struct gnttab_get_version *)arg)->version = d->grant->version;
    return 0;
}

/* The reserved entries keep their grants across a change of version; the rest becomes invalid. */
static void rewrite_entries(struct grant_table *t, uint32_t version)
{
    struct {
        struct grant_entry_header hdr;
        uint64_t frame;
    } keep[GNTTAB_NR_RESERVED_ENTRIES];

    for (uint32_t i = 0; i < GNTTAB_NR_RESERVED_ENTRIES; i++) {
        keep[i].hdr = t->version == 1 ? *(struct grant_entry_header *)grant_v1(t, i) : grant_v2(t, i)->hdr;
        keep[i].frame = t->version == 1 ? grant_v1(t, i)->frame : grant_v2(t, i)->full_page.frame;
        if ((keep[i].hdr.flags & GTF_type_mask) != GTF_permit_access || (keep[i].hdr.flags & GTF_sub_page) ||
            (version == 1 && keep[i].frame > UINT32_MAX))
            keep[i].hdr.flags = GTF_invalid;
    }
    for (uint32_t i = 0; i < t->nr_frames; i++)
        memset(t->frame[i], 0, PAGE_SIZE);
    t->version = version;
    t->nr_entries = t->nr_frames * grant_entries_per_frame(t);
    for (uint32_t i = 0; i < GNTTAB_NR_RESERVED_ENTRIES; i++) {
        if (version == 1) {
            *grant_v1(t, i) =
                (struct grant_entry_v1){keep[i].hdr.flags, keep[i].hdr.domid, (uint32_t)keep[i].frame};
        } else {
            grant_v2(t, i)->hdr = keep[i].hdr;
            grant_v2(t, i)->full_page.frame = keep[i].frame;
        }
    }
}

static int change_version(struct vcpu *v, struct grant_table *t, uint32_t version)
{
    uint32_t old = t->version;

    if (t->nr_pinned != 0)
        return fail(v, -EBUSY, "grant: set_version: {0} entries are in use", t->nr_pinned, 0);
    if (version == 2) {
        t->version = 2;
        if (grant_grow_books(v->domain, t, t->nr_frames) != 0) {
            t->version = old;
            return fail(v, -ENOMEM, "grant: set_version: no memory for status frames", 0, 0);
        }
        t->version = old;
    }
    rewrite_entries(t, version);
    /* A guest that still maps the status frames keeps the pages, which nobody writes any more. */
    while (version == 1 && t->nr_status > 0)
        page_free_shared(t->status[--t->nr_status]);
    return 0;
}

static long op_set_version(struct vcpu *v, struct domain *d, void *arg)
{
    struct gnttab_set_version *op = arg;
    struct grant_table *t = d->grant;
    int rc = 0;

    if (op->version < 1 || op->version > 2)
        return fail(v, -EINVAL, "grant: set_version: there is no version {0}", op->version, 0);
    if (op->version > t->max_version)
        return fail(v, -ENOSYS, "grant: set_version: the domain may use version {1} at most, not {0}",
                    op->version, t->max_version);
    spin_lock(&t->lock);
    if (t->version != op->version)
        rc = change_version(v, t, op->version);
    op->version = t->version;
    spin_unlock(&t->lock);
    return rc;
}

/* x86 keeps caches and devices coherent: checked, and nothing to do. */
static long op_cache_flush(struct vcpu *v, struct domain *d, void *arg)
{
    const struct gnttab_cache_flush *op = arg;

    if (op->op & ~(GNTTAB_CACHE_CLEAN | GNTTAB_CACHE_INVAL | GNTTAB_CACHE_SOURCE_GREF) ||
        op->offset + op->length > (int)PAGE_SIZE)
        return fail(v, -EINVAL, "grant: cache_flush: operation {0}, or a range that ends at {1} of a page",
                    op->op, (uint64_t)op->offset + op->length);
    return 0;
}

/* Pages change hands by granting and copying, never for good; the caller keeps its page. */
static void transfer_batch(struct vcpu *v, struct gnttab_transfer *op, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        op[i].status =
            grant_refuse(v, GNTST_bad_page, "grant: transfer of frame {0} to domain {1} is not offered",
                         op[i].mfn, op[i].domid);
}

/* --- The hypercall --- */

static const struct subop single_table[] = {
    [GNTTABOP_setup_table] = SUBOP(op_setup_table, gnttab_setup_table, ARG_INOUT),
    [GNTTABOP_query_size] = SUBOP(op_query_size, gnttab_query_size, ARG_INOUT),
    [GNTTABOP_set_version] = SUBOP(op_set_version, gnttab_set_version, ARG_INOUT),
    [GNTTABOP_get_status_frames] = SUBOP(op_get_status_frames, gnttab_get_status_frames, ARG_INOUT),
    [GNTTABOP_get_version] = SUBOP_ON(dom, POLICY_CONTROL, op_get_version, gnttab_get_version, ARG_INOUT),
    [GNTTABOP_cache_flush] = SUBOP(op_cache_flush, gnttab_cache_flush, ARG_IN),
};

union batch {
    struct gnttab_map_grant_ref map[GRANT_BATCH];
    struct gnttab_unmap_grant_ref unmap[GRANT_BATCH];
    struct gnttab_unmap_and_replace replace[GRANT_BATCH];
    struct gnttab_copy copy[GRANT_BATCH];
    struct gnttab_transfer transfer[GRANT_BATCH];
};

static void run_batch(struct vcpu *v, unsigned long cmd, union batch *b, uint32_t n)
{
    switch (cmd) {
    case GNTTABOP_map_grant_ref:
        grant_map_batch(v, b->map, n);
        break;
    case GNTTABOP_unmap_grant_ref:
        grant_unmap_batch(v, b->unmap, n);
        break;
    case GNTTABOP_unmap_and_replace:
        grant_replace_batch(v, b->replace, n);
        break;
    case GNTTABOP_copy:
        grant_copy_batch(v, b->copy, n);
        break;
    default:
        transfer_batch(v, b->transfer, n);
    }
}

static size_t batch_entry_size(unsigned long cmd)
{
    static const uint8_t size[] = {
        [GNTTABOP_map_grant_ref] = sizeof(struct gnttab_map_grant_ref),
        [GNTTABOP_unmap_grant_ref] = sizeof(struct gnttab_unmap_grant_ref),
        [GNTTABOP_unmap_and_replace] = sizeof(struct gnttab_unmap_and_replace),
        [GNTTABOP_copy] = sizeof(struct gnttab_copy),
        [GNTTABOP_transfer] = sizeof(struct gnttab_transfer),
    };

    return cmd < ARRAY_SIZE(size) ? size[cmd] : 0;
}

long do_grant_table_op(struct vcpu *v, unsigned long cmd, unsigned long untrusted_args, unsigned long count,
                       unsigned long a4, unsigned long a5)
{
    size_t size = batch_entry_size(cmd);
    uint32_t left = (uint32_t)count;
    union batch b;

    if (unlikely((int32_t)left < 0))
        return fail(v, -EINVAL, "grant: operation {1} on {0} entries", left, cmd);
    if (unlikely(v->domain->grant == NULL))
        return fail(v, -ENOSYS, "grant: domain {0} has no grant table", v->domain->id, 0);
    if (size == 0) {
        if (left != 1 && cmd < ARRAY_SIZE(single_table) && single_table[cmd].handler != NULL)
            return fail(v, -EINVAL, "grant: operation {1} takes one entry, not {0}", left, cmd);
        return subop_dispatch(v, single_table, ARRAY_SIZE(single_table), cmd, untrusted_args);
    }
    while (left > 0) {
        uint32_t n = MIN(left, GRANT_BATCH);

        if (unlikely(copy_from_guest(v, &b, untrusted_args, n * size) != 0))
            return fail(v, -EFAULT, "grant: entries of operation {1} at {0} are not readable", untrusted_args,
                        cmd);
        run_batch(v, cmd, &b, n);
        if (unlikely(copy_to_guest(v, untrusted_args, &b, n * size) != 0))
            return fail(v, -EFAULT, "grant: entries of operation {1} at {0} are not writable", untrusted_args,
                        cmd);
        untrusted_args += n * size;
        left -= n;
        if (left > 0 && hypercall_preempt_check())
            return hypercall_restart(v, cmd, untrusted_args, left, 0, 0);
    }
    return 0;
}

void grant_dump(struct domain *d)
{
    struct grant_table *t = d->grant;

    if (t == NULL)
        return;
    printk(LOG_INFO,
           "Grant table of domain %u: version %u, %u of %u frames, %u entries in use, %u mappings of others' "
           "(in %u "
           "pages)",
           d->id, t->version, t->nr_frames, t->max_frames, t->nr_pinned, t->nr_mapped,
           (unsigned int)(t->nr_handles / MAPPINGS_PER_PAGE));
    for (uint32_t ref = 0; ref < t->nr_entries; ref++) {
        struct grant_active act;

        spin_lock(&t->lock);
        act = ref < t->nr_entries ? *grant_active_of(t, ref) : (struct grant_active){0};
        spin_unlock(&t->lock);
        if (act.pins != 0)
            printk(LOG_INFO, "  %5u frame %lx used by domain %u, pins %016lx", ref, act.frame, act.user,
                   act.pins);
    }
}

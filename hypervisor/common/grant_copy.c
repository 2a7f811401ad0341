/*
 * GNTTABOP_copy: the hypervisor copies between pages of the caller and pages granted to it.
 *
 * Each end is opened (domain, pin, page reference) and kept for the next entry of the batch if that names the
 * same page in the same way, as network back ends do; the copy itself is a memcpy between direct-map
 * addresses.
 */
#include "grant_internal.h"
#include <bh/arch.h>
#include <bh/string.h>

struct end {
    struct domain *owner; /* referenced; NULL: not open */
    struct page_info *page;
    char *data;
    uint64_t key;         /* ref or frame */
    uint16_t start, stop; /* what may be accessed */
    domid_t domid;
    bool by_ref, write;
};

static void close_end(struct end *e)
{
    if (e->owner == NULL)
        return;
    grant_put_page(e->page, e->write);
    if (e->by_ref)
        grant_unpin(e->owner, (uint32_t)e->key, e->write ? PIN_HOST_WRITE : PIN_HOST_READ);
    domain_put(e->owner);
    e->owner = NULL;
}

static int16_t open_end(struct vcpu *v, const struct gnttab_copy_ptr *p, bool by_ref, struct end *e)
{
    uint64_t pins = e->write ? PIN_HOST_WRITE : PIN_HOST_READ;
    struct grant_claim claim = {.frame = p->u.gmfn, .start = 0, .length = PAGE_SIZE};
    int16_t status = GNTST_okay;
    struct domain *owner;

    if (!by_ref && p->domid != DOMID_SELF && p->domid != v->domain->id)
        return grant_refuse(v, GNTST_permission_denied,
                            "grant: copy: frame {0} of domain {1} is not granted by a ref", p->u.gmfn,
                            p->domid);
    owner = grant_owner(v, p->domid, &status);
    if (owner == NULL)
        return status;
    if (by_ref) {
        status = grant_acquire(v, owner, p->u.ref, pins, true, &claim);
        if (status != GNTST_okay) {
            domain_put(owner);
            return status;
        }
    }
    e->page = grant_get_page(owner, claim.frame, e->write);
    if (e->page == NULL) {
        if (by_ref)
            grant_unpin(owner, p->u.ref, pins);
        domain_put(owner);
        return grant_refuse(v, GNTST_bad_page, "grant: copy: frame {0} is no such page of domain {1}",
                            claim.frame, p->domid);
    }
    e->data = arch_map(MFN(claim.frame));
    e->start = claim.start;
    e->stop = (uint16_t)(claim.start + claim.length);
    e->key = by_ref ? p->u.ref : p->u.gmfn;
    e->domid = p->domid;
    e->by_ref = by_ref;
    e->owner = owner;
    return GNTST_okay;
}

/* Opens what `p` names, unless it is open already. */
static int16_t use_end(struct vcpu *v, const struct gnttab_copy_ptr *p, bool by_ref, struct end *e)
{
    if (e->owner != NULL && e->by_ref == by_ref && e->domid == p->domid &&
        e->key == (by_ref ? p->u.ref : p->u.gmfn))
        return GNTST_okay;
    close_end(e);
    return open_end(v, p, by_ref, e);
}

static bool inside(const struct end *e, uint16_t offset, uint16_t len)
{
    return offset >= e->start && offset + len <= e->stop;
}

static int16_t copy_one(struct vcpu *v, const struct gnttab_copy *op, struct end *src, struct end *dst)
{
    int16_t status;

    if (unlikely(op->source.offset + op->len > (int)PAGE_SIZE || op->dest.offset + op->len > (int)PAGE_SIZE))
        return grant_refuse(v, GNTST_bad_copy_arg,
                            "grant: copy: {0} bytes reach over the end of a page (offsets {1})", op->len,
                            op->source.offset | (uint64_t)op->dest.offset << 32);
    status = use_end(v, &op->source, op->flags & GNTCOPY_source_gref, src);
    if (unlikely(status != GNTST_okay))
        return status;
    status = use_end(v, &op->dest, op->flags & GNTCOPY_dest_gref, dst);
    if (unlikely(status != GNTST_okay))
        return status;
    if (unlikely(!inside(src, op->source.offset, op->len) || !inside(dst, op->dest.offset, op->len)))
        return grant_refuse(v, GNTST_general_error,
                            "grant: copy: {0} bytes leave the part of a page that is granted ({1})", op->len,
                            op->source.offset | (uint64_t)op->dest.offset << 32);
    /* Both ends may be the same page. */
    memmove(dst->data + op->dest.offset, src->data + op->source.offset, op->len);
    return GNTST_okay;
}

void grant_copy_batch(struct vcpu *v, struct gnttab_copy *op, uint32_t n)
{
    struct end src = {.write = false}, dst = {.write = true};

    for (uint32_t i = 0; i < n; i++)
        op[i].status = copy_one(v, &op[i], &src, &dst);
    close_end(&src);
    close_end(&dst);
}

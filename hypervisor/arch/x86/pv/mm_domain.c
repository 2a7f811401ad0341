/*
 * The end of a PV domain's memory. Preemptible: d->arch.relinquish_stage and _next keep the place; the page
 * that comes next is held by a reference, so that it stays on the domain's list.
 *
 *   tables  vcpus give up their base tables and descriptor pages
 *   types   every page: unpinned, and what is left partial is demoted. After this no table of the domain is
 * in use, and nothing that its tables mapped is held by them pages   every page: the domain's own reference
 * goes. Most are free now; those that others still map or have granted go with the last of them
 */
#include <asm/context.h>
#include <asm/irq.h>
#include <asm/pv.h>
#include <bh/arch.h>
#include <bh/domain.h>
#include <bh/hypercall.h>
#include <bh/page.h>

enum stage { STAGE_TABLES, STAGE_TYPES, STAGE_PAGES, STAGE_DONE };

/* Pages between two looks at whether to be preempted. */
#define PREEMPT_INTERVAL 32

/* The page on d's list after pg (NULL: the first one) that can be referenced: it is, for the caller. NULL: none. */
static struct page_info *hold_next(struct domain *d, const struct page_info *pg)
{
    struct page_info *next = NULL;
    uint64_t n;

    spin_lock(&d->page_lock);
    for (n = pg ? pg->next_in_domain : d->first_page; n; n = next->next_in_domain) {
        next = mfn_to_page(MFN(n));
        if (get_page(next, d))
            break;
    }
    spin_unlock(&d->page_lock);
    return n ? next : NULL;
}

/* Ends whatever keeps the page a table by itself. 0 or -EAGAIN. */
static int end_type(struct page_info *pg, struct domain *d)
{
    if ((atomic_load(&pg->type) & PGT_pinned) && page_unpin(NULL, pg, d) == -EAGAIN)
        return -EAGAIN;
    return page_is_partial(pg) ? page_demote(pg) : 0;
}

/* One pass over the domain's pages. 0: done; -EAGAIN: preempted. */
static int visit_pages(struct domain *d, enum stage stage)
{
    uint64_t resume = d->arch.relinquish_next;
    struct page_info *pg = resume ? mfn_to_page(MFN(resume)) : hold_next(d, NULL);

    d->arch.relinquish_next = 0;
    for (unsigned int visited = 1; pg; visited++) {
        struct page_info *next;

        if ((stage == STAGE_TYPES && end_type(pg, d)) ||
            (visited % PREEMPT_INTERVAL == 0 && hypercall_preempt_check())) {
            d->arch.relinquish_next = page_to_mfn(pg).n;
            return -EAGAIN;
        }
        next = hold_next(d, pg);
        if (stage == STAGE_PAGES)
            (void)page_drop_allocated(pg);
        put_page(pg);
        pg = next;
    }
    return 0;
}

int arch_domain_relinquish(struct domain *d)
{
    struct vcpu *v;

    if (d->arch.relinquish_stage == STAGE_TABLES) {
        domain_sync(d);
        physdev_domain_release(d);
        for_each_vcpu (d, v) {
            pv_vcpu_relinquish(v);
            v->arch.pv.demoting = NULL;
        }
        d->arch.relinquish_stage = STAGE_TYPES;
    }
    while (d->arch.relinquish_stage < STAGE_DONE) {
        if (visit_pages(d, (enum stage)d->arch.relinquish_stage))
            return -EAGAIN;
        d->arch.relinquish_stage++;
    }
    return 0;
}

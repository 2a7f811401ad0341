/*
 * What a domain finds at its first instruction: the start info is sane, physical to machine and back agree,
 * and the hypercall page answers.
 */
#include "guest.h"

/* The first frame number whose machine frame does not lead back to it, or nr_pages. */
static uint64_t first_disagreement(void)
{
    const uint64_t *p2m = (const uint64_t *)start_info->mfn_list;
    uint64_t pfn = 0;

    while (pfn < start_info->nr_pages && M2P[p2m[pfn]] == pfn)
        pfn++;
    return pfn;
}

void test_main(void)
{
    uint64_t bad = first_disagreement();

    PROPERTY(memcmp(start_info->magic, "xen-3.0-x86_64", 14) == 0, "magic is xen-3.0-x86_64", "%s",
             start_info->magic);
    PROPERTY(start_info->flags & SIF_PRIVILEGED, "Dom0 is told that it is privileged", "flags %x",
             start_info->flags);
    PROPERTY(start_info->flags & SIF_INITDOMAIN, "Dom0 is told that it is initial", "flags %x",
             start_info->flags);
    PROPERTY(start_info->nr_pages > 1024, "some memory", "%lu pages", start_info->nr_pages);
    PROPERTY((start_info->pt_base & (PAGE_SIZE - 1)) == 0 && start_info->pt_base > VIRT_BASE,
             "page tables are mapped", "pt_base %lx", start_info->pt_base);
    PROPERTY(start_info->nr_pt_frames >= 4, "at least four page-table frames", "%lu",
             start_info->nr_pt_frames);
    PROPERTY(bad == start_info->nr_pages, "p2m and m2p agree", "not at pfn %lx of %lx", bad,
             start_info->nr_pages);
    PROPERTY((long)hypercall(__HYPERVISOR_xen_version, XENVER_version, 0, 0, 0, 0) == 0x40011, "version 4.17",
             "%lx", hypercall(__HYPERVISOR_xen_version, XENVER_version, 0, 0, 0, 0));
    PROPERTY(write_faults((void *)M2P, NULL), "the m2p is read-only", "a write succeeded");
    PROPERTY(shared_info->wc_sec != 0, "the wall clock is set", "0");
}

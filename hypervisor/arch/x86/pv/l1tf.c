/*
 * L1 terminal fault: some CPUs that meet a not-present page-table entry go on for a while with the frame it names, and with what
 * their first-level cache holds of it, whoever's memory that is. So guests' not-present entries may name frame 0 or what is
 * beyond all RAM; kernels that know of the fault store what they keep there inverted. Others are refused, where Xen would
 * put the guest on shadow page tables.
 *
 * Looked at where a not-present entry comes into a table in use: an update, and the promotion of a page to a table.
 */
#include <asm/cpufeature.h>
#include <asm/layout.h>
#include <asm/mm.h>
#include <bh/cause.h>
#include <bh/cmdline.h>
#include <bh/domain.h>

bool l1tf_on;
static bool check_dom0, check_domu;

void l1tf_init(bool vulnerable)
{
    check_dom0 = options.pv_l1tf.dom0 == CHOICE_ON;
    check_domu = options.pv_l1tf.domu == CHOICE_DEFAULT ? vulnerable : options.pv_l1tf.domu;
    l1tf_on = check_dom0 || check_domu;
}

const char *l1tf_summary(void)
{
    return check_dom0 && check_domu ? "on" : check_dom0 ? "Dom0 only" : check_domu ? "guests only" : "off";
}

int l1tf_check(struct vcpu *v, const struct domain *d, unsigned int level, uint64_t entry)
{
    uint64_t seen = pte_mfn(entry & ((1UL << boot_cpu.physaddr_bits) - 1)).n;

    if ((entry & PTE_PRESENT) || !(d == control_domain ? check_dom0 : check_domu) || seen >= max_page ||
        (seen == 0 && (level == 1 || !(entry & PTE_LARGE))))
        return 0;
    return fail(v, -EINVAL,
                "not-present entry {0} of level {1} names memory, which this CPU would show (L1TF)", entry,
                level);
}

int l1tf_check_page(struct vcpu *v, const struct domain *d, const struct page_info *pg, uint64_t type)
{
    const uint64_t *table = map_frame(page_to_mfn(pg));
    unsigned int level = (unsigned int)(type >> PGT_shift);
    int rc = 0;

    if (type == PGT_seg_desc || pg->table.validated) /* which says that this was looked at before */
        return 0;
    for (unsigned int i = 0; i < PT_ENTRIES && !rc; i++)
        if (level != 4 || i < HV_FIRST_SLOT || i > HV_LAST_SLOT)
            rc = l1tf_check(v, d, level, table[i]);
    return rc;
}

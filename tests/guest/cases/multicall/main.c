/*
 * Multicall: every call is carried out in order with its own result, a failing one does not stop the rest, a
 * multicall inside a multicall is refused, a list that runs into nothing gives EFAULT after what came before.
 */
#include "guest.h"

static multicall_entry_t list[256];

static void entry(unsigned int at, unsigned int op, uint64_t a0, uint64_t a1, uint64_t a2)
{
    list[at] = (multicall_entry_t){.op = op, .args = {a0, a1, a2}, .result = 0x5555};
}

static long run(uint64_t where, uint64_t count)
{
    return hypercall(__HYPERVISOR_multicall, where, count, 0, 0, 0);
}

void test_main(void)
{
    char *page = new_page();
    multicall_entry_t *edge;

    RETURNS(run((uint64_t)list, 0), 0, "an empty list");
    entry(0, __HYPERVISOR_xen_version, XENVER_version, 0, 0);
    entry(1, 60, 0, 0, 0);
    entry(2, __HYPERVISOR_xen_version, XENVER_extraversion, NON_CANONICAL, 0);
    entry(3, __HYPERVISOR_multicall, (uint64_t)list, 1, 0);
    entry(4, __HYPERVISOR_xen_version, XENVER_version, 0, 0);
    RETURNS(run((uint64_t)list, 5), 0, "a list of five");
    PROPERTY(list[0].result == 0x40011, "the first result", "%lx", list[0].result);
    PROPERTY((long)list[1].result == -ENOSYS_, "an unknown call gives ENOSYS", "%ld", list[1].result);
    PROPERTY((long)list[2].result == -EFAULT_, "a wrong pointer gives EFAULT", "%ld", list[2].result);
    PROPERTY((long)list[3].result < 0, "no multicall inside a multicall", "%ld", list[3].result);
    PROPERTY(list[4].result == 0x40011, "the last is done after the failures", "%lx", list[4].result);

    for (unsigned int i = 0; i < 256; i++)
        entry(i, __HYPERVISOR_update_va_mapping, (uint64_t)page,
              maddr_of(page) | (i & 1 ? PTE_DATA_RW : PTE_DATA_RO), UVMF_INVLPG);
    RETURNS(run((uint64_t)list, 256), 0, "256 updates of one page");
    PROPERTY(!write_faults(page, NULL), "and the last one counts", "the page is read-only");

    edge = (multicall_entry_t *)(page + PAGE_SIZE) - 1;
    *edge = (multicall_entry_t){.op = __HYPERVISOR_xen_version, .args = {XENVER_version}};
    update_va(page + PAGE_SIZE, 0, UVMF_INVLPG);
    RETURNS(run((uint64_t)edge, 2), -EFAULT_, "a list that runs into nothing");
    PROPERTY(edge->result == 0x40011, "but the entry before is done", "%lx", edge->result);
    update_va(page + PAGE_SIZE, maddr_of(page + PAGE_SIZE) | PTE_DATA_RW, UVMF_INVLPG);
    REFUSED(run(HV_START, 1), "a list in the hypervisor");
    RETURNS(run((uint64_t)list, 0xffffffffUL), -EFAULT_, "four thousand million entries");
}

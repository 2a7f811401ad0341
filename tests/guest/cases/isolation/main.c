/*
 * With page-table isolation a guest's tables hold next to nothing of the hypervisor's: a read anywhere in the direct map, the
 * frame table or the writable machine-to-physical table finds nothing present (the error code tells), and of the image and the
 * CPUs' stacks only what entry needs; other CPUs' stacks not at all. What another vcpu changes in the root is seen by one that
 * was never in the hypervisor meanwhile. Bed: --smp 2 --hv-append xpti
 */
#include "guest.h"

#define DIRECT_MAP   0xffff830000000000UL
#define FRAME_TABLE  0xffff810000000000UL
#define M2P_WRITABLE 0xffff818000000000UL
#define IMAGE        0xffff82d040200000UL
#define STACKS       0xffff82d080000000UL
#define SPARE        0x0000700000000000UL /* a slot of level 4 that nothing uses */

#define ENTRY_PAGES 8 /* text for entry, the IDT */
#define STACK_PAGES 7 /* of one CPU */

static vcpu_guest_context_t context;
static char stack[16384] __attribute__((aligned(16)));
static volatile unsigned int stage;
static uint64_t *root_slot, root_entry;

/* How many of `count` pages, `step` bytes apart, are mapped. */
static unsigned int mapped(uint64_t from, uint64_t step, unsigned int count)
{
    unsigned int present = 0;
    struct fault fault;

    for (unsigned int i = 0; i < count; i++)
        if (!read_faults((void *)(from + i * step), &fault) || (fault.error & 1))
            present++;
    return present;
}

static void what_is_mapped(void)
{
    uint64_t two_mib = 2UL << 20;
    unsigned int pages;

    PROPERTY(!read_faults((const void *)M2P, NULL), "the machine-to-physical table is readable", "it is not");
    pages = mapped(DIRECT_MAP, two_mib, 128) + mapped(DIRECT_MAP + two_mib, PAGE_SIZE, 512);
    PROPERTY(pages == 0, "the direct map is not there", "%u of 640 pages are", pages);
    pages = mapped(FRAME_TABLE, PAGE_SIZE, 512) + mapped(M2P_WRITABLE, PAGE_SIZE, 512);
    PROPERTY(pages == 0, "nor are frame table and writable M2P", "%u of 1024 pages are", pages);
    pages = mapped(IMAGE, PAGE_SIZE, 512);
    PROPERTY(pages > 0 && pages <= ENTRY_PAGES, "of the image what entry needs", "%u pages", pages);
    pages = mapped(STACKS, PAGE_SIZE, 64);
    PROPERTY(pages <= STACK_PAGES, "and stacks of one CPU at most", "%u pages", pages);
}

static void wait(unsigned int wanted)
{
    uint64_t end = system_time() + 20000000000UL;

    while (stage != wanted)
        if (system_time() > end)
            test_error("the other vcpu does not answer");
}

static void second(void)
{
    wait(1);
    set_slot(root_slot, root_entry);
    stage = 2;
    wait(3);
    set_slot(root_slot, 0);
    mmuext(MMUEXT_TLB_FLUSH_ALL, 0, 0);
    stage = 4;
    for (;;)
        __asm__ volatile("pause");
}

/* vcpu 0 makes no hypercall while it waits. */
static void changes_elsewhere(void)
{
    make_context(&context, second, stack + sizeof(stack));
    shared_info->vcpu_info[1].evtchn_upcall_mask = 1;
    RETURNS(map_at(SPARE, maddr_of(new_page()) | PTE_DATA_RW), 0, "a page in a slot of its own");
    root_slot = slot_of((void *)SPARE, 4);
    root_entry = *root_slot;
    PROPERTY(!read_faults((void *)SPARE, NULL), "it is readable", "it is not");
    mmuext(MMUEXT_PIN_L3_TABLE, (root_entry & PTE_MFN) / PAGE_SIZE, 0);
    set_slot(root_slot, 0);
    mmuext(MMUEXT_TLB_FLUSH_LOCAL, 0, 0);
    PROPERTY(read_faults((void *)SPARE, NULL), "without the slot it is not", "it still is");
    if (vcpu_op(VCPUOP_initialise, 1, &context) != 0 || vcpu_op(VCPUOP_up, 1, NULL) != 0)
        test_error("vcpu 1 cannot be started");
    stage = 1;
    wait(2);
    PROPERTY(!read_faults((void *)SPARE, NULL), "another vcpu brings it back", "it is not readable");
    stage = 3;
    wait(4);
    PROPERTY(read_faults((void *)SPARE, NULL), "and takes it away", "it still is");
}

void test_main(void)
{
    what_is_mapped();
    changes_elsewhere();
    SURVIVED("the hypervisor answers");
}

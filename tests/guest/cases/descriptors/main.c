/*
 * Forged descriptors. A guest may not have a descriptor of privilege 0, a gate, a task or a long-mode system
 * segment; its GDT frames may not be writable, and hold at most 14 pages. Selectors that lead nowhere fault
 * in the guest only.
 */
#include "guest.h"

static uint64_t *gdt;

#define SEGMENT(type, dpl, flags)                                                                            \
    (0x000f00000000ffffUL | (uint64_t)(type) << 40 | (uint64_t)(dpl) << 45 | (1UL << 47) |                   \
     (uint64_t)(flags) << 52)

/* A system descriptor that a guest, which runs in ring 3, could use. */
static bool usable_gate(uint64_t descriptor)
{
    bool present = descriptor & (1UL << 47), system = !(descriptor & (1UL << 44));

    return present && system && ((descriptor >> 45) & 3) == 3;
}

static void forged(void)
{
    static const struct {
        uint64_t value;
        const char *name;
        bool allowed;
    } list[] = {
        {0, "an empty descriptor", true},
        {SEGMENT(0x13, 3, 0xc), "a data segment of privilege 3", true},
        {SEGMENT(0x1b, 3, 0xa), "a 64-bit code segment of privilege 3", true},
        {SEGMENT(0x1b, 3, 0xc), "a 32-bit code segment of privilege 3", true},
        {SEGMENT(0x0c, 3, 0x0), "a call gate", false},
        {SEGMENT(0x0e, 3, 0x0), "an interrupt gate", false},
        {SEGMENT(0x0f, 3, 0x0), "a trap gate", false},
        {SEGMENT(0x05, 3, 0x0), "a task gate", false},
        {SEGMENT(0x09, 3, 0x0), "a task state segment", false},
        {SEGMENT(0x02, 3, 0x0), "a local descriptor table", false},
        {SEGMENT(0x0c, 0, 0x0), "a call gate of privilege 0", false},
    };

    for (unsigned int i = 0; i < ARRAY_SIZE(list); i++) {
        long rc = hypercall(__HYPERVISOR_update_descriptor, maddr_of(&gdt[10]), list[i].value, 0, 0, 0);

        if (list[i].allowed)
            PROPERTY(rc == 0, list[i].name, "returned %ld", rc);
        else
            PROPERTY(!usable_gate(gdt[10]), list[i].name, "returned %ld and left %lx", rc, gdt[10]);
        hypercall(__HYPERVISOR_update_descriptor, maddr_of(&gdt[10]), 0, 0, 0, 0);
    }
    for (unsigned int type = 0x10; type < 0x20; type++) {
        long rc =
            hypercall(__HYPERVISOR_update_descriptor, maddr_of(&gdt[11]), SEGMENT(type, 0, 0xa), 0, 0, 0);

        if (rc == 0 && (gdt[11] & (1UL << 47)) && ((gdt[11] >> 45) & 3) == 0) {
            PROPERTY(false, "no code or data segment of privilege 0", "type %x stays as %lx", type, gdt[11]);
            return;
        }
    }
    PROPERTY(true, "no code or data segment of privilege 0", "none");
}

static void load_ds(void *selector)
{
    uint16_t value = (uint16_t)(uint64_t)selector;

    __asm__ volatile("mov %0, %%ds" ::"r"(value));
}

static void selectors(void)
{
    struct fault fault;
    unsigned int faulted = 0;

    RETURNS(hypercall(__HYPERVISOR_update_descriptor, maddr_of(&gdt[12]), SEGMENT(0x13, 3, 0xc), 0, 0, 0), 0,
            "a data descriptor for loading");
    PROPERTY(!attempt(load_ds, (void *)(12 * 8 + 3), NULL), "it can be loaded", "it faults");
    PROPERTY(attempt(load_ds, (void *)(13 * 8 + 3), &fault) && fault.vector == 13,
             "an empty one faults with #GP", "vector %u", fault.vector);
    for (unsigned int selector = 0; selector < 0x10000; selector += 8)
        faulted += attempt(load_ds, (void *)(uint64_t)(selector | 7), NULL);
    PROPERTY(faulted == 8192, "every selector of an absent LDT faults", "%u of 8192", faulted);
    for (unsigned int selector = 0; selector < 0x10000; selector += 8)
        attempt(load_ds, (void *)(uint64_t)(selector | 3), NULL);
    attempt(load_ds, (void *)0, NULL);
    SURVIVED("every selector of the GDT was tried");
}

void test_main(void)
{
    unsigned long frames[16];

    gdt = new_page();
    memset(gdt, 0, PAGE_SIZE);
    for (unsigned int i = 0; i < 16; i++)
        frames[i] = mfn_of(gdt);
    REFUSED(hypercall(__HYPERVISOR_set_gdt, (uint64_t)frames, 512, 0, 0, 0), "a writable page as GDT");
    remap(gdt, PTE_DATA_RO);
    REFUSED(hypercall(__HYPERVISOR_set_gdt, (uint64_t)frames, 8193, 0, 0, 0), "a GDT longer than allowed");
    frames[1] = 1UL << 40;
    REFUSED(hypercall(__HYPERVISOR_set_gdt, (uint64_t)frames, 1024, 0, 0, 0), "a GDT with an absent frame");
    RETURNS(hypercall(__HYPERVISOR_set_gdt, (uint64_t)frames, 512, 0, 0, 0), 0, "a good GDT");
    REFUSED(remap(gdt, PTE_DATA_RW), "the GDT cannot be mapped writable");
    PROPERTY(write_faults(gdt, NULL), "the GDT cannot be written", "it can");
    forged();
    selectors();
    REFUSED(hypercall(__HYPERVISOR_update_descriptor, 1UL << 52, SEGMENT(0x13, 3, 0xc), 0, 0, 0),
            "a descriptor in an absent frame");
    REFUSED(hypercall(__HYPERVISOR_update_descriptor, maddr_of((void *)start_info->pt_base),
                      SEGMENT(0x13, 3, 0xc), 0, 0, 0),
            "a descriptor in a page table");
    REFUSED(mmuext(MMUEXT_SET_LDT, UNMAPPED + 1, 16), "an LDT at an odd address");
    REFUSED(mmuext(MMUEXT_SET_LDT, UNMAPPED, 8193), "an LDT longer than allowed");
    RETURNS(hypercall(__HYPERVISOR_set_gdt, (uint64_t)frames, 0, 0, 0, 0), 0, "the GDT is given back");
    RETURNS(remap(gdt, PTE_DATA_RW), 0, "and is data again");
}

/*
 * Memory reservations: pages given back and taken again keep the books straight; orders, counts, frames and
 * domains that make no sense are refused; the machine's memory map and the m2p's place are told.
 */
#include "guest.h"

static xen_pfn_t list[16];

static long reservation(unsigned int cmd, unsigned long count, unsigned int order, domid_t domain)
{
    struct xen_memory_reservation op = {.nr_extents = count, .extent_order = order, .domid = domain};

    op.extent_start.p = list;
    return memory_op(cmd, &op);
}

static long total(unsigned int cmd)
{
    domid_t self = DOMID_SELF;

    return memory_op(cmd, &self);
}

static void give_and_take(void)
{
    char *page = new_page();
    uint64_t pfn = pfn_of(page), mfn = mfn_of(page);
    long before = total(XENMEM_current_reservation);

    list[0] = mfn;
    PROPERTY(reservation(XENMEM_decrease_reservation, 1, 0, DOMID_SELF) == 1,
             "a page still mapped can be given back", "0");
    PROPERTY(total(XENMEM_current_reservation) == before || total(XENMEM_current_reservation) == before - 1,
             "it counts as long as it is mapped", "%ld instead of %ld", total(XENMEM_current_reservation),
             before);
    RETURNS(update_va(page, 0, UVMF_INVLPG), 0, "its mapping is removed");
    RETURNS(total(XENMEM_current_reservation), before - 1, "one page less");
    REFUSED(update_va(page, mfn * PAGE_SIZE | PTE_DATA_RW, UVMF_INVLPG), "it cannot be mapped again");
    list[0] = pfn;
    RETURNS(reservation(XENMEM_populate_physmap, 1, 0, DOMID_SELF), 1, "a page is taken");
    RETURNS(total(XENMEM_current_reservation), before, "as many as before");
    PROPERTY(M2P[list[0]] == pfn, "its m2p entry is set", "%lx", M2P[list[0]]);
    RETURNS(update_va(page, list[0] * PAGE_SIZE | PTE_DATA_RW, UVMF_INVLPG), 0, "it can be mapped");
    for (unsigned int i = 0; i < PAGE_SIZE; i++)
        if (page[i]) {
            print("byte %u is %x\n", i, page[i]);
            break;
        }
    ((uint64_t *)start_info->mfn_list)[pfn] = list[0];
}

static void nonsense(void)
{
    list[0] = 1UL << 40;
    RETURNS(reservation(XENMEM_decrease_reservation, 1, 0, DOMID_SELF), 0, "giving back an absent frame");
    list[0] = 0x100;
    RETURNS(reservation(XENMEM_decrease_reservation, 1, 0, DOMID_SELF), 0, "giving back a frame of others");
    list[0] = maddr_of((void *)start_info->pt_base) / PAGE_SIZE;
    reservation(XENMEM_decrease_reservation, 1, 0, DOMID_SELF);
    SURVIVED("giving back the page tables in use");
    list[0] = 5;
    PROPERTY(reservation(XENMEM_populate_physmap, 1, 50, DOMID_SELF) <= 0, "an order of 50", "accepted");
    PROPERTY(reservation(XENMEM_populate_physmap, ~0UL, 0, DOMID_SELF) <= 0, "2^64 extents", "accepted");
    PROPERTY(reservation(XENMEM_populate_physmap, 1, 0, 4711) <= 0, "a domain that is not", "accepted");
    PROPERTY(reservation(XENMEM_increase_reservation, 1, 255, DOMID_SELF) <= 0, "an order of 255",
             "accepted");
    REFUSED(total(99), "a command that is not");
}

static void maps(void)
{
    static struct {
        uint64_t addr, size;
        uint32_t type;
    } __attribute__((packed)) map[128];
    struct xen_memory_map op = {.nr_entries = 128};
    struct xen_machphys_mapping place;
    uint64_t ram = 0;
    bool apic = false;

    op.buffer.p = map;
    RETURNS(memory_op(XENMEM_machine_memory_map, &op), 0, "the machine's memory map");
    for (unsigned int i = 0; i < op.nr_entries; i++) {
        ram += map[i].type == 1 ? map[i].size : 0;
        apic |= map[i].type == 2 && map[i].addr <= 0xfee00000UL && map[i].addr + map[i].size > 0xfee00000UL;
    }
    PROPERTY(op.nr_entries > 1 && ram > 100UL << 20, "shows the memory", "%u entries, %lu bytes",
             op.nr_entries, ram);
    PROPERTY(apic, "shows the local APIC's place as taken", "it is free");
    RETURNS(memory_op(XENMEM_machphys_mapping, &place), 0, "the m2p's place");
    PROPERTY(place.v_start == HV_START && place.max_mfn > 1000, "is where it is", "%lx", place.v_start);
    PROPERTY(memory_op(XENMEM_maximum_ram_page, NULL) > 1000, "the highest frame", "%ld",
             memory_op(XENMEM_maximum_ram_page, NULL));
    PROPERTY(total(XENMEM_maximum_reservation) >= total(XENMEM_current_reservation),
             "the limit is not below the count", "%ld", total(XENMEM_maximum_reservation));
}

void test_main(void)
{
    give_and_take();
    nonsense();
    maps();
}

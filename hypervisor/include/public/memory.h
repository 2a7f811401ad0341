/* Memory reservations, maps and resources: memory_op(cmd, void *arg), cmd = XENMEM_* | extents done << 6. */
#ifndef PUBLIC_MEMORY_H
#define PUBLIC_MEMORY_H

#include <public/xen.h>
#include <public/physdev.h>

#define MEMOP_EXTENT_SHIFT 6
#define MEMOP_CMD_MASK     ((1 << MEMOP_EXTENT_SHIFT) - 1)

#define XENMEM_increase_reservation       0
#define XENMEM_decrease_reservation       1
#define XENMEM_maximum_ram_page           2
#define XENMEM_current_reservation        3
#define XENMEM_maximum_reservation        4
#define XENMEM_machphys_mfn_list          5
#define XENMEM_populate_physmap           6
#define XENMEM_add_to_physmap             7
#define XENMEM_memory_map                 9
#define XENMEM_machine_memory_map         10
#define XENMEM_exchange                   11
#define XENMEM_machphys_mapping           12
#define XENMEM_set_memory_map             13
#define XENMEM_maximum_gpfn               14
#define XENMEM_remove_from_physmap        15
#define XENMEM_set_pod_target             16
#define XENMEM_get_pod_target             17
#define XENMEM_get_sharing_freed_pages    18
#define XENMEM_get_sharing_shared_pages   19
#define XENMEM_paging_op                  20
#define XENMEM_access_op                  21
#define XENMEM_sharing_op                 22
#define XENMEM_add_to_physmap_batch       23
#define XENMEM_claim_pages                24
#define XENMEM_machphys_compat_mfn_list   25
#define XENMEM_get_vnumainfo              26
#define XENMEM_reserved_device_memory_map 27
#define XENMEM_acquire_resource           28

/* mem_flags: width of machine addresses (0: any), NUMA node, ... */
#define XENMEMF_address_bits(x)     (x)
#define XENMEMF_get_address_bits(x) ((x)&0xffu)
#define XENMEMF_populate_on_demand  (1 << 16)

/* increase, decrease, populate, claim. Returns how many extents were done. */
struct xen_memory_reservation {
    uint64_t extent_start; /* handle: xen_pfn_t[nr_extents], first frames; IN and, for populate and increase,
                              OUT */
    uint64_t nr_extents;
    uint32_t extent_order; /* each has 2^extent_order frames */
    uint32_t mem_flags;    /* XENMEMF_* */
    domid_t domid;
};

struct xen_memory_exchange {
    struct xen_memory_reservation in;
    struct xen_memory_reservation out;
    uint64_t nr_exchanged; /* IN: 0; OUT: input extents given back */
};

struct xen_memory_domain {
    domid_t domid;
};

struct xen_machphys_mfn_list {
    uint32_t max_extents;
    uint64_t extent_start; /* handle: xen_pfn_t[max_extents]: frames of 2 MiB pieces of the table */
    uint32_t nr_extents;   /* OUT */
};

struct xen_machphys_mapping {
    uint64_t v_start, v_end; /* virtual addresses of the machine-to-physical table */
    uint64_t max_mfn;
};

/* An entry of a memory map: as the BIOS call INT 15h, EAX=E820h returns it. */
struct xen_e820entry {
    uint64_t addr;
    uint64_t size;
    uint32_t type;
} __attribute__((__packed__));

struct xen_memory_map {
    uint32_t nr_entries; /* IN: room in buffer; OUT: stored */
    uint64_t buffer;     /* handle: struct xen_e820entry[] */
};

struct xen_foreign_memory_map {
    domid_t domid;
    struct xen_memory_map map;
};

struct xen_reserved_device_memory_map {
    uint32_t flags;
    uint32_t nr_entries; /* IN: room; OUT: needed */
    uint64_t buffer;     /* handle: struct xen_reserved_device_memory[] */
    union {
        struct physdev_pci_device pci;
    } dev;
};

#define XENMEM_resource_ioreq_server          0
#define XENMEM_resource_grant_table           1
#define XENMEM_resource_grant_table_id_shared 0
#define XENMEM_resource_grant_table_id_status 1

struct xen_mem_acquire_resource {
    domid_t domid;
    uint16_t type; /* XENMEM_resource_* */
    uint32_t id;
    uint32_t nr_frames; /* 0 with a NULL list: asks for the size, OUT */
    uint32_t pad;
    uint64_t frame;      /* first frame of the resource */
    uint64_t frame_list; /* handle: xen_pfn_t[nr_frames]; OUT for PV callers */
};

#endif

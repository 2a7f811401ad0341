/*
 * Grant tables: the ABI of grant_table_op (Xen 4.17).
 *
 *   long grant_table_op(unsigned int op, void *args, unsigned int count)
 * op: GNTTABOP_*; args: an array of `count` structs gnttab_* of the same name. Results of single entries
 * stand in their `status` (GNTST_*).
 */
#ifndef PUBLIC_GRANT_TABLE_H
#define PUBLIC_GRANT_TABLE_H

#include "xen.h"

typedef uint32_t grant_ref_t;
typedef uint32_t grant_handle_t;
typedef uint16_t grant_status_t; /* version 2: reading and writing flags, in the status frames */

struct grant_entry_v1 {
    uint16_t flags; /* GTF_* */
    domid_t domid;  /* who may use it */
    uint32_t frame; /* what */
};

#define GNTTAB_NR_RESERVED_ENTRIES 8
#define GNTTAB_RESERVED_CONSOLE    0
#define GNTTAB_RESERVED_XENSTORE   1

#define GTF_invalid         0U
#define GTF_permit_access   1U
#define GTF_accept_transfer 2U
#define GTF_type_mask       3U

#define GTF_readonly (1U << 2)
#define GTF_reading  (1U << 3) /* in use for reading; written by the hypervisor */
#define GTF_writing  (1U << 4) /* in use for writing; written by the hypervisor */
#define GTF_sub_page (1U << 8)

struct grant_entry_header {
    uint16_t flags;
    domid_t domid;
};

union grant_entry_v2 {
    struct grant_entry_header hdr;
    struct {
        struct grant_entry_header hdr;
        uint32_t pad0;
        uint64_t frame;
    } full_page;
    struct {
        struct grant_entry_header hdr;
        uint16_t page_off;
        uint16_t length;
        uint64_t frame;
    } sub_page;
    uint32_t __spacer[4];
};

#define GNTTABOP_map_grant_ref     0
#define GNTTABOP_unmap_grant_ref   1
#define GNTTABOP_setup_table       2
#define GNTTABOP_transfer          4
#define GNTTABOP_copy              5
#define GNTTABOP_query_size        6
#define GNTTABOP_unmap_and_replace 7
#define GNTTABOP_set_version       8
#define GNTTABOP_get_status_frames 9
#define GNTTABOP_get_version       10
#define GNTTABOP_cache_flush       12

struct gnttab_map_grant_ref {
    uint64_t host_addr;    /* IN: virtual address, or machine address of a PTE (GNTMAP_contains_pte) */
    uint32_t flags;        /* IN: GNTMAP_* */
    grant_ref_t ref;       /* IN */
    domid_t dom;           /* IN: who granted */
    int16_t status;        /* OUT: GNTST_* */
    grant_handle_t handle; /* OUT */
    uint64_t dev_bus_addr; /* OUT */
};

struct gnttab_unmap_grant_ref {
    uint64_t host_addr;    /* IN: as mapped; 0: none */
    uint64_t dev_bus_addr; /* IN: 0: none */
    grant_handle_t handle; /* IN */
    int16_t status;        /* OUT */
};

struct gnttab_setup_table {
    domid_t dom;         /* IN */
    uint32_t nr_frames;  /* IN */
    int16_t status;      /* OUT */
    uint64_t frame_list; /* IN: guest address of xen_pfn_t[nr_frames] */
};

struct gnttab_transfer {
    xen_pfn_t mfn;   /* IN */
    domid_t domid;   /* IN */
    grant_ref_t ref; /* IN */
    int16_t status;  /* OUT */
};

#define GNTCOPY_source_gref (1 << 0)
#define GNTCOPY_dest_gref   (1 << 1)

struct gnttab_copy {
    struct gnttab_copy_ptr {
        union {
            grant_ref_t ref;
            xen_pfn_t gmfn;
        } u;
        domid_t domid;
        uint16_t offset;
    } source, dest; /* IN */
    uint16_t len;   /* IN */
    uint16_t flags; /* IN: GNTCOPY_* */
    int16_t status; /* OUT */
};

struct gnttab_query_size {
    domid_t dom;            /* IN */
    uint32_t nr_frames;     /* OUT */
    uint32_t max_nr_frames; /* OUT */
    int16_t status;         /* OUT */
};

struct gnttab_unmap_and_replace {
    uint64_t host_addr;    /* IN */
    uint64_t new_addr;     /* IN: its mapping moves to host_addr */
    grant_handle_t handle; /* IN */
    int16_t status;        /* OUT */
};

struct gnttab_set_version {
    uint32_t version; /* IN/OUT */
};

struct gnttab_get_status_frames {
    uint32_t nr_frames;  /* IN */
    domid_t dom;         /* IN */
    int16_t status;      /* OUT */
    uint64_t frame_list; /* IN: guest address of uint64_t[nr_frames] */
};

struct gnttab_get_version {
    domid_t dom; /* IN */
    uint16_t pad;
    uint32_t version; /* OUT */
};

#define GNTTAB_CACHE_CLEAN       (1u << 0)
#define GNTTAB_CACHE_INVAL       (1u << 1)
#define GNTTAB_CACHE_SOURCE_GREF (1u << 31)
struct gnttab_cache_flush {
    union {
        uint64_t dev_bus_addr;
        grant_ref_t ref;
    } a;
    uint16_t offset, length;
    uint32_t op;
};

#define GNTMAP_device_map      (1 << 0)
#define GNTMAP_host_map        (1 << 1)
#define GNTMAP_readonly        (1 << 2)
#define GNTMAP_application_map (1 << 3)
#define GNTMAP_contains_pte    (1 << 4)
#define _GNTMAP_guest_avail0   16

#define GNTST_okay              0
#define GNTST_general_error     (-1)
#define GNTST_bad_domain        (-2)
#define GNTST_bad_gntref        (-3)
#define GNTST_bad_handle        (-4)
#define GNTST_bad_virt_addr     (-5)
#define GNTST_bad_dev_addr      (-6)
#define GNTST_permission_denied (-8)
#define GNTST_bad_page          (-9)
#define GNTST_bad_copy_arg      (-10)
#define GNTST_no_space          (-13)

#endif

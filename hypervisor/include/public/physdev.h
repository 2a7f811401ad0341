/*
 * Physical devices: the ABI of physdev_op (Xen 4.17).
 *
 *   long physdev_op(int op, void *arg)   op: PHYSDEVOP_*, arg: struct physdev_* of the same name
 */
#ifndef PUBLIC_PHYSDEV_H
#define PUBLIC_PHYSDEV_H

#include "xen.h"

#define PHYSDEVOP_irq_status_query   5
#define PHYSDEVOP_set_iopl           6
#define PHYSDEVOP_set_iobitmap       7
#define PHYSDEVOP_apic_read          8
#define PHYSDEVOP_apic_write         9
#define PHYSDEVOP_alloc_irq_vector   10
#define PHYSDEVOP_free_irq_vector    11
#define PHYSDEVOP_eoi                12
#define PHYSDEVOP_map_pirq           13
#define PHYSDEVOP_unmap_pirq         14
#define PHYSDEVOP_manage_pci_add     15
#define PHYSDEVOP_manage_pci_remove  16
#define PHYSDEVOP_pirq_eoi_gmfn_v1   17
#define PHYSDEVOP_restore_msi        19
#define PHYSDEVOP_manage_pci_add_ext 20
#define PHYSDEVOP_setup_gsi          21
#define PHYSDEVOP_get_free_pirq      23
#define PHYSDEVOP_pci_mmcfg_reserved 24
#define PHYSDEVOP_pci_device_add     25
#define PHYSDEVOP_pci_device_remove  26
#define PHYSDEVOP_restore_msi_ext    27
#define PHYSDEVOP_pirq_eoi_gmfn_v2   28
#define PHYSDEVOP_dbgp_op            29
#define PHYSDEVOP_prepare_msix       30
#define PHYSDEVOP_release_msix       31

struct physdev_eoi {
    uint32_t irq; /* IN */
};

/*
 * Registers a page with a bit per pirq: whether it needs PHYSDEVOP_eoi. With v1, PHYSDEVOP_eoi also unmasks
 * the event channel.
 */
struct physdev_pirq_eoi_gmfn {
    xen_pfn_t gmfn; /* IN */
};

#define XENIRQSTAT_needs_eoi (1U << 0)
#define XENIRQSTAT_shared    (1U << 1)
struct physdev_irq_status_query {
    uint32_t irq;   /* IN */
    uint32_t flags; /* OUT: XENIRQSTAT_* */
};

struct physdev_set_iopl {
    uint32_t iopl; /* IN */
};

struct physdev_set_iobitmap {
    uint64_t bitmap;   /* IN: guest address of a bit per port */
    uint32_t nr_ports; /* IN */
};

struct physdev_apic {
    uint64_t apic_physbase; /* IN */
    uint32_t reg;           /* IN */
    uint32_t value;         /* IN or OUT */
};

struct physdev_irq {
    uint32_t irq;    /* IN */
    uint32_t vector; /* OUT */
};

#define MAP_PIRQ_TYPE_MSI       0x0
#define MAP_PIRQ_TYPE_GSI       0x1
#define MAP_PIRQ_TYPE_MSI_SEG   0x3
#define MAP_PIRQ_TYPE_MULTI_MSI 0x4
struct physdev_map_pirq {
    domid_t domid;       /* IN */
    int32_t type;        /* IN: MAP_PIRQ_TYPE_* */
    int32_t index;       /* IN: the GSI; ignored for MULTI_MSI */
    int32_t pirq;        /* IN: < 0: choose; OUT */
    int32_t bus;         /* IN: high 16 bits: segment for MSI_SEG and MULTI_MSI */
    int32_t devfn;       /* IN */
    int32_t entry_nr;    /* IN: MSI-X entry, or how many MULTI_MSI (OUT too) */
    uint64_t table_base; /* IN: address of the MSI-X table; 0: MSI */
};

struct physdev_unmap_pirq {
    domid_t domid; /* IN */
    int32_t pirq;  /* IN */
};

struct physdev_manage_pci {
    uint8_t bus, devfn; /* IN */
};

struct physdev_restore_msi {
    uint8_t bus, devfn; /* IN */
};

struct physdev_manage_pci_ext {
    uint8_t bus, devfn; /* IN */
    uint32_t is_extfn, is_virtfn;
    struct {
        uint8_t bus, devfn;
    } physfn;
};

struct physdev_setup_gsi {
    int32_t gsi;        /* IN */
    uint8_t triggering; /* IN: 0 edge, 1 level */
    uint8_t polarity;   /* IN: 0 active high, 1 active low */
};

struct physdev_get_free_pirq {
    int32_t type;  /* IN: MAP_PIRQ_TYPE_GSI or _MSI */
    uint32_t pirq; /* OUT */
};

struct physdev_pci_mmcfg_reserved {
    uint64_t address;
    uint16_t segment;
    uint8_t start_bus, end_bus;
    uint32_t flags;
};

struct physdev_pci_device_add {
    uint16_t seg;
    uint8_t bus, devfn;
    uint32_t flags; /* XEN_PCI_DEV_* */
    struct {
        uint8_t bus, devfn;
    } physfn;
    uint32_t optarr[]; /* [0]: the proximity domain with XEN_PCI_DEV_PXM */
};

struct physdev_pci_device {
    uint16_t seg;
    uint8_t bus, devfn;
};

#define PHYSDEVOP_DBGP_RESET_PREPARE 1
#define PHYSDEVOP_DBGP_RESET_DONE    2
struct physdev_dbgp_op {
    uint8_t op, bus;
    union {
        struct physdev_pci_device pci;
    } u;
};

#endif

/* nmi_op(cmd, arg): a PV guest's handler of non-maskable interrupts, and why they come. */
#ifndef PUBLIC_NMI_H
#define PUBLIC_NMI_H

#include <public/xen.h>

/* Bits of arch_shared_info.nmi_reason. */
#define XEN_NMIREASON_io_error (1UL << 0)
#define XEN_NMIREASON_pci_serr (1UL << 1)
#define XEN_NMIREASON_unknown  (1UL << 2)

#define XENNMI_register_callback   0
#define XENNMI_unregister_callback 1

struct xennmi_callback {
    uint64_t handler_address;
    uint64_t pad;
};

#endif

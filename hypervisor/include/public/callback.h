/* callback_op(cmd, arg): where the hypervisor enters a PV guest's kernel. */
#ifndef PUBLIC_CALLBACK_H
#define PUBLIC_CALLBACK_H

#include <public/xen.h>

#define CALLBACKTYPE_event     0
#define CALLBACKTYPE_failsafe  1
#define CALLBACKTYPE_syscall   2
#define CALLBACKTYPE_nmi       4
#define CALLBACKTYPE_syscall32 7

#define CALLBACKF_mask_events (1U << 0) /* entry masks event upcalls */

#define CALLBACKOP_register   0
#define CALLBACKOP_unregister 1

struct callback_register {
    uint16_t type;
    uint16_t flags;
    xen_callback_t address;
};

struct callback_unregister {
    uint16_t type;
    uint16_t _unused;
};

#endif

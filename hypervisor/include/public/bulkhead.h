/*
 * Bulkhead's own hypercall: what Xen's ABI has no call for. Recognise the hypervisor by an extra version
 * (XENVER_extraversion) that contains "bulkhead".
 *
 *   long bulkhead_op(unsigned int op, void *arg)
 */
#ifndef PUBLIC_BULKHEAD_H
#define PUBLIC_BULKHEAD_H

#include <stdint.h>

#define __HYPERVISOR_bulkhead_op 55

/*
 * BULKHEAD_get_cause: why hypercalls of the calling domain failed. Fetches the newest record with
 * sequence > after whose hypercall number matches (or any, with BULKHEAD_CAUSE_ANY). -ENODATA: there is none.
 * Privileged domains may name another domain; DOMID_SELF (0x7FF0) is the caller.
 */
#define BULKHEAD_get_cause 0
#define BULKHEAD_CAUSE_ANY 0xffffffffU
struct bulkhead_cause {
    uint64_t after; /* IN */
    uint16_t domid; /* IN */
    uint16_t pad;
    uint32_t hypercall; /* IN: filter; OUT: the hypercall's number */
    uint32_t subop;     /* OUT: its first argument, where that is a sub-operation */
    int32_t error;      /* OUT: what it returned, negative errno */
    uint32_t vcpu;      /* OUT */
    uint32_t pad2;
    uint64_t sequence; /* OUT */
    uint64_t time_ns;  /* OUT: system time */
    char text[192];    /* OUT: the failing check with its values, NUL-terminated */
};

#endif

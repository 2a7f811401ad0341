/*
 * The one policy question: may subject S do operation O to object-owning domain T?
 * Asked at every edge between domains (mapping, copying, binding, control, foreign pages). Today's answer:
 * the control domain may, a domain may to itself, and what was granted (grants, unbound ports offered to S) the
 * callers check themselves after the policy said yes. Lock-free.
 */
#ifndef BH_POLICY_H
#define BH_POLICY_H

#include <bh/types.h>

enum policy_op {
    POLICY_NONE,        /* no other domain is concerned: nothing to ask */
    POLICY_CONTROL,     /* domctl and whatever changes T as a whole */
    POLICY_INSPECT,     /* read state of T */
    POLICY_MAP_FOREIGN, /* map T's frames without a grant */
    POLICY_GRANT_USE,   /* use a grant that T made for S */
    POLICY_EVTCHN_BIND, /* bind to an unbound port that T offered to S */
    POLICY_MACHINE,     /* sysctl, platform and physical-device operations; T is NULL */
};

bool policy_allows(const struct domain *subject, enum policy_op op, const struct domain *target);

#endif

/* The policy question (bh/policy.h): the only place that answers it. */
#include <bh/policy.h>
#include <bh/domain.h>

bool policy_allows(const struct domain *subject, enum policy_op op, const struct domain *target)
{
    if (subject->privileged)
        return true;
    switch (op) {
    case POLICY_GRANT_USE:
    case POLICY_EVTCHN_BIND:
        return true;
    case POLICY_CONTROL:
    case POLICY_INSPECT:
    case POLICY_MAP_FOREIGN:
        return subject == target || (target && subject->target == target);
    default:
        return false;
    }
}

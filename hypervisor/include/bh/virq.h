/*
 * Virtual interrupts: which are per vcpu and which global, and who handles the global ones.
 *
 * A global VIRQ goes to vcpu 0 of its handler: the domain named by XEN_DOMCTL_set_virq_handler, else the
 * control domain.
 */
#ifndef BH_VIRQ_H
#define BH_VIRQ_H

#include <bh/types.h>

enum virq_scope {
    VIRQ_NONE,   /* no such VIRQ */
    VIRQ_VCPU,   /* bound once per vcpu */
    VIRQ_GLOBAL, /* bound at one place in the machine */
};
enum virq_scope virq_scope(uint32_t virq);

/* Raises a global VIRQ (VIRQ_CONSOLE, VIRQ_DOM_EXC, VIRQ_CON_RING, ...). Lock-free but for the port's. */
void virq_send_global(uint32_t virq);

/* d handles `virq` from now on; takes a reference. The control domain: back to the default. 0, -EINVAL,
 * -ESRCH. */
int must_check virq_set_handler(struct vcpu *v, struct domain *d, uint32_t virq);
/* d is going away: whatever it handled returns to the control domain. */
void virq_clear_handler(struct domain *d);

#endif

/* Shadows the hypervisor's asm/context.h on the host: no CPU holds anybody's state. */
#ifndef ASM_CONTEXT_H
#define ASM_CONTEXT_H

struct vcpu;
struct domain;

void vcpu_sync(struct vcpu *v);
void domain_sync(struct domain *d);
void context_load_cr3(struct vcpu *v);

#endif

/*
 * Domains and vcpus: the x86 half of their creation and end (bh/arch.h). What is made here is owned by the
 * domain and given back by arch_domain_destroy and arch_vcpu_destroy, which accept whatever half exists.
 */
#include <asm/context.h>
#include <asm/irq.h>
#include <asm/layout.h>
#include <asm/mm.h>
#include <asm/pv.h>
#include <asm/time.h>
#include <bh/arch.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/page_alloc.h>
#include <bh/printk.h>
#include <bh/string.h>

int arch_domain_create(struct domain *d)
{
    if (d->kind != KIND_PV)
        return 0;
    d->arch.is_64bit = true;
    d->arch.tsc_khz = tsc_khz;
    d->arch.tsc_incarnation = 1;
    d->arch.perdomain_l3 = page_alloc(0, 0);
    if (!d->arch.perdomain_l3)
        return -ENOMEM;
    memset(arch_map(page_to_mfn(d->arch.perdomain_l3)), 0, PAGE_SIZE);
    d->arch.ioport_caps = rangeset_create("I/O ports");
    if (!d->arch.ioport_caps)
        return -ENOMEM;
    return pirq_domain_init(d);
}

void arch_domain_destroy(struct domain *d)
{
    pirq_domain_destroy(d);
    rangeset_destroy(d->arch.ioport_caps);
    d->arch.ioport_caps = NULL;
    kfree(d->arch.cpuid);
    d->arch.cpuid = NULL;
    pv_perdomain_free(d);
}

int arch_vcpu_create(struct vcpu *v)
{
    return v->domain->kind == KIND_PV ? pv_vcpu_create(v) : 0;
}

void arch_vcpu_destroy(struct vcpu *v)
{
    if (v->domain->kind != KIND_PV)
        return;
    vcpu_sync(v);
    pv_vcpu_relinquish(v);
    pv_vcpu_destroy(v);
}

void arch_vcpu_reset(struct vcpu *v)
{
    vcpu_sync(v);
    pv_vcpu_relinquish(v);
    v->initialised = false;
}

/* The info page holds cr2 and time; both are published anew before the guest looks. */
void arch_vcpu_info_moved(struct vcpu *v)
{
    arch_update_vcpu_time(v);
}

bool arch_vcpu_upcall_masked(struct vcpu *v)
{
    return READ_ONCE(v->info->evtchn_upcall_mask);
}

void arch_hypercall_args(struct vcpu *v, uint32_t *number, uint32_t *first_arg)
{
    const struct cpu_regs *regs = &cpu_info()->guest;

    *number = (uint32_t)regs->rax;
    *first_arg = (uint32_t)regs->rdi;
}

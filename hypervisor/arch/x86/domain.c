/*
 * Domains and vcpus: the x86 half of their creation and end (bh/arch.h). What is made here is owned by the
 * domain and given back by arch_domain_destroy and arch_vcpu_destroy, which accept whatever half exists.
 */
#include <asm/context.h>
#include <asm/irq.h>
#include <asm/percpu.h>
#include <asm/pv.h>
#include <asm/trap.h>
#include <bh/arch.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/guest.h>
#include <bh/page_alloc.h>
#include <bh/printk.h>
#include <bh/string.h>
#include <public/vcpu.h>

int arch_domain_create(struct domain *d)
{
    d->arch.tsc_incarnation = 1;
    d->arch.perdomain_l3 = page_alloc(0, 0);
    if (!d->arch.perdomain_l3)
        return -ENOMEM;
    memset(arch_map(page_to_mfn(d->arch.perdomain_l3)), 0, PAGE_SIZE);
    d->arch.ioport_caps = rangeset_create();
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
    kfree(d->arch.memory_map);
    d->arch.memory_map = NULL;
    pv_perdomain_free(d);
}

void arch_vcpu_reset(struct vcpu *v)
{
    vcpu_sync(v);
    pv_vcpu_relinquish(v);
    v->initialised = false;
}

void arch_hypercall_args(struct vcpu *v, uint32_t *number, uint32_t *first_arg)
{
    const struct cpu_regs *regs = &cpu_info()->guest;

    *number = (uint32_t)regs->rax;
    *first_arg = (uint32_t)regs->rdi;
}

static long op_get_physid(struct vcpu *caller, struct vcpu *v, uint64_t untrusted_arg)
{
    cpumask_t hard = v->sched.hard;

    if (!hard || (hard & (hard - 1)))
        return fail(caller, -EINVAL, "vcpu {0} is not pinned to one CPU (affinity {1})", v->id, hard);
    const struct percpu *cpu = percpu_of((unsigned int)__builtin_ctzl(hard));
    uint64_t physid = cpu->apic_id | (uint64_t)cpu->acpi_id << 32;
    return copy_to_guest(caller, untrusted_arg, &physid, sizeof(physid))
               ? fail(caller, -EFAULT, "vcpu_op: cannot write to {0}", untrusted_arg, 0)
               : 0;
}

long arch_vcpu_op(struct vcpu *caller, unsigned int op, struct vcpu *v, uint64_t untrusted_arg)
{
    switch (op) {
    case VCPUOP_send_nmi:
        pv_send_nmi(v);
        return 0;
    case VCPUOP_get_physid:
        return op_get_physid(caller, v, untrusted_arg);
    default:
        return fail(caller, -ENOSYS, "vcpu_op: no operation {0}", op, 0);
    }
}

void arch_dump_vcpu(struct vcpu *v)
{
    bool running = v == arch_current();

    printk(LOG_ERROR, "domain %u vcpu %u: %s, %s mode, cr3 %#lx", v->domain->id, v->id,
           running ? "running here" : "as last saved", v->arch.pv.kernel_mode ? "kernel" : "user",
           (unsigned long)v->arch.cr3);
    if (!running && v->arch.loaded_cpu)
        printk(LOG_ERROR, "  its registers are in CPU %u, the following are older", v->arch.loaded_cpu - 1);
    regs_dump(running ? &cpu_info()->guest : &v->arch.regs);
}

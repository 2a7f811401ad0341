/*
 * NMIs. Sources: another CPU's panic (stop), the system's error lines and the diagnostic button (port 0x61).
 * The last two and whatever has no explanation become a virtual NMI of the control domain's vcpu 0.
 */
#include <bh/arch.h>
#include <bh/domain.h>
#include <asm/apic.h>
#include <asm/insn.h>
#include <asm/irq.h>
#include <asm/nmi.h>
#include <asm/percpu.h>
#include <asm/pv.h>
#include <asm/smp.h>
#include <asm/trap.h>
#include <public/nmi.h>

#define NMI_PORT       0x61
#define NMI_PORT_SERR  0x80
#define NMI_PORT_IOCHK 0x40

static _Atomic bool stopping;
static _Atomic int stopper = -1;
static _Atomic uint64_t waiting; /* XEN_NMIREASON_*: what the control domain has not been told yet */

void nmi_stop_others(void)
{
    unsigned int self = arch_cpu_id();

    stopper = (int)self;
    stopping = true;
    for (unsigned int cpu = 0; cpu < NR_CPUS; cpu++)
        if (cpu != self && (cpus_online & CPUMASK(cpu)))
            apic_send_nmi(percpu_of(cpu)->apic_id);
}

static void halt_this_cpu(void)
{
    for (;;)
        __asm__ volatile("cli; hlt");
}

/* In the kick interrupt that follows: the NMI itself may have interrupted anything. */
void nmi_deliver(void)
{
    struct domain *d = control_domain;
    uint64_t reason;

    if (likely(!waiting) || !(reason = atomic_exchange(&waiting, 0)))
        return;
    if (!d || d->max_vcpus == 0 || !d->vcpu[0]) {
        printk(LOG_WARNING, "NMI for nobody, reason %lx: there is no control domain", reason);
        return;
    }
    printk(LOG_INFO, "NMI (%s): passed to the control domain",
           reason & XEN_NMIREASON_pci_serr   ? "SERR"
           : reason & XEN_NMIREASON_io_error ? "I/O check"
                                             : "button or unknown");
    __atomic_fetch_or(&d->shared_info->arch.nmi_reason, reason, __ATOMIC_SEQ_CST);
    pv_send_nmi(d->vcpu[0]);
}

void trap_nmi(struct cpu_regs *regs)
{
    uint8_t lines;

    if (stopping && stopper != (int)arch_cpu_id())
        halt_this_cpu();
    if (arch_cpu_id() != 0)
        return;
    lines = inb(NMI_PORT);
    if (lines & (NMI_PORT_SERR | NMI_PORT_IOCHK)) {
        outb(NMI_PORT, (lines & 0x0f) | 0x0c); /* clears and masks the line */
        outb(NMI_PORT, lines & 0x03);
    }
    atomic_fetch_or(&waiting, lines & NMI_PORT_SERR    ? XEN_NMIREASON_pci_serr
                              : lines & NMI_PORT_IOCHK ? XEN_NMIREASON_io_error
                                                       : XEN_NMIREASON_unknown);
    apic_send_ipi(this_percpu()->apic_id, VECTOR_KICK);
}

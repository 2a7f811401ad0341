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
#include <asm/smp.h>
#include <asm/trap.h>

#define NMI_PORT       0x61
#define NMI_PORT_SERR  0x80
#define NMI_PORT_IOCHK 0x40

static _Atomic bool stopping;
static _Atomic int stopper = -1;
static _Atomic bool waiting;

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
    struct vcpu *v;

    if (likely(!waiting) || !atomic_exchange(&waiting, false))
        return;
    if (!control_domain || control_domain->max_vcpus == 0 || !control_domain->vcpu[0])
        return;
    v = control_domain->vcpu[0];
    v->arch.pv.bounce.nmi_pending = 1;
    arch_vcpu_kick(v);
    vcpu_wake(v);
}

void trap_nmi(struct cpu_regs *regs)
{
    uint8_t reason;

    if (stopping && stopper != (int)arch_cpu_id())
        halt_this_cpu();
    if (arch_cpu_id() != 0)
        return;
    reason = inb(NMI_PORT);
    if (reason & (NMI_PORT_SERR | NMI_PORT_IOCHK)) {
        outb(NMI_PORT, (reason & 0x0f) | 0x0c); /* clears and masks the line */
        outb(NMI_PORT, reason & 0x03);
    }
    waiting = true;
    apic_send_ipi(this_percpu()->apic_id, VECTOR_KICK);
}

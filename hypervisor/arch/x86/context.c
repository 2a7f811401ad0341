/*
 * Switching a CPU between vcpus. Model in asm/context.h: a vcpu's state stays in the CPU while the CPU idles.
 *
 * v->arch.loaded_cpu and percpu->loaded change together, on that CPU alone, with interrupts off: a cross call
 * reads them consistently. Guests' registers lie in cpu_info()->guest of the CPU that holds them.
 */
#include <bh/arch.h>
#include <bh/domain.h>
#include <bh/sched.h>
#include <asm/context.h>
#include <asm/cpufeature.h>
#include <asm/cr.h>
#include <asm/fpu.h>
#include <asm/insn.h>
#include <asm/layout.h>
#include <asm/msr.h>
#include <asm/paging.h>
#include <asm/percpu.h>
#include <asm/smp.h>
#include <asm/tlb.h>

#define DR7_ACTIVE 0xffu

/* ---- pieces ---- */

void context_save_segments(struct vcpu *v)
{
    struct pv_vcpu *pv = &v->arch.pv;
    uint64_t gs = rdmsr(MSR_GS_BASE), shadow = rdmsr(MSR_SHADOW_GS_BASE);

    pv->ds = read_ds();
    pv->es = read_es();
    pv->fs = read_fs();
    pv->gs = read_gs();
    pv->fs_base = rdmsr(MSR_FS_BASE);
    pv->gs_base_kernel = pv->kernel_mode ? gs : shadow;
    pv->gs_base_user = pv->kernel_mode ? shadow : gs;
}

void context_load_segments(struct vcpu *v)
{
    struct pv_vcpu *pv = &v->arch.pv;

    if (pv->ds | read_ds())
        load_ds(pv->ds);
    if (pv->es | read_es())
        load_es(pv->es);
    if (pv->fs | read_fs())
        load_fs(pv->fs);
    if (pv->gs | read_gs())
        load_gs(pv->gs);
    wrmsr(MSR_FS_BASE, pv->fs_base);
    wrmsr(MSR_GS_BASE, pv->kernel_mode ? pv->gs_base_kernel : pv->gs_base_user);
    wrmsr(MSR_SHADOW_GS_BASE, pv->kernel_mode ? pv->gs_base_user : pv->gs_base_kernel);
}

void context_load_gdt(struct vcpu *v)
{
    struct percpu *p = this_percpu();
    const struct descriptor_pointer gdt = {(GDT_HV_PAGE + 1) * PAGE_SIZE - 1, PERDOMAIN_GDT(v->id)};

    v->arch.pv.perdomain_l1[GDT_HV_PAGE] =
        mfn_to_paddr(p->gdt_mfn) | PTE_PRESENT | PTE_WRITE | PTE_ACCESSED | PTE_DIRTY | PTE_NX;
    lgdt(&gdt);
}

void context_load_ldt(struct vcpu *v)
{
    if (v->arch.pv.ldt_entries || this_percpu()->ldt_loaded)
        desc_set_ldt(this_percpu(), PERDOMAIN_LDT(v->id), v->arch.pv.ldt_entries);
}

void context_set_ts(bool ts)
{
    if (ts)
        write_cr0(read_cr0() | CR0_TS);
    else
        clts();
    this_percpu()->cr0_ts = ts;
}

void context_load_debugregs(struct vcpu *v)
{
    const uint64_t *dr = v->arch.debugreg;
    bool active = dr[7] & DR7_ACTIVE;

    if (active) {
        write_dr0(dr[0]);
        write_dr1(dr[1]);
        write_dr2(dr[2]);
        write_dr3(dr[3]);
        write_dr7(dr[7]);
    } else if (this_percpu()->dr7_active) {
        write_dr7(0);
    }
    this_percpu()->dr7_active = active;
}

void context_load_cr3(struct vcpu *v)
{
    tlb_load_cr3(v->arch.cr3);
}

/* ---- whole states ---- */

/* This CPU holds v: into memory with it, and off its page tables. */
static void unload(struct percpu *p, struct vcpu *v)
{
    v->arch.regs = p->info->guest;
    context_save_segments(v);
    if (p->cr0_ts)
        context_set_ts(false);
    fpu_save(v);
    p->loaded = NULL;
}

/* The CPU has left v's tables: others may load its state, and need not flush this CPU for it. */
static void released(struct percpu *p, struct vcpu *v)
{
    atomic_fetch_and(&v->domain->arch.dirty_cpus, ~CPUMASK(p->cpu));
    atomic_store_explicit(&v->arch.loaded_cpu, 0, memory_order_release);
}

static void unload_to_own_tables(struct percpu *p)
{
    struct vcpu *v = p->loaded;

    unload(p, v);
    if (p->dr7_active) {
        write_dr7(0);
        p->dr7_active = false;
    }
    desc_set_ldt(p, 0, 0);
    desc_load_own_gdt(p);
    tlb_load_cr3(hv_cr3);
    released(p, v);
}

static void load(struct percpu *p, struct vcpu *v)
{
    bool ts = v->arch.pv.ctrlreg[0] & CR0_TS;

    p->info->guest = v->arch.regs;
    p->loaded = v;
    atomic_store_explicit(&v->arch.loaded_cpu, p->cpu + 1, memory_order_relaxed);
    atomic_fetch_or(&v->domain->arch.dirty_cpus, CPUMASK(p->cpu));
    tlb_load_cr3(v->arch.cr3);
    context_load_gdt(v);
    context_load_ldt(v);
    context_load_segments(v);
    fpu_load(v);
    if (ts)
        context_set_ts(true);
    context_load_debugregs(v);
    if (cpu_has(FEAT_RDTSCP))
        wrmsr(MSR_TSC_AUX, v->arch.tsc_aux);
}

/* Cross call: `arg` is a vcpu that this CPU may hold without running it. */
static void sync_here(void *arg)
{
    struct percpu *p = this_percpu();

    if (p->loaded == arg && p->info->current != arg)
        unload_to_own_tables(p);
}

void vcpu_sync(struct vcpu *v)
{
    uint32_t loaded = atomic_load_explicit(&v->arch.loaded_cpu, memory_order_acquire);

    if (loaded != 0 && v != arch_current())
        arch_cross_call(CPUMASK(loaded - 1), sync_here, v);
}

void domain_sync(struct domain *d)
{
    struct vcpu *v;

    for_each_vcpu (d, v)
        vcpu_sync(v);
}

/* ---- the scheduler's switch ---- */

static void switch_to_guest(struct percpu *p, struct vcpu *next)
{
    struct vcpu *old;

    if (p->loaded == next)
        return;
    /* Another CPU may hold next while it idles. Waiting for it serves calls, which may take what we hold. */
    if (next->arch.loaded_cpu != 0)
        arch_cross_call(CPUMASK(next->arch.loaded_cpu - 1), sync_here, next);
    old = p->loaded;
    if (old)
        unload(p, old);
    if (!old || old->domain != next->domain)
        cpu_speculation_switch();
    load(p, next);
    if (old && old->domain != next->domain)
        released(p, old);
    else if (old)
        atomic_store_explicit(&old->arch.loaded_cpu, 0, memory_order_release);
}

void arch_context_switch(struct vcpu *prev, struct vcpu *next)
{
    struct percpu *p = this_percpu();

    /* With a barrier: who makes an event pending for next sees that it must kick it, or we see the event on our way out. */
    __atomic_store_n(&p->info->current, next, __ATOMIC_SEQ_CST);
    if (vcpu_is_idle(next)) {
        sched_context_saved(prev);
        reset_stack_and_idle();
    }
    switch_to_guest(p, next);
    sched_context_saved(prev);
    arch_update_vcpu_time(next);
    sched_switched_in(next);
    reset_stack_and_return_to_guest();
}

void arch_vcpu_kick(struct vcpu *v)
{
    uint32_t loaded = atomic_load_explicit(&v->arch.loaded_cpu, memory_order_relaxed);
    unsigned int cpu;

    if (loaded == 0)
        return;
    cpu = loaded - 1;
    if (cpu != arch_cpu_id() && READ_ONCE(percpu_of(cpu)->info->current) == v)
        arch_kick_cpu(cpu);
}

struct vcpu *arch_current(void)
{
    return cpu_info()->current;
}

void arch_set_current(struct vcpu *v)
{
    cpu_info()->current = v;
}

unsigned int arch_cpu_id(void)
{
    return cpu_info()->cpu;
}

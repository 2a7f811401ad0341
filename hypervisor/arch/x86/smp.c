/*
 * Other CPUs: starting them, and running functions on them.
 *
 * Start: the boot CPU makes a CPU's percpu, stack and descriptor page, then sends INIT and startup IPIs; the
 * trampoline (boot/head.S) brings the CPU to smp_secondary_main(). One at a time.
 *
 * Cross calls: each CPU has one request (fn, arg, CPUs still to answer) and each CPU a word of senders that
 * want something from it. Interrupts are off in the hypervisor, so a CPU serves calls when its interrupt is
 * taken in guest mode or idle, or from arch_cpu_relax() while it spins, waiting for its own call included.
 * Functions take no lock.
 */
#include <bh/arch.h>
#include <bh/page_alloc.h>
#include <bh/printk.h>
#include <bh/sched.h>
#include <bh/string.h>
#include <asm/acpi.h>
#include <asm/apic.h>
#include <asm/cpufeature.h>
#include <asm/insn.h>
#include <asm/irq.h>
#include <asm/isolation.h>
#include <asm/nmi.h>
#include <asm/paging.h>
#include <asm/percpu.h>
#include <asm/setup.h>
#include <asm/smp.h>
#include <asm/time.h>

#define START_TIMEOUT_US 1000000
#define SYNC_ROUNDS      16
#define TRAMPOLINE_PAGE  0x8000UL

struct request {
    void (*fn)(void *arg);
    void *arg;
    _Atomic cpumask_t waiting;
} aligned(64);

struct percpu *percpu_table[NR_CPUS];
cpumask_t cpus_online;
static unsigned int nr_cpus = 1;
static struct request requests[NR_CPUS];
static _Atomic bool stop_requested;

extern uint8_t trampoline_start[], trampoline_end[], trampoline_32[], trampoline_64[];
extern uint8_t trampoline_gdt[], trampoline_gdt_base[], trampoline_far32[], trampoline_far64[];
extern uint8_t trampoline_cr3[], trampoline_rsp[], trampoline_entry[];
void secondary_start(void);
void noreturn_fn smp_secondary_main(void);

/* ---- cross calls ---- */

void smp_serve_calls(void)
{
    struct percpu *p = this_percpu();
    uint64_t senders;

    if (likely(!atomic_load_explicit(&p->calls, memory_order_relaxed)))
        return;
    senders = atomic_exchange(&p->calls, 0);
    for (; senders; senders &= senders - 1) {
        struct request *r = &requests[__builtin_ctzl(senders)];

        r->fn(r->arg);
        atomic_fetch_and(&r->waiting, ~CPUMASK(p->cpu));
    }
}

void arch_cross_call(cpumask_t mask, void (*fn)(void *arg), void *arg)
{
    unsigned int self = arch_cpu_id();
    struct request *r = &requests[self];
    cpumask_t others = mask & cpus_online & ~CPUMASK(self);

    if (others) {
        r->fn = fn;
        r->arg = arg;
        atomic_store(&r->waiting, others);
        for (cpumask_t rest = others; rest; rest &= rest - 1) {
            struct percpu *p = percpu_of((unsigned int)__builtin_ctzl(rest));

            /* A sender that finds the word in use knows that an interrupt is on its way already. */
            if (atomic_fetch_or(&p->calls, CPUMASK(self)) == 0)
                apic_send_ipi(p->apic_id, VECTOR_CALL);
        }
    }
    if (mask & CPUMASK(self))
        fn(arg);
    while (atomic_load_explicit(&r->waiting, memory_order_acquire))
        arch_cpu_relax();
}

void arch_cpu_relax(void)
{
    cpu_pause();
    smp_serve_calls();
}

/* ---- kicks and sleep ---- */

void arch_kick_cpu(unsigned int cpu)
{
    apic_send_ipi(percpu_of(cpu)->apic_id, VECTOR_KICK);
}

_Atomic uint32_t *arch_work_word(unsigned int cpu)
{
    return (_Atomic uint32_t *)&percpu_of(cpu)->info->work;
}

void arch_irq_window(void)
{
    __asm__ volatile("sti; nop; cli" : : : "memory");
}

bool arch_irq_pending(void)
{
    return READ_ONCE(cpu_info()->work) || apic_irr_any();
}

void arch_idle_wait(void)
{
    /* An interrupt between the test and HLT is held back by STI's shadow, and ends the HLT. */
    if (!READ_ONCE(cpu_info()->work))
        __asm__ volatile("sti; hlt; cli" : : : "memory");
}

cpumask_t arch_online_cpus(void)
{
    return cpus_online;
}

unsigned int arch_nr_cpus(void)
{
    return nr_cpus;
}

/* ---- stopping ---- */

/* By NMI: the others may spin with interrupts off, or be what broke. */
void smp_stop_others(void)
{
    if (!cpus_online || atomic_exchange(&stop_requested, true))
        return;
    nmi_stop_others();
    udelay(1000);
}

/* ---- start ---- */

static void fill_percpu(struct percpu *p, unsigned int cpu, uint32_t apic, struct cpu_info *info)
{
    p->cpu = cpu;
    p->apic_id = apic;
    p->info = info;
    info->cpu = cpu;
    info->percpu = p;
    percpu_table[cpu] = p;
    desc_prepare(p);
}

void smp_boot_cpu_init(void)
{
    struct percpu *p = pa_to_va(boot_alloc(sizeof(*p), PAGE_SIZE, true));
    paddr_t gdt = boot_alloc(PAGE_SIZE, PAGE_SIZE, true);
    uint32_t r[4];

    p->gdt_page = pa_to_va(gdt);
    p->gdt_mfn = paddr_to_mfn(gdt);
    cpuid_count(1, 0, r);
    p->root = isolation_on ? paging_isolated_root() : NULL;
    fill_percpu(p, 0, r[1] >> 24, paging_map_stack(0, p->root));
}

/* Everything of a new CPU that memory is needed for. NULL: no memory. */
static struct percpu *make_percpu(unsigned int cpu, const struct acpi_cpu *a)
{
    struct percpu *p = kalloc(sizeof(*p));
    void *gdt = kalloc(PAGE_SIZE);
    uint64_t *root = isolation_on ? paging_isolated_root() : NULL;
    struct cpu_info *info = paging_map_stack(cpu, root);

    if (!p || !gdt || !info || (isolation_on && !root)) {
        kfree(p);
        kfree(gdt);
        return NULL;
    }
    p->gdt_page = gdt;
    p->gdt_mfn = arch_unmap(gdt);
    p->root = root;
    p->acpi_id = a->acpi_id;
    fill_percpu(p, cpu, a->apic_id, info);
    return p;
}

/* Sets a word of the trampoline's copy: 4 or 8 bytes. */
static void put(uint8_t *trampoline, const uint8_t *symbol, uint64_t value, size_t bytes)
{
    memcpy(trampoline + (symbol - trampoline_start), &value, bytes);
}

static void prepare_trampoline(uint8_t *copy)
{
    memcpy(copy, trampoline_start, (size_t)(trampoline_end - trampoline_start));
    put(copy, trampoline_gdt_base, TRAMPOLINE_PAGE + (uint64_t)(trampoline_gdt - trampoline_start), 4);
    put(copy, trampoline_far32, TRAMPOLINE_PAGE + (uint64_t)(trampoline_32 - trampoline_start), 4);
    put(copy, trampoline_far64, TRAMPOLINE_PAGE + (uint64_t)(trampoline_64 - trampoline_start), 4);
    put(copy, trampoline_cr3, hv_cr3, 8);
    put(copy, trampoline_entry, (uint64_t)secondary_start, 8);
}

/* TSC offset of the new CPU, by asking for its TSC between two reads of ours; both sides run together. */
static struct {
    _Atomic uint32_t turn; /* 2 * round: asked; 2 * round + 1: answered */
    _Atomic uint64_t answer;
} tsc_sync;

static void tsc_sync_answer(void)
{
    for (uint32_t round = 1; round <= SYNC_ROUNDS; round++) {
        while (tsc_sync.turn != 2 * round)
            cpu_pause();
        tsc_sync.answer = rdtsc();
        tsc_sync.turn = 2 * round + 1;
    }
}

static int64_t tsc_sync_ask(void)
{
    uint64_t best = ~0UL;
    int64_t offset = 0;

    for (uint32_t round = 1; round <= SYNC_ROUNDS; round++) {
        uint64_t before = rdtsc(), after;

        tsc_sync.turn = 2 * round;
        while (tsc_sync.turn != 2 * round + 1)
            cpu_pause();
        after = rdtsc();
        if (after - before >= best)
            continue;
        best = after - before;
        offset = (int64_t)(tsc_sync.answer - before - best / 2);
    }
    tsc_sync.turn = 0;
    /* An offset that the round trip explains is none. */
    return offset >= -(int64_t)best && offset <= (int64_t)best ? 0 : offset;
}

static bool wait_alive(const struct percpu *p, unsigned int timeout_us)
{
    for (unsigned int us = 0; us < timeout_us; us += 10) {
        if (p->alive)
            return true;
        udelay(10);
    }
    return p->alive;
}

static bool start_cpu(unsigned int cpu, const struct acpi_cpu *a, uint8_t *trampoline)
{
    struct percpu *p = make_percpu(cpu, a);
    int64_t offset;

    if (!p) {
        printk(LOG_WARNING, "CPU %u: no memory for its data; it stays off", cpu);
        return false;
    }
    put(trampoline, trampoline_rsp, (uint64_t)p->info, 8);
    apic_send_init(a->apic_id);
    udelay(boot_cpu.family < 6 ? 10000 : 100);
    apic_send_startup(a->apic_id, TRAMPOLINE_PAGE >> PAGE_SHIFT);
    if (!wait_alive(p, 300)) {
        apic_send_startup(a->apic_id, TRAMPOLINE_PAGE >> PAGE_SHIFT);
        if (!wait_alive(p, START_TIMEOUT_US)) {
            printk(LOG_WARNING, "CPU %u (APIC id %u) did not start within a second; it stays off", cpu,
                   a->apic_id);
            percpu_table[cpu] = NULL;
            return false;
        }
    }
    offset = tsc_sync_ask();
    p->tsc_base = percpu_of(0)->tsc_base + (uint64_t)offset;
    p->ns_base = percpu_of(0)->ns_base;
    if (offset)
        printk(LOG_INFO, "CPU %u: its TSC is %ld ticks off; corrected", cpu, (long)offset);
    cpus_online |= CPUMASK(cpu);
    atomic_store(&p->alive, false); /* go on */
    while (!p->alive)
        cpu_pause();
    return true;
}

void smp_secondary_main(void)
{
    struct percpu *p = this_percpu();

    desc_load(p);
    cpu_enable_features();
    apic_enable_cpu();
    atomic_store(&p->alive, true);
    tsc_sync_answer();
    while (p->alive)
        cpu_pause();
    time_init_cpu();
    smp_cpu_ready(p->cpu);
    atomic_store(&p->alive, true);
    idle_loop();
}

void arch_smp_init(unsigned int max_cpus)
{
    uint8_t *trampoline = pa_to_va(TRAMPOLINE_PAGE);
    uint32_t own = apic_id();

    prepare_trampoline(trampoline);
    paging_map_trampoline(TRAMPOLINE_PAGE);
    for (uint32_t i = 0; i < acpi.nr_cpus && nr_cpus < NR_CPUS && (max_cpus == 0 || nr_cpus < max_cpus); i++)
        if (acpi.cpu[i].apic_id != own && start_cpu(nr_cpus, &acpi.cpu[i], trampoline))
            nr_cpus++;
    paging_unmap_trampoline(TRAMPOLINE_PAGE);
    printk(LOG_INFO, "CPUs: %u running", nr_cpus);
}

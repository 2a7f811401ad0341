/* The machine of the host tests; see fake.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bh/domctl.h>
#include <bh/arch.h>
#include <bh/console.h>
#include <bh/errno.h>
#include <bh/guest.h>
#include <bh/hypercall.h>
#include <bh/page_alloc.h>
#include <bh/printk.h>
#include <bh/timer.h>
#include <bh/work.h>
#include <asm/layout.h>
#include "fake.h"

#define FAKE __attribute__((weak))

unsigned int fake_cpu, fake_kicks[NR_CPUS], fake_vcpu_kicks, fake_switches, fake_timer_writes;
cpumask_t fake_online = 1, fake_flushed;
struct vcpu *fake_current[NR_CPUS];
_Atomic uint32_t fake_work[NR_CPUS];
bool fake_preempt;
uint64_t fake_now = NSEC(1), fake_deadline[NR_CPUS];
uint32_t fake_tlb_clock = 1;
uint64_t fake_fault_start, fake_fault_end;
uint32_t fake_hypercall, fake_hypercall_arg;
char fake_console[65536];
static size_t console_len;
enum fake_ending fake_ending;
jmp_buf fake_end;
bool fake_end_armed;

/* Memory */

static struct page_info frames[FAKE_PAGES];
static uint8_t ram[FAKE_PAGES][PAGE_SIZE] aligned(PAGE_SIZE);
static uint64_t m2p[FAKE_PAGES];
FAKE struct page_info *const frame_table = frames;
FAKE uint64_t max_page = FAKE_PAGES;

FAKE void *arch_map(mfn_t mfn)
{
    return ram[mfn.n];
}

FAKE mfn_t arch_unmap(const void *mapped)
{
    return MFN((uint64_t)((const uint8_t *)mapped - ram[0]) >> PAGE_SHIFT);
}

FAKE void arch_set_m2p(mfn_t mfn, uint64_t pfn)
{
    m2p[mfn.n] = pfn;
}

FAKE void arch_flush_tlb(cpumask_t mask)
{
    fake_flushed |= mask;
    fake_tlb_clock++;
}

FAKE uint32_t arch_tlb_clock(void)
{
    return fake_tlb_clock;
}

FAKE cpumask_t arch_tlb_stale(cpumask_t mask, uint32_t stamp)
{
    return stamp == fake_tlb_clock ? mask : 0;
}

/* Guest memory */

/* How many of the bytes from `address` on are not there. */
static size_t missing(uint64_t address, size_t bytes)
{
    if (address < PAGE_SIZE || (address >= HV_START && address < HV_END) || address >> 47)
        return bytes;
    if (address >= fake_fault_start && address < fake_fault_end)
        return bytes;
    if (address < fake_fault_start && address + bytes > fake_fault_start)
        return address + bytes - fake_fault_start;
    return 0;
}

FAKE size_t copy_from_guest(struct vcpu *v, void *dst, uint64_t untrusted_src, size_t bytes)
{
    size_t left = missing(untrusted_src, bytes);

    if (bytes > left)
        memcpy(dst, (const void *)untrusted_src, bytes - left);
    if (left)
        memset((char *)dst + bytes - left, 0, left);
    return left;
}

FAKE size_t copy_to_guest(struct vcpu *v, uint64_t untrusted_dst, const void *src, size_t bytes)
{
    size_t left = missing(untrusted_dst, bytes);

    if (bytes > left)
        memcpy((void *)untrusted_dst, src, bytes - left);
    return left;
}

FAKE size_t clear_guest(struct vcpu *v, uint64_t untrusted_dst, size_t bytes)
{
    size_t left = missing(untrusted_dst, bytes);

    if (bytes > left)
        memset((void *)untrusted_dst, 0, bytes - left);
    return left;
}

/* CPUs */

FAKE unsigned int arch_cpu_id(void)
{
    return fake_cpu;
}

FAKE cpumask_t arch_online_cpus(void)
{
    return fake_online;
}

FAKE void arch_cpu_relax(void)
{
}

FAKE void arch_irq_window(void)
{
}

FAKE bool arch_irq_pending(void)
{
    return fake_preempt;
}

FAKE void arch_kick_cpu(unsigned int cpu)
{
    fake_kicks[cpu]++;
}

FAKE void arch_idle_wait(void)
{
}

FAKE void arch_cross_call(cpumask_t mask, void (*fn)(void *arg), void *arg)
{
    unsigned int me = fake_cpu;

    for (cpumask_t m = mask & fake_online; m; m &= m - 1) {
        fake_cpu = (unsigned int)__builtin_ctzl(m);
        fn(arg);
    }
    fake_cpu = me;
}

FAKE struct vcpu *arch_current(void)
{
    return fake_current[fake_cpu];
}

FAKE void arch_set_current(struct vcpu *v)
{
    fake_current[fake_cpu] = v;
}

FAKE _Atomic uint32_t *arch_work_word(unsigned int cpu)
{
    return &fake_work[cpu];
}

FAKE void arch_hypercall_args(struct vcpu *v, uint32_t *number, uint32_t *first_arg)
{
    *number = fake_hypercall;
    *first_arg = fake_hypercall_arg;
}

/* Time */

FAKE uint64_t arch_now(void)
{
    return fake_now;
}

FAKE void arch_timer_set(uint64_t deadline)
{
    fake_deadline[fake_cpu] = deadline;
    fake_timer_writes++;
}

FAKE uint64_t arch_wallclock(uint32_t *nsec)
{
    *nsec = 0;
    return 1700000000;
}

FAKE void arch_set_wallclock(uint64_t sec, uint32_t nsec, uint64_t system_time)
{
}

FAKE void arch_update_vcpu_time(struct vcpu *v)
{
}

FAKE void arch_update_wallclock(struct domain *d)
{
}

/* Domains and vcpus */

FAKE int arch_domain_create(struct domain *d)
{
    return 0;
}

FAKE void arch_domain_destroy(struct domain *d)
{
}

/* The machine's own part gives pages back by their list, like this but preemptibly. */
FAKE int arch_domain_relinquish(struct domain *d)
{
    while (d->first_page) {
        struct page_info *pg = mfn_to_page(MFN(d->first_page));

        if (!page_drop_allocated(pg))
            break;
    }
    return 0;
}

FAKE int arch_vcpu_create(struct vcpu *v)
{
    return 0;
}

FAKE void arch_vcpu_destroy(struct vcpu *v)
{
}

FAKE void arch_context_switch(struct vcpu *prev, struct vcpu *next)
{
    fake_switches++;
    fake_current[fake_cpu] = next;
    sched_context_saved(prev);
    if (!vcpu_is_idle(next))
        sched_switched_in(next);
}

FAKE void arch_vcpu_kick(struct vcpu *v)
{
    fake_vcpu_kicks++;
}

FAKE int arch_vcpu_initialise(struct vcpu *caller, struct vcpu *v, uint64_t untrusted_context)
{
    return untrusted_context ? 0 : -EFAULT;
}

FAKE void arch_vcpu_reset(struct vcpu *v)
{
}

FAKE long arch_vcpu_op(struct vcpu *caller, unsigned int op, struct vcpu *v, uint64_t untrusted_arg)
{
    return -ENOSYS;
}

FAKE void arch_dump_vcpu(struct vcpu *v)
{
    printk(LOG_ERROR, "registers of d%uv%u", v->domain->id, v->id);
}

/* Operations of the machine that common code only hands on */

FAKE long arch_memory_op(struct vcpu *v, unsigned int op, uint64_t untrusted_arg)
{
    return -ENOSYS;
}

FAKE const struct domctl_row *arch_domctl(uint32_t cmd)
{
    return NULL;
}

FAKE long arch_sysctl(struct vcpu *v, uint32_t cmd, uint64_t untrusted_arg)
{
    return -ENOSYS;
}

FAKE void arch_domain_info(const struct domain *d, struct xen_domctl_getdomaininfo *info)
{
}

FAKE int arch_domain_config_check(struct vcpu *v, const struct xen_domctl_createdomain *config)
{
    return 0;
}

FAKE int arch_grant_map(struct vcpu *v, uint64_t address, mfn_t mfn, unsigned int flags)
{
    return 0;
}

FAKE int arch_grant_unmap(struct vcpu *v, uint64_t address, mfn_t mfn, unsigned int flags,
                          uint64_t replace_by)
{
    return 0;
}

FAKE int arch_page_validate(struct vcpu *v, struct page_info *pg, struct domain *d, uint64_t type)
{
    return 0;
}

FAKE int arch_page_invalidate(struct page_info *pg, struct domain *d, uint64_t type)
{
    return 0;
}

FAKE int arch_pirq_bind(struct domain *d, uint32_t pirq, uint32_t port, bool will_share)
{
    return 0;
}

FAKE void arch_pirq_unbind(struct domain *d, uint32_t pirq)
{
}

FAKE void arch_pirq_eoi(struct domain *d, uint32_t pirq)
{
}

FAKE bool arch_pirq_needs_eoi(struct domain *d, uint32_t pirq)
{
    return false;
}

FAKE void arch_pirq_set_affinity(struct domain *d, uint32_t pirq, unsigned int cpu)
{
}

/* The hypercalls of the PV half, which the table names. */
#define FAKE_HYPERCALL(name)                                                                                 \
    FAKE DECLARE_HYPERCALL(name)                                                                             \
    {                                                                                                        \
        return -ENOSYS;                                                                                      \
    }
FAKE_HYPERCALL(do_set_trap_table)
FAKE_HYPERCALL(do_mmu_update)
FAKE_HYPERCALL(do_set_gdt)
FAKE_HYPERCALL(do_stack_switch)
FAKE_HYPERCALL(do_set_callbacks)
FAKE_HYPERCALL(do_fpu_taskswitch)
FAKE_HYPERCALL(do_set_debugreg)
FAKE_HYPERCALL(do_get_debugreg)
FAKE_HYPERCALL(do_update_descriptor)
FAKE_HYPERCALL(do_update_va_mapping)
FAKE_HYPERCALL(do_update_va_mapping_otherdomain)
FAKE_HYPERCALL(do_iret)
FAKE_HYPERCALL(do_set_segment_base)
FAKE_HYPERCALL(do_mmuext_op)
FAKE_HYPERCALL(do_nmi_op)
FAKE_HYPERCALL(do_callback_op)
FAKE_HYPERCALL(do_platform_op)
FAKE_HYPERCALL(do_mca)
FAKE_HYPERCALL(do_physdev_op)
FAKE_HYPERCALL(do_memory_op)
FAKE_HYPERCALL(do_domctl)
FAKE_HYPERCALL(do_sysctl)

/* The image's build id, as the linker scripts lay it out: a note's header, then the name. */
__asm__(".pushsection .rodata\n.globl build_id_note, build_id_end\nbuild_id_note: .skip 16\n"
        ".ascii \"twenty bytes of name\"\nbuild_id_end:\n.popsection");

/* The machine's end */

static void noreturn_fn end(enum fake_ending how)
{
    if (!fake_end_armed) {
        fprintf(stderr, "the machine ended (%d):\n%s\n", how, fake_console);
        abort();
    }
    fake_ending = how;
    longjmp(fake_end, 1);
}

FAKE void arch_machine_reboot(void)
{
    end(FAKE_REBOOT);
}

FAKE void arch_machine_poweroff(void)
{
    end(FAKE_POWEROFF);
}

FAKE void arch_machine_halt(void)
{
    end(FAKE_HALT);
}

FAKE void arch_fatal(void)
{
    end(FAKE_FATAL);
}

FAKE void arch_console_write(const char *text, size_t len)
{
    len = MIN(len, sizeof(fake_console) - 1 - console_len);
    memcpy(fake_console + console_len, text, len);
    console_len += len;
}

void fake_console_clear(void)
{
    console_len = 0;
    memset(fake_console, 0, sizeof(fake_console));
}

/* For tests */

void fake_boot(unsigned int cpus)
{
    page_alloc_add(MFN(1), MFN(max_page));
    domain_init();
    for (unsigned int cpu = 0; cpu < cpus; cpu++) {
        struct vcpu *idle;

        fake_cpu = cpu;
        fake_online |= CPUMASK(cpu);
        if (vcpu_create(idle_domain, cpu, &idle))
            abort();
        timer_cpu_init(cpu);
        sched_cpu_init(cpu, idle);
        arch_set_current(idle);
    }
    fake_cpu = 0;
    sched_init();
}

void fake_on_cpu(unsigned int cpu)
{
    fake_cpu = cpu;
}

void fake_run_work(void)
{
    unsigned int me = fake_cpu;
    bool more = true;

    while (more) {
        more = false;
        for (cpumask_t m = fake_online; m; m &= m - 1) {
            fake_cpu = (unsigned int)__builtin_ctzl(m);
            if (fake_deadline[fake_cpu] && fake_deadline[fake_cpu] <= fake_now) {
                fake_deadline[fake_cpu] = 0;
                timer_interrupt();
            }
            more |= atomic_load(&fake_work[fake_cpu]) != 0;
            work_run();
        }
    }
    fake_cpu = me;
}

void fake_advance(uint64_t to)
{
    fake_run_work();
    for (;;) {
        uint64_t next = to;

        for (cpumask_t m = fake_online; m; m &= m - 1) {
            uint64_t deadline = fake_deadline[__builtin_ctzl(m)];

            if (deadline && deadline < next)
                next = deadline;
        }
        fake_now = MAX(fake_now, next);
        fake_run_work();
        if (next == to)
            return;
    }
}

struct domain *fake_domain(bool privileged, uint32_t vcpus, uint64_t max_pages)
{
    struct domain_config config = {
        .domid = privileged && !control_domain ? 0 : DOMID_INVALID,
        .privileged = privileged,
        .max_vcpus = vcpus,
        .max_evtchn_port = 4095,
        .max_grant_frames = 4,
        .max_maptrack_frames = 4,
        .grant_version = 2,
    };
    struct domain *d;
    struct vcpu *v;

    if (domain_create(&config, &d)) {
        fprintf(stderr, "no domain: %s\n", fake_console);
        abort();
    }
    d->max_pages = max_pages;
    for (uint32_t i = 0; i < vcpus; i++) {
        if (vcpu_create(d, i, &v))
            abort();
        v->initialised = true;
        sched_vcpu_online(v, true);
    }
    if (d->controller_pause_count) {
        if (domain_unpause_by_controller(d))
            abort();
    } else {
        domain_unpause(d);
    }
    return d;
}

void fake_domain_end(struct domain *d)
{
    int ret;

    domain_pause_nosync(d); /* off the CPUs, which this one thread has to run */
    fake_run_work();
    do {
        ret = domain_kill(d);
        fake_run_work();
    } while (ret == -EAGAIN);
    domain_put(d);
    fake_run_work();
}

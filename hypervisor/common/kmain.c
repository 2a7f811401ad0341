/*
 * The order of start-up after the machine's own (arch/x86/boot): every step may use what stands above it. The
 * boot CPU's stack becomes the idle loop's at the end.
 */
#include <bh/arch.h>
#include <bh/cmdline.h>
#include <bh/console.h>
#include <bh/domain.h>
#include <bh/page_alloc.h>
#include <bh/printk.h>
#include <bh/timer.h>
#include <bh/version.h>
#include <asm/boot_info.h>
#include <asm/pv.h>
#include <asm/setup.h>

/* Gives this CPU its idle vcpu, as what runs on it. */
void smp_cpu_ready(unsigned int cpu)
{
    struct vcpu *idle;

    if (vcpu_create(idle_domain, cpu, &idle))
        panic("no memory for the idle vcpu of CPU %u", cpu);
    timer_cpu_init(cpu);
    sched_cpu_init(cpu, idle);
    arch_set_current(idle);
}

static void report_memory(void)
{
    printk(LOG_INFO, "Memory: %lu MiB for domains and the hypervisor",
           page_counts.total >> (20 - PAGE_SHIFT));
}

void kmain(const struct boot_info *bi)
{
    cmdline_parse(bi->cmdline); /* nothing else may depend on what an option says before this */
    version_print_banner();
    cmdline_report();
    arch_memory_init(bi); /* page_alloc and kalloc work from here on */
    report_memory();
    console_init_ring();   /* conring_size */
    arch_machine_init(bi); /* ACPI, interrupts, time: arch_now and timers work */
    sched_init();
    domain_init(); /* idle domain, owners of unowned pages */
    smp_cpu_ready(arch_cpu_id());
    arch_share_m2p(); /* domain_xen owns what control domains map read-only */
    arch_smp_init(options.maxcpus);
    dom0_build(bi);           /* and unpauses it; says what is wrong and ends when there is nothing to run */
    arch_release_modules(bi); /* kernel and initrd were copied */
    idle_loop();
}

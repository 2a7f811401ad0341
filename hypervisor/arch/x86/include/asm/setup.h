/*
 * The order of start-up. boot_main() (arch/x86/boot/boot.c) has paging, descriptors, the early console and boot_info
 * ready and calls kmain() on the boot CPU's final stack. kmain() calls these in this order.
 */
#ifndef ASM_SETUP_H
#define ASM_SETUP_H

#include <bh/types.h>

struct boot_info;

/* Gives all free RAM to the allocator (page_alloc_add). Modules and the hypervisor itself stay out. */
void arch_memory_init(const struct boot_info *bi);
/* ACPI, interrupt controllers, time. Needs kalloc. arch_now() works from here on. */
void arch_machine_init(const struct boot_info *bi);
/* Starts the other CPUs, at most max_cpus (0: all) in total; each runs smp_cpu_ready(cpu), then its idle loop. */
void arch_smp_init(unsigned int max_cpus);
/* After the control domain is built: the modules' memory goes to the allocator. */
void arch_release_modules(const struct boot_info *bi);
/* After the system domains exist: control domains may map the M2P's frames read-only. */
void arch_share_m2p(void);
struct rangeset;
/* Takes the frames of devices that are the hypervisor's own out of a domain's rights to I/O memory. */
void arch_deny_own_mmio(struct rangeset *iomem_caps);
/* Interrupt number space: GSIs first, then MSIs. */
unsigned int arch_nr_irqs(void);
unsigned int arch_nr_cpus(void); /* CPUs brought up: numbers from 0 on */

/* Common code's start (common/kmain.c) and a new CPU's first step there (idle vcpu current already). */
void noreturn_fn kmain(const struct boot_info *bi);

/* Before the console works: text to serial and screen, then halt. */
void noreturn_fn boot_die(const char *sentence);

/* serial.c: consoles of the machine, the serial port (com1, com2) and VGA text; both polled for output. */
/* Opens what `options` (bh/cmdline.h) names as console. Before everything else. */
void serial_init(void);
/* Interrupts are there: asks the port to interrupt on reception; characters go to console_rx(). */
void serial_init_irq(void);
/* The final page tables are loaded: moves the screen there. */
void vga_map_final(void);

#endif

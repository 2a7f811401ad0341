/* Other CPUs: bring-up and cross calls. */
#ifndef ASM_SMP_H
#define ASM_SMP_H

#include <bh/types.h>

/* Serves the cross calls asked of this CPU. */
void smp_serve_calls(void);
void smp_stop_others(void);   /* halts all other CPUs; for panic and reboot */
void smp_boot_cpu_init(void); /* percpu data of CPU 0 */
extern cpumask_t cpus_online;

/* Takes a CPU out of service or back for a control domain: 0, or an error with its cause noted in v. */
long cpu_hotplug(struct vcpu *v, uint32_t cpu, bool online);

#endif

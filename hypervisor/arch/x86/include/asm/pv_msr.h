/* MSRs as a PV guest sees them (arch/x86/pv/msr.c). false: the access is a general protection fault. v is
 * current. */
#ifndef ASM_PV_MSR_H
#define ASM_PV_MSR_H

#include <bh/types.h>

bool pv_read_msr(struct vcpu *v, uint32_t msr, uint64_t *value);
bool pv_write_msr(struct vcpu *v, uint32_t msr, uint64_t value);

#endif

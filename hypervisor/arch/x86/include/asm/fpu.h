/* FPU, SSE and extended state: one FPU_AREA_SIZE page per vcpu, saved and loaded eagerly on a switch. */
#ifndef ASM_FPU_H
#define ASM_FPU_H

#include <bh/types.h>

/* Boot CPU: which state components are used. Every CPU: cpu_enable_features() turns them on. */
void fpu_init(void);
/* The state of a vcpu that never ran. */
void fpu_reset(struct vcpu *v);
/* Save from, load into the CPU's registers. CR0.TS must be clear. */
void fpu_save(struct vcpu *v);
void fpu_load(struct vcpu *v);
/* The guest changed XCR0: load it now. `xcr0` was checked. */
void fpu_set_xcr0(struct vcpu *v, uint64_t xcr0);
/* Whether a guest may set XCR0 to this. */
bool fpu_xcr0_valid(uint64_t xcr0);

#endif

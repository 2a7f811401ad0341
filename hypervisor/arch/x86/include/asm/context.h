/*
 * Which vcpu's state a CPU holds.
 *
 * Going idle leaves the last guest's state in the CPU (percpu->loaded, vcpu->arch.loaded_cpu), so that waking it there
 * costs nothing. Whoever wants that vcpu's state elsewhere (another CPU that runs it, a control operation that reads or
 * changes its registers, teardown of its page tables) asks first with vcpu_sync(). The vcpu must not be running.
 */
#ifndef ASM_CONTEXT_H
#define ASM_CONTEXT_H

#include <bh/types.h>

/* Brings v's registers into v->arch and its page tables off every CPU. */
void vcpu_sync(struct vcpu *v);
/* All vcpus of d, which is paused or dying. */
void domain_sync(struct domain *d);

/* The current vcpu's pieces, taken from or put into the hardware (control operations on the caller itself). */
void context_save_segments(struct vcpu *v);
void context_load_segments(struct vcpu *v);
/* Current vcpu's GDT or LDT changed: reload the tables (pv/descriptor.c). */
void context_load_gdt(struct vcpu *v);
void context_load_ldt(struct vcpu *v);
/* Current vcpu's CR0.TS as its guest sees it (fpu_taskswitch). */
void context_set_ts(bool ts);
/* Current vcpu's debug registers changed. */
void context_load_debugregs(struct vcpu *v);
/* Switches CR3 of the current vcpu to its v->arch.cr3. */
void context_load_cr3(struct vcpu *v);

/* Assembly: sets rsp to the CPU's guest frame and leaves to the guest; or starts the idle loop on an empty stack. */
void noreturn_fn reset_stack_and_return_to_guest(void);
void noreturn_fn reset_stack_and_idle(void);

#endif

/*
 * The machine as memory management sees it, on the host: RAM, frame table, TLB clock, domains with pages, and
 * guest memory that is the test's own. fake_check() compares every count of the frame table with what can be
 * derived from the tables.
 */
#ifndef FAKE_MM_H
#define FAKE_MM_H

#include <bh/domain.h>
#include <bh/hypercall.h>
#include <bh/page.h>

#define FAKE_FRAMES    512
#define FAKE_IO_FIRST  480 /* frames from here on are no RAM */
#define FAKE_CPUS      4
#define FAKE_NO_ACCESS ((void *)0x10) /* a guest address that faults */

extern struct vcpu *fake_current;
extern struct cause fake_cause;   /* of the last fail() */
extern unsigned int fake_flushes; /* arch_flush_tlb calls so far */
extern cpumask_t fake_flushed;    /* CPUs of the last one */
extern unsigned int fake_page_flushes, fake_local_flushes, fake_cache_flushes;
extern uint64_t fake_cr3;
extern int fake_preempt_in; /* hypercall_preempt_check answers true after so many calls; -1: never */
extern uint64_t fake_m2p[FAKE_FRAMES];
extern unsigned int fake_injected; /* page faults, exceptions bounced to the guest */
extern uint64_t fake_injected_cr2;
extern uint32_t fake_injected_code;
extern bool fake_descriptors_ok;

/* Everything as after power-on: all RAM free, no domain. */
void fake_reset(void);
/* A PV domain with n pages and one vcpu; its frames are consecutive, from *first on. */
struct domain *fake_domain(domid_t id, unsigned int n, uint64_t *first);
/* One more page, or NULL. */
struct page_info *fake_page(struct domain *d);
uint64_t *fake_table(uint64_t mfn);
/* References and uses that the test itself holds: counted by fake_check(). */
extern unsigned int fake_held_refs[FAKE_FRAMES], fake_held_writable[FAKE_FRAMES];
/* Fails the test if any count, type or entry is not what it has to be. */
void fake_check(void);
/* Calls and restarts until done, the way arch code does. */
long fake_call(hypercall_fn fn, struct vcpu *v, unsigned long a1, unsigned long a2, unsigned long a3,
               unsigned long a4);
/* Ends the domain's memory; every page without other holders is free then. */
void fake_end(struct domain *d);

#endif

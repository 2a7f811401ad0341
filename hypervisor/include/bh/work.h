/*
 * Work bits: what a CPU has to do before it returns to a guest or sleeps. They stand in one word per CPU
 * (arch_work_word) that the way out of the hypervisor tests; another CPU's word is changed atomically,
 * followed by a kick. work_run() clears the bits that it serves and runs until none is left.
 */
#ifndef BH_WORK_H
#define BH_WORK_H

#include <bh/types.h>

#define WORK_SCHEDULE 1u /* pick who runs */
#define WORK_TIMER    2u /* timers may have expired */
#define WORK_DEFERRED 4u /* the CPU's list of jobs is not empty */

/* A small job, embedded in its owner, run once by work_run() with no lock held. Queue it again only after it
 * ran. */
struct deferred {
    struct deferred *next;
    void (*fn)(struct deferred *job);
    _Atomic int queued;
};

void work_raise(uint32_t bits);                       /* on this CPU */
void work_raise_cpu(unsigned int cpu, uint32_t bits); /* on any; kicks if it is another */
void work_run(void);
/* Queues `job` on this CPU; false: it was queued already. */
bool work_defer(struct deferred *job, void (*fn)(struct deferred *job));

#endif

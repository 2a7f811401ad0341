/* Work bits and deferred jobs; the model stands in bh/work.h. A CPU's job list is touched by that CPU alone.
 */
#include <bh/work.h>
#include <bh/arch.h>
#include <bh/sched.h>
#include <bh/timer.h>

static struct job_list {
    struct deferred *first, *last;
} aligned(64) jobs[NR_CPUS];

void work_raise(uint32_t bits)
{
    atomic_fetch_or_explicit(arch_work_word(arch_cpu_id()), bits, memory_order_relaxed);
}

void work_raise_cpu(unsigned int cpu, uint32_t bits)
{
    uint32_t old = atomic_fetch_or(arch_work_word(cpu), bits);

    if ((old & bits) != bits && cpu != arch_cpu_id())
        arch_kick_cpu(cpu);
}

bool work_defer(struct deferred *job, void (*fn)(struct deferred *job))
{
    struct job_list *l = &jobs[arch_cpu_id()];

    if (atomic_exchange(&job->queued, 1))
        return false;
    job->fn = fn;
    job->next = NULL;
    if (l->first)
        l->last->next = job;
    else
        l->first = job;
    l->last = job;
    work_raise(WORK_DEFERRED);
    return true;
}

/* Runs what is queued now; what the jobs queue themselves waits for the next round. */
static void run_jobs(void)
{
    struct job_list *l = &jobs[arch_cpu_id()];
    struct deferred *job = l->first, *next;

    l->first = l->last = NULL;
    for (; job; job = next) {
        next = job->next;
        atomic_store(&job->queued, 0);
        job->fn(job);
    }
}

/* Scheduling comes last: it may leave for another vcpu's frame and not come back. */
void work_run(void)
{
    _Atomic uint32_t *word = arch_work_word(arch_cpu_id());
    uint32_t bits;

    while (atomic_load_explicit(word, memory_order_relaxed)) {
        bits = atomic_exchange_explicit(word, 0, memory_order_acquire);
        if (bits & WORK_TIMER)
            timer_run();
        if (bits & WORK_DEFERRED)
            run_jobs();
        if (bits & WORK_SCHEDULE)
            schedule();
    }
}

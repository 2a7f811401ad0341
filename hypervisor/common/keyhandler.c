/* Debug keys: what `xl debug-keys` and the hypervisor's own console run. */
#include <bh/arch.h>
#include <bh/console.h>
#include <bh/domain.h>
#include <bh/grant.h>
#include <bh/page_alloc.h>
#include <bh/timer.h>

static void show_vcpu(struct vcpu *v)
{
    static const char *const state[] = {"running", "runnable", "blocked", "offline"};

    printk(LOG_ERROR,
           "    d%uv%u: %s on CPU %u, pauses %d, upcall %s%s, affinity %#lx soft %#lx, %lu hypercalls",
           v->domain->id, v->id, state[v->runstate.state & 3], v->sched.cpu, atomic_load(&v->pause_count),
           v->info->evtchn_upcall_pending ? "pending" : "none", v->info->evtchn_upcall_mask ? " masked" : "",
           v->sched.hard, v->sched.soft, atomic_load(&v->hypercalls));
}

static void show_domain(struct domain *d)
{
    struct vcpu *v;

    printk(LOG_ERROR,
           "  d%u: refs %d, state %d%s%s, %lu of %lu pages, %lu hypervisor pages, pauses %d, pool %u", d->id,
           atomic_load(&d->refs), d->state, d->privileged ? ", control" : "",
           d->is_shut_down ? ", shut down" : "", d->tot_pages, d->max_pages, d->xenheap_pages,
           atomic_load(&d->pause_count), d->pool);
    for_each_vcpu (d, v)
        show_vcpu(v);
}

static void show_memory(void)
{
    printk(LOG_ERROR, "  %lu pages, %lu free, %lu claimed, %lu free ones to be scrubbed before use",
           page_counts.total, page_counts.free, page_counts.claimed, page_counts.dirty);
}

static void show_time(void)
{
    uint32_t nsec;
    uint64_t sec = arch_wallclock(&nsec), now = arch_now();

    printk(LOG_ERROR, "  %lu ns since boot, which was %lu.%09u s after 1970", now, sec, nsec);
    timer_dump();
}

static void show_help(void);

static const struct {
    char key;
    const char *description;
    void (*fn)(void);
    void (*each)(struct domain *d); /* in place of fn: for every domain */
} keys[] = {
    {'h', "list the debug keys", show_help, NULL},
    {'q', "domains and their vcpus", NULL, show_domain},
    {'d', "registers of all vcpus", NULL, domain_dump_registers},
    {'e', "event channels", NULL, evtchn_dump},
    {'g', "grant tables", NULL, grant_dump},
    {'m', "memory", show_memory, NULL},
    {'r', "run queues", sched_dump, NULL},
    {'t', "time and timers", show_time, NULL},
    {'R', "reboot the machine", arch_machine_reboot, NULL},
};

static void show_help(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        printk(LOG_ERROR, "  %c  %s", keys[i].key, keys[i].description);
}

void keyhandler_run(char key)
{
    struct domain *d;
    size_t i = 0;

    while (i < ARRAY_SIZE(keys) && keys[i].key != key)
        i++;
    if (i == ARRAY_SIZE(keys)) {
        printk(LOG_ERROR, "No debug key '%c'; h lists them", key >= ' ' && key < 127 ? key : '?');
        return;
    }
    printk(LOG_ERROR, "'%c': %s", key, keys[i].description);
    if (keys[i].fn)
        keys[i].fn();
    else
        for_each_domain (d)
            keys[i].each(d);
}

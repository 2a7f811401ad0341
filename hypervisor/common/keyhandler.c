/*
 * Debug keys: what `xl debug-keys` and the hypervisor's own console run. Each concept registers its own; the
 * table is filled at boot and never changes after.
 */
#include <bh/arch.h>
#include <bh/console.h>
#include <bh/domain.h>
#include <bh/grant.h>
#include <bh/page_alloc.h>
#include <bh/printk.h>
#include <bh/timer.h>

static struct {
    const char *description;
    void (*fn)(void);
} handler[128];

void keyhandler_register(char key, const char *description, void (*fn)(void))
{
    handler[(unsigned char)key & 127].description = description;
    handler[(unsigned char)key & 127].fn = fn;
}

void keyhandler_run(char key)
{
    unsigned char k = (unsigned char)key;

    if (k < ARRAY_SIZE(handler) && handler[k].fn) {
        printk(LOG_ERROR, "'%c': %s", key, handler[k].description);
        handler[k].fn();
    } else {
        printk(LOG_ERROR, "No debug key '%c'; h lists them", k >= ' ' && k < 127 ? k : '?');
    }
}

static void show_help(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(handler); i++)
        if (handler[i].fn)
            printk(LOG_ERROR, "  %c  %s", (char)i, handler[i].description);
}

static const char *state_name(const struct vcpu *v)
{
    static const char *const name[] = {"running", "runnable", "blocked", "offline"};

    return name[v->runstate.state & 3];
}

static void show_vcpu(struct vcpu *v)
{
    printk(LOG_ERROR,
           "    d%uv%u: %s on CPU %u, pauses %d, upcall %s%s, affinity %#lx soft %#lx, %lu hypercalls",
           v->domain->id, v->id, state_name(v), v->sched.cpu, atomic_load(&v->pause_count),
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

/* Calls fn for every domain with a reference held. */
static void each_domain(void (*fn)(struct domain *d))
{
    struct domain *d = domain_next(0xffff), *next;

    for (; d; d = next) {
        fn(d);
        next = domain_next(d->id);
        domain_put(d);
    }
}

static void show_domains(void)
{
    each_domain(show_domain);
}

static void show_registers_of(struct domain *d)
{
    struct vcpu *v;

    for_each_vcpu (d, v) {
        printk(LOG_ERROR, "  d%uv%u", d->id, v->id);
        arch_dump_vcpu(v);
    }
}

static void show_registers(void)
{
    each_domain(show_registers_of);
}

static void show_control_registers(void)
{
    if (control_domain)
        show_registers_of(control_domain);
}

static void show_events(void)
{
    each_domain(evtchn_dump);
}

static void show_grants(void)
{
    each_domain(grant_dump);
}

static void show_memory(void)
{
    printk(LOG_ERROR, "  %lu pages, %lu free, %lu claimed, %lu free ones to be scrubbed before use",
           page_total(), page_free_count(), page_claimed(), page_scrub_pending());
}

static void show_time(void)
{
    uint32_t nsec;
    uint64_t sec = arch_wallclock(&nsec), now = arch_now();

    printk(LOG_ERROR, "  %lu ns since boot, which was %lu.%09u s after 1970", now, sec, nsec);
    timer_dump();
}

static void reboot_now(void)
{
    arch_machine_reboot();
}

void keyhandler_init(void)
{
    keyhandler_register('h', "list the debug keys", show_help);
    keyhandler_register('q', "domains and their vcpus", show_domains);
    keyhandler_register('d', "registers of all vcpus", show_registers);
    keyhandler_register('0', "registers of the control domain", show_control_registers);
    keyhandler_register('e', "event channels", show_events);
    keyhandler_register('g', "grant tables", show_grants);
    keyhandler_register('m', "memory", show_memory);
    keyhandler_register('t', "time and timers", show_time);
    keyhandler_register('R', "reboot the machine", reboot_now);
}

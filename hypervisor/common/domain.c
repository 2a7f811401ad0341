/*
 * Domains: look-up, life cycle, pausing, ending. States and locks: bh/domain.h.
 *
 * References: one that stands for the domain's existence, dropped when domain_kill() has emptied it; one
 * while it owns pages (page_alloc.c); one for whoever looked it up. The last one to go frees the struct, from
 * deferred work, since it may be dropped under locks.
 *
 * All domains stand in a hash table and in a list ordered by id, both under list_lock, until they are freed:
 * an id is not used again before.
 */
#include <bh/arch.h>
#include <bh/assert.h>
#include <bh/cmdline.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/grant.h>
#include <bh/page_alloc.h>
#include <bh/policy.h>
#include <bh/string.h>
#include <bh/virq.h>
#include <public/sched.h>

#define BUCKETS 256

struct domain *domain_xen, *domain_io, *control_domain, *idle_domain;

static struct spinlock list_lock;
static struct list all_domains = LIST_INIT(all_domains);
static struct domain *bucket[BUCKETS];
static domid_t last_id;

/* Look-up. */

static struct domain *find(domid_t id)
{
    struct domain *d = bucket[id % BUCKETS];

    while (d && d->id != id)
        d = d->hash_next;
    return d;
}

/* A reference, unless the last one is gone. */
static bool try_hold(struct domain *d)
{
    int refs = atomic_load_explicit(&d->refs, memory_order_relaxed);

    while (refs > 0)
        if (atomic_compare_exchange_weak(&d->refs, &refs, refs + 1))
            return true;
    return false;
}

struct domain *domain_get(domid_t id)
{
    struct domain *d;

    spin_lock(&list_lock);
    d = find(id);
    if (d && !try_hold(d))
        d = NULL;
    spin_unlock(&list_lock);
    return d;
}

void domain_hold(struct domain *d)
{
    atomic_fetch_add_explicit(&d->refs, 1, memory_order_relaxed);
}

int domain_get_for(struct vcpu *v, domid_t id, int op, struct domain **out)
{
    struct domain *d = v->domain;

    if (id == DOMID_SELF || id == d->id) {
        domain_hold(d);
    } else {
        d = domain_get(id);
        if (!d)
            return fail(v, -ESRCH, "domain: there is no d{0}", id, 0);
    }
    if (!policy_allows(v->domain, (enum policy_op)op, d)) {
        domain_put(d);
        return fail(v, -EPERM, "policy: d{0} may not do operation of kind {1} to the domain named",
                    v->domain->id, (uint64_t)op);
    }
    *out = d;
    return 0;
}

/* The first domain from `at` in the list on that is not about to be freed; list_lock held. */
static struct domain *hold_from(struct list *at)
{
    for (; at != &all_domains; at = at->next)
        if (try_hold(list_entry(at, struct domain, all)))
            return list_entry(at, struct domain, all);
    return NULL;
}

struct domain *domain_get_from(domid_t id)
{
    struct domain *d;
    struct list *at;

    spin_lock(&list_lock);
    d = find(id);
    at = d ? &d->all : all_domains.next;
    while (at != &all_domains && list_entry(at, struct domain, all)->id < id)
        at = at->next;
    d = hold_from(at);
    spin_unlock(&list_lock);
    return d;
}

struct domain *domain_next(struct domain *d)
{
    struct domain *next;

    spin_lock(&list_lock);
    next = hold_from(d->all.next);
    spin_unlock(&list_lock);
    domain_put(d);
    return next;
}

/* Makes the domain findable under its id, choosing one when it asks for that. */
static int enlist(struct domain *d)
{
    struct domain *i;
    domid_t id = d->id;
    int ret = 0;

    spin_lock(&list_lock);
    if (id == DOMID_INVALID) {
        for (id = last_id + 1;; id++) {
            if (id >= DOMID_LIMIT)
                id = 1;
            if (!find(id))
                break;
            if (id == last_id) {
                ret = -ENOSPC;
                break;
            }
        }
        last_id = id;
    } else if (find(id)) {
        ret = -EEXIST;
    }
    if (!ret) {
        struct list *before = &all_domains;

        d->id = id;
        d->hash_next = bucket[id % BUCKETS];
        bucket[id % BUCKETS] = d;
        list_for_each_entry (i, &all_domains, all)
            if (i->id < id)
                before = &i->all;
        list_add_head(before, &d->all);
    }
    spin_unlock(&list_lock);
    return ret;
}

static void delist(struct domain *d)
{
    struct domain **at;

    spin_lock(&list_lock);
    for (at = &bucket[d->id % BUCKETS]; *at; at = &(*at)->hash_next) {
        if (*at == d) {
            *at = d->hash_next;
            break;
        }
    }
    list_del(&d->all);
    spin_unlock(&list_lock);
}

/* Birth. */

static int check_config(const struct domain_config *c)
{
    if (c->domid != DOMID_INVALID && c->domid >= DOMID_LIMIT)
        return -EINVAL;
    if (!c->max_vcpus || c->max_vcpus > DOMAIN_MAX_VCPUS)
        return -ERANGE;
    return 0;
}

static struct domain *new_domain(domid_t id, enum domain_kind kind, uint32_t max_vcpus)
{
    struct domain *d = kalloc(sizeof(*d));

    if (!d)
        return NULL;
    d->id = id;
    d->kind = kind;
    d->refs = 1;
    list_init(&d->all);
    list_init(&d->pages);
    if (max_vcpus) {
        d->vcpu = kalloc(max_vcpus * sizeof(d->vcpu[0]));
        if (!d->vcpu) {
            kfree(d);
            return NULL;
        }
        d->max_vcpus = max_vcpus;
    }
    return d;
}

static int make_shared_info(struct domain *d)
{
    d->shared_info = page_alloc_shared(d);
    if (!d->shared_info)
        return -ENOMEM;
    arch_update_wallclock(d);
    for (int i = 0; i < XEN_LEGACY_MAX_VCPUS; i++)
        d->shared_info->vcpu_info[i].evtchn_upcall_mask = 1;
    return 0;
}

static int furnish(struct domain *d, const struct domain_config *c)
{
    int ret;

    ret = sched_domain_init(d, c->pool);
    if (!ret)
        ret = make_shared_info(d);
    if (!ret)
        ret = evtchn_domain_init(d, c->max_evtchn_port);
    if (!ret)
        ret = grant_table_init(d, c->max_grant_frames, c->max_maptrack_frames, c->grant_version);
    if (ret)
        return ret;
    d->iomem_caps = rangeset_create();
    d->irq_caps = rangeset_create();
    if (!d->iomem_caps || !d->irq_caps)
        return -ENOMEM;
    return arch_domain_create(d);
}

int domain_create(const struct domain_config *config, struct domain **out)
{
    struct domain *d;
    int ret = check_config(config);

    if (ret)
        return ret;
    d = new_domain(config->domid, KIND_PV, config->max_vcpus);
    if (!d)
        return -ENOMEM;
    d->privileged = config->privileged;
    d->create_flags = config->flags;
    d->arch_flags = config->arch_flags;
    d->ssid = config->ssid;
    memcpy(d->handle, config->handle, sizeof(d->handle));
    d->pause_count = 1; /* until it is built: the toolstack's pause, or the boot's for the control domain */
    d->controller_pause_count = !d->privileged;
    ret = enlist(d);
    if (ret) {
        kfree(d->vcpu);
        kfree(d);
        return ret;
    }
    domain_hold(d); /* the caller's, beside the one for its existence */
    ret = furnish(d, config);
    if (ret) {
        while (domain_kill(d) == -EAGAIN)
            arch_cpu_relax();
        domain_put(d);
        return ret;
    }
    d->state = DOMAIN_ALIVE;
    if (d->privileged && !control_domain)
        control_domain = d;
    *out = d;
    return 0;
}

/* Owners of pages that belong to no guest; and the idle vcpus' domain. They live for ever and have no limits.
 */
static struct domain *new_system_domain(domid_t id, enum domain_kind kind, uint32_t max_vcpus)
{
    struct domain *d = new_domain(id, kind, max_vcpus);

    if (!d)
        panic("no memory for the system's domains");
    d->state = DOMAIN_ALIVE;
    d->max_pages = ~0UL >> 1;
    return d;
}

void domain_init(void)
{
    domain_xen = new_system_domain(DOMID_XEN, KIND_SYSTEM, 0);
    domain_io = new_system_domain(DOMID_IO, KIND_SYSTEM, 0);
    idle_domain = new_system_domain(DOMID_IDLE, KIND_IDLE, NR_CPUS);
}

/* End. */

static void free_domain(struct deferred *job)
{
    struct domain *d = container_of(job, struct domain, free_job);
    struct vcpu *v;

    for_each_vcpu (d, v)
        vcpu_destroy(v);
    arch_domain_destroy(d);
    evtchn_domain_destroy(d);
    grant_table_destroy(d);
    rangeset_destroy(d->iomem_caps);
    rangeset_destroy(d->irq_caps);
    delist(d);
    kfree(d->vcpu);
    kfree(d);
}

void domain_put(struct domain *d)
{
    if (atomic_fetch_sub_explicit(&d->refs, 1, memory_order_acq_rel) == 1)
        work_defer(&d->free_job, free_domain);
}

static void drop_shared_info(struct domain *d)
{
    struct vcpu *v;

    for_each_vcpu (d, v)
        vcpu_forget_guest(v);
    if (!d->shared_info)
        return;
    page_free_shared(d->shared_info);
    d->shared_info = NULL;
}

static void start_dying(struct domain *d)
{
    struct vcpu *v;

    domain_pause(d);
    for (uint32_t i = 0; i < ARRAY_SIZE(d->watchdog); i++)
        if (d->watchdog[i].fn)
            timer_kill(&d->watchdog[i]);
    for_each_vcpu (d, v)
        vcpu_stop_timers(v);
    virq_clear_handler(d);
    if (page_claim(d, 0))
        BUG();
}

static int give_back(struct domain *d)
{
    int ret = 0;

    if (d->evtchn.bucket)
        ret = evtchn_domain_release(d);
    if (!ret && d->grant)
        ret = grant_table_release(d);
    if (!ret)
        ret = arch_domain_relinquish(d);
    return ret;
}

int domain_kill(struct domain *d)
{
    struct domain *target;
    bool first;
    int ret;

    spin_lock(&d->lock);
    first = d->state < DOMAIN_DYING;
    if (d->state == DOMAIN_DEAD) {
        spin_unlock(&d->lock);
        return 0;
    }
    d->state = DOMAIN_DYING;
    spin_unlock(&d->lock);
    if (first)
        start_dying(d);
    ret = give_back(d);
    if (ret)
        return ret;

    spin_lock(&d->lock);
    first = d->state == DOMAIN_DYING;
    d->state = DOMAIN_DEAD;
    target = d->target;
    d->target = NULL;
    spin_unlock(&d->lock);
    if (!first)
        return 0;
    drop_shared_info(d);
    if (target)
        domain_put(target);
    virq_send_global(VIRQ_DOM_EXC);
    domain_put(d);
    return 0;
}

/* Pausing. */

void vcpu_pause(struct vcpu *v)
{
    atomic_fetch_add(&v->pause_count, 1);
    sched_vcpu_stop_sync(v);
}

void vcpu_unpause(struct vcpu *v)
{
    if (atomic_fetch_sub(&v->pause_count, 1) == 1)
        sched_vcpu_start(v);
}

void domain_pause_nosync(struct domain *d)
{
    struct vcpu *v;

    atomic_fetch_add(&d->pause_count, 1);
    for_each_vcpu (d, v)
        sched_vcpu_stop(v);
}

void domain_pause(struct domain *d)
{
    struct vcpu *v;

    domain_pause_nosync(d);
    for_each_vcpu (d, v)
        sched_vcpu_stop_sync(v);
}

void domain_unpause(struct domain *d)
{
    struct vcpu *v;

    if (atomic_fetch_sub(&d->pause_count, 1) == 1)
        for_each_vcpu (d, v)
            sched_vcpu_start(v);
}

int domain_pause_by_controller(struct domain *d)
{
    spin_lock(&d->lock);
    if (d->controller_pause_count == INT32_MAX) {
        spin_unlock(&d->lock);
        return -EUSERS;
    }
    d->controller_pause_count++;
    spin_unlock(&d->lock);
    domain_pause(d);
    return 0;
}

int domain_unpause_by_controller(struct domain *d)
{
    spin_lock(&d->lock);
    if (!d->controller_pause_count) {
        spin_unlock(&d->lock);
        return -EINVAL;
    }
    d->controller_pause_count--;
    spin_unlock(&d->lock);
    domain_unpause(d);
    return 0;
}

/* Shutting down. */

void domain_dump_registers(struct domain *d)
{
    struct vcpu *v;

    for_each_vcpu (d, v)
        if (v->initialised)
            arch_dump_vcpu(v);
}

/* The control domain ended, and the machine with it. */
static void noreturn_fn end_machine(struct domain *d, uint32_t reason)
{
    static const char *const name[] = {"poweroff", "reboot", "suspend", "crash", "watchdog", "soft reset"};

    printk(LOG_ERROR, "The control domain shut down: %s",
           reason < ARRAY_SIZE(name) ? name[reason] : "unknown reason");
    if (reason == SHUTDOWN_poweroff)
        arch_machine_poweroff();
    if (reason == SHUTDOWN_crash || reason == SHUTDOWN_watchdog) {
        domain_dump_registers(d);
        if (options.noreboot) {
            printk(LOG_ERROR, "Halted: the command line says noreboot");
            arch_machine_halt();
        }
    }
    arch_machine_reboot();
}

void domain_shutdown(struct domain *d, uint32_t reason)
{
    if (domain_is_control(d))
        end_machine(d, reason);
    spin_lock(&d->lock);
    if (d->is_shutting_down) {
        spin_unlock(&d->lock);
        return;
    }
    d->is_shutting_down = true;
    d->shutdown_code = reason;
    spin_unlock(&d->lock);
    domain_pause_nosync(d);
    d->is_shut_down = true;
    if (reason == SHUTDOWN_suspend && d->suspend_port)
        evtchn_send(NULL, d, d->suspend_port);
    else
        virq_send_global(VIRQ_DOM_EXC);
}

void domain_resume(struct domain *d)
{
    bool was;

    spin_lock(&d->lock);
    was = d->is_shut_down;
    d->is_shutting_down = d->is_shut_down = false;
    d->shutdown_code = SHUTDOWN_CODE_INVALID;
    spin_unlock(&d->lock);
    if (was)
        domain_unpause(d);
}

void domain_crash(struct domain *d, const char *why, ...)
{
    struct vcpu *v = arch_current();
    char prefix[32];
    va_list args;

    if (d->is_shutting_down)
        return;
    bh_snprintf(prefix, sizeof(prefix), "d%u crashed: ", d->id);
    va_start(args, why);
    vprintk(LOG_ERROR, prefix, why, args);
    va_end(args);
    if (v && v->domain == d && !domain_is_control(d))
        arch_dump_vcpu(v);
    domain_shutdown(d, SHUTDOWN_crash);
}

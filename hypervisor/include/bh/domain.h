/*
 * Domains and vcpus.
 *
 * A domain is born zeroed with one reference (its creator's) in state DOMAIN_NEW, can be torn down from any
 * state by domain_kill(), and is freed when the last reference goes (domain_put). Look-ups take a reference.
 *
 *   NEW -> ALIVE -> DYING -> DEAD -> (last reference) freed
 *
 * Pausing is counted: a vcpu runs only when its own pause count and its domain's are zero, it is up and not
 * blocked. Locks: domain list lock (create, free, walk) > domain lock (control operations) > concept locks.
 * Vcpu array entries never change once set; v->domain holds for the vcpu's whole life.
 */
#ifndef BH_DOMAIN_H
#define BH_DOMAIN_H

#include <bh/types.h>
#include <bh/list.h>
#include <bh/lock.h>
#include <bh/cause.h>
#include <bh/timer.h>
#include <bh/evtchn.h>
#include <bh/sched.h>
#include <bh/rangeset.h>
#include <bh/printk.h>
#include <bh/policy.h>
#include <bh/work.h>
#include <public/xen.h>
#include <public/vcpu.h>
#include <asm/domain.h>

#define DOMAIN_MAX_VCPUS      128
#define SHUTDOWN_CODE_INVALID 0xffffffffU /* none noted */
#define DOMID_LIMIT           DOMID_FIRST_RESERVED

struct grant_table;

enum domain_state {
    DOMAIN_NEW,
    DOMAIN_ALIVE,
    DOMAIN_DYING, /* being torn down: pages and ports go back, preemptibly */
    DOMAIN_DEAD,  /* holds nothing any more but its struct; waits for the last reference */
};

enum domain_kind {
    KIND_IDLE,   /* the idle vcpus' domain */
    KIND_SYSTEM, /* owners of pages that are no guest's: DOMID_XEN, DOMID_IO */
    KIND_PV,
};

/* Where a vcpu stands. */
enum vcpu_state {
    VCPU_DOWN,    /* never brought up, or taken down by its guest */
    VCPU_RUNABLE, /* running or waiting for a CPU */
    VCPU_BLOCKED, /* waits for an event */
};

struct vcpu {
    uint32_t id;
    struct domain *domain;
    /* Shared with the guest: time, pending events. Never NULL. */
    struct vcpu_info *info;
    struct vcpu_info unseen_info; /* where info points while the guest has no place for it */
    struct page_info *info_page;  /* held reference when the guest registered its own place */

    enum vcpu_state state; /* scheduler lock */
    bool initialised;      /* has a register context */
    _Atomic bool polling;  /* in SCHEDOP_poll; poll_port tells which (0: many) */
    uint32_t poll_port;
    _Atomic int pause_count;

    struct sched_vcpu sched;

    struct vcpu_runstate_info runstate; /* scheduler lock; time in ns */
    uint64_t runstate_guest;            /* guest virtual address of the registered area, or 0 */
    uint64_t time_guest;                /* secondary time area, or 0 */

    struct timer periodic_timer, singleshot_timer, poll_timer, upcall_timer;
    uint64_t periodic_period; /* ns; 0: off */
    uint64_t periodic_last;

    struct evtchn_vcpu evtchn;

    /* Set by hypercall_restart() for a handler that returns HYPERCALL_RESTART. */
    unsigned long restart_args[5];

    struct cause cause;

    _Atomic uint64_t hypercalls; /* statistics */
    struct arch_vcpu arch;
};

struct domain {
    domid_t id;
    enum domain_kind kind;
    _Atomic int refs;
    enum domain_state state;
    bool privileged; /* the control domain */
    bool is_shutting_down, is_shut_down;
    uint32_t shutdown_code;
    int controller_pause_count;
    _Atomic int pause_count;
    uint8_t handle[16]; /* uuid, opaque */
    uint32_t ssid;
    uint32_t create_flags; /* XEN_DOMCTL_CDF_* */
    uint32_t arch_flags;   /* XEN_X86_* */
    uint32_t pool;         /* cpupool id */
    struct domain *target; /* held reference: the domain this one may act upon (device model), or NULL */

    struct list all; /* every domain, ordered by id */
    struct domain *hash_next;
    struct deferred free_job;
    struct spinlock lock;

    uint32_t max_vcpus;
    struct vcpu **vcpu; /* [max_vcpus]; entries NULL until created */

    struct shared_info *shared_info; /* one page, owned by the domain, shared with the guest */

    /* Memory: counts in pages. page_lock covers lists and counts. */
    struct spinlock page_lock;
    struct list pages; /* reserved for the allocator's use; see page_alloc.h */
    uint64_t first_page, nr_listed;
    uint64_t tot_pages, max_pages, outstanding_pages, xenheap_pages, shared_pages;

    struct evtchn_domain evtchn;
    struct grant_table *grant;

    struct rangeset *iomem_caps, *irq_caps; /* mfns; pirqs */

    struct timer watchdog[2];
    uint32_t watchdog_in_use;
    int64_t time_offset_s;
    uint64_t vm_assist;    /* bit per VMASST_TYPE_* */
    uint32_t suspend_port; /* XEN_DOMCTL_subscribe: told of a suspend in place of VIRQ_DOM_EXC; 0: none */

    /* Console output: the line being collected, and limits on what the guest may make us print. */
    char console_line[128];
    uint32_t console_fill;
    struct log_limit console_limit;

    struct sched_domain sched;
    struct arch_domain arch;
};

extern struct domain *domain_xen; /* DOMID_XEN: owns what no guest owns and all may see read-only (M2P) */
extern struct domain *domain_io;  /* DOMID_IO: owns I/O memory */
extern struct domain *control_domain;
extern struct domain *idle_domain;

/*
 * Creates a domain (state NEW, all vcpus absent). *out gets it with one reference held for the caller.
 * `config` is checked here. Returns 0, -EINVAL, -EEXIST, -ENOMEM, -ERANGE.
 */
struct domain_config {
    domid_t domid; /* DOMID_INVALID: choose one */
    bool privileged;
    uint32_t flags, arch_flags, ssid;
    uint8_t handle[16];
    uint32_t max_vcpus, max_evtchn_port; /* ports: highest number allowed */
    int32_t max_grant_frames, max_maptrack_frames;
    uint32_t grant_version; /* highest version allowed */
    uint32_t pool;
};
int must_check domain_create(const struct domain_config *config, struct domain **out);

/* Looks up by id and takes a reference; NULL: no such domain. */
struct domain *must_check domain_get(domid_t id);
/* Takes another reference to a domain that the caller holds already. */
void domain_hold(struct domain *d);
void domain_put(struct domain *d);
/* Like domain_get, but DOMID_SELF means v's domain. Asks the policy `op`. Returns 0 or -ESRCH, -EPERM (cause
 * noted). */
int must_check domain_get_for(struct vcpu *v, domid_t id, int op, struct domain **out);

/* Adds vcpu `id`, down. Returns 0, -EINVAL, -EEXIST, -ENOMEM. */
int must_check vcpu_create(struct domain *d, uint32_t id, struct vcpu **out);

void domain_pause(struct domain *d); /* waits until no vcpu of it runs; not for the caller's own domain */
void domain_pause_nosync(struct domain *d);
void domain_unpause(struct domain *d);
void vcpu_pause(struct vcpu *v);
void vcpu_unpause(struct vcpu *v);

/* The guest ended (SHUTDOWN_*): pauses it and tells the control domain; for the control domain ends the
 * machine. */
void domain_shutdown(struct domain *d, uint32_t reason);
/* The registers of its vcpus, to the console. */
void domain_dump_registers(struct domain *d);
/* The guest did what cannot be continued: one line why, then domain_shutdown(SHUTDOWN_crash). Returns. */
void domain_crash(struct domain *d, const char *why, ...) printf_like(2, 3);
/* Starts or continues tearing down; 0: done, -ERESTART-like HYPERCALL_RESTART never leaks: -EAGAIN means call
 * again. */
int domain_kill(struct domain *d);

/* Undoes domain_shutdown: the guest runs on (after a suspend). */
void domain_resume(struct domain *d);
/* The toolstack's pause and unpause, counted by themselves. 0, -EUSERS (too many), -EINVAL (not paused). */
int must_check domain_pause_by_controller(struct domain *d);
int must_check domain_unpause_by_controller(struct domain *d);
/* Boot: the domains that own what no guest owns, and the idle vcpus' one. */
void domain_init(void);

/* Parts of a vcpu's end, each idempotent (common/vcpu.c). */
void vcpu_stop_timers(struct vcpu *v);
void vcpu_hold_upcall(struct vcpu *v, uint64_t ns);
void vcpu_forget_guest(struct vcpu *v); /* gives back the pages it shares with the guest */
void vcpu_destroy(struct vcpu *v);
/* The scheduler's word on v->state: changes it if it is `from`. */
void sched_set_state(struct vcpu *v, enum vcpu_state from, enum vcpu_state to);

/* The first domain with this id or above, and the one after d, whose reference is dropped; referenced. NULL: none. */
struct domain *must_check domain_get_from(domid_t id);
struct domain *must_check domain_next(struct domain *d);
/* Every domain, in the order of ids. Who leaves the loop early has a reference to drop. */
#define for_each_domain(d) for ((d) = domain_get_from(0); (d) != NULL; (d) = domain_next(d))

#define for_each_vcpu(d, v)                                                                                  \
    for (uint32_t vcpu_i_ = 0; vcpu_i_ < (d)->max_vcpus; vcpu_i_++)                                          \
        if (((v) = (d)->vcpu[vcpu_i_]) != NULL)

/* NULL: it has none of this id. */
static inline struct vcpu *domain_vcpu(const struct domain *d, uint32_t id)
{
    return id < d->max_vcpus ? d->vcpu[id] : NULL;
}

static inline bool domain_is_control(const struct domain *d)
{
    return d->privileged;
}

static inline bool vcpu_is_idle(const struct vcpu *v)
{
    return v->domain->kind == KIND_IDLE;
}

#endif

/*
 * Event channels under ThreadSanitizer: threads stand for CPUs and send, close, bind, mask and move the same
 * few ports of three domains, first in the 2-level, then in the FIFO ABI. TSan reports any access that the
 * locks do not order; at the end no lock is held, no domain reference is lost, and every port is in a state
 * that fits its peer's.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <bh/arch.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/guest.h>
#include <bh/hypercall.h>
#include <bh/page_alloc.h>
#include <bh/virq.h>

#define DOMAINS 3
#define VCPUS   2
#define PORTS   24
#define THREADS 6
#define ROUNDS  20000
#define PAGES   16

static struct domain domain[DOMAINS];
static struct vcpu vcpu[DOMAINS][VCPUS];
static struct vcpu *vcpu_list[DOMAINS][VCPUS];
static struct vcpu_info info[DOMAINS][VCPUS];
static struct shared_info shared[DOMAINS];
static char ram[PAGES][PAGE_SIZE] aligned(4096);
static struct page_info frames[PAGES];

struct page_info *const frame_table = frames;
uint64_t max_page = PAGES;
struct domain *control_domain = &domain[0];

/* --- What the event channel code calls --- */

int fail(struct vcpu *v, int error, const char *check, uint64_t a, uint64_t b)
{
    return error;
}

void printk(enum log_level level, const char *fmt, ...)
{
}

void *kalloc(size_t bytes)
{
    return calloc(1, bytes);
}

void kfree(void *p)
{
    free(p);
}

void domain_hold(struct domain *d)
{
    atomic_fetch_add(&d->refs, 1);
}

void domain_put(struct domain *d)
{
    atomic_fetch_sub(&d->refs, 1);
}

int domain_get_for(struct vcpu *v, domid_t id, int op, struct domain **out)
{
    *out = &domain[id];
    domain_hold(*out);
    return 0;
}

void vcpu_wake(struct vcpu *v)
{
}

void arch_vcpu_kick(struct vcpu *v)
{
}

void arch_cpu_relax(void)
{
    sched_yield();
}

void *arch_map(mfn_t mfn)
{
    return ram[mfn.n];
}

mfn_t arch_unmap(const void *mapped)
{
    return MFN((uint64_t)((const char *)mapped - ram[0]) / PAGE_SIZE);
}

bool page_get_writable_slow(struct page_info *pg, const struct domain *d)
{
    return true;
}

void page_put_writable_slow(struct page_info *pg)
{
}

int arch_pirq_bind(struct domain *d, uint32_t pirq, uint32_t port, bool will_share)
{
    return 0;
}

void arch_pirq_unbind(struct domain *d, uint32_t pirq)
{
}

void arch_pirq_set_affinity(struct domain *d, uint32_t pirq, unsigned int cpu)
{
}

bool hypercall_preempt_check(void)
{
    return false;
}

long hypercall_restart(struct vcpu *v, unsigned long a1, unsigned long a2, unsigned long a3, unsigned long a4,
                       unsigned long a5)
{
    return HYPERCALL_RESTART;
}

bool policy_allows(const struct domain *subject, enum policy_op op, const struct domain *target)
{
    return true;
}

size_t copy_from_guest(struct vcpu *v, void *dst, uint64_t untrusted_src, size_t bytes)
{
    memcpy(dst, (const void *)untrusted_src, bytes);
    return 0;
}

size_t copy_to_guest(struct vcpu *v, uint64_t untrusted_dst, const void *src, size_t bytes)
{
    memcpy((void *)untrusted_dst, src, bytes);
    return 0;
}

/* --- The race --- */

static long call(struct domain *d, unsigned int cmd, void *arg)
{
    return do_event_channel_op(d->vcpu[0], cmd, (unsigned long)arg, 0, 0, 0);
}

static void one_step(struct domain *d, uint32_t random)
{
    uint32_t port = random >> 8 & 31;
    struct domain *peer = &domain[(random >> 16) % DOMAINS];
    struct evtchn_bind_interdomain bind = {.remote_dom = peer->id, .remote_port = port};
    struct evtchn_alloc_unbound offer = {.dom = DOMID_SELF, .remote_dom = peer->id};
    struct evtchn_bind_vcpu move = {.port = port, .vcpu = random >> 13 & 1};
    struct evtchn_set_priority priority = {.port = port, .priority = random >> 20 & 15};
    struct evtchn_bind_virq virq = {.virq = VIRQ_TIMER};
    struct evtchn_status status = {.dom = d->id, .port = port};

    switch (random & 15) {
    case 0:
        call(d, EVTCHNOP_alloc_unbound, &offer);
        break;
    case 1:
        call(d, EVTCHNOP_bind_interdomain, &bind);
        break;
    case 2:
    case 3:
        call(d, EVTCHNOP_close, &(struct evtchn_close){port});
        break;
    case 4:
        call(d, EVTCHNOP_bind_vcpu, &move);
        break;
    case 5:
        call(d, EVTCHNOP_unmask, &(struct evtchn_unmask){port});
        break;
    case 6:
        call(d, EVTCHNOP_bind_virq, &virq);
        break;
    case 7:
        evtchn_send_virq(d->vcpu[0], VIRQ_TIMER);
        break;
    case 8:
        call(d, EVTCHNOP_status, &status);
        break;
    case 9:
        call(d, EVTCHNOP_set_priority, &priority);
        break;
    case 10:
        (void)evtchn_port_pending(d, port);
        break;
    case 11: /* the guest takes whatever is there */
        __atomic_store_n(&d->shared_info->evtchn_pending[0], 0, __ATOMIC_SEQ_CST);
        __atomic_store_n(&d->vcpu[0]->info->evtchn_pending_sel, 0, __ATOMIC_SEQ_CST);
        __atomic_store_n(&d->vcpu[0]->info->evtchn_upcall_pending, 0, __ATOMIC_SEQ_CST);
        break;
    default:
        call(d, EVTCHNOP_send, &(struct evtchn_send){port});
    }
}

static void *cpu(void *arg)
{
    uint32_t random = 2463534242u + (uint32_t)(uintptr_t)arg * 77777;

    for (int i = 0; i < ROUNDS; i++) {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        one_step(&domain[random >> 5 & 7 ? (uintptr_t)arg % DOMAINS : random % DOMAINS], random);
    }
    return NULL;
}

static void race(void)
{
    pthread_t thread[THREADS];

    for (uintptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&thread[i], NULL, cpu, (void *)i) != 0)
            abort();
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
}

static void must(bool ok, const char *what, int d, uint32_t port)
{
    if (ok)
        return;
    printf("domain %d port %u: %s\n", d, port, what);
    exit(1);
}

static void check(int d)
{
    const struct evtchn_domain *e = &domain[d].evtchn;
    uint32_t used = 0;

    must(!spin_is_locked(&domain[d].evtchn.lock), "the domain's lock is held", d, 0);
    must(domain[d].refs == 1, "references were lost", d, 0);
    for (uint32_t port = 1; port < PORTS; port++) {
        struct evtchn *chn = evtchn_lookup(e, port);
        bool bit = e->used[0] >> port & 1;

        must(!spin_is_locked(&chn->lock), "its lock is held", d, port);
        must(bit == (chn->state != EVTCHN_FREE), "the map of free ports is wrong", d, port);
        used += bit;
        if (chn->state == EVTCHN_INTERDOMAIN) {
            const struct evtchn *peer =
                evtchn_lookup(&chn->u.interdomain.remote->evtchn, chn->u.interdomain.port);

            must(peer->state == EVTCHN_INTERDOMAIN && peer->u.interdomain.remote == &domain[d] &&
                     peer->u.interdomain.port == port,
                 "its peer does not know it", d, port);
        }
        if (chn->state == EVTCHN_VIRQ)
            must(domain[d].vcpu[0]->evtchn.virq_port[chn->u.virq] == port, "its VIRQ does not know it", d,
                 port);
    }
    must(used == e->nr_used, "the count of ports is wrong", d, used);
}

static void start_fifo(int d)
{
    for (uint32_t v = 0; v < VCPUS; v++) {
        struct evtchn_init_control op = {.control_gfn = (uint64_t)(d * 4) + 1 + v, .vcpu = v};

        must(call(&domain[d], EVTCHNOP_init_control, &op) == 0, "init_control", d, v);
    }
    struct evtchn_expand_array op = {.array_gfn = (uint64_t)(d * 4) + 3};

    must(call(&domain[d], EVTCHNOP_expand_array, &op) == 0, "expand_array", d, 0);
}

int main(void)
{
    for (int i = 0; i < PAGES; i++) {
        frames[i].refs = 1;
        frames[i].type = 0;
    }
    for (int d = 0; d < DOMAINS; d++) {
        domain[d].id = (domid_t)d;
        domain[d].refs = 1;
        domain[d].max_vcpus = VCPUS;
        domain[d].vcpu = vcpu_list[d];
        domain[d].shared_info = &shared[d];
        for (uint32_t v = 0; v < VCPUS; v++) {
            vcpu[d][v].id = v;
            vcpu[d][v].domain = &domain[d];
            vcpu[d][v].info = &info[d][v];
            vcpu[d][v].state = VCPU_RUNABLE;
            vcpu_list[d][v] = &vcpu[d][v];
        }
        must(evtchn_domain_init(&domain[d], PORTS - 1) == 0, "init", d, 0);
    }
    race();
    for (int d = 0; d < DOMAINS; d++)
        check(d);
    for (int d = 0; d < DOMAINS; d++)
        start_fifo(d);
    race();
    for (int d = 0; d < DOMAINS; d++)
        check(d);
    for (int d = 0; d < DOMAINS; d++) {
        must(evtchn_domain_release(&domain[d]) == 0, "release", d, 0);
        must(domain[d].evtchn.nr_used == 0, "ports are left", d, domain[d].evtchn.nr_used);
    }
    for (int d = 0; d < DOMAINS; d++)
        evtchn_domain_destroy(&domain[d]);
    printf("threads agree\n");
    return 0;
}

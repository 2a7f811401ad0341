/*
 * Scheduler and timers under ThreadSanitizer: each thread is a CPU that runs the real schedule(), work and timer code on
 * the vcpu that is current there. Guests block, poll, yield, set timers, send each other events and take each other
 * down and up; the control domain pauses guests, moves them by affinity, changes weights and caps, and takes CPUs out of
 * service and back. Time is the
 * host's.
 *
 * TSan reports accesses that the locks do not order (READ_ONCE and WRITE_ONCE mark those meant to race). In pairs of
 * vcpus a token goes to and fro by events: a wakeup that is lost stops it, and the test with it. At the end every
 * runnable vcpu is in exactly one place and no lock is held.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <bh/arch.h>
#include <bh/domain.h>
#include <bh/evtchn.h>
#include <bh/hypercall.h>
#include <bh/sched_cpu.h>
#include <bh/timer.h>
#include <bh/work.h>
#include <public/event_channel.h>
#include <public/sched.h>
#include <public/vcpu.h>
#include "fake.h"

#define CPUS    4
#define GUESTS  3
#define VCPUS   4 /* of each domain: the first two pass the token, the others do as they like */
#define PASSES  300000
#define LIMIT_S 300

static struct domain *dom[GUESTS + 1];
static uint32_t port[GUESTS + 1][VCPUS];
static _Atomic uint32_t token[GUESTS + 1], passes[GUESTS + 1];
static _Atomic bool stop;
static _Atomic uint64_t deadline[CPUS];

static __thread unsigned int self;
static __thread bool is_cpu;
static __thread uint32_t random_state;

/* Volatile accesses are the hypervisor's marked races; clang calls these for them. */
#define VOLATILE(n)                                                                                          \
    void __tsan_volatile_read##n(void *at);                                                                  \
    void __tsan_volatile_read##n(void *at)                                                                   \
    {                                                                                                        \
    }                                                                                                        \
    void __tsan_volatile_write##n(void *at);                                                                 \
    void __tsan_volatile_write##n(void *at)                                                                  \
    {                                                                                                        \
    }
VOLATILE(1)
VOLATILE(2)
VOLATILE(4)
VOLATILE(8)

/* --- The machine: threads are CPUs; before they start, fake.c's CPU is the main thread's --- */

unsigned int arch_cpu_id(void)
{
    return is_cpu ? self : fake_cpu;
}

struct vcpu *arch_current(void)
{
    return fake_current[arch_cpu_id()];
}

void arch_set_current(struct vcpu *v)
{
    fake_current[arch_cpu_id()] = v;
}

uint64_t arch_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000UL + (uint64_t)t.tv_nsec;
}

void arch_timer_set(uint64_t at)
{
    deadline[arch_cpu_id()] = at;
}

void arch_kick_cpu(unsigned int cpu)
{
}

void arch_vcpu_kick(struct vcpu *v)
{
}

void arch_cpu_relax(void)
{
    sched_yield();
}

void arch_context_switch(struct vcpu *prev, struct vcpu *next)
{
    fake_current[arch_cpu_id()] = next;
    sched_context_saved(prev);
    if (!vcpu_is_idle(next))
        sched_switched_in(next);
}

/* --- What guests do --- */

static uint32_t chance(uint32_t n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return (random_state >> 3) % n;
}

static long call(struct vcpu *v, unsigned int number, unsigned long a1, unsigned long a2, unsigned long a3)
{
    return hypercall_table[number](v, a1, a2, a3, 0, 0);
}

static void send(struct vcpu *v, uint32_t vcpu)
{
    struct evtchn_send op = {port[v->domain->id][vcpu]};

    call(v, __HYPERVISOR_event_channel_op, EVTCHNOP_send, (unsigned long)&op, 0);
}

static void take_events(struct vcpu *v)
{
    struct shared_info *s = v->domain->shared_info;

    __atomic_store_n(&v->info->evtchn_upcall_pending, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&v->info->evtchn_pending_sel, 0, __ATOMIC_SEQ_CST);
    __atomic_fetch_and(&s->evtchn_pending[0], ~(1UL << port[v->domain->id][v->id]), __ATOMIC_SEQ_CST);
}

static void poll(struct vcpu *v)
{
    struct sched_poll op = {.ports = (uint64_t)&port[v->domain->id][v->id],
                            .nr_ports = 1,
                            .timeout = arch_now() + chance(200000)};

    v->info->evtchn_upcall_mask = (uint8_t)chance(2);
    call(v, __HYPERVISOR_sched_op, SCHEDOP_poll, (unsigned long)&op, 0);
}

/* The first two vcpus: whoever finds the token at its own name hands it over, and blocks until it comes back. */
static void pass(struct vcpu *v)
{
    domid_t id = v->domain->id;

    take_events(v);
    if (token[id] == v->id) {
        token[id] = !v->id;
        passes[id]++;
        send(v, !v->id);
    }
    call(v, __HYPERVISOR_sched_op, SCHEDOP_block, 0, 0);
}

static void wander(struct vcpu *v)
{
    uint32_t other = 2 + chance(VCPUS - 2);

    take_events(v);
    switch (chance(8)) {
    case 0:
        call(v, __HYPERVISOR_set_timer_op, arch_now() + chance(300000), 0, 0);
        call(v, __HYPERVISOR_sched_op, SCHEDOP_block, 0, 0);
        break;
    case 1:
        poll(v);
        break;
    case 2:
        call(v, __HYPERVISOR_vcpu_op, VCPUOP_down, other, 0);
        call(v, __HYPERVISOR_vcpu_op, VCPUOP_up, other, 0);
        break;
    case 3:
        call(v, __HYPERVISOR_vcpu_op, VCPUOP_up, other, 0);
        send(v, other);
        break;
    default:
        call(v, __HYPERVISOR_sched_op, SCHEDOP_yield, 0, 0);
    }
}

/* The control domain on its guests. */
static void control(struct vcpu *v)
{
    struct domain *d = dom[1 + chance(GUESTS)];
    struct vcpu *w = d->vcpu[chance(VCPUS)];

    take_events(v);
    switch (chance(8)) {
    case 0:
        domain_pause(d);
        domain_unpause(d);
        break;
    case 1:
        vcpu_pause(w);
        vcpu_unpause(w);
        break;
    case 2:
        if (sched_set_affinity(w, chance(15) + 1, chance(15) + 1) != 0)
            break; /* none of these CPUs is in service */
        break;
    case 5:
        if ((chance(2) ? cpupool_cpu_offline : cpupool_cpu_online)(1 + chance(CPUS - 1)) != 0)
            break; /* it is out of service already */
        break;
    case 3:
        if (sched_set_params(d, 1 + chance(1000), chance(2) * (20 + chance(300))) != 0)
            abort();
        break;
    case 4:
        call(v, __HYPERVISOR_set_timer_op, arch_now() + chance(100000), 0, 0);
        call(v, __HYPERVISOR_sched_op, SCHEDOP_block, 0, 0);
        break;
    default:
        call(v, __HYPERVISOR_sched_op, SCHEDOP_yield, 0, 0);
    }
}

static void *cpu(void *arg)
{
    self = (unsigned int)(uintptr_t)arg;
    is_cpu = true;
    random_state = 2463534242u + self * 77777;
    while (!stop) {
        uint64_t at = deadline[self];
        struct vcpu *v;

        if (at != 0 && at <= arch_now()) {
            deadline[self] = 0;
            timer_interrupt();
        }
        work_run();
        v = arch_current();
        if (vcpu_is_idle(v))
            sched_yield();
        else if (v->domain == dom[0])
            control(v);
        else if (v->id < 2)
            pass(v);
        else
            wander(v);
    }
    return NULL;
}

/* --- The judge --- */

static void must(bool ok, const char *what, uint32_t d, uint32_t v)
{
    if (ok)
        return;
    printf("d%uv%u: %s\n", d, v, what);
    exit(1);
}

static bool all_passed(void)
{
    for (uint32_t d = 1; d <= GUESTS; d++)
        if (passes[d] < PASSES)
            return false;
    return true;
}

static void check(struct vcpu *v)
{
    struct sched_cpu *c = &sched_cpu[v->sched.cpu];
    uint32_t places = (c->current == v) + v->sched.parked;
    struct vcpu *q;

    for (uint32_t p = 0; p < PRIO_QUEUES; p++)
        list_for_each_entry (q, &c->queue[p], sched.link)
            places += q == v;
    must(!spin_is_locked(&c->lock), "its CPU's lock is held", v->domain->id, v->id);
    must(!vcpu_runnable(v) || places == 1, "is runnable and not in one place", v->domain->id, v->id);
    must(c->current == v || !v->sched.running, "runs and is not current", v->domain->id, v->id);
}

int main(void)
{
    pthread_t thread[CPUS];
    uint64_t end;

    fake_boot(CPUS);
    for (uint32_t d = 0; d <= GUESTS; d++) {
        dom[d] = fake_domain(d == 0, VCPUS, 16);
        for (uint32_t v = 0; v < VCPUS; v++) {
            struct evtchn_bind_ipi op = {.vcpu = v};

            must(call(dom[d]->vcpu[0], __HYPERVISOR_event_channel_op, EVTCHNOP_bind_ipi, (unsigned long)&op,
                      0) == 0,
                 "no port", d, v);
            port[d][v] = op.port;
            dom[d]->shared_info->evtchn_mask[0] = 0;
        }
    }
    end = arch_now() + NSEC(LIMIT_S);
    for (uintptr_t i = 0; i < CPUS; i++)
        if (pthread_create(&thread[i], NULL, cpu, (void *)i) != 0)
            abort();
    while (!all_passed() && arch_now() < end)
        usleep(1000);
    stop = true;
    for (int i = 0; i < CPUS; i++)
        pthread_join(thread[i], NULL);
    for (uint32_t d = 0; d <= GUESTS; d++) {
        struct vcpu *v;

        must(d == 0 || passes[d] >= PASSES, "a wakeup was lost: the token does not move", d, token[d]);
        for_each_vcpu (dom[d], v)
            check(v);
    }
    printf("threads agree: %u, %u, %u tokens passed\n", passes[1], passes[2], passes[3]);
    return 0;
}

/*
 * Timers: a pairing heap per CPU, and the CPU's one hardware deadline, which is the root's.
 *
 * Heap invariant: no child expires before its parent. A node's `prev` is its parent when it is the first
 * child, else the sibling before it; the root has neither sibling nor `prev`. Inserting is O(1), removing
 * O(log n) amortised.
 *
 * A heap's lock covers its nodes, their t->cpu, t->armed and t->killed. A timer's CPU changes only with both
 * heaps' locks held, lower CPU number first; everybody else locks the heap of t->cpu and looks whether it
 * still is. Functions run without the lock; `running` lets timer_kill() wait for them.
 */
#include <bh/timer.h>
#include <bh/arch.h>
#include <bh/lock.h>
#include <bh/printk.h>
#include <bh/work.h>

static struct timer_cpu {
    struct spinlock lock;
    bool in_run; /* timer_run() programs the deadline when it is done */
    struct timer *root;
    struct timer *_Atomic running;
    uint64_t programmed; /* 0: none */
} aligned(64) heap[NR_CPUS];

static struct timer *meld(struct timer *a, struct timer *b)
{
    struct timer *t;

    if (b->expires < a->expires) {
        t = a;
        a = b;
        b = t;
    }
    b->prev = a;
    b->next = a->child;
    if (a->child)
        a->child->prev = b;
    a->child = b;
    return a;
}

/* Makes one heap of a list of siblings: melds them in pairs, then the pairs. */
static struct timer *meld_siblings(struct timer *t)
{
    struct timer *pairs = NULL, *root = NULL, *a, *b;

    while (t) {
        a = t;
        b = a->next;
        t = b ? b->next : NULL;
        a->next = a->prev = NULL;
        if (b) {
            b->next = b->prev = NULL;
            a = meld(a, b);
        }
        a->next = pairs;
        pairs = a;
    }
    while (pairs) {
        a = pairs;
        pairs = a->next;
        a->next = NULL;
        root = root ? meld(root, a) : a;
    }
    return root;
}

static void heap_insert(struct timer_cpu *h, struct timer *t)
{
    t->child = t->next = t->prev = NULL;
    t->armed = true;
    h->root = h->root ? meld(h->root, t) : t;
}

static void heap_remove(struct timer_cpu *h, struct timer *t)
{
    struct timer *below = t->child ? meld_siblings(t->child) : NULL;

    t->armed = false;
    if (h->root == t) {
        h->root = below;
        return;
    }
    if (t->prev->child == t)
        t->prev->child = t->next;
    else
        t->prev->next = t->next;
    if (t->next)
        t->next->prev = t->prev;
    if (below)
        h->root = meld(h->root, below);
}

static struct timer_cpu *lock_heap_of(struct timer *t)
{
    for (;;) {
        uint32_t cpu = READ_ONCE(t->cpu);

        spin_lock(&heap[cpu].lock);
        if (likely(READ_ONCE(t->cpu) == cpu))
            return &heap[cpu];
        spin_unlock(&heap[cpu].lock);
    }
}

/* The root may have changed: brings this CPU's hardware in line. */
static inline void program(struct timer_cpu *h)
{
    uint64_t want = h->root ? h->root->expires : 0;

    if (want != h->programmed) {
        h->programmed = want;
        arch_timer_set(want);
    }
}

/* Unlocks after a change, with the deadline programmed here or left to the CPU whose heap it is. */
static inline void unlock_and_program(struct timer_cpu *h)
{
    unsigned int cpu = (unsigned int)(h - heap);
    bool remote_earlier = false;

    if (cpu == arch_cpu_id()) {
        if (!h->in_run)
            program(h);
    } else {
        uint64_t programmed = READ_ONCE(h->programmed);

        remote_earlier = h->root && (!programmed || h->root->expires < programmed);
    }
    spin_unlock(&h->lock);
    if (remote_earlier)
        work_raise_cpu(cpu, WORK_TIMER);
}

void timer_init(struct timer *t, void (*fn)(void *arg), void *arg, unsigned int cpu)
{
    *t = (struct timer){.fn = fn, .arg = arg, .cpu = cpu};
}

void timer_set(struct timer *t, uint64_t expires_ns)
{
    struct timer_cpu *h = lock_heap_of(t);

    if (t->armed)
        heap_remove(h, t);
    if (!t->killed) {
        t->expires = expires_ns ? expires_ns : 1;
        heap_insert(h, t);
    }
    unlock_and_program(h);
}

void timer_stop(struct timer *t)
{
    struct timer_cpu *h;

    if (!READ_ONCE(t->armed))
        return;
    h = lock_heap_of(t);
    if (t->armed)
        heap_remove(h, t);
    unlock_and_program(h);
}

void timer_kill(struct timer *t)
{
    struct timer_cpu *h = lock_heap_of(t);

    t->killed = true;
    if (t->armed)
        heap_remove(h, t);
    unlock_and_program(h);
    while (atomic_load_explicit(&h->running, memory_order_acquire) == t)
        arch_cpu_relax();
}

void timer_migrate(struct timer *t, unsigned int cpu)
{
    uint32_t from = READ_ONCE(t->cpu);
    struct timer_cpu *low, *high;

    if (from == cpu)
        return;
    low = &heap[MIN(from, cpu)];
    high = &heap[MAX(from, cpu)];
    spin_lock(&low->lock);
    spin_lock(&high->lock);
    if (t->cpu == from) {
        if (t->armed) {
            heap_remove(&heap[from], t);
            heap_insert(&heap[cpu], t);
        }
        t->cpu = cpu;
    }
    unlock_and_program(high);
    unlock_and_program(low);
}

void timer_interrupt(void)
{
    WRITE_ONCE(heap[arch_cpu_id()].programmed, 0); /* without the lock: timer_run() follows */
    work_raise(WORK_TIMER);
}

void timer_run(void)
{
    struct timer_cpu *h = &heap[arch_cpu_id()];
    uint64_t now = arch_now();
    struct timer *t;

    spin_lock(&h->lock);
    h->in_run = true;
    while ((t = h->root) != NULL && t->expires <= now) {
        void (*fn)(void *arg) = t->fn;
        void *arg = t->arg;

        heap_remove(h, t);
        atomic_store_explicit(&h->running, t, memory_order_relaxed);
        spin_unlock(&h->lock);
        fn(arg);
        atomic_store_explicit(&h->running, NULL, memory_order_release);
        spin_lock(&h->lock);
    }
    h->in_run = false;
    program(h);
    spin_unlock(&h->lock);
}

void timer_cpu_init(unsigned int cpu)
{
    heap[cpu].programmed = 0;
}

void timer_dump(void)
{
    uint64_t now = arch_now();

    for (unsigned int cpu = 0; cpu < NR_CPUS; cpu++) {
        struct timer_cpu *h = &heap[cpu];

        spin_lock(&h->lock);
        if (h->root)
            printk(LOG_ERROR, "  CPU %u: next timer in %ld ns, hardware set for %ld ns", cpu,
                   (long)(h->root->expires - now), h->programmed ? (long)(h->programmed - now) : 0);
        spin_unlock(&h->lock);
    }
}

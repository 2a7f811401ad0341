/*
 * The console: the ring of all output, input and its owner, console_io, debug keys.
 *
 * Ring: `written` counts every byte ever written, `start` is the oldest that is still held and not cleared;
 * both wrap as 32-bit numbers, the ring's size is a power of two. Before page_alloc works the ring is a small
 * static one.
 *
 * One lock covers the ring and the machine's console, so that lines do not mix. It is not taken by the CPU
 * that holds it already (a message from an NMI or a fault in the middle of a message), nor by anyone after
 * console_force().
 */
#include <bh/console.h>
#include <bh/arch.h>
#include <bh/cmdline.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/guest.h>
#include <bh/hypercall.h>
#include <bh/page_alloc.h>
#include <bh/printk.h>
#include <bh/virq.h>
#include <bh/work.h>

#define RING_EARLY_SIZE 16384
#define RX_SIZE         1024
#define WRITE_CHUNK     256
#define NOBODY          ~0u

static char early_ring[RING_EARLY_SIZE];
static struct {
    struct spinlock lock;
    uint32_t owner; /* CPU that holds the lock */
    bool forced;
    char *ring;
    uint32_t size, written, start;
} console = {.owner = NOBODY, .ring = early_ring, .size = RING_EARLY_SIZE};

static struct {
    struct spinlock lock;
    char buf[RX_SIZE];
    uint32_t head, tail;
    bool to_hypervisor;
    int switch_count;
} rx;

static struct deferred ring_job, input_job;

static bool console_lock(void)
{
    uint32_t cpu = arch_cpu_id();

    if (console.forced || READ_ONCE(console.owner) == cpu)
        return false;
    spin_lock(&console.lock);
    WRITE_ONCE(console.owner, cpu);
    return true;
}

static void console_unlock(bool locked)
{
    if (!locked)
        return;
    WRITE_ONCE(console.owner, NOBODY);
    spin_unlock(&console.lock);
}

static void announce_ring(struct deferred *job)
{
    virq_send_global(VIRQ_CON_RING);
}

void console_write(const char *text, size_t len)
{
    bool locked = console_lock();

    for (size_t i = 0; i < len; i++)
        console.ring[console.written++ & (console.size - 1)] = text[i];
    if (console.written - console.start > console.size)
        console.start = console.written - console.size;
    arch_console_write(text, len);
    console_unlock(locked);
    if (control_domain && !console.forced)
        work_defer(&ring_job, announce_ring);
}

void console_force(void)
{
    console.forced = true;
}

void console_init_ring(void)
{
    uint64_t want = MIN(MAX(options.conring_size, RING_EARLY_SIZE), 16UL << 20);
    unsigned int order = page_order(want);
    struct page_info *pg = page_alloc(order, 0);
    bool locked;
    char *ring;

    if (!pg) {
        printk(LOG_WARNING, "conring_size: no memory for %lu bytes, keeping %u", want, console.size);
        return;
    }
    ring = arch_map(page_to_mfn(pg));
    locked = console_lock();
    for (uint32_t i = console.start; i != console.written; i++)
        ring[i & ((PAGE_SIZE << order) - 1)] = console.ring[i & (console.size - 1)];
    console.ring = ring;
    console.size = (uint32_t)(PAGE_SIZE << order);
    console_unlock(locked);
}

/* Takes bytes from position *at on; returns how many. */
static uint32_t ring_take(char *out, uint32_t max, uint32_t *at)
{
    bool locked = console_lock();
    uint32_t n = 0;

    if (console.written - *at > console.written - console.start)
        *at = console.start;
    while (n < max && *at != console.written)
        out[n++] = console.ring[(*at)++ & (console.size - 1)];
    console_unlock(locked);
    return n;
}

int console_ring_read(struct vcpu *v, uint64_t untrusted_buffer, uint32_t *count, uint32_t *index, bool clear,
                      bool incremental)
{
    uint32_t at = incremental ? *index : console.start, done = 0, n;
    char chunk[WRITE_CHUNK];
    bool locked;

    while (done < *count && (n = ring_take(chunk, MIN(*count - done, WRITE_CHUNK), &at)) != 0) {
        if (copy_to_guest(v, untrusted_buffer + done, chunk, n))
            return fail(v, -EFAULT, "readconsole: buffer at {0} cannot be written", untrusted_buffer + done,
                        0);
        done += n;
    }
    if (clear) {
        locked = console_lock();
        console.start = console.written;
        console_unlock(locked);
    }
    *count = done;
    *index = at;
    return 0;
}

/*
 * Input. Called from an interrupt or a poll with no lock held that events need; the event is sent from
 * deferred work all the same, so that any context may call.
 */
static void announce_input(struct deferred *job)
{
    virq_send_global(VIRQ_CONSOLE);
}

void console_receive(char c)
{
    const char ctrl_a = 1;

    rx.switch_count = c == ctrl_a ? rx.switch_count + 1 : 0;
    if (rx.switch_count == 3) {
        rx.switch_count = 0;
        rx.to_hypervisor = !rx.to_hypervisor;
        printk(LOG_ERROR, "Input goes to %s now (Ctrl-A three times switches)",
               rx.to_hypervisor ? "Bulkhead: h lists the debug keys" : "the control domain");
        return;
    }
    if (rx.to_hypervisor) {
        if (c != '\r' && c != '\n')
            keyhandler_run(c);
        return;
    }
    spin_lock(&rx.lock);
    if (rx.head - rx.tail < RX_SIZE)
        rx.buf[rx.head++ % RX_SIZE] = c;
    spin_unlock(&rx.lock);
    work_defer(&input_job, announce_input);
}

static long console_read(struct vcpu *v, uint32_t count, uint64_t untrusted_buffer)
{
    char chunk[WRITE_CHUNK];
    uint32_t n = 0;

    if (!policy_allows(v->domain, POLICY_MACHINE, NULL))
        return fail(v, -EPERM, "console_io: reading is the control domain's, caller is d{0}", v->domain->id,
                    0);
    spin_lock(&rx.lock);
    while (n < MIN(count, WRITE_CHUNK) && rx.tail != rx.head)
        chunk[n++] = rx.buf[rx.tail++ % RX_SIZE];
    spin_unlock(&rx.lock);
    if (n && copy_to_guest(v, untrusted_buffer, chunk, n))
        return fail(v, -EFAULT, "console_io: buffer at {0} cannot be written", untrusted_buffer, 0);
    return n;
}

/* A guest's line is complete or full: prints it with the guest's id, as often as its limit allows. */
static void flush_guest_line(struct domain *d)
{
    char line[sizeof(d->console_line) + 24];
    int n;

    if (log_limit_pass(&d->console_limit)) {
        n = bh_snprintf(line, sizeof(line), "(d%u) %.*s\n", d->id, (int)d->console_fill, d->console_line);
        console_write(line, (size_t)n);
    }
    d->console_fill = 0;
}

static void write_for_guest(struct domain *d, const char *text, uint32_t len)
{
    spin_lock(&d->lock);
    for (uint32_t i = 0; i < len; i++) {
        if (text[i] == '\n' || d->console_fill == sizeof(d->console_line))
            flush_guest_line(d);
        if (text[i] == '\t' || (text[i] >= ' ' && text[i] < 127))
            d->console_line[d->console_fill++] = text[i];
    }
    spin_unlock(&d->lock);
}

static long console_write_op(struct vcpu *v, uint32_t count, uint64_t untrusted_buffer)
{
    bool raw = policy_allows(v->domain, POLICY_MACHINE, NULL);
    char chunk[WRITE_CHUNK];
    uint32_t n;

    while (count) {
        n = MIN(count, WRITE_CHUNK);
        if (copy_from_guest(v, chunk, untrusted_buffer, n))
            return fail(v, -EFAULT, "console_io: text at {0} cannot be read", untrusted_buffer, 0);
        if (raw)
            console_write(chunk, n);
        else
            write_for_guest(v->domain, chunk, n);
        count -= n;
        untrusted_buffer += n;
        if (count && hypercall_preempt_check())
            return hypercall_restart(v, CONSOLEIO_write, count, untrusted_buffer, 0, 0);
    }
    return 0;
}

long do_console_io(struct vcpu *v, unsigned long cmd, unsigned long count, unsigned long untrusted_buffer,
                   unsigned long a4, unsigned long a5)
{
    if ((uint32_t)count > INT32_MAX)
        return fail(v, -EINVAL, "console_io: {0} bytes are more than {1}", (uint32_t)count, INT32_MAX);
    switch ((uint32_t)cmd) {
    case CONSOLEIO_write:
        return console_write_op(v, (uint32_t)count, untrusted_buffer);
    case CONSOLEIO_read:
        return console_read(v, (uint32_t)count, untrusted_buffer);
    default:
        return fail(v, -ENOSYS, "console_io: no operation {0}", (uint32_t)cmd, 0);
    }
}

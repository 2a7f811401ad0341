/*
 * The small PV kernel: what the front end library wants of a kernel, and the way in. No interrupts, no traps,
 * no paging of its own: events are polled, a fault ends the domain and shows in the hypervisor's log.
 */
#include "kernel.h"

#include <stdarg.h>

#include <public/sched.h>
#include "../frontend/console.h"
#include "../frontend/event.h"
#include "../frontend/grant.h"

#define HEAP_PAGES   3072u
#define WINDOW_PAGES 16u
#define PTE_FLAGS    0x67u /* present, writable, user, accessed, dirty */

struct start_info *start_info;

static uint8_t heap[HEAP_PAGES][FE_PAGE] __attribute__((aligned(4096)));
static uint8_t window[WINDOW_PAGES][FE_PAGE]
    __attribute__((aligned(4096))); /* where foreign frames get mapped */
static unsigned heap_used, window_used;
static struct shared_info *shared;

void kernel_main(struct start_info *si);

void *memcpy(void *to, const void *from, size_t bytes)
{
    void *start = to;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes)::"memory");
    return start;
}

void *memset(void *to, int value, size_t bytes)
{
    void *start = to;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(value) : "memory");
    return start;
}

void *memmove(void *to, const void *from, size_t bytes)
{
    uint8_t *d = to;
    const uint8_t *s = from;
    if (d <= s)
        return memcpy(to, from, bytes);
    while (bytes--)
        d[bytes] = s[bytes];
    return to;
}

int memcmp(const void *a, const void *b, size_t bytes)
{
    const uint8_t *x = a, *y = b;
    for (; bytes; bytes--, x++, y++)
        if (*x != *y)
            return *x - *y;
    return 0;
}

size_t strlen(const char *text)
{
    size_t n = 0;
    while (text[n])
        n++;
    return n;
}

void *fe_pages_alloc(unsigned count)
{
    if (count > HEAP_PAGES - heap_used)
        return NULL;
    void *pages = heap[heap_used];
    heap_used += count;
    return pages;
}

void *fe_page_alloc(void)
{
    return fe_pages_alloc(1);
}

uint64_t fe_frame_of(const void *page)
{
    const uint64_t *p2m = (const uint64_t *)(uintptr_t)start_info->mfn_list;
    return p2m[(uintptr_t)page / FE_PAGE];
}

void *fe_map_frame(uint64_t frame)
{
    if (window_used == WINDOW_PAGES)
        return NULL;
    void *at = window[window_used++];
    uint64_t pte = frame * FE_PAGE | PTE_FLAGS;
    return hypercall(__HYPERVISOR_update_va_mapping, (uintptr_t)at, pte, UVMF_INVLPG, 0) ? NULL : at;
}

long fe_event_channel_op(unsigned op, void *arg)
{
    return hypercall(__HYPERVISOR_event_channel_op, op, (uintptr_t)arg, 0, 0);
}

long fe_grant_table_op(unsigned op, void *arg, unsigned count)
{
    return hypercall(__HYPERVISOR_grant_table_op, op, (uintptr_t)arg, count, 0);
}

struct shared_info *fe_shared_info(void)
{
    return shared;
}

static uint64_t read_tsc(void)
{
    uint32_t low, high;
    __asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high)::"memory");
    return (uint64_t)high << 32 | low;
}

uint64_t fe_now(void)
{
    const volatile struct vcpu_time_info *t = &shared->vcpu_info[0].time;
    __extension__ typedef unsigned __int128 wide;
    uint32_t version;
    uint64_t now;
    do {
        version = t->version & ~1u;
        __asm__ volatile("" ::: "memory");
        uint64_t delta = read_tsc() - t->tsc_timestamp;
        delta = t->tsc_shift < 0 ? delta >> -t->tsc_shift : delta << t->tsc_shift;
        now = t->system_time + (uint64_t)((wide)delta * t->tsc_to_system_mul >> 32);
        __asm__ volatile("" ::: "memory");
    } while (version != t->version);
    return now;
}

void fe_wait(const evtchn_port_t *ports, unsigned count, uint64_t deadline)
{
    struct sched_poll poll = {.ports = (uintptr_t)ports, .nr_ports = count, .timeout = deadline};
    hypercall(__HYPERVISOR_sched_op, SCHEDOP_poll, (uintptr_t)&poll, 0, 0);
}

void kernel_shutdown(unsigned reason)
{
    struct sched_shutdown shutdown = {.reason = reason};
    for (;;)
        hypercall(__HYPERVISOR_sched_op, SCHEDOP_shutdown, (uintptr_t)&shutdown, 0, 0);
}

/* --- output
 * ------------------------------------------------------------------------------------------------------- */

static char line[512];
static size_t line_used;

static void flush_line(void)
{
    console_write(line, line_used);
    line_used = 0;
}

static void put(char c)
{
    if (c == '\n')
        put('\r');
    line[line_used++] = c;
    if (c == '\n' || line_used == sizeof(line))
        flush_line();
}

static void put_number(uint64_t value, unsigned base)
{
    char digits[24];
    int n = 0;
    do
        digits[n++] = "0123456789abcdef"[value % base];
    while (value /= base);
    while (n)
        put(digits[--n]);
}

static void put_signed(int value)
{
    if (value < 0)
        put('-');
    put_number(value < 0 ? (uint64_t) - (int64_t)value : (uint64_t)value, 10);
}

static void put_text(const char *text)
{
    while (*text)
        put(*text++);
}

void print(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    for (; *format; format++) {
        if (*format != '%') {
            put(*format);
            continue;
        }
        bool wide = *++format == 'l';
        format += wide;
        switch (*format) {
        case 's':
            put_text(va_arg(args, const char *));
            break;
        case 'd':
            put_signed(va_arg(args, int));
            break;
        case 'c':
            put((char)va_arg(args, int));
            break;
        case 'u':
        case 'x':
            put_number(wide ? va_arg(args, uint64_t) : va_arg(args, unsigned), *format == 'x' ? 16 : 10);
            break;
        default:
            put(*format);
        }
    }
    va_end(args);
}

/* --- the way in
 * --------------------------------------------------------------------------------------------------- */

static void run_command_line(void)
{
    char *p = (char *)start_info->cmd_line;
    static const char key[] = "run=";
    for (; *p; p++)
        if (memcmp(p, key, 4) == 0)
            break;
    if (!*p)
        return;
    p += 4; /* run=command+argument,command+argument */
    while (*p && *p != ' ') {
        char command[256];
        size_t n = 0;
        for (; *p && *p != ',' && *p != ' '; p++)
            if (n + 1 < sizeof(command))
                command[n++] = *p == '+' ? ' ' : *p;
        command[n] = '\0';
        if (*p == ',')
            p++;
        print("GUEST run %s\n", command);
        print("GUEST %s\n", command_run(command) ? "FAILED" : "ok");
    }
}

static void interact(void)
{
    static char typed[256];
    size_t n = 0;
    evtchn_port_t port = console_port();
    print("> ");
    flush_line();
    for (;;) {
        int c = console_read();
        if (c < 0) {
            event_take(port);
            fe_wait(&port, 1, fe_now() + FE_SECOND);
            continue;
        }
        if (c != '\r' && c != '\n') {
            if (n + 1 < sizeof(typed)) {
                typed[n++] = (char)c;
                put((char)c);
                flush_line();
            }
            continue;
        }
        typed[n] = '\0';
        n = 0;
        print("\n");
        if (typed[0] && command_run(typed))
            print("failed\n");
        print("> ");
        flush_line();
    }
}

void kernel_main(struct start_info *si)
{
    start_info = si;
    shared = fe_map_frame(si->shared_info / FE_PAGE);
    for (int i = 0; i < 64; i++)
        shared->evtchn_mask[i] = ~0ul;
    console_init(fe_map_frame(si->console.domU.mfn), si->console.domU.evtchn);
    xenbus_init(fe_map_frame(si->store_mfn), si->store_evtchn);
    print("GUEST up: %s, %lu pages, %lu us after the hypervisor's start of time\n", si->magic, si->nr_pages,
          fe_now() / 1000);
    if (grant_init())
        print("GUEST FAILED: no grant table\n");
    run_command_line();
    interact();
}

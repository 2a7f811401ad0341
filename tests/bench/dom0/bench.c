/*
 * The operations whose cost `make bench` counts, run in Dom0. Each is repeated a known number of times
 * between the markers START and END; tests/bench/run reads the counts that the plugin wrote there and
 * divides.
 *
 * As process 1 (rdinit=) the program only sets the marker BOOT and goes on to /init. With the argument "exit"
 * it ends at once: it is what the fork-and-exec row executes. Otherwise it prints, for every row in order,
 * "ROW name iterations"; a row that cannot run is printed with 0 iterations and the reason.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "../marker.h"

#define PAGE        4096UL
#define FAULT_PAGES 256
enum { MARK_BOOT = 1, MARK_START = 2, MARK_END = 3 };

struct privcmd_call {
    unsigned long op, arg[5];
};
struct bind_unbound {
    unsigned int remote_domain;
};
struct bind_interdomain {
    unsigned int remote_domain, remote_port;
};
struct notify {
    unsigned int port;
};
struct alloc_gref {
    unsigned short domid, flags;
    unsigned int count;
    unsigned long index;
    unsigned int gref_ids[16];
};
struct map_grants {
    unsigned int count, pad;
    unsigned long index;
    struct {
        unsigned int domid, ref;
    } refs[16];
};
struct unmap_grants {
    unsigned long index;
    unsigned int count, pad;
};
#define PRIVCMD_HYPERCALL       _IOC(_IOC_NONE, 'P', 0, sizeof(struct privcmd_call))
#define EVTCHN_BIND_INTERDOMAIN _IOC(_IOC_NONE, 'E', 1, sizeof(struct bind_interdomain))
#define EVTCHN_BIND_UNBOUND     _IOC(_IOC_NONE, 'E', 2, sizeof(struct bind_unbound))
#define EVTCHN_NOTIFY           _IOC(_IOC_NONE, 'E', 4, sizeof(struct notify))
#define GNTALLOC_ALLOC_GREF     _IOC(_IOC_NONE, 'G', 5, 24)
#define GNTDEV_MAP_GRANT_REF    _IOC(_IOC_NONE, 'G', 0, 24)
#define GNTDEV_UNMAP_GRANT_REF  _IOC(_IOC_NONE, 'G', 1, sizeof(struct unmap_grants))

static int privcmd = -1, evtchn = -1, gntdev = -1, gntalloc = -1;
static unsigned int port_near, port_far;
static struct alloc_gref grefs;
static char *region;
static int to_child[2], from_child[2];

static void syscall_row(void)
{
    syscall(SYS_getppid);
}

static long hypercall(unsigned long op, unsigned long a0, unsigned long a1)
{
    struct privcmd_call call = {.op = op, .arg = {a0, a1}};

    return ioctl(privcmd, PRIVCMD_HYPERCALL, &call);
}

static void version_row(void)
{
    hypercall(17, 0, 0);
}

static void yield_row(void)
{
    hypercall(29, 0, 0);
}

static void notify_row(void)
{
    struct notify notify = {port_far};

    ioctl(evtchn, EVTCHN_NOTIFY, &notify);
}

static void event_row(void)
{
    unsigned int port;

    notify_row();
    if (read(evtchn, &port, sizeof(port)) != sizeof(port) ||
        write(evtchn, &port, sizeof(port)) != sizeof(port))
        abort();
}

static void grant_rows(unsigned int count)
{
    struct map_grants map = {.count = count};
    struct unmap_grants unmap = {.count = count};
    volatile char *pages;

    for (unsigned int i = 0; i < count; i++)
        map.refs[i].ref = grefs.gref_ids[i];
    if (ioctl(gntdev, GNTDEV_MAP_GRANT_REF, &map) != 0)
        abort();
    pages = mmap(NULL, count * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, gntdev, (off_t)map.index);
    if (pages == MAP_FAILED)
        abort();
    for (unsigned int i = 0; i < count; i++)
        pages[i * PAGE] = 1;
    munmap((void *)pages, count * PAGE);
    unmap.index = map.index;
    if (ioctl(gntdev, GNTDEV_UNMAP_GRANT_REF, &unmap) != 0)
        abort();
}

static void grant_one_row(void)
{
    grant_rows(1);
}

static void grant_many_row(void)
{
    grant_rows(16);
}

static const char *need_region(void)
{
    region = mmap(NULL, FAULT_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (region == MAP_FAILED)
        return strerror(errno);
    madvise(region, FAULT_PAGES * PAGE, MADV_NOHUGEPAGE);
    return NULL;
}

/* One page after another of an empty mapping, which is given back and made anew when it is full. */
static void fault_row(void)
{
    static unsigned int next;

    if (next == FAULT_PAGES) {
        next = 0;
        munmap(region, FAULT_PAGES * PAGE);
        need_region();
    }
    region[PAGE * next++] = 1;
}

static void mprotect_rows(size_t pages)
{
    if (mprotect(region, pages * PAGE, PROT_READ) != 0 ||
        mprotect(region, pages * PAGE, PROT_READ | PROT_WRITE) != 0)
        abort();
    for (size_t i = 0; i < pages; i++)
        region[i * PAGE]++;
}

static void mprotect_one_row(void)
{
    mprotect_rows(1);
}

static void mprotect_many_row(void)
{
    mprotect_rows(64);
}

static void signal_row(void)
{
    kill(getpid(), SIGUSR1);
}

static void on_signal(int number)
{
    (void)number;
}

static void fork_row(void)
{
    pid_t child = fork();

    if (child == 0)
        _exit(0);
    waitpid(child, NULL, 0);
}

static void exec_row(void)
{
    pid_t child = fork();

    if (child == 0) {
        execl("/proc/self/exe", "bench", "exit", (char *)NULL);
        _exit(1);
    }
    waitpid(child, NULL, 0);
}

static void pipe_row(void)
{
    char byte = 0;

    if (write(to_child[1], &byte, 1) != 1 || read(from_child[0], &byte, 1) != 1)
        abort();
}

static void sleep_row(void)
{
    struct timespec time = {0, 100000};

    nanosleep(&time, NULL);
}

static void outb_row(void)
{
    outb(0, 0x80);
}

/* Preparations: NULL, or why the row cannot run. */
static const char *open_device(int *fd, const char *path)
{
    if (*fd < 0)
        *fd = open(path, O_RDWR | O_CLOEXEC);
    return *fd < 0 ? path : NULL;
}

static const char *need_privcmd(void)
{
    return open_device(&privcmd, "/dev/xen/privcmd");
}

static const char *need_evtchn(void)
{
    struct bind_unbound unbound = {0};
    struct bind_interdomain bind = {0, 0};
    unsigned int port;
    int rc;

    if (open_device(&evtchn, "/dev/xen/evtchn"))
        return "/dev/xen/evtchn";
    if (port_far)
        return NULL;
    rc = ioctl(evtchn, EVTCHN_BIND_UNBOUND, &unbound);
    if (rc < 0)
        return "no unbound port";
    port_near = bind.remote_port = (unsigned int)rc;
    rc = ioctl(evtchn, EVTCHN_BIND_INTERDOMAIN, &bind);
    if (rc < 0)
        return "no binding";
    port_far = (unsigned int)rc;
    /* Binding raises both ends once: take these events, so that only ours are seen. */
    fcntl(evtchn, F_SETFL, O_NONBLOCK);
    usleep(10000);
    while (read(evtchn, &port, sizeof(port)) == sizeof(port))
        if (port == port_near && write(evtchn, &port, sizeof(port)) < 0)
            return "unmask";
    fcntl(evtchn, F_SETFL, 0);
    return NULL;
}

/* After the masked row one event is waiting; take it. */
static const char *need_event(void)
{
    unsigned int port;
    const char *why = need_evtchn();

    if (why)
        return why;
    fcntl(evtchn, F_SETFL, O_NONBLOCK);
    while (read(evtchn, &port, sizeof(port)) == sizeof(port))
        if (port == port_near && write(evtchn, &port, sizeof(port)) < 0)
            return "unmask";
    fcntl(evtchn, F_SETFL, 0);
    return NULL;
}

static const char *need_grants(void)
{
    if (open_device(&gntdev, "/dev/xen/gntdev"))
        return "/dev/xen/gntdev";
    if (grefs.count)
        return NULL;
    if (open_device(&gntalloc, "/dev/xen/gntalloc"))
        return "/dev/xen/gntalloc";
    grefs.flags = 1;
    grefs.count = 16;
    return ioctl(gntalloc, GNTALLOC_ALLOC_GREF, &grefs) == 0 ? NULL : "grants";
}

static const char *need_pages(void)
{
    const char *why = need_region();

    if (!why)
        memset(region, 1, 64 * PAGE);
    return why;
}

static const char *need_signal(void)
{
    struct sigaction action = {.sa_handler = on_signal};

    return sigaction(SIGUSR1, &action, NULL) == 0 ? NULL : "sigaction";
}

static const char *need_child(void)
{
    char byte;

    if (pipe(to_child) != 0 || pipe(from_child) != 0)
        return strerror(errno);
    if (fork() == 0) {
        close(to_child[1]);
        while (read(to_child[0], &byte, 1) == 1 && write(from_child[1], &byte, 1) == 1)
            continue;
        _exit(0);
    }
    return NULL;
}

static const char *need_ports(void)
{
    return iopl(3) == 0 ? NULL : strerror(errno);
}

static const struct row {
    const char *name;
    unsigned int iterations;
    const char *(*prepare)(void);
    void (*run)(void);
} rows[] = {
    /* While the process is small: a fork copies its tables. */
    {"fork", 30, NULL, fork_row},
    {"fork-exec", 20, NULL, exec_row},
    {"syscall", 1000, NULL, syscall_row},
    {"xen_version", 1000, need_privcmd, version_row},
    {"sched_yield", 1000, need_privcmd, yield_row},
    {"notify-masked", 1000, need_evtchn, notify_row},
    {"notify-read", 500, need_event, event_row},
    {"grant-1", 200, need_grants, grant_one_row},
    {"grant-16", 100, need_grants, grant_many_row},
    {"page-fault", 1024, need_region, fault_row},
    {"mprotect-1", 300, need_pages, mprotect_one_row},
    {"mprotect-64", 100, need_pages, mprotect_many_row},
    {"signal", 500, need_signal, signal_row},
    {"pipe", 500, need_child, pipe_row},
    {"nanosleep", 200, NULL, sleep_row},
    {"outb", 500, need_ports, outb_row},
};

static void run_row(const struct row *row)
{
    const char *why = row->prepare ? row->prepare() : NULL;

    if (why) {
        printf("ROW %s 0 %s\n", row->name, why);
        fflush(stdout);
        return;
    }
    for (unsigned int i = 0; i < row->iterations / 10 + 2; i++)
        row->run();
    MARK(MARK_START);
    for (unsigned int i = 0; i < row->iterations; i++)
        row->run();
    MARK(MARK_END);
    printf("ROW %s %u\n", row->name, row->iterations);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    cpu_set_t first;

    if (getpid() == 1) {
        MARK(MARK_BOOT);
        execl("/init", "/init", (char *)NULL);
        return 1;
    }
    if (argc > 1 && strcmp(argv[1], "exit") == 0)
        return 0;
    CPU_ZERO(&first);
    CPU_SET(0, &first);
    sched_setaffinity(0, sizeof(first), &first);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        run_row(&rows[i]);
    return 0;
}

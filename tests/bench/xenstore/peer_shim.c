/*
 * Preloaded into Xen's own store daemons so that they run on a machine without a hypervisor, for comparison
 * only: event channels and grants exist but nothing ever happens on them, and every domain asked for is
 * alive. The Dom0 kernel's page is an empty file in memory.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

static int dummy;

void *xenevtchn_open(void *logger, unsigned flags);
void *xenevtchn_fdopen(void *logger, int fd, unsigned flags);
int xenevtchn_close(void *h);
int xenevtchn_fd(void *h);
int xenevtchn_bind_virq(void *h, unsigned virq);
int xenevtchn_bind_interdomain(void *h, uint32_t domid, uint32_t port);
int xenevtchn_notify(void *h, uint32_t port);
int xenevtchn_pending(void *h);
int xenevtchn_unmask(void *h, uint32_t port);
int xenevtchn_unbind(void *h, uint32_t port);
void *xengnttab_open(void *logger, unsigned flags);
int xengnttab_close(void *h);
int xengnttab_set_max_grants(void *h, uint32_t n);
void *xengnttab_map_grant_ref(void *h, uint32_t domid, uint32_t ref, int prot);
int xengnttab_unmap(void *h, void *page, uint32_t n);
void *xc_interface_open(void *logger, void *dombuild, unsigned flags);
int xc_interface_close(void *h);
int xc_domain_getinfo(void *h, uint32_t first, unsigned max, void *info);

/* The kernel's page, and the number of its event channel. */
static int open_backend(void)
{
    int fd = memfd_create("page", MFD_CLOEXEC);

    return ftruncate(fd, 4096) ? -1 : fd;
}

static int open_port(void)
{
    int fd = memfd_create("port", MFD_CLOEXEC);

    return write(fd, "9\n", 2) == 2 && lseek(fd, 0, SEEK_SET) == 0 ? fd : -1;
}

int open(const char *path, int flags, ...)
{
    int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    va_list ap;
    int mode;

    va_start(ap, flags);
    mode = va_arg(ap, int);
    va_end(ap);
    if (strcmp(path, "/proc/xen/xsd_kva") == 0) {
        return open_backend();
    }
    return strcmp(path, "/proc/xen/xsd_port") == 0 ? open_port() : real(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list ap;
    int mode;

    va_start(ap, flags);
    mode = va_arg(ap, int);
    va_end(ap);
    return open(path, flags, mode);
}

/* oxenstored insists on raising its limits. */
int setrlimit(__rlimit_resource_t resource, const struct rlimit *limit)
{
    return 0;
}

void *xenevtchn_open(void *logger, unsigned flags)
{
    return &dummy;
}

void *xenevtchn_fdopen(void *logger, int fd, unsigned flags)
{
    return &dummy;
}

int xenevtchn_close(void *h)
{
    return 0;
}

int xenevtchn_fd(void *h)
{
    static int fd = -1;

    if (fd < 0) {
        fd = eventfd(0, EFD_CLOEXEC);
    }
    return fd;
}

int xenevtchn_bind_virq(void *h, unsigned virq)
{
    return 1;
}

int xenevtchn_bind_interdomain(void *h, uint32_t domid, uint32_t port)
{
    static int next = 2;

    return next++;
}

int xenevtchn_notify(void *h, uint32_t port)
{
    return 0;
}

int xenevtchn_pending(void *h)
{
    return -1;
}

int xenevtchn_unmask(void *h, uint32_t port)
{
    return 0;
}

int xenevtchn_unbind(void *h, uint32_t port)
{
    return 0;
}

void *xengnttab_open(void *logger, unsigned flags)
{
    return &dummy;
}

int xengnttab_close(void *h)
{
    return 0;
}

int xengnttab_set_max_grants(void *h, uint32_t n)
{
    return 0;
}

void *xengnttab_map_grant_ref(void *h, uint32_t domid, uint32_t ref, int prot)
{
    /* Shared, as a domain's page is: no memory of the daemon's own. */
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

int xengnttab_unmap(void *h, void *page, uint32_t n)
{
    return munmap(page, 4096);
}

void *xc_interface_open(void *logger, void *dombuild, unsigned flags)
{
    return &dummy;
}

int xc_interface_close(void *h)
{
    return 0;
}

/* The number of the domain is the first field of the answer, the rest may be 0: alive, not shut down. */
int xc_domain_getinfo(void *h, uint32_t first, unsigned max, void *info)
{
    memcpy(info, &first, sizeof(first));
    return 1;
}

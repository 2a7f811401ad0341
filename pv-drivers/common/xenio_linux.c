/* xenio over Linux' /dev/xen/gntdev, gntalloc and evtchn. The ioctl numbers and argument layouts are the
 * kernel's ABI. */
#include "xenio.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "log.h"
#include "uring.h"

struct gntdev_ref {
    uint32_t domid;
    uint32_t gref;
};
struct gntdev_map {
    uint32_t count;
    uint32_t pad;
    uint64_t index;
    struct gntdev_ref refs[1];
};
struct gntdev_unmap {
    uint64_t index;
    uint32_t count;
    uint32_t pad;
};
struct gntdev_offset {
    uint64_t address;
    uint64_t offset;
    uint32_t count;
    uint32_t pad;
};
struct gntdev_copy {
    unsigned int count;
    struct xenio_copy *segments;
};
struct gntalloc_alloc {
    uint16_t domid;
    uint16_t flags;
    uint32_t count;
    uint64_t index;
    uint32_t gref[1];
};
struct evtchn_bind {
    uint32_t domid;
    uint32_t port;
};

#define GNTDEV_MAP        _IOC(_IOC_NONE, 'G', 0, sizeof(struct gntdev_map))
#define GNTDEV_UNMAP      _IOC(_IOC_NONE, 'G', 1, sizeof(struct gntdev_unmap))
#define GNTDEV_OFFSET     _IOC(_IOC_NONE, 'G', 2, sizeof(struct gntdev_offset))
#define GNTDEV_COPY       _IOC(_IOC_NONE, 'G', 8, sizeof(struct gntdev_copy))
#define GNTALLOC_ALLOC    _IOC(_IOC_NONE, 'G', 5, sizeof(struct gntalloc_alloc))
#define GNTALLOC_WRITABLE 1
#define EVTCHN_BIND       _IOC(_IOC_NONE, 'E', 1, sizeof(struct evtchn_bind))
#define EVTCHN_UNBIND     _IOC(_IOC_NONE, 'E', 3, sizeof(uint32_t))
#define EVTCHN_NOTIFY     _IOC(_IOC_NONE, 'E', 4, sizeof(uint32_t))

_Static_assert(sizeof(struct xenio_copy) == 24 + 2 * sizeof(void *) - 16 || sizeof(void *) != 8,
               "gntdev layout");
_Static_assert(sizeof(struct gntdev_map) == 24, "gntdev layout");
_Static_assert(sizeof(struct gntalloc_alloc) == 24, "gntalloc layout");

#define PORTS_AT_ONCE 64

struct xenio {
    int gntdev;
    int evtchn;
    uint32_t fired[PORTS_AT_ONCE];
};

static int open_device(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        log_line("%s: %s; is this a Xen domain with the modules xen-gntdev and xen-evtchn loaded?", path,
                 strerror(errno));
    return fd;
}

int xenio_open(struct xenio **out)
{
    struct xenio *x = calloc(1, sizeof(*x));
    if (!x)
        return -ENOMEM;
    x->gntdev = open_device("/dev/xen/gntdev");
    x->evtchn = open_device("/dev/xen/evtchn");
    if (x->gntdev < 0 || x->evtchn < 0) {
        xenio_close(x);
        return -ENODEV;
    }
    fcntl(x->evtchn, F_SETFL, O_NONBLOCK);
    *out = x;
    return 0;
}

void xenio_close(struct xenio *x)
{
    if (x->gntdev >= 0)
        close(x->gntdev);
    if (x->evtchn >= 0)
        close(x->evtchn);
    free(x);
}

static void release(struct xenio *x, uint64_t index, unsigned count)
{
    struct gntdev_unmap unmap = {.index = index, .count = count};
    ioctl(x->gntdev, GNTDEV_UNMAP, &unmap);
}

void *xenio_map(struct xenio *x, uint16_t domid, const uint32_t *grefs, unsigned count, bool writable)
{
    struct gntdev_map *map = calloc(1, sizeof(*map) + count * sizeof(map->refs[0]));
    if (!map)
        return NULL;
    map->count = count;
    for (unsigned i = 0; i < count; i++)
        map->refs[i] = (struct gntdev_ref){.domid = domid, .gref = grefs[i]};
    int rc = ioctl(x->gntdev, GNTDEV_MAP, map);
    uint64_t index = map->index;
    free(map);
    if (rc < 0)
        return NULL;
    void *address = mmap(NULL, (size_t)count * XENIO_PAGE, PROT_READ | (writable ? PROT_WRITE : 0),
                         MAP_SHARED, x->gntdev, (off_t)index);
    if (address == MAP_FAILED) {
        int error = errno;
        release(x, index, count);
        errno = error;
        return NULL;
    }
    return address;
}

void xenio_unmap(struct xenio *x, void *address, unsigned count)
{
    struct gntdev_offset offset = {.address = (uintptr_t)address};
    int rc = ioctl(x->gntdev, GNTDEV_OFFSET, &offset);
    munmap(address, (size_t)count * XENIO_PAGE);
    if (rc == 0)
        release(x, offset.offset, count);
}

int xenio_copy(struct xenio *x, struct xenio_copy *segments, unsigned count)
{
    struct gntdev_copy copy = {.count = count, .segments = segments};
    return ioctl(x->gntdev, GNTDEV_COPY, &copy) < 0 ? -errno : 0;
}

/* Pages that are granted to ourselves. The mapping keeps the file, and with it the grants, until it goes. */
static uint8_t *granted_pages(uint16_t own, unsigned pages, uint32_t *gref)
{
    size_t bytes = (size_t)pages * XENIO_PAGE;
    int fd = open("/dev/xen/gntalloc", O_RDWR | O_CLOEXEC);
    struct gntalloc_alloc *a = calloc(1, sizeof(*a) + pages * sizeof(a->gref[0]));
    void *start = MAP_FAILED;
    if (fd >= 0 && a) {
        *a = (struct gntalloc_alloc){.domid = own, .flags = GNTALLOC_WRITABLE, .count = pages};
        if (ioctl(fd, GNTALLOC_ALLOC, a) == 0)
            start = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)a->index);
        memcpy(gref, a->gref, pages * sizeof(*gref));
    }
    if (start == MAP_FAILED)
        log_line(
            "no %u pages of /dev/xen/gntalloc: %s; copies will cost more (see its module's parameter limit)",
            pages, strerror(errno));
    free(a);
    if (fd >= 0)
        close(fd);
    return start == MAP_FAILED ? NULL : start;
}

int xenio_memory_open(struct xenio *x, struct xenio_memory *m, uint16_t own, unsigned pages)
{
    *m = (struct xenio_memory){.pages = pages, .domid = own, .gref = calloc(pages, sizeof(*m->gref))};
    if (!m->gref)
        return -ENOMEM;
    m->start = granted_pages(own, pages, m->gref);
    if (m->start)
        return 0;
    free(m->gref);
    m->gref = NULL;
    m->start =
        mmap(NULL, (size_t)pages * XENIO_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return m->start == MAP_FAILED ? -ENOMEM : 0;
}

void xenio_memory_close(struct xenio *x, struct xenio_memory *m)
{
    munmap(m->start, (size_t)m->pages * XENIO_PAGE);
    free(m->gref);
}

int xenio_bind(struct xenio *x, uint16_t domid, uint32_t remote_port)
{
    struct evtchn_bind bind = {.domid = domid, .port = remote_port};
    int port = ioctl(x->evtchn, EVTCHN_BIND, &bind);
    return port < 0 ? -errno : port;
}

void xenio_unbind(struct xenio *x, uint32_t port)
{
    ioctl(x->evtchn, EVTCHN_UNBIND, &port);
}

int xenio_notify(struct xenio *x, uint32_t port)
{
    return ioctl(x->evtchn, EVTCHN_NOTIFY, &port) < 0 ? -errno : 0;
}

void xenio_await(struct xenio *x, struct uring *u, struct uring_op *op)
{
    struct io_uring_sqe *sqe = uring_sqe(u);
    io_uring_prep_read(sqe, x->evtchn, x->fired, sizeof(x->fired), 0);
    uring_own(sqe, op, 0);
}

void xenio_unmask(struct xenio *x, struct uring *u, int bytes)
{
    struct io_uring_sqe *sqe = uring_sqe(u);
    io_uring_prep_write(sqe, x->evtchn, x->fired, (unsigned)bytes, 0);
    uring_own(sqe, NULL, IOSQE_CQE_SKIP_SUCCESS);
}

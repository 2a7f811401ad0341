/* xenio over Linux' /dev/xen/gntdev and /dev/xen/evtchn. The ioctl numbers and argument layouts are the
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
struct evtchn_bind {
    uint32_t domid;
    uint32_t port;
};

#define GNTDEV_MAP    _IOC(_IOC_NONE, 'G', 0, sizeof(struct gntdev_map))
#define GNTDEV_UNMAP  _IOC(_IOC_NONE, 'G', 1, sizeof(struct gntdev_unmap))
#define GNTDEV_OFFSET _IOC(_IOC_NONE, 'G', 2, sizeof(struct gntdev_offset))
#define GNTDEV_COPY   _IOC(_IOC_NONE, 'G', 8, sizeof(struct gntdev_copy))
#define EVTCHN_BIND   _IOC(_IOC_NONE, 'E', 1, sizeof(struct evtchn_bind))
#define EVTCHN_UNBIND _IOC(_IOC_NONE, 'E', 3, sizeof(uint32_t))
#define EVTCHN_NOTIFY _IOC(_IOC_NONE, 'E', 4, sizeof(uint32_t))

_Static_assert(sizeof(struct xenio_copy) == 24 + 2 * sizeof(void *) - 16 || sizeof(void *) != 8,
               "gntdev layout");
_Static_assert(sizeof(struct gntdev_map) == 24, "gntdev layout");

struct xenio {
    int gntdev;
    int evtchn;
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

int xenio_fd(const struct xenio *x)
{
    return x->evtchn;
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

int xenio_pending(struct xenio *x, uint32_t *ports, unsigned max)
{
    ssize_t got = read(x->evtchn, ports, max * sizeof(*ports));
    if (got < 0)
        return errno == EAGAIN ? 0 : -errno;
    return (int)(got / (ssize_t)sizeof(*ports));
}

void xenio_unmask(struct xenio *x, const uint32_t *ports, unsigned count)
{
    if (write(x->evtchn, ports, count * sizeof(*ports)) < 0)
        log_limited("unmasking event channels: %s", strerror(errno));
}

/* Linux's /dev/xen/evtchn and /dev/xen/gntdev. */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "xenio.h"

#define PAGE_BYTES 4096

struct evtchn_bind {
    uint32_t domid, port;
};
struct evtchn_one {
    uint32_t port;
};
#define EVTCHN_BIND_INTERDOMAIN _IOC(_IOC_NONE, 'E', 1, sizeof(struct evtchn_bind))
#define EVTCHN_UNBIND           _IOC(_IOC_NONE, 'E', 3, sizeof(struct evtchn_one))
#define EVTCHN_NOTIFY           _IOC(_IOC_NONE, 'E', 4, sizeof(struct evtchn_one))

struct gntdev_map {
    uint32_t count, pad;
    uint64_t index;
    uint32_t domid, ref;
};
struct gntdev_unmap {
    uint64_t index;
    uint32_t count, pad;
};
struct gntdev_offset {
    uint64_t address, offset;
    uint32_t count, pad;
};
#define GNTDEV_MAP    _IOC(_IOC_NONE, 'G', 0, sizeof(struct gntdev_map))
#define GNTDEV_UNMAP  _IOC(_IOC_NONE, 'G', 1, sizeof(struct gntdev_unmap))
#define GNTDEV_OFFSET _IOC(_IOC_NONE, 'G', 2, sizeof(struct gntdev_offset))

static int result(int rc)
{
    return rc < 0 ? -errno : rc;
}

int evtchn_open(void)
{
    return result(open("/dev/xen/evtchn", O_RDWR | O_CLOEXEC | O_NONBLOCK));
}

int evtchn_bind(int fd, unsigned int domid, uint32_t remote_port)
{
    struct evtchn_bind bind = {.domid = domid, .port = remote_port};

    return result(ioctl(fd, EVTCHN_BIND_INTERDOMAIN, &bind));
}

int evtchn_unbind(int fd, uint32_t port)
{
    struct evtchn_one one = {.port = port};

    return result(ioctl(fd, EVTCHN_UNBIND, &one));
}

int evtchn_notify(int fd, uint32_t port)
{
    struct evtchn_one one = {.port = port};

    return result(ioctl(fd, EVTCHN_NOTIFY, &one));
}

int evtchn_pending(int fd)
{
    uint32_t port;
    ssize_t got = read(fd, &port, sizeof(port));

    if (got < 0)
        return -errno;
    return got == sizeof(port) ? (int)port : -EAGAIN;
}

int evtchn_unmask(int fd, uint32_t port)
{
    return write(fd, &port, sizeof(port)) == sizeof(port) ? 0 : -errno;
}

int gntdev_open(void)
{
    return result(open("/dev/xen/gntdev", O_RDWR | O_CLOEXEC));
}

void *gntdev_map(int fd, unsigned int domid, uint32_t ref)
{
    struct gntdev_map map = {.count = 1, .domid = domid, .ref = ref};
    struct gntdev_unmap unmap = {.count = 1};
    void *page;

    if (ioctl(fd, GNTDEV_MAP, &map) < 0)
        return NULL;
    page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, map.index);
    if (page == MAP_FAILED) {
        int error = errno;

        unmap.index = map.index;
        ioctl(fd, GNTDEV_UNMAP, &unmap);
        errno = error;
        return NULL;
    }
    return page;
}

void gntdev_unmap(int fd, void *page)
{
    struct gntdev_offset offset = {.address = (uintptr_t)page};
    struct gntdev_unmap unmap = {.count = 1};

    if (ioctl(fd, GNTDEV_OFFSET, &offset) == 0)
        unmap.index = offset.offset;
    munmap(page, PAGE_BYTES);
    ioctl(fd, GNTDEV_UNMAP, &unmap);
}

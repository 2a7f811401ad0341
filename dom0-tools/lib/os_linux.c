/*
 * Linux: privcmd and the store's socket. The only file of the library that knows the operating system's
 * devices.
 */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "internal.h"

/* The ioctls of /dev/xen/privcmd. */
struct privcmd_hypercall {
    uint64_t op, arg[5];
};
struct privcmd_map_batch {
    uint32_t count;
    uint16_t domid;
    uint64_t address;
    const uint64_t *frames;
    int *errors;
};
struct privcmd_map_resource {
    uint16_t domid;
    uint32_t type, id, index;
    uint64_t count, address;
};
#define PRIVCMD_HYPERCALL    _IOC(_IOC_NONE, 'P', 0, sizeof(struct privcmd_hypercall))
#define PRIVCMD_MAP_BATCH    _IOC(_IOC_NONE, 'P', 4, sizeof(struct privcmd_map_batch))
#define PRIVCMD_MAP_RESOURCE _IOC(_IOC_NONE, 'P', 7, sizeof(struct privcmd_map_resource))

static int open_privcmd(struct bh *h)
{
    if (h->privcmd >= 0)
        return 0;
    h->privcmd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
    if (h->privcmd < 0 && errno == ENOENT)
        h->privcmd = open("/proc/xen/privcmd", O_RDWR | O_CLOEXEC);
    if (h->privcmd >= 0)
        return 0;
    return bh_fail(h, errno,
                   "cannot open /dev/xen/privcmd: %s. This must run as root in Dom0, with the kernel module "
                   "xen-privcmd loaded",
                   strerror(errno));
}

static long linux_hypercall(struct bh *h, unsigned int op, const uint64_t arg[5])
{
    struct privcmd_hypercall call = {.op = op, .arg = {arg[0], arg[1], arg[2], arg[3], arg[4]}};
    int rc = open_privcmd(h);

    if (rc)
        return rc;
    rc = ioctl(h->privcmd, PRIVCMD_HYPERCALL, &call);
    return rc < 0 ? -errno : rc;
}

static void *linux_alloc_pages(struct bh *h, size_t pages)
{
    void *memory = MAP_FAILED;

    h->hypercall_dev = open("/dev/xen/hypercall", O_RDWR | O_CLOEXEC);
    if (h->hypercall_dev >= 0)
        memory = mmap(NULL, pages * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, h->hypercall_dev, 0);
    if (memory == MAP_FAILED)
        memory = mmap(NULL, pages * PAGE_BYTES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static void linux_free_pages(struct bh *h, void *memory, size_t pages)
{
    munmap(memory, pages * PAGE_BYTES);
    if (h->hypercall_dev >= 0)
        close(h->hypercall_dev);
    h->hypercall_dev = -1;
}

static void *linux_map_foreign(struct bh *h, unsigned int domid, int prot, const uint64_t *mfns, size_t count)
{
    struct privcmd_map_batch batch = {.count = count, .domid = domid, .frames = mfns};
    void *memory;
    int rc, *errors;

    if (open_privcmd(h))
        return NULL;
    errors = calloc(count, sizeof(*errors));
    if (!errors)
        return NULL;
    memory = mmap(NULL, count * PAGE_BYTES, prot, MAP_SHARED, h->privcmd, 0);
    if (memory == MAP_FAILED) {
        free(errors);
        return NULL;
    }
    batch.address = (uintptr_t)memory;
    batch.errors = errors;
    rc = ioctl(h->privcmd, PRIVCMD_MAP_BATCH, &batch) < 0 ? errno : 0;
    for (size_t i = 0; i < count && !rc; i++)
        rc = -errors[i];
    free(errors);
    if (rc) {
        munmap(memory, count * PAGE_BYTES);
        errno = rc;
        return NULL;
    }
    return memory;
}

static void linux_unmap_foreign(struct bh *h, void *memory, size_t count)
{
    munmap(memory, count * PAGE_BYTES);
}

static void *linux_map_resource(struct bh *h, unsigned int domid, unsigned int type, unsigned int id,
                                uint64_t frame, size_t count)
{
    struct privcmd_map_resource map = {
        .domid = domid, .type = type, .id = id, .index = frame, .count = count};
    void *memory;

    if (open_privcmd(h))
        return NULL;
    memory = mmap(NULL, count * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, h->privcmd, 0);
    if (memory == MAP_FAILED)
        return NULL;
    map.address = (uintptr_t)memory;
    if (ioctl(h->privcmd, PRIVCMD_MAP_RESOURCE, &map) < 0) {
        int error = errno;

        munmap(memory, count * PAGE_BYTES);
        errno = error;
        return NULL;
    }
    return memory;
}

static int connect_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd;

    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        int error = errno;

        close(fd);
        return -error;
    }
    return fd;
}

static int linux_store_connect(struct bh *h, bool *stream)
{
    const char *named = getenv("XENSTORED_PATH");
    const char *sockets[] = {named ? named : "/run/xenstored/socket", "/var/run/xenstored/socket"};
    int fd = -ENOENT;

    *stream = true;
    for (unsigned int i = 0; i < sizeof(sockets) / sizeof(sockets[0]); i++) {
        fd = connect_socket(sockets[i]);
        if (fd >= 0 || named)
            return fd;
    }
    *stream = false;
    fd = open("/dev/xen/xenbus", O_RDWR | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

const struct bh_os bh_os_linux = {
    .hypercall = linux_hypercall,
    .alloc_pages = linux_alloc_pages,
    .free_pages = linux_free_pages,
    .map_foreign = linux_map_foreign,
    .unmap_foreign = linux_unmap_foreign,
    .map_resource = linux_map_resource,
    .store_connect = linux_store_connect,
};

void bh_close(struct bh *h)
{
    if (!h)
        return;
    store_close(h);
    if (h->hbuf)
        h->os->free_pages(h, h->hbuf, HBUF_PAGES);
    if (h->privcmd >= 0)
        close(h->privcmd);
    free(h);
}

/*
 * Domains on a real hypervisor, through the Dom0 kernel's devices.
 *
 * /dev/xen/evtchn delivers events of all bound channels through one descriptor: a read gives port numbers,
 * each is closed until it is written back. Pages come from /dev/xen/gntdev (the grant reserved for the
 * store), or, if the domain has not granted it, are mapped as foreign pages through /dev/xen/privcmd. The
 * Dom0 kernel's own page and channel come from /dev/xen/xenbus_backend or /proc/xen/xsd_*. When the daemon
 * dies the kernel closes all of it, and the domains' ends become unbound again, so that the next daemon can
 * bind to them.
 */
#include "server.h"

#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE                 4096u
#define GRANT_OF_XENSTORE    1u
#define VIRQ_DOM_EXC         3u
#define HYPERCALL_DOMCTL     36u
#define DOMCTL_GETDOMAININFO 5u
#define DOMCTL_VERSION       0x15u
#define INFO_DYING           (1u << 0)
#define INFO_SHUTDOWN        (1u << 2)

struct evtchn_interdomain {
    unsigned int remote_domain, remote_port;
};

struct gntdev_map {
    uint32_t count, pad;
    uint64_t index;
    uint32_t domid, ref;
};

struct gntdev_unmap {
    uint64_t index;
    uint32_t count, pad;
};

struct privcmd_call {
    uint64_t op, arg[5];
};

struct privcmd_batch {
    unsigned int num;
    uint16_t dom;
    uint64_t addr;
    const uint64_t *frames;
    int *err;
};

#define EVTCHN_BIND_VIRQ        _IOC(_IOC_NONE, 'E', 0, sizeof(unsigned int))
#define EVTCHN_BIND_INTERDOMAIN _IOC(_IOC_NONE, 'E', 1, sizeof(struct evtchn_interdomain))
#define EVTCHN_UNBIND           _IOC(_IOC_NONE, 'E', 3, sizeof(unsigned int))
#define EVTCHN_NOTIFY           _IOC(_IOC_NONE, 'E', 4, sizeof(unsigned int))
#define GNTDEV_MAP              _IOC(_IOC_NONE, 'G', 0, sizeof(struct gntdev_map))
#define GNTDEV_UNMAP            _IOC(_IOC_NONE, 'G', 1, sizeof(struct gntdev_unmap))
#define PRIVCMD_HYPERCALL       _IOC(_IOC_NONE, 'P', 0, sizeof(struct privcmd_call))
#define PRIVCMD_MMAPBATCH_V2    _IOC(_IOC_NONE, 'P', 4, sizeof(struct privcmd_batch))
#define XENBUS_BACKEND_EVTCHN   _IOC(_IOC_NONE, 'B', 0, 0)

/* Argument of the domctl hypercall, for getdomaininfo. */
struct domctl_info {
    uint32_t cmd, version;
    uint16_t domain, pad[3];
    struct {
        uint16_t domain, pad1;
        uint32_t flags;
        uint64_t counters[7];
        uint32_t online_vcpus, max_vcpu, ssidref;
        uint8_t handle[16];
        uint8_t rest[96];
    } info;
};

struct xen {
    struct platform p;
    struct source events;
    int evtchn, gntdev, privcmd, backend;
    unsigned int virq_port;
    struct domctl_info *ctl; /* a page that stays in memory */
    struct htab ports;       /* xen_link by port */
    bool registered;
};

struct xen_link {
    struct hlink by_port;
    struct domain *d;
    unsigned int port;
    bool granted; /* else foreign or the kernel's own */
    uint64_t grant_index;
};

static int open_any(const char *a, const char *b)
{
    int fd = open(a, O_RDWR | O_CLOEXEC);

    return fd < 0 && b ? open(b, O_RDWR | O_CLOEXEC) : fd;
}

static struct xen_link *link_by_port(struct xen *x, unsigned int port)
{
    struct hlink *l = htab_first(&x->ports, port);

    return l ? container_of(l, struct xen_link, by_port) : NULL;
}

static void xen_events(struct server *s, struct source *src, uint32_t events)
{
    struct xen *x = container_of(src, struct xen, events);
    uint32_t port[256];
    ssize_t n = read(x->evtchn, port, sizeof(port));

    if (n <= 0) {
        return;
    }
    for (size_t i = 0; i < (size_t)n / sizeof(port[0]); i++) {
        struct xen_link *l = link_by_port(x, port[i]);

        if (port[i] == x->virq_port) {
            s->check_domains = true;
        } else if (l && l->d->conn) {
            conn_make_ready(s, l->d->conn);
            conn_make_dirty(s, l->d->conn);
        }
    }
    if (write(x->evtchn, port, (size_t)n) != n) {
        log_msg(LOG_LEVEL_ERROR, "event channels cannot be opened again: %s", strerror(errno));
    }
}

static void *map_grant(struct xen *x, uint32_t domid, uint64_t *index)
{
    struct gntdev_map m = {.count = 1, .domid = domid, .ref = GRANT_OF_XENSTORE};
    struct gntdev_unmap u = {.count = 1};
    void *page;

    if (x->gntdev < 0 || ioctl(x->gntdev, GNTDEV_MAP, &m)) {
        return MAP_FAILED;
    }
    page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, x->gntdev, (off_t)m.index);
    if (page == MAP_FAILED) {
        u.index = m.index;
        ioctl(x->gntdev, GNTDEV_UNMAP, &u);
    }
    *index = m.index;
    return page;
}

static void *map_foreign(struct xen *x, uint32_t domid, uint64_t frame)
{
    void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, x->privcmd, 0);
    int err = 0;
    struct privcmd_batch b = {
        .num = 1, .dom = (uint16_t)domid, .addr = (uintptr_t)page, .frames = &frame, .err = &err};

    if (page != MAP_FAILED && (ioctl(x->privcmd, PRIVCMD_MMAPBATCH_V2, &b) || err)) {
        errno = err ? -err : errno;
        err = errno;
        munmap(page, PAGE);
        errno = err;
        return MAP_FAILED;
    }
    return page;
}

/* The kernel of domain 0: its page and its channel. */
static void *map_own(struct xen *x, uint32_t *port)
{
    int fd = x->backend, rc;
    FILE *f;
    void *page;

    if (fd >= 0) {
        rc = ioctl(fd, XENBUS_BACKEND_EVTCHN, NULL);
        if (rc < 0) {
            return MAP_FAILED;
        }
        *port = (uint32_t)rc;
        return mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    f = fopen("/proc/xen/xsd_port", "re");
    if (!f) {
        return MAP_FAILED;
    }
    rc = fscanf(f, "%u", port);
    fclose(f);
    fd = rc == 1 ? open("/proc/xen/xsd_kva", O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) {
        return MAP_FAILED;
    }
    page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return page;
}

static void unmap(struct xen *x, struct xen_link *l, void *page)
{
    struct gntdev_unmap u = {.index = l->grant_index, .count = 1};

    munmap(page, PAGE);
    if (l->granted) {
        ioctl(x->gntdev, GNTDEV_UNMAP, &u);
    }
}

static int xen_connect(struct platform *p, struct server *s, struct domain *d)
{
    struct xen *x = container_of(p, struct xen, p);
    struct xen_link *l = xcalloc(1, sizeof(*l));
    struct evtchn_interdomain bind = {.remote_domain = d->domid};
    void *page;
    int rc;

    if (!x->registered) {
        x->registered = server_poll_add(s, x->evtchn, &x->events) == 0;
    }
    if (d->domid == 0) {
        page = map_own(x, &d->port);
    } else {
        page = map_grant(x, d->domid, &l->grant_index);
        l->granted = page != MAP_FAILED;
        page = l->granted ? page : map_foreign(x, d->domid, d->mfn);
    }
    if (page == MAP_FAILED) {
        rc = errno;
        free(l);
        return rc;
    }
    bind.remote_port = d->port;
    rc = ioctl(x->evtchn, EVTCHN_BIND_INTERDOMAIN, &bind);
    if (rc < 0) {
        rc = errno;
        unmap(x, l, page);
        free(l);
        return rc;
    }
    l->d = d;
    l->port = (unsigned int)rc;
    htab_insert(&x->ports, &l->by_port, l->port);
    d->ring = (struct link){page, l};
    return 0;
}

static void xen_disconnect(struct platform *p, struct server *s, struct domain *d)
{
    struct xen *x = container_of(p, struct xen, p);
    struct xen_link *l = d->ring.priv;

    if (!l) {
        return;
    }
    ioctl(x->evtchn, EVTCHN_UNBIND, &l->port);
    unmap(x, l, d->ring.page);
    htab_remove(&x->ports, &l->by_port);
    free(l);
    d->ring = (struct link){0};
}

static void xen_notify(struct platform *p, struct domain *d)
{
    struct xen *x = container_of(p, struct xen, p);
    struct xen_link *l = d->ring.priv;

    ioctl(x->evtchn, EVTCHN_NOTIFY, &l->port);
}

static enum domain_state xen_state(struct platform *p, uint32_t domid, uint64_t *identity)
{
    struct xen *x = container_of(p, struct xen, p);
    struct privcmd_call call = {.op = HYPERCALL_DOMCTL, .arg = {(uintptr_t)x->ctl}};

    memset(x->ctl, 0, sizeof(*x->ctl));
    x->ctl->cmd = DOMCTL_GETDOMAININFO;
    x->ctl->version = DOMCTL_VERSION;
    x->ctl->domain = (uint16_t)domid;
    if (ioctl(x->privcmd, PRIVCMD_HYPERCALL, &call) < 0) {
        /* Only "no such domain" may be believed: another failure must not end domains that live. */
        return errno == ESRCH || errno == EINVAL ? DOMAIN_GONE : DOMAIN_UNKNOWN;
    }
    if (x->ctl->info.domain != domid) {
        return DOMAIN_GONE; /* the hypervisor answers with the next one that exists */
    }
    *identity = hash_bytes(x->ctl->info.handle, sizeof(x->ctl->info.handle), 4);
    if (x->ctl->info.flags & INFO_DYING) {
        return DOMAIN_GONE;
    }
    return x->ctl->info.flags & INFO_SHUTDOWN ? DOMAIN_SHUTDOWN : DOMAIN_ALIVE;
}

/* Memory that hypercalls may use must not be moved or paged out under them. */
static void *hypercall_page(void)
{
    int fd = open("/dev/xen/hypercall", O_RDWR | O_CLOEXEC);
    void *page = fd < 0 ? MAP_FAILED : mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (fd >= 0) {
        close(fd);
    }
    if (page == MAP_FAILED) {
        page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE, -1, 0);
    }
    return page == MAP_FAILED ? NULL : page;
}

struct platform *platform_xen(void)
{
    static struct xen x = {.p = {.name = "xen",
                                 .has_domain0 = true,
                                 .connect = xen_connect,
                                 .disconnect = xen_disconnect,
                                 .notify = xen_notify,
                                 .state = xen_state},
                           .events = {.ready = xen_events}};
    unsigned int virq = VIRQ_DOM_EXC;
    int rc;

    x.evtchn = open_any("/dev/xen/evtchn", NULL);
    x.privcmd = open_any("/dev/xen/privcmd", "/proc/xen/privcmd");
    x.gntdev = open_any("/dev/xen/gntdev", NULL);
    x.backend = open_any("/dev/xen/xenbus_backend", NULL);
    if (x.evtchn < 0 || x.privcmd < 0) {
        return NULL;
    }
    x.ctl = hypercall_page();
    rc = ioctl(x.evtchn, EVTCHN_BIND_VIRQ, &virq);
    if (rc < 0 || !x.ctl) {
        return NULL;
    }
    x.virq_port = (unsigned int)rc;
    return &x.p;
}

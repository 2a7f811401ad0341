/*
 * Domains without a hypervisor: files and pipes in a directory stand for pages and event channels.
 *
 * DIR/sim/<domid>/page is the shared page, to-store and to-guest are the two directions of the event channel
 * (FIFOs, a byte is an event). They outlive the daemon, so a test can kill it and see the rings go on. A file
 * `shutdown` or `dead` beside them says that the domain is that. Domains without such a directory are nothing
 * the platform knows: everything about them is allowed.
 */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct sim {
    struct platform p;
    char dir[256];
};

struct sim_link {
    struct source source;
    struct domain *d;
    int from_guest;
    int to_guest;
};

static void sim_file(const struct sim *sim, uint32_t domid, const char *name, char *out, size_t size)
{
    snprintf(out, size, "%s/sim/%u/%s", sim->dir, domid, name);
}

static void sim_ready(struct server *s, struct source *src, uint32_t events)
{
    struct sim_link *l = container_of(src, struct sim_link, source);
    char drain[256];

    while (read(l->from_guest, drain, sizeof(drain)) == (ssize_t)sizeof(drain)) {
    }
    conn_make_ready(s, l->d->conn);
    conn_make_dirty(s, l->d->conn);
}

static int open_in(const struct sim *sim, uint32_t domid, const char *name)
{
    char file[320];

    sim_file(sim, domid, name, file, sizeof(file));
    return open(file, O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

static void close_link(struct sim_link *l)
{
    if (l->from_guest >= 0) {
        close(l->from_guest);
    }
    if (l->to_guest >= 0) {
        close(l->to_guest);
    }
    free(l);
}

static int sim_connect(struct platform *p, struct server *s, struct domain *d)
{
    struct sim *sim = container_of(p, struct sim, p);
    struct sim_link *l = xcalloc(1, sizeof(*l));
    struct stat st;
    int fd, rc = 0;
    void *page;

    l->d = d;
    l->source.ready = sim_ready;
    fd = open_in(sim, d->domid, "page");
    l->from_guest = fd < 0 ? -1 : open_in(sim, d->domid, "to-store");
    l->to_guest = l->from_guest < 0 ? -1 : open_in(sim, d->domid, "to-guest");
    if (l->to_guest < 0) {
        rc = errno;
    } else if (fstat(fd, &st) || st.st_size < 4096) {
        rc = EINVAL;
    } else {
        page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        rc = page == MAP_FAILED ? errno : 0;
    }
    if (fd >= 0) {
        close(fd);
    }
    rc = rc ? rc : server_poll_add(s, l->from_guest, &l->source);
    if (rc) {
        close_link(l);
        return rc;
    }
    d->ring = (struct link){page, l};
    return 0;
}

static void sim_disconnect(struct platform *p, struct server *s, struct domain *d)
{
    struct sim_link *l = d->ring.priv;

    if (l) {
        munmap(d->ring.page, 4096);
        server_poll_del(s, l->from_guest);
        close_link(l);
        d->ring = (struct link){0};
    }
}

static void sim_notify(struct platform *p, struct domain *d)
{
    struct sim_link *l = d->ring.priv;
    ssize_t n = write(l->to_guest, "e", 1);

    (void)n; /* a full pipe has events enough */
}

static enum domain_state sim_state(struct platform *p, uint32_t domid, uint64_t *identity)
{
    struct sim *sim = container_of(p, struct sim, p);
    char file[320];
    struct stat st;

    sim_file(sim, domid, "page", file, sizeof(file));
    if (domid == 0 || stat(file, &st)) {
        return DOMAIN_UNKNOWN;
    }
    *identity = st.st_ino;
    sim_file(sim, domid, "dead", file, sizeof(file));
    if (access(file, F_OK) == 0) {
        return DOMAIN_GONE;
    }
    sim_file(sim, domid, "shutdown", file, sizeof(file));
    return access(file, F_OK) == 0 ? DOMAIN_SHUTDOWN : DOMAIN_ALIVE;
}

struct platform *platform_sim(const char *dir)
{
    static struct sim sim = {.p = {.name = "files",
                                   .connect = sim_connect,
                                   .disconnect = sim_disconnect,
                                   .notify = sim_notify,
                                   .state = sim_state}};

    snprintf(sim.dir, sizeof(sim.dir), "%s", dir);
    return &sim.p;
}

/* The guest's side of a simulated domain. See simdomain.h. */
#include "simdomain.h"

#include "ring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int make_fifo(const char *dir, uint32_t domid, const char *name)
{
    char file[300];

    snprintf(file, sizeof(file), "%s/sim/%u/%s", dir, domid, name);
    if (mkfifo(file, 0600) && errno != EEXIST) {
        return -1;
    }
    return open(file, O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

bool sim_create(struct simdomain *d, const char *dir, uint32_t domid)
{
    char file[300];
    int fd;

    memset(d, 0, sizeof(*d));
    d->domid = domid;
    snprintf(file, sizeof(file), "%s/sim", dir);
    mkdir(file, 0700);
    snprintf(file, sizeof(file), "%s/sim/%u", dir, domid);
    mkdir(file, 0700);
    d->to_store = make_fifo(dir, domid, "to-store");
    d->to_guest = make_fifo(dir, domid, "to-guest");
    snprintf(file, sizeof(file), "%s/sim/%u/page", dir, domid);
    fd = open(file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || d->to_store < 0 || d->to_guest < 0 || ftruncate(fd, 4096)) {
        return false;
    }
    d->page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return d->page != MAP_FAILED;
}

void sim_destroy(struct simdomain *d)
{
    munmap(d->page, 4096);
    close(d->to_store);
    close(d->to_guest);
}

bool sim_send(struct simdomain *d, uint32_t type, uint32_t req_id, uint32_t tx_id, const void *data,
              size_t len)
{
    struct xsd_sockmsg hdr = {.type = type, .req_id = req_id, .tx_id = tx_id, .len = (uint32_t)len};

    if (d->out_len + sizeof(hdr) + len > sizeof(d->out)) {
        return false;
    }
    memcpy(d->out + d->out_len, &hdr, sizeof(hdr));
    memcpy(d->out + d->out_len + sizeof(hdr), data, len);
    d->out_len += sizeof(hdr) + len;
    return true;
}

static void kick(struct simdomain *d)
{
    ssize_t n = write(d->to_store, "e", 1);

    (void)n; /* a full pipe holds events enough */
}

void ring_reset_request(struct simdomain *d)
{
    ring_store(&d->page->connection, XENSTORE_RECONNECT);
    kick(d);
}

static bool pump_out(struct simdomain *d)
{
    uint32_t prod = d->page->req_prod;
    uint32_t room = ring_room(prod, ring_load(&d->page->req_cons));
    uint32_t n = d->out_len < room ? (uint32_t)d->out_len : room;

    if (n == 0) {
        return false;
    }
    ring_put(d->page->req, prod, d->out, n);
    ring_store(&d->page->req_prod, prod + n);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if ((int32_t)(ring_load(&d->page->req_cons) - prod) >= 0) {
        kick(d);
    }
    d->out_len -= n;
    memmove(d->out, d->out + n, d->out_len);
    return true;
}

static bool pump_in(struct simdomain *d)
{
    uint32_t cons = d->page->rsp_cons;
    uint32_t n = ring_filled(ring_load(&d->page->rsp_prod), cons);

    if (n > sizeof(d->in) - d->in_len) {
        n = (uint32_t)(sizeof(d->in) - d->in_len);
    }
    if (n == 0) {
        return false;
    }
    ring_get(d->page->rsp, cons, d->in + d->in_len, n);
    d->in_len += n;
    ring_store(&d->page->rsp_cons, cons + n);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (ring_filled(ring_load(&d->page->rsp_prod), cons) >= XENSTORE_RING_SIZE) {
        kick(d);
    }
    return true;
}

bool sim_pump(struct simdomain *d)
{
    char drain[64];
    bool moved = read(d->to_guest, drain, sizeof(drain)) > 0;

    moved |= pump_out(d);
    return pump_in(d) || moved;
}

bool sim_receive(struct simdomain *d, struct xsd_sockmsg *hdr, char *body)
{
    size_t size;

    if (d->in_len < sizeof(*hdr)) {
        return false;
    }
    memcpy(hdr, d->in, sizeof(*hdr));
    size = sizeof(*hdr) + hdr->len;
    if (d->in_len < size) {
        return false;
    }
    memcpy(body, d->in + sizeof(*hdr), hdr->len);
    body[hdr->len] = '\0';
    d->in_len -= size;
    memmove(d->in, d->in + size, d->in_len);
    return true;
}

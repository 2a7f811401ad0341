/*
 * qcow2 images and overlays: QEMU's storage daemon holds the image, we speak NBD to it over a socket.
 *
 * The daemon is not our child in any useful sense: it outlives us, since it keeps metadata of writes that the
 * guest has had answered. A process that is started again finds it by its monitor socket. Before it uses the
 * daemon it takes the export away and waits until the daemon reports it deleted: then the last request of the
 * old connection has ended, and none of them can still arrive behind ours. Then it adds the export again and
 * connects.
 */
#include "image.h"

#include <errno.h>
#include <libnbd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../common/log.h"
#include "storage_daemon.h"

struct image_nbd {
    struct image image;
    struct nbd_handle *nbd;
    struct storage_daemon daemon;
    struct image_io *first, **last; /* ended, to be told by reap() */
    bool lost;
};

static struct image_nbd *nbd_of(struct image *i)
{
    return (struct image_nbd *)i;
}

static void add_ended(struct image_nbd *n, struct image_io *io, int error)
{
    io->error = error;
    io->next = NULL;
    *n->last = io;
    n->last = &io->next;
}

/* NBD moves one contiguous buffer. */
static void gather(const struct image_io *io)
{
    char *at = io->buffer;
    for (unsigned i = 0; i < io->niov; at += io->iov[i++].iov_len)
        memcpy(at, io->iov[i].iov_base, io->iov[i].iov_len);
}

static void scatter(const struct image_io *io)
{
    const char *at = io->buffer;
    for (unsigned i = 0; i < io->niov; at += io->iov[i++].iov_len)
        memcpy(io->iov[i].iov_base, at, io->iov[i].iov_len);
}

/* One request in the library's hands. */
struct call {
    struct image_nbd *n;
    struct image_io *io;
};

static int ended(void *user, int *error)
{
    struct call *call = user;
    struct image_io *io = call->io;
    if (*error == 0 && io->op == IMAGE_READ)
        scatter(io);
    free(io->buffer);
    io->buffer = NULL;
    add_ended(call->n, io, -*error);
    return 1;
}

static int64_t send_request(struct image_nbd *n, struct image_io *io, nbd_completion_callback callback)
{
    switch (io->op) {
    case IMAGE_READ:
        return nbd_aio_pread(n->nbd, io->buffer, io->bytes, io->offset, callback, 0);
    case IMAGE_WRITE:
        gather(io);
        return nbd_aio_pwrite(n->nbd, io->buffer, io->bytes, io->offset, callback, 0);
    case IMAGE_FLUSH:
        return nbd_aio_flush(n->nbd, callback, 0);
    case IMAGE_DISCARD:
        return nbd_aio_trim(n->nbd, io->bytes, io->offset, callback, 0);
    case IMAGE_ZERO:
        return nbd_aio_zero(n->nbd, io->bytes, io->offset, callback, LIBNBD_CMD_FLAG_NO_HOLE);
    }
    return -1;
}

static void submit(struct image *i, struct image_io *io)
{
    struct image_nbd *n = nbd_of(i);
    bool data = io->op == IMAGE_READ || io->op == IMAGE_WRITE;
    io->buffer = data ? malloc(io->bytes) : NULL;
    struct call *call = malloc(sizeof(*call));
    if (!call || (data && !io->buffer)) {
        free(call);
        free(io->buffer);
        add_ended(n, io, -ENOMEM);
        return;
    }
    *call = (struct call){n, io};
    nbd_completion_callback callback = {.callback = ended, .user_data = call, .free = free};
    if (send_request(n, io, callback) < 0) {
        log_limited("storage daemon: %s", nbd_get_error());
        free(io->buffer);
        add_ended(n, io, -EIO);
    }
}

static int reap(struct image *i)
{
    struct image_nbd *n = nbd_of(i);
    while (!n->lost && nbd_poll(n->nbd, 0) > 0)
        ;
    if (nbd_aio_is_dead(n->nbd) || nbd_aio_is_closed(n->nbd))
        n->lost = true;
    while (n->first) {
        struct image_io *io = n->first;
        n->first = io->next;
        if (!n->first)
            n->last = &n->first;
        io->done(io, io->error);
    }
    return n->lost ? -EIO : 0;
}

static int poll_fd(const struct image *i, short *events)
{
    const struct image_nbd *n = (const struct image_nbd *)i;
    unsigned direction = nbd_aio_get_direction(n->nbd);
    *events = (short)((direction & LIBNBD_AIO_DIRECTION_READ ? POLLIN : 0) |
                      (direction & LIBNBD_AIO_DIRECTION_WRITE ? POLLOUT : 0));
    return nbd_aio_get_fd(n->nbd);
}

static void wait_for_some(struct image *i, int timeout_ms)
{
    nbd_poll(nbd_of(i)->nbd, timeout_ms);
}

/* The size of a qcow2 image changes only while it is not in use. */
static int resize(struct image *i)
{
    return 0;
}

static void finish(struct image *i)
{
    struct image_nbd *n = nbd_of(i);
    nbd_shutdown(n->nbd, 0);
    storage_daemon_quit(&n->daemon);
}

static const struct image_ops nbd_ops = {
    .submit = submit, .reap = reap, .wait = wait_for_some, .fd = poll_fd, .resize = resize, .finish = finish};

static int connect_nbd(struct image_nbd *n, const struct image_config *c)
{
    if (!n->nbd || nbd_set_export_name(n->nbd, "disk") || nbd_connect_unix(n->nbd, n->daemon.nbd_socket))
        return -EIO;
    int64_t bytes = nbd_get_size(n->nbd);
    if (bytes < 512)
        return -EIO;
    n->image.bytes = (uint64_t)bytes;
    n->image.physical_sector = 4096;
    n->image.discard_granularity = c->block_discard && !c->read_only && nbd_can_trim(n->nbd) > 0 ? 65536 : 0;
    return 0;
}

int image_nbd_open(const struct image_config *c, struct image **out, char *why, size_t why_bytes)
{
    struct image_nbd *n = calloc(1, sizeof(*n));
    if (!n)
        return -ENOMEM;
    n->image.ops = &nbd_ops;
    n->last = &n->first;
    int rc = storage_daemon_open(&n->daemon, c, why, why_bytes);
    if (rc == 0) {
        n->nbd = nbd_create();
        rc = connect_nbd(n, c);
        if (rc)
            snprintf(why, why_bytes, "no NBD connection to the storage daemon of %s: %s", c->path,
                     nbd_get_error() ? nbd_get_error() : "the image has no size");
    }
    if (rc) {
        nbd_close(n->nbd);
        free(n);
        return rc;
    }
    *out = &n->image;
    return 0;
}

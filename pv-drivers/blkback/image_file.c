/*
 * Raw files and block devices through io_uring.
 *
 * Two descriptors of the same file: one with O_DIRECT (where the file system has it) for requests that are
 * aligned as it wants, one through the page cache for the rest. A flush is fdatasync(), which covers both.
 *
 * Linux 6.1 hands writes through the page cache to a worker thread. For a file in memory (tmpfs) that costs more
 * than the write, which never waits for a device: reap() does these itself.
 *
 * The lock is what makes killing us safe. Requests in flight outlive the process that submitted them; each
 * holds a reference to its open file. Locks of the open-file-description kind go away with the last
 * reference, so a new process that gets the lock knows that no old write can still arrive behind its own. The
 * bytes locked are those that QEMU's tools lock for images in use, so either side keeps the other out.
 */
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

#include "../common/log.h"

#define LOCK_WAIT_MS    30000
#define LOCK_POLL_MS    10
#define QEMU_LOCK_FIRST 100
#define QEMU_LOCK_BYTES 104 /* 100..103 permissions in use, 200..203 permissions denied to others */
#define ZERO_BYTES      (1u << 20)
#define DEFAULT_ALIGN   4096u

struct image_file {
    struct image image;
    struct uring *uring;
    int direct; /* -1: none */
    int buffered;
    unsigned align;
    bool block_device;
    unsigned running;
    void *zeroes;            /* ZERO_BYTES */
    bool in_memory;          /* on tmpfs */
    struct image_io *writes; /* submitted, for reap() to do; only with in_memory */
};

static struct image_file *file_of(struct image *i)
{
    return (struct image_file *)i;
}

/* Whether a transfer may go to the O_DIRECT descriptor. */
static bool aligned(const struct image_file *f, const struct image_io *io)
{
    if (f->direct < 0 || (io->offset + io->finished) % f->align)
        return false;
    for (unsigned i = 0; i < io->niov; i++)
        if ((uintptr_t)io->iov[i].iov_base % 512 || io->iov[i].iov_len % f->align)
            return false;
    return true;
}

static void prepare_zero(struct image_file *f, struct io_uring_sqe *sqe, struct image_io *io)
{
    uint64_t left = io->bytes - io->finished;
    unsigned now = left < ZERO_BYTES ? (unsigned)left : ZERO_BYTES;
    io_uring_prep_write(sqe, f->buffered, f->zeroes, now, io->offset + io->finished);
}

/* Direct I/O from and to memory that is pinned already spares Linux to find and pin its pages. */
static void prepare_transfer(struct image_file *f, struct io_uring_sqe *sqe, struct image_io *io)
{
    uint64_t at = io->offset + io->finished;
    int fd = aligned(f, io) ? f->direct : f->buffered;
    bool fixed = io->niov == 1 && uring_is_fixed(f->uring, io->iov);
    if (fixed && io->op == IMAGE_READ)
        io_uring_prep_read_fixed(sqe, fd, io->iov->iov_base, (unsigned)io->iov->iov_len, at, 0);
    else if (fixed)
        io_uring_prep_write_fixed(sqe, fd, io->iov->iov_base, (unsigned)io->iov->iov_len, at, 0);
    else if (io->op == IMAGE_READ)
        io_uring_prep_readv(sqe, fd, io->iov, io->niov, at);
    else
        io_uring_prep_writev(sqe, fd, io->iov, io->niov, at);
}

static void queue(struct image_file *f, struct image_io *io)
{
    f->running++;
    if (f->in_memory && io->op == IMAGE_WRITE) {
        io->next = f->writes;
        f->writes = io;
        return;
    }
    struct io_uring_sqe *sqe = uring_sqe(f->uring);
    uint64_t at = io->offset + io->finished;
    switch (io->op) {
    case IMAGE_READ:
    case IMAGE_WRITE:
        prepare_transfer(f, sqe, io);
        break;
    case IMAGE_FLUSH:
        io_uring_prep_fsync(sqe, f->buffered, IORING_FSYNC_DATASYNC);
        break;
    case IMAGE_DISCARD:
        io_uring_prep_fallocate(sqe, f->buffered, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at,
                                (off_t)io->bytes);
        break;
    case IMAGE_ZERO:
        prepare_zero(f, sqe, io);
        break;
    }
    uring_own(sqe, &io->ring, 0);
}

/* Drops the first bytes of the transfer, which are done. */
static void advance(struct image_io *io, size_t bytes)
{
    io->finished += bytes;
    while (io->niov && bytes >= io->iov->iov_len) {
        bytes -= io->iov->iov_len;
        io->iov++;
        io->niov--;
    }
    if (io->niov) {
        io->iov->iov_base = (char *)io->iov->iov_base + bytes;
        io->iov->iov_len -= bytes;
    }
}

/* Ends the request, or queues what is left of a transfer that came in parts. */
static void complete(struct image_file *f, struct image_io *io, int result)
{
    f->running--;
    if (result == -EINTR || result == -EAGAIN) {
        queue(f, io);
        return;
    }
    bool transfer = io->op == IMAGE_READ || io->op == IMAGE_WRITE || io->op == IMAGE_ZERO;
    if (result < 0 || !transfer) {
        io->done(io, result < 0 ? result : 0);
        return;
    }
    if (result == 0) {
        io->done(io, -EIO); /* the file is shorter than it was */
        return;
    }
    if (io->op == IMAGE_ZERO)
        io->finished += (unsigned)result;
    else
        advance(io, (size_t)result);
    if (io->finished >= io->bytes)
        io->done(io, 0);
    else
        queue(f, io);
}

static void transferred(struct uring_op *op, int result)
{
    struct image_io *io = (struct image_io *)((char *)op - offsetof(struct image_io, ring));
    complete(file_of(io->image), io, result);
}

static void submit(struct image *i, struct image_io *io)
{
    io->finished = 0;
    io->image = i;
    io->ring.done = transferred;
    queue(file_of(i), io);
}

static int reap(struct image *i)
{
    struct image_file *f = file_of(i);
    while (f->writes) {
        struct image_io *io = f->writes;
        f->writes = io->next;
        ssize_t moved = pwritev(f->buffered, io->iov, (int)io->niov, (off_t)(io->offset + io->finished));
        complete(f, io, moved < 0 ? -errno : (int)moved);
    }
    return 0;
}

static void wait_for_some(struct image *i, int timeout_ms)
{
    uring_run(file_of(i)->uring, timeout_ms);
}

static int find_size(struct image_file *f)
{
    struct stat st;
    if (fstat(f->buffered, &st))
        return -errno;
    f->block_device = S_ISBLK(st.st_mode);
    if (!f->block_device) {
        f->image.bytes = (uint64_t)st.st_size;
        return 0;
    }
    uint64_t bytes;
    if (ioctl(f->buffered, BLKGETSIZE64, &bytes))
        return -errno;
    f->image.bytes = bytes;
    return 0;
}

static int resize(struct image *i)
{
    return find_size(file_of(i));
}

static void finish(struct image *i)
{
}

static const struct image_ops file_ops = {
    .submit = submit, .reap = reap, .wait = wait_for_some, .resize = resize, .finish = finish};

/* What O_DIRECT asks for, and the sector size that writes should keep to. */
static void find_alignment(struct image_file *f)
{
    int logical = 0;
    unsigned physical = 0;
    f->align = DEFAULT_ALIGN;
    f->image.physical_sector = 512;
    if (f->block_device) {
        if (ioctl(f->buffered, BLKSSZGET, &logical) == 0 && logical >= 512)
            f->align = (unsigned)logical;
        if (ioctl(f->buffered, BLKPBSZGET, &physical) == 0 && physical >= 512)
            f->image.physical_sector = physical;
        return;
    }
    struct statx sx;
    if (statx(f->buffered, "", AT_EMPTY_PATH, STATX_DIOALIGN, &sx) == 0 && (sx.stx_mask & STATX_DIOALIGN) &&
        sx.stx_dio_offset_align)
        f->align = sx.stx_dio_offset_align;
}

static int lock_range(int fd, off_t start, off_t length, bool exclusive)
{
    struct flock lock = {
        .l_type = exclusive ? F_WRLCK : F_RDLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    return fcntl(fd, F_OFD_SETLK, &lock) ? -errno : 0;
}

/* An image that is written is ours alone; one that is only read may be shared with other readers. */
static int wait_lock(int fd, off_t start, off_t length, const struct image_config *c)
{
    int rc = -EAGAIN;
    for (unsigned waited = 0; waited <= c->patience_ms; waited += LOCK_POLL_MS) {
        rc = lock_range(fd, start, length, !c->read_only);
        if (rc != -EAGAIN && rc != -EACCES)
            break;
        struct timespec pause = {.tv_nsec = LOCK_POLL_MS * 1000000L};
        nanosleep(&pause, NULL);
    }
    return rc;
}

/*
 * The O_DIRECT descriptor is a second open file, and exclusive locks of two open files keep each other out.
 * So the main lock stands on the page-cache descriptor, and a byte of its own marks requests in flight on the
 * direct one.
 */
#define DIRECT_LOCK_BYTE 300

static int open_descriptors(struct image_file *f, const struct image_config *c, char *why, size_t why_bytes)
{
    int mode = (c->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC;
    f->buffered = open(c->path, mode);
    if (f->buffered < 0) {
        snprintf(why, why_bytes, "cannot open image %s: %s", c->path, strerror(errno));
        return -errno;
    }
    int rc = wait_lock(f->buffered, QEMU_LOCK_FIRST, QEMU_LOCK_BYTES, c);
    if (rc) {
        snprintf(
            why, why_bytes,
            "%s is in use by someone else (its lock was not free within %u ms); shut the other user down",
            c->path, c->patience_ms);
        return rc;
    }
    f->direct = c->direct ? open(c->path, mode | O_DIRECT) : -1;
    if (f->direct < 0)
        return 0;
    rc = wait_lock(f->direct, DIRECT_LOCK_BYTE, 1, c);
    if (rc)
        snprintf(why, why_bytes, "requests of an earlier process on %s did not end within %u ms", c->path,
                 c->patience_ms);
    return rc;
}

static int check_kind(struct image_file *f, const struct image_config *c, char *why, size_t why_bytes)
{
    struct stat st;
    if (fstat(f->buffered, &st) || !(S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))) {
        snprintf(why, why_bytes, "image %s is neither a regular file nor a block device", c->path);
        return -EINVAL;
    }
    int rc = find_size(f);
    if (rc == 0 && f->image.bytes < 512) {
        snprintf(why, why_bytes, "image %s has %llu bytes, less than one sector", c->path,
                 (unsigned long long)f->image.bytes);
        return -EINVAL;
    }
    struct statfs fs;
    f->in_memory = f->direct < 0 && fstatfs(f->buffered, &fs) == 0 && fs.f_type == TMPFS_MAGIC;
    return rc;
}

static void dispose(struct image_file *f)
{
    if (f->buffered >= 0)
        close(f->buffered);
    if (f->direct >= 0)
        close(f->direct);
    free(f->zeroes);
    free(f);
}

int image_file_open(const struct image_config *c, struct image **out, char *why, size_t why_bytes)
{
    struct image_file *f = calloc(1, sizeof(*f));
    if (!f)
        return -ENOMEM;
    f->image.ops = &file_ops;
    f->uring = c->uring;
    f->buffered = f->direct = -1;
    f->zeroes = calloc(1, ZERO_BYTES);
    int rc = f->zeroes ? open_descriptors(f, c, why, why_bytes) : -ENOMEM;
    if (rc == 0)
        rc = check_kind(f, c, why, why_bytes);
    if (rc) {
        dispose(f);
        return rc;
    }
    find_alignment(f);
    f->image.pins_memory = f->direct >= 0;
    f->image.discard_granularity =
        c->block_discard && !c->read_only ? (f->block_device ? f->align : 4096) : 0;
    *out = &f->image;
    return 0;
}

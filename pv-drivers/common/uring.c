#include "uring.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"

#define ENTRIES 256u
#define COMPLETIONS                                                                                          \
    4096u /* more than can be under way: requests of all rings, reads of packets, what is waited for */

static const uint8_t allowed[] = {
    IORING_OP_READ,       IORING_OP_WRITE,       IORING_OP_READV,    IORING_OP_WRITEV,
    IORING_OP_FSYNC,      IORING_OP_FALLOCATE,   IORING_OP_POLL_ADD, IORING_OP_POLL_REMOVE,
    IORING_OP_READ_FIXED, IORING_OP_WRITE_FIXED,
};
#define FLAGS_ALLOWED (IOSQE_IO_LINK | IOSQE_IO_HARDLINK | IOSQE_CQE_SKIP_SUCCESS)
#define RULES         (sizeof(allowed) / sizeof(allowed[0]) + 1)

/* liburing in Debian 12 does not export all that it declares. */
static int ring_register(struct io_uring *ring, unsigned what, const void *argument, unsigned count)
{
    long rc = syscall(SYS_io_uring_register, ring->ring_fd, what, argument, count);
    return rc < 0 ? -errno : 0;
}

/* Lends it the buffer, takes from it all that is not needed, and lets it go. */
static int start_ring(struct io_uring *ring, const struct iovec *fixed)
{
    struct io_uring_restriction rule[RULES] = {
        {.opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED, .sqe_flags = FLAGS_ALLOWED}};
    for (unsigned i = 1; i < RULES; i++)
        rule[i] =
            (struct io_uring_restriction){.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = allowed[i - 1]};
    int rc = fixed ? ring_register(ring, IORING_REGISTER_BUFFERS, fixed, 1) : 0;
    rc = rc ? rc : ring_register(ring, IORING_REGISTER_RESTRICTIONS, rule, RULES);
    return rc ? rc : ring_register(ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

int uring_open(struct uring *u, const struct iovec *fixed)
{
    struct io_uring_params p = {.flags = IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER |
                                         IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
                                .cq_entries = COMPLETIONS};
    int rc = io_uring_queue_init_params(ENTRIES, &u->ring, &p);
    u->fixed = fixed ? *fixed : (struct iovec){0};
    if (rc == 0) {
        rc = start_ring(&u->ring, fixed);
        if (rc)
            io_uring_queue_exit(&u->ring);
    }
    if (rc)
        log_line("setting up io_uring: %s; Linux 6.1 is needed", strerror(-rc));
    return rc;
}

void uring_close(struct uring *u)
{
    io_uring_queue_exit(&u->ring);
}

bool uring_is_fixed(const struct uring *u, const struct iovec *bytes)
{
    uintptr_t offset = (uintptr_t)bytes->iov_base - (uintptr_t)u->fixed.iov_base;
    return offset < u->fixed.iov_len && bytes->iov_len <= u->fixed.iov_len - offset;
}

struct io_uring_sqe *uring_chain(struct uring *u, unsigned count)
{
    if (io_uring_sq_space_left(&u->ring) < count)
        uring_submit(u);
    return io_uring_get_sqe(&u->ring);
}

struct io_uring_sqe *uring_sqe(struct uring *u)
{
    return uring_chain(u, 1);
}

void uring_own(struct io_uring_sqe *sqe, struct uring_op *op, unsigned flags)
{
    io_uring_sqe_set_data(sqe, op);
    io_uring_sqe_set_flags(sqe, flags);
}

void uring_submit(struct uring *u)
{
    while (io_uring_sq_ready(&u->ring)) {
        int rc = io_uring_submit(&u->ring);
        if (rc < 0)
            log_limited("submitting to io_uring: %s; trying again", strerror(-rc));
    }
}

/* Calls done() for what has ended. */
static void dispatch(struct uring *u)
{
    struct io_uring_cqe *cqe;
    while (io_uring_peek_cqe(&u->ring, &cqe) == 0) {
        struct uring_op *op = io_uring_cqe_get_data(cqe);
        int result = cqe->res;
        io_uring_cqe_seen(&u->ring, cqe);
        if (op)
            op->done(op, result);
    }
}

void uring_run(struct uring *u, int timeout_ms)
{
    struct io_uring_cqe *cqe;
    struct __kernel_timespec limit = {.tv_sec = timeout_ms / 1000, .tv_nsec = timeout_ms % 1000 * 1000000LL};
    if (timeout_ms == 0)
        io_uring_submit_and_get_events(&u->ring);
    else
        io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1, timeout_ms < 0 ? NULL : &limit, NULL);
    dispatch(u);
}

/*
 * The one io_uring of a back end process. Whatever it waits for and most of what it moves goes through it, so that a
 * turn of its main loop is one system call: each costs a PV process a hypercall to come back.
 *
 * An operation is begun with uring_sqe() and goes to the kernel with the next uring_run() or uring_submit(). How it
 * ended is told by its done(), which is called from uring_run() only. A read of a descriptor that has nothing to read
 * waits until it has, though it be one that does not block.
 *
 * A system call filter does not see what a ring is asked to do. So the ring itself takes no operation but those that
 * the back ends use: none of them opens, connects or starts anything.
 */
#ifndef PV_URING_H
#define PV_URING_H

#include <liburing.h>
#include <stdbool.h>
#include <sys/uio.h>

struct uring_op {
    void (*done)(struct uring_op *op, int result); /* result: as of the system call, or -errno */
};

struct uring {
    struct io_uring ring;
    struct iovec fixed;
};

/* fixed: memory that is pinned once for good, for the _FIXED operations (as buffer 0), or NULL. Returns 0, or -errno
 * (logged). */
int uring_open(struct uring *u, const struct iovec *fixed);
void uring_close(struct uring *u);
/* Whether these bytes lie in the memory that was given to it. */
bool uring_is_fixed(const struct uring *u, const struct iovec *bytes);
/* A fresh entry, to be prepared by io_uring_prep_...() and then uring_own(). */
struct io_uring_sqe *uring_sqe(struct uring *u);
/* The first of count entries that are linked: they have to go to the kernel together. */
struct io_uring_sqe *uring_chain(struct uring *u, unsigned count);
/* Says whose a prepared entry is (NULL: nobody asks how it ends), and its IOSQE_ flags. */
void uring_own(struct io_uring_sqe *sqe, struct uring_op *op, unsigned flags);
/* Hands everything that was begun to the kernel. */
void uring_submit(struct uring *u);
/* Does that, waits until something ends, at most timeout_ms (negative: without limit), and calls done() for all that
 * has ended. */
void uring_run(struct uring *u, int timeout_ms);

#endif

/*
 * What a back end needs from Xen: mapping and copying granted pages, and event channels. xenio_linux.c does
 * it with /dev/xen/gntdev and /dev/xen/evtchn; the tests link a front end in plain memory in its place.
 */
#ifndef PV_XENIO_H
#define PV_XENIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define XENIO_PAGE 4096u

struct xenio;
struct uring;
struct uring_op;

/* One piece of a grant copy; the layout is the one that Linux' gntdev takes. */
struct xenio_copy {
    union xenio_place {
        void *local;
        struct {
            uint32_t gref;
            uint16_t offset;
            uint16_t domid;
        } foreign;
    } source, dest;
    uint16_t bytes; /* offset + bytes of a foreign place stay within a page */
    uint16_t flags; /* XENIO_SOURCE_GREF or XENIO_DEST_GREF */
    int16_t status; /* out: 0 or a negative GNTST_ value */
};

#define XENIO_SOURCE_GREF 1
#define XENIO_DEST_GREF   2

/*
 * Memory of ours that grant copies write and read. Where Linux lets us (/dev/xen/gntalloc), its pages are granted to
 * ourselves, and copies name them by their references: to find the page behind an address takes Linux as a PV guest
 * longer than the copy of the page takes the hypervisor.
 */
struct xenio_memory {
    uint8_t *start;
    unsigned pages;
    uint32_t *gref; /* of each page; NULL: there are none, copies name addresses */
    uint16_t domid; /* ours */
};

/* Names what is at `at` as an end of a copy, which must not go on past the end of the page. True: by reference, the
 * copy needs the flag for it. */
static inline bool xenio_ours(const struct xenio_memory *m, uint8_t *at, union xenio_place *place)
{
    size_t offset = (size_t)(at - m->start);
    if (!m->gref) {
        place->local = at;
        return false;
    }
    place->foreign.gref = m->gref[offset / XENIO_PAGE];
    place->foreign.offset = (uint16_t)(offset % XENIO_PAGE);
    place->foreign.domid = m->domid;
    return true;
}

/* Opens both devices. Returns 0 or -errno, having logged why. */
int xenio_open(struct xenio **out);
void xenio_close(struct xenio *x);

/*
 * Maps count pages granted by domid next to each other. NULL with errno set when any of the grants is bad.
 * xenio_unmap() takes exactly what one xenio_map() returned.
 */
void *xenio_map(struct xenio *x, uint16_t domid, const uint32_t *grefs, unsigned count, bool writable);
void xenio_unmap(struct xenio *x, void *address, unsigned count);
/* Copies; each segment tells its own status. Returns 0, or -errno when the call as a whole failed. */
int xenio_copy(struct xenio *x, struct xenio_copy *segments, unsigned count);

/* own: the domain that we run in. Returns 0 or -errno. */
int xenio_memory_open(struct xenio *x, struct xenio_memory *m, uint16_t own, unsigned pages);
void xenio_memory_close(struct xenio *x, struct xenio_memory *m);

/* Binds to the port that domid offers to us. Returns our port, or -errno. */
int xenio_bind(struct xenio *x, uint16_t domid, uint32_t remote_port);
void xenio_unbind(struct xenio *x, uint32_t port);
int xenio_notify(struct xenio *x, uint32_t port);
/*
 * Waits for events: op ends with the bytes of the port numbers that fired (four for each), or -errno. These ports stay
 * masked until xenio_unmask() is called with that result; only then may xenio_await() be called again.
 */
void xenio_await(struct xenio *x, struct uring *u, struct uring_op *op);
void xenio_unmask(struct xenio *x, struct uring *u, int bytes);

#endif

/*
 * What a back end needs from Xen: mapping and copying granted pages, and event channels. xenio_linux.c does
 * it with /dev/xen/gntdev and /dev/xen/evtchn; the tests link a front end in plain memory in its place.
 */
#ifndef PV_XENIO_H
#define PV_XENIO_H

#include <stdbool.h>
#include <stdint.h>

#define XENIO_PAGE 4096u

struct xenio;

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

/* Opens both devices. Returns 0 or -errno, having logged why. */
int xenio_open(struct xenio **out);
void xenio_close(struct xenio *x);
/* Becomes readable when an event channel fires. */
int xenio_fd(const struct xenio *x);

/*
 * Maps count pages granted by domid next to each other. NULL with errno set when any of the grants is bad.
 * xenio_unmap() takes exactly what one xenio_map() returned.
 */
void *xenio_map(struct xenio *x, uint16_t domid, const uint32_t *grefs, unsigned count, bool writable);
void xenio_unmap(struct xenio *x, void *address, unsigned count);
/* Copies; each segment tells its own status. Returns 0, or -errno when the call as a whole failed. */
int xenio_copy(struct xenio *x, struct xenio_copy *segments, unsigned count);

/* Binds to the port that domid offers to us. Returns our port, or -errno. */
int xenio_bind(struct xenio *x, uint16_t domid, uint32_t remote_port);
void xenio_unbind(struct xenio *x, uint32_t port);
int xenio_notify(struct xenio *x, uint32_t port);
/* Takes up to max ports that fired (they stay masked until xenio_unmask()). Returns how many, or -errno. */
int xenio_pending(struct xenio *x, uint32_t *ports, unsigned max);
void xenio_unmask(struct xenio *x, const uint32_t *ports, unsigned count);

#endif

/*
 * A virtual block device in service: its rings, its requests under way, its limits.
 *
 * The life of a request (struct vbd_slot, one for each ring slot):
 *
 *     FREE -> taken from the ring and decoded -> READY -> RUNNING (one or more steps on the image) ->
 * FINISHED -> ANSWERED -> FREE
 *
 * A request that does not decode goes to FINISHED at once. Answers are given in ring order (see
 * common/ring.h), so an ANSWERED slot waits until all before it are. A barrier starts when nothing else is
 * RUNNING, and nothing is taken until it is done. Requests stay in the ring, untaken, while the rate limit or
 * the bounce pages do not allow them.
 *
 * Data moves straight between image and granted page only where the page is mapped for good (persistent grants)
 * and the image does not pin memory. A transfer that pins a granted page must not outlive this process: Linux
 * then clears the page's entries before it unmaps the grant, and the grant can never be unmapped any more. All
 * other data goes through bounce pages: by memcpy where the grants are mapped, else by grant copies.
 */
#ifndef BLKBACK_VBD_H
#define BLKBACK_VBD_H

#include "../common/bucket.h"
#include "../common/device.h"
#include "../common/ring.h"
#include "../common/stats.h"
#include "../common/xenio.h"
#include "grants.h"
#include "image.h"
#include "request.h"

#define VBD_MAX_QUEUES     4u
#define VBD_MAX_RING_ORDER 4u
#define VBD_POOL_PAGES     1024u
#define VBD_FIXED_PAGES    256u /* the first of them, which are taken first, may be lent to the ring for good */
#define VBD_COPY_BATCH     512u

enum slot_state { SLOT_FREE, SLOT_READY, SLOT_RUNNING, SLOT_FINISHED, SLOT_ANSWERED };

struct vbd_queue;

struct vbd_slot {
    struct image_io io;
    struct vbd_queue *queue;
    struct vbd_slot *next; /* in the list that its state names */
    enum slot_state state;
    int16_t status;
    uint8_t step;
    bool bounced; /* the data goes through bounce pages */
    bool mapped;  /* every page of the request is mapped for good, at guest[] */
    unsigned bounce_pages;
    void *guest[REQUEST_MAX_SEGMENTS];
    char *bounce; /* as many pages as segments, one behind the other */
    struct iovec iov[REQUEST_MAX_SEGMENTS];
    struct request request;
};

struct vbd_queue {
    struct vbd *vbd;
    struct back_ring ring;
    void *pages;
    unsigned page_count;
    int port; /* -1: none */
    struct vbd_slot *slot;
};

struct slot_list {
    struct vbd_slot *first, **last;
};

struct vbd {
    struct device device; /* first: the device operations cast back */
    struct xenio *io;
    struct image *image; /* NULL: no medium */
    struct request_limits limits;
    enum request_abi abi;
    struct stats *stats;
    struct ring_journal *journal; /* VBD_MAX_QUEUES of them */

    unsigned queues;
    struct vbd_queue queue[VBD_MAX_QUEUES];
    bool persistent;
    struct grants grants;

    unsigned running;         /* requests on the image */
    struct vbd_slot *barrier; /* waits, or runs alone */
    struct slot_list ready, finished;
    const char *broken; /* the front end broke the protocol; why */

    char *pool; /* VBD_POOL_PAGES pages */
    bool pool_used[VBD_POOL_PAGES];

    struct bucket bytes, operations;
    uint64_t wake_at; /* 0, or when the rate limit lets the next request pass */
    struct xenio_copy copy[VBD_COPY_BATCH];
};

/* Sets up everything but the rings. image may be NULL; journal: VBD_MAX_QUEUES of them, kept from process to
 * process. Returns 0 or -errno. */
int vbd_init(struct vbd *v, struct xenio *io, struct image *image, struct stats *stats,
             struct ring_journal *journal);
void vbd_destroy(struct vbd *v);

/* Attaches queue number index to its ring pages and event channel. Returns 0 or -errno (logged). */
int vbd_attach_queue(struct vbd *v, unsigned index, uint16_t domid, const uint32_t *grefs, unsigned pages,
                     uint32_t port);
/* Waits for what is on the image, then lets go of rings, grants and ports. */
void vbd_detach(struct vbd *v);

/*
 * Takes, runs and answers requests until there is nothing to do now. Returns true when it stopped only to let
 * others have a turn. Afterwards v->broken tells whether the front end has to be dropped.
 */
bool vbd_run(struct vbd *v);

#endif

/*
 * A virtual disk from the guest's side. Each request owns one buffer of BLKFRONT_BUFFER_PAGES pages that stay
 * granted, so that the back end may keep them mapped. Requests are numbered by their buffer; several can be
 * under way.
 */
#ifndef FRONTEND_BLKFRONT_H
#define FRONTEND_BLKFRONT_H

#include <public/io/blkif.h>
#include "front_ring.h"
#include "xenbus.h"

#define BLKFRONT_BUFFERS      32u
#define BLKFRONT_BUFFER_PAGES 11u
#define BLKFRONT_SECTORS      (BLKFRONT_BUFFER_PAGES * 8u)
#define BLKFRONT_BUSY         1 /* status of a request that is under way */

struct blkfront {
    struct xenbus_device device;
    struct front_ring ring;
    grant_ref_t ring_ref;
    evtchn_port_t port;
    uint64_t sectors;
    unsigned info; /* VDISK_ */
    bool flush, discard, persistent;
    struct blkfront_buffer {
        void *page;
        grant_ref_t gref[BLKFRONT_BUFFER_PAGES];
        int16_t status; /* BLKIF_RSP_, or BLKFRONT_BUSY */
        uint8_t operation;
    } buffer[BLKFRONT_BUFFERS];
};

/* Connects to device number (51712 is xvda). Returns 0, FE_ERROR or FE_TIME. */
int blkfront_open(struct blkfront *b, unsigned number);
void blkfront_close(struct blkfront *b);
/* Starts an operation (BLKIF_OP_) on sectors from sector on, with the data of buffer i. */
int blkfront_start(struct blkfront *b, unsigned i, uint8_t operation, uint64_t sector, unsigned sectors);
/* Puts a ready-made request into the ring; for tests of back ends. */
void blkfront_raw(struct blkfront *b, const void *request);
/* Takes the answers that are there; how many. */
unsigned blkfront_poll(struct blkfront *b);
/* Waits until buffer i is done. Returns its BLKIF_RSP_ status, or FE_TIME - 100. */
int blkfront_finish(struct blkfront *b, unsigned i, uint64_t timeout);
#define BLKFRONT_TIMEOUT (FE_TIME - 100)

#endif
